package game

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// point is a snapshot in the log: from there on any generation can be computed again.
type point struct {
	at         uint64 // place: the state before the entry with this Seq
	generation uint64
	time       int64 // unix milliseconds
	bytes      int   // of the snapshot and of the log before it, back to the snapshot before
}

// history is what a game keeps of its past, and what was added since the last snapshot.
type history struct {
	points []point // oldest first
	whole  bool    // the log goes back to its first entry

	generations int           // since the last snapshot
	bytes       int           // of log since then
	work        time.Duration // spent on ticks since then
	saving      bool
}

// mostWork is how much computing a restart may have to repeat for one game.
const mostWork = time.Second

// append writes the history behind a snapshot.
func (h *history) append(dst []byte) []byte {
	var list []byte
	for _, p := range h.points {
		for _, v := range [4]uint64{p.at, p.generation, uint64(p.time), uint64(p.bytes)} {
			list = binary.AppendUvarint(list, v)
		}
	}
	dst = binary.AppendUvarint(appendBool(dst, h.whole), uint64(len(list)))
	return append(dst, list...)
}

func (r *reader) points() []point {
	list := reader{b: r.bytes()}
	var points []point
	for len(list.b) > 0 {
		points = append(points, point{list.uint(), list.uint(), int64(list.uint()), int(list.upTo(math.MaxInt32))})
	}
	if list.err != nil {
		r.fail()
	}
	return points
}

// trim drops the oldest points until the rest is within the limits, but for the newest.
func (h *history) trim(l *Limits) {
	sum := 0
	for _, p := range h.points {
		sum += p.bytes
	}
	for len(h.points) > 1 && (len(h.points) > l.HistorySnapshots || sum > l.HistoryBytes) {
		sum -= h.points[0].bytes
		h.points = slices.Delete(h.points, 0, 1)
		h.whole = false
	}
}

// oldest is the first generation that can be computed again.
func (h *history) oldest() uint64 {
	if h.whole || len(h.points) == 0 {
		return 0
	}
	return h.points[0].generation
}

// snapshotIfDue starts to save a snapshot when a restart would otherwise have much to repeat. spent is what the last tick
// took. The game goes on while it is written.
func (g *Game) snapshotIfDue(spent time.Duration) {
	h, l := &g.history, &g.host.limits
	h.work += spent
	if h.saving || g.inflight != nil || h.generations < l.SnapshotGeneration && h.bytes < l.SnapshotBytes && h.work < mostWork {
		return
	}
	g.mu.Lock()
	at := g.seq
	g.mu.Unlock()
	data := g.m.appendSnapshot(nil)
	next := history{points: append(slices.Clone(h.points), point{
		at: at, generation: g.m.generation, time: time.Now().UnixMilli(), bytes: len(data) + h.bytes,
	}), whole: h.whole}
	next.trim(l)
	data = next.append(data)
	h.saving = true
	generations, bytes, work := h.generations, h.bytes, h.work
	g.host.background(func(ctx context.Context) {
		err := g.host.saveSnapshot(ctx, g.id, g.own.token, at, data, next.points[0].at, !next.whole)
		g.post(func() {
			h.saving = false
			g.runSaved()
			if err != nil {
				g.fencedNow(err)
				h.generations -= generations / 2 // not at once again
				return
			}
			h.points, h.whole = next.points, next.whole
			h.generations -= generations
			h.bytes -= bytes
			h.work -= work
		})
	}, func() {
		h.saving = false
		g.runSaved()
	})
}

// runSaved tells those who waited for a snapshot that there is one, or will be none.
func (g *Game) runSaved() {
	for _, f := range g.saved {
		f()
	}
	g.saved = nil
}

// saveSnapshot writes a snapshot and drops what is older than the oldest place kept.
func (h *Host) saveSnapshot(ctx context.Context, id ID, token, at uint64, data []byte, oldest uint64, trim bool) error {
	err := h.storage.SaveSnapshot(ctx, id.logName(), token, at, data)
	if err != nil {
		snapshotFailures.Inc()
		h.log.Warn("snapshot of a game was not saved; the game goes on", "game", id, "err", err)
		return err
	}
	snapshotsTotal.Inc()
	if trim {
		if err := h.storage.Trim(ctx, id.logName(), token, oldest); err != nil {
			h.log.Warn("old history of a game was not dropped", "game", id, "err", err)
		}
	}
	return nil
}
