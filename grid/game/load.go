package game

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"

	"gosper/broker"
	"gosper/grid"
)

// loaded is a game as its log tells it.
type loaded struct {
	m       *machine
	next    uint64 // place of the next entry
	cut     uint64 // place of the first entry that does not count for the generation asked for; next if all count
	history history
}

// newest asks load for all there is.
const newest = math.MaxUint64

// loading is a game whose log was played as far as it went.
type loading struct {
	loaded
	player player
	from   uint64 // place of the first entry that was not read
}

// load plays a log: the newest snapshot that is not beyond generation until, then the entries behind it, up to and
// including those of generation until. It takes memory from the budget; release gives it back. A panic while playing is
// an error like a corrupt log. Errors wrap ErrUnavailable, ErrHistory, grid.ErrBudget or what the log returned.
func (h *Host) load(ctx context.Context, id ID, until uint64) (*loaded, error) {
	w, err := h.beginLoading(ctx, id, until)
	if err == nil {
		err = h.playing(id, w.m, w.finish)
	}
	if err != nil {
		return nil, err
	}
	return &w.loaded, nil
}

// beginLoading plays what the log has now, which is most of the work. The caller owns the machine unless there is an error.
func (h *Host) beginLoading(ctx context.Context, id ID, until uint64) (*loading, error) {
	m := newMachine(h.budget)
	w := &loading{loaded: loaded{m: m}, player: player{m: m, until: until}}
	err := h.playing(id, m, func() (err error) {
		if w.next, err = h.storage.Next(ctx, id.logName()); err != nil {
			return err
		}
		w.cut = w.next
		if w.from, err = h.loadSnapshot(ctx, id, &w.loaded, until); err != nil {
			return err
		}
		w.player.start = m.generation
		return h.play(ctx, id, w)
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// finishLoading plays what has come into the log since beginLoading. After an error the machine has given its memory back.
func (h *Host) finishLoading(ctx context.Context, id ID, w *loading) (*loaded, error) {
	err := h.playing(id, w.m, func() error {
		if err := h.play(ctx, id, w); err != nil {
			return err
		}
		return w.finish()
	})
	if err != nil {
		return nil, err
	}
	return &w.loaded, nil
}

// playing runs a part of load: after an error, or a panic, the machine gives its memory back.
func (h *Host) playing(id ID, m *machine, part func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			h.log.Error("panic while a log was played", "game", id, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: panic: %v", ErrUnavailable, r)
		}
		if err != nil {
			m.release()
		}
	}()
	return part()
}

// finish applies what was held back, when there is nothing more to read.
func (w *loading) finish() error {
	p, m := &w.player, w.m
	if err := p.end(); err != nil {
		return err
	}
	if len(m.specs) == 0 {
		return fmt.Errorf("%w: its log does not say how it was made", ErrUnavailable)
	}
	if p.until != newest {
		m.run(p.until)
	}
	if p.cut != 0 {
		w.cut = p.cut
	}
	w.history.generations = int(min(m.generation-p.start, math.MaxInt32))
	return nil
}

// loadSnapshot reads the newest snapshot up to generation until, if there is one, and returns where to read on.
func (h *Host) loadSnapshot(ctx context.Context, id ID, l *loaded, until uint64) (from uint64, err error) {
	for before := l.next; ; {
		at, data, err := h.storage.Snapshot(ctx, id.logName(), before)
		switch {
		case errors.Is(err, broker.ErrNotFound):
			l.history.whole = true
			return 1, nil
		case err != nil:
			return 0, err
		}
		generation, err := snapshotGeneration(data)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if generation > until {
			if at <= 1 {
				return 0, ErrHistory
			}
			before = at - 1
			continue
		}
		if l.history, err = l.m.readSnapshot(data); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return at, nil
	}
}

// pageEntries is how many entries are read at once.
const pageEntries = 256

// play reads entries up to the end of the log, or of what is wanted. The last batch is held back.
func (h *Host) play(ctx context.Context, id ID, w *loading) error {
	for !w.player.past {
		entries, err := h.storage.Read(ctx, id.logName(), w.from, pageEntries)
		if err != nil {
			return err
		}
		if len(entries) > 0 && entries[0].Seq != w.from {
			return ErrHistory // trimmed, now or before: there is no snapshot that is old enough
		}
		for _, e := range entries {
			w.history.bytes += len(e.Data)
			if err := w.player.take(e); err != nil {
				return fmt.Errorf("%w: entry %d: %w", ErrUnavailable, e.Seq, err)
			}
			if w.player.past {
				return nil
			}
			w.from = e.Seq + 1
		}
		w.next = max(w.next, w.from)
		if len(entries) < pageEntries {
			return nil
		}
	}
	return nil
}

// player applies entries to a machine. It holds each batch back until the next entry shows whether it counts.
type player struct {
	m       *machine
	until   uint64
	start   uint64 // generation it began with
	pending *entry
	place   uint64 // of pending
	void    uint64 // place of the first of the void batches just before; 0 for none
	cut     uint64 // place of the first entry that was left out as too late; 0 for none
	past    bool   // what comes now is beyond the generation asked for
}

// take applies what is certain with an entry.
func (p *player) take(stored broker.LogEntry) error {
	e, err := parseEntry(stored.Data)
	if err != nil {
		return err
	}
	if p.pending != nil && e.number <= p.pending.number {
		if p.void == 0 {
			p.void = p.place
		}
		p.pending = nil
	}
	if err := p.end(); err != nil {
		return err
	}
	if e.generation > p.until {
		p.past, p.cut = true, stored.Seq
		if p.void != 0 {
			p.cut = p.void
		}
		return nil
	}
	switch {
	case len(e.events) > 0:
		p.pending, p.place = &e, stored.Seq
	case e.number >= p.m.next:
		p.void = 0
		p.m.run(e.generation)
	}
	return nil
}

// end applies the batch that was held back.
func (p *player) end() error {
	e := p.pending
	p.pending = nil
	if e == nil {
		return nil
	}
	if e.number < p.m.next || e.generation < p.m.generation {
		if p.void == 0 {
			p.void = p.place
		}
		return nil
	}
	p.void = 0
	p.m.run(e.generation)
	p.m.next = e.number + 1
	for i := range e.events {
		r := p.m.apply(&e.events[i])
		if errors.Is(r.err, errCorrupt) || errors.Is(r.err, grid.ErrBudget) || errors.Is(r.err, grid.ErrOptions) {
			return r.err
		}
	}
	return nil
}
