package game

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gosper/grid"
)

// Edit changes a grid as user. It never blocks. done is called exactly once, on a worker or before Edit returns, when the
// edits are durable and applied, with their place in the order and the generation they apply at; it must not block. Each
// edit is all or nothing for itself: an Ack names those that the grid refused. An error means that none was applied.
// Errors also: ErrNoGrid, ErrInvalid, ErrLimit, ErrRate, ErrStopped, grid.ErrOutside.
func (g *Game) Edit(user string, index int, edits []Edit, done func(Ack, error)) {
	if err := g.edit(user, index, edits, false, done); err != nil {
		countRefused(err, len(edits))
		done(Ack{}, err)
	}
}

func countRefused(err error, n int) {
	switch {
	case errors.Is(err, ErrRate):
		editsRate.Add(n)
	case errors.Is(err, ErrBusy):
		editsBusy.Add(n)
	default:
		editsBad.Add(n)
	}
}

func (g *Game) edit(user string, index int, edits []Edit, owner bool, done func(Ack, error)) error {
	info := g.info.Load()
	u, ok := info.User(user)
	switch {
	case !ok || !u.Present:
		return ErrNotMember
	case index < 0 || index >= len(info.Grids):
		return ErrNoGrid
	case info.State == Stopped:
		return ErrStopped
	}
	e := event{kind: evEdits, by: uint16(u.Number) + 1, grid: index, edits: make([]Edit, len(edits))}
	cost, err := g.checkEdits(e.edits, edits, owner)
	if err != nil {
		return err
	}
	g.mu.Lock()
	err = g.rates.take(user, cost, &g.host.limits, time.Now())
	g.mu.Unlock()
	if err != nil {
		return err
	}
	return g.enqueue(&request{
		cost: cost,
		admit: func(m *machine) (event, error) {
			switch now := m.users.byNumber(int(e.by) - 1); {
			case now == nil || now.ID != user || !now.Present:
				return e, ErrNotMember
			case m.state == Stopped:
				return e, ErrStopped
			case owner && m.users.owner != int(e.by)-1:
				return e, ErrNotOwner
			}
			return e, nil
		},
		done: func(r result) { done(r.ack, r.err) },
	})
}

// checkEdits copies edits as the log will have them, and weighs them.
func (g *Game) checkEdits(dst, edits []Edit, owner bool) (cost int, err error) {
	l := &g.host.limits
	if len(edits) == 0 {
		return 0, fmt.Errorf("%w: no edits", ErrInvalid)
	}
	if err := within("edits_request", len(edits), l.EditsRequest); err != nil {
		return 0, err
	}
	cells := 0
	for i := range edits {
		e := &edits[i]
		if err := e.check(l); err != nil {
			return 0, err
		}
		if e.Kind == Clear && !owner {
			return 0, ErrNotOwner
		}
		if e.patterned() {
			cells += len(e.Pattern.Cells)
		}
		dst[i] = e.oriented()
		dst[i].states = owner && e.states
		cost += e.cost()
	}
	return cost, within("cells_request", cells, l.CellsRequest)
}

// EditWait is Edit for callers that may wait. An error of the Ack is an error here too, and the Ack stands beside it.
func (g *Game) EditWait(ctx context.Context, user string, index int, edits ...Edit) (Ack, error) {
	return waitAck(ctx, func(done func(Ack, error)) { g.Edit(user, index, edits, done) })
}

func waitAck(ctx context.Context, start func(func(Ack, error))) (Ack, error) {
	type answered struct {
		ack Ack
		err error
	}
	answer := make(chan answered, 1)
	start(func(a Ack, err error) { answer <- answered{a, err} })
	select {
	case a := <-answer:
		if a.err == nil {
			a.err = a.ack.Err()
		}
		return a.ack, a.err
	case <-ctx.Done():
		return Ack{}, ctx.Err()
	}
}

// Import replaces all cells of a grid with a pattern, its corner at (x, y). On a grid with owners the cells keep the owners
// that the pattern's states name. Only for the owner.
func (g *Game) Import(ctx context.Context, owner string, index int, p *grid.Pattern, x, y int32) (Ack, error) {
	edits := []Edit{{Kind: Clear}, {Kind: Stamp, Pattern: p, X: x, Y: y, states: true}}
	if u, ok := g.info.Load().User(owner); ok && u.ID != g.info.Load().Owner {
		return Ack{}, ErrNotOwner
	}
	return waitAck(ctx, func(done func(Ack, error)) {
		if err := g.edit(owner, index, edits, true, done); err != nil {
			countRefused(err, len(edits))
			done(Ack{}, err)
		}
	})
}
