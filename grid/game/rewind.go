package game

import (
	"context"
	"slices"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// held is what somebody who holds a game gets to know of it. Until release nothing of the game moves: no tick, no batch;
// requests wait in the mailbox, and watchers still get snapshots.
type held struct {
	err        error
	meta       []byte
	next       uint64 // number of the next batch
	generation uint64
	running    bool
	due        time.Time // of the next tick, when running
	epoch      uint32
	points     []point
	whole      bool
}

// hold is somebody who wants to hold a game.
type hold struct {
	answer chan<- held
	gentle time.Time // until then it is held only where there is time until the next tick
}

// Hand-overs take less than handRoom, but for moments of a busy disk; a tick that is nearer comes first. gentleHold is how long
// they wait for that.
const (
	handRoom   = 100 * time.Millisecond
	gentleHold = time.Second
)

// holdNow waits until the game has nothing under way, and holds it.
func (g *Game) holdNow(ctx context.Context) (held, error) { return g.holdWithin(ctx, 0) }

// holdWithin is holdNow for who has the patience to wait so long for a moment that disturbs no tick: the one behind a tick.
func (g *Game) holdWithin(ctx context.Context, gentle time.Duration) (held, error) {
	answer := make(chan held, 1)
	until := time.Now().Add(gentle)
	g.post(func() {
		if g.over {
			answer <- held{err: g.why()}
			return
		}
		g.holds = append(g.holds, hold{answer, until})
	})
	select {
	case h := <-answer:
		return h, h.err
	case <-ctx.Done():
		g.post(func() { g.unhold(answer) })
		return held{}, ctx.Err()
	}
}

// unhold takes back a hold that nobody waits for any more.
func (g *Game) unhold(answer chan held) {
	if i := slices.IndexFunc(g.holds, func(h hold) bool { return h.answer == answer }); i >= 0 {
		g.holds = slices.Delete(g.holds, i, i+1)
		return
	}
	g.unheld()
}

// tryHold gives the game to the first who wants to hold it, when nothing is on its way to the log, and reports whether it must not
// move until then. ticked says that a tick was a moment ago.
func (g *Game) tryHold(now time.Time, ticked bool) bool {
	if len(g.holds) == 0 || !ticked && g.holdsGently(now) && g.due.Sub(now) < min(handRoom, g.m.interval*3/4) {
		return false
	}
	if !g.marking && g.lost == 0 && !g.history.saving && len(g.tail.list) == 0 {
		g.giveHold()
	}
	return true
}

// holdsGently says that the game ticks on while somebody waits to hold it.
func (g *Game) holdsGently(now time.Time) bool { return g.ticking() && now.Before(g.holds[0].gentle) }

// unheld lets a held game go on, unless its host has lost it meanwhile.
func (g *Game) unheld() {
	if g.held = false; g.taken && !g.over {
		g.host.unload(g, broker.ErrFenced)
	}
}

func (g *Game) giveHold() {
	first := g.holds[0]
	g.holds = slices.Delete(g.holds, 0, 1)
	g.held = true
	first.answer <- held{
		meta: g.m.appendMeta(nil), next: g.m.next, generation: g.m.generation, running: g.ticking(), due: g.due, epoch: g.m.epoch,
		points: slices.Clone(g.history.points), whole: g.history.whole,
	}
}

// release lets the game go on, with another machine when l is not nil, and waits until it does. A held game keeps its host
// from closing, so there is a worker to do it.
func (g *Game) release(l *loaded) {
	done := make(chan struct{})
	g.post(func() {
		defer close(done)
		g.unheld()
		if l == nil || g.over {
			if l != nil {
				l.m.release()
			}
			return
		}
		g.replace(l)
	})
	<-done
}

// replace puts another machine into the game, tells everybody, and sends snapshots to all watchers.
func (g *Game) replace(l *loaded) {
	before := *g.info.Load()
	g.m.release()
	g.m, g.history, g.broken = l.m, l.history, false
	g.plans = newGridPlans(len(g.m.grids), nil)
	g.mu.Lock()
	g.seq = l.next
	g.rewatched = true
	g.wanted = nil
	for s, w := range g.watches {
		w.wanted = true
		g.wanted = append(g.wanted, s)
	}
	g.mu.Unlock()
	g.publish()
	if g.m.state == Running {
		g.startTicking(time.Now())
	}
	g.changed(&before)
	g.rewatch()
}

// Rewind makes the grids what they were at generation, a past one that History names; users, name and settings stay as
// they are, and what came after it is gone. Only for the owner. The game is paused while it is computed, and its epoch
// changes. Errors: ErrNotOwner, ErrHistory, grid.ErrBudget (for a moment the grids are there twice), those of the log.
func (g *Game) Rewind(ctx context.Context, user string, generation uint64) error {
	if info := g.Info(); info.Owner != user {
		return ErrNotOwner
	}
	h, err := g.holdNow(ctx)
	if err != nil {
		return err
	}
	var l *loaded
	defer func() { g.release(l) }()
	if generation > h.generation {
		return ErrHistory
	}
	// From here on a caller who goes away stops nothing half-way.
	ctx = context.WithoutCancel(ctx)
	l, err = g.host.load(ctx, g.id, generation)
	if err != nil {
		l = nil
		return err
	}
	if err := g.host.rewind(ctx, g.id, g.own.token, l, h); err != nil {
		l.m.release()
		l = nil
		g.fenced(err)
		return err
	}
	return nil
}

// rewind makes the log end at what l holds: first a snapshot of it, then the entries behind it go, then a new epoch
// begins. After a crash between these steps the game is either as before or rewound.
func (h *Host) rewind(ctx context.Context, id ID, token uint64, l *loaded, now held) error {
	epoch := h.newEpoch(now.epoch)
	e := event{kind: evRewind, epoch: epoch, meta: now.meta}
	if r := l.m.apply(&e); r.err != nil {
		return r.err
	}
	data := l.m.appendSnapshot(nil)
	past := history{whole: now.whole, points: slices.DeleteFunc(now.points, func(p point) bool { return p.at >= l.cut })}
	past.points = append(past.points, point{at: l.cut, generation: l.m.generation, time: time.Now().UnixMilli(), bytes: len(data)})
	data = past.append(data)
	if err := h.storage.SaveSnapshot(ctx, id.logName(), token, l.cut, data); err != nil {
		return err
	}
	if err := h.storage.Cut(ctx, id.logName(), token, l.cut); err != nil {
		return err
	}
	l.history, l.next = past, l.cut
	_ = h.appendEvent(id, token, l, &e)
	return nil
}

// appendEvent writes one event and waits for the answer. The machine counts it as applied in any case: a new epoch
// that is not in the log is no loss, since epochs also grow with time. The error is that of the log.
func (h *Host) appendEvent(id ID, token uint64, l *loaded, e *event) error {
	entry := entry{number: l.m.next, generation: l.m.generation, time: time.Now().UnixMilli(), events: []event{*e}}
	first, err := h.appendWait(id, token, entry.append(nil))
	if err != nil {
		countFailure(err)
		h.log.Warn("a new epoch of a game was not written", "game", id, "err", err)
		return err
	}
	l.next = first + 1
	l.m.next++
	return nil
}

// reload loads a game that an internal error paused.
func (g *Game) reload(ctx context.Context) error {
	h, err := g.holdNow(ctx)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	l, err := g.host.load(ctx, g.id, newest)
	if err == nil {
		e := event{kind: evOpen, epoch: g.host.newEpoch(max(h.epoch, l.m.epoch))}
		l.m.apply(&e)
		_ = g.host.appendEvent(g.id, g.own.token, l, &e)
	}
	g.release(l)
	return err
}

// Past says how far back a game can look, and how.
type Past struct {
	Oldest, Newest uint64 // generations
	Points         []PastPoint
}

// PastPoint is a generation from which others are computed; it costs least to look at.
type PastPoint struct {
	Generation uint64
	Time       time.Time // when it was saved; zero if that is not known
}

// Past returns the generations that Look and Rewind take.
func (g *Game) Past(ctx context.Context) (Past, error) {
	var past Past
	err := g.look(ctx, func() error {
		past = Past{Oldest: g.history.oldest(), Newest: g.m.generation}
		for _, p := range g.history.points {
			past.Points = append(past.Points, PastPoint{p.generation, time.UnixMilli(p.time)})
		}
		return nil
	})
	return past, err
}

// Look returns a snapshot frame (binary) of a grid as it was at a past generation, and changes nothing. Few callers are
// served at a time. Errors: ErrNoGrid, ErrHistory, grid.ErrBudget, those of the log.
func (g *Game) Look(ctx context.Context, index int, generation uint64) (*Frame, error) {
	specs := g.info.Load().Grids
	switch {
	case index < 0 || index >= len(specs):
		return nil, ErrNoGrid
	case generation > g.generation.Load():
		return nil, ErrHistory
	}
	if err := g.host.lookers.acquire(ctx); err != nil {
		return nil, err
	}
	defer g.host.lookers.release()
	if err := g.settled(ctx); err != nil {
		return nil, err
	}
	l, err := g.host.load(ctx, g.id, generation)
	if err != nil {
		return nil, err
	}
	defer l.m.release()
	gr := l.m.grids[index]
	f := &Frame{Game: g.id, Stream: Stream{Grid: index}, Kind: FrameSnapshot, Epoch: g.info.Load().Epoch, Generation: generation, Hash: gr.Hash()}
	f.Data = gr.AppendSnapshot(protocol.AppendGridHeader(nil, protocol.GridHeader{
		Kind: protocol.GridSnapshot, Flags: specs[index].flags(), Grid: uint16(index), Epoch: f.Epoch, Game: uint64(g.id),
		Generation: generation, Hash: f.Hash,
	}))
	return f, nil
}

// gate lets a few callers through at a time.
type gate chan struct{}

func (g gate) acquire(ctx context.Context) error {
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g gate) release() { <-g }
