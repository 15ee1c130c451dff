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

// load plays a log: the newest snapshot that is not beyond generation until, then the entries behind it, up to and
// including those of generation until. It takes memory from the budget; release gives it back. A panic while playing is
// an error like a corrupt log. Errors wrap ErrUnavailable, ErrHistory, grid.ErrBudget or what the log returned.
func (h *Host) load(ctx context.Context, id ID, until uint64) (l *loaded, err error) {
	m := newMachine(h.budget)
	defer func() {
		if r := recover(); r != nil {
			h.log.Error("panic while a log was played", "game", id, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: panic: %v", ErrUnavailable, r)
		}
		if err != nil {
			m.release()
			l = nil
		}
	}()
	next, err := h.storage.Next(ctx, id.logName())
	if err != nil {
		return nil, err
	}
	l = &loaded{m: m, next: next, cut: next}
	from, err := h.loadSnapshot(ctx, id, l, until)
	if err != nil {
		return nil, err
	}
	p := player{m: m, until: until}
	if err := h.play(ctx, id, from, l, &p); err != nil {
		return nil, err
	}
	if len(m.specs) == 0 {
		return nil, fmt.Errorf("%w: its log does not say how it was made", ErrUnavailable)
	}
	if until != newest {
		m.run(until)
	}
	if p.cut != 0 {
		l.cut = p.cut
	}
	l.history.generations = int(min(m.generation-p.start, math.MaxInt32))
	return l, nil
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

// play reads entries from place from on.
func (h *Host) play(ctx context.Context, id ID, from uint64, l *loaded, p *player) error {
	p.start = l.m.generation
	for {
		entries, err := h.storage.Read(ctx, id.logName(), from, pageEntries)
		if err != nil {
			return err
		}
		if len(entries) > 0 && entries[0].Seq != from {
			return ErrHistory // trimmed, now or before: there is no snapshot that is old enough
		}
		for _, e := range entries {
			l.history.bytes += len(e.Data)
			more, err := p.take(e)
			if err != nil {
				return fmt.Errorf("%w: entry %d: %w", ErrUnavailable, e.Seq, err)
			}
			if !more {
				return nil
			}
			from = e.Seq + 1
		}
		l.next = max(l.next, from)
		if len(entries) < pageEntries {
			return p.end()
		}
	}
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
}

// take applies what is certain with entry e; false when e and all behind it are beyond the generation asked for.
func (p *player) take(stored broker.LogEntry) (more bool, err error) {
	e, err := parseEntry(stored.Data)
	if err != nil {
		return false, err
	}
	if p.pending != nil && e.number <= p.pending.number {
		if p.void == 0 {
			p.void = p.place
		}
		p.pending = nil
	}
	if err := p.end(); err != nil {
		return false, err
	}
	if e.generation > p.until {
		p.cut = stored.Seq
		if p.void != 0 {
			p.cut = p.void
		}
		return false, nil
	}
	switch {
	case len(e.events) > 0:
		p.pending, p.place = &e, stored.Seq
	case e.number >= p.m.next:
		p.void = 0
		p.m.run(e.generation)
	}
	return true, nil
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
