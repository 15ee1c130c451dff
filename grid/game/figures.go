package game

import (
	"context"
	"time"

	"gosper/grid"
)

// look runs f on the worker that has the game and waits for it. The grids do not move meanwhile; f must be quick.
func (g *Game) look(ctx context.Context, f func() error) error {
	answer := make(chan error, 1)
	g.mu.Lock()
	err := g.closed
	g.seen = time.Now()
	g.mu.Unlock()
	if err != nil {
		return err
	}
	g.post(func() {
		switch {
		case g.over:
			answer <- g.why()
		case g.broken:
			answer <- ErrFault
		default:
			answer <- f()
		}
	})
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// why is the reason for which the game takes no requests any more.
func (g *Game) why() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// whenQuiet runs f on the worker when no edits are on their way to the log, or with an error when that will not be.
func (g *Game) whenQuiet(f func(error)) error {
	g.mu.Lock()
	err := g.closed
	g.seen = time.Now()
	g.mu.Unlock()
	if err != nil {
		return err
	}
	g.post(func() {
		switch {
		case g.over:
			f(g.why())
		case g.broken:
			f(ErrFault)
		default:
			g.quiet = append(g.quiet, f)
		}
	})
	return nil
}

// shut makes the game refuse everything, notes its generation when nothing is under way, and calls done.
func (g *Game) shut(done func()) {
	g.post(func() {
		g.closing, g.closeBy = true, time.Now().Add(g.host.limits.CommitWait)
		g.refuseAll(ErrClosed)
		if g.over || g.broken {
			done()
			return
		}
		g.quiet = append(g.quiet, func(err error) {
			g.stopping = true
			if err != nil {
				done()
				return
			}
			g.mark(time.Now(), func(error) { done() })
		})
	})
}

// Export returns the live cells of a grid as a pattern of the grid's size, with owners as states. Error also: ErrNoGrid,
// ErrLimit.
func (g *Game) Export(ctx context.Context, index int) (*grid.Pattern, error) {
	var p *grid.Pattern
	err := g.look(ctx, func() (err error) {
		if index < 0 || index >= len(g.m.grids) {
			return ErrNoGrid
		}
		gr, spec := g.m.grids[index], g.m.specs[index]
		if err := within("live_cells", int(gr.Population()), g.host.limits.SnapshotCells); err != nil {
			return err
		}
		p, err = gr.Extract(grid.Rect{Width: spec.Width, Height: spec.Height})
		if err == nil {
			p.Name, p.Bounds = g.m.name, spec.bounds()
		}
		return err
	})
	return p, err
}

// bounds is the universe that a pattern file names for the grid.
func (s GridSpec) bounds() grid.Bounds {
	b := grid.Bounds{Kind: 'T', Width: int32(s.Width), Height: int32(s.Height)}
	if s.Topology == grid.Plane {
		b.Kind = 'P'
	}
	return b
}

// GridStats are figures of one grid.
type GridStats struct {
	Generation     uint64
	Population     int64
	Births, Deaths int64 // of the last generation
	Hash           uint64
	Owners         map[string]int64 // mode Owners: live cells by user id; users nobody knows any more under ""
	Memory         int64            // bytes
}

// Stats returns figures of all grids, all of the same generation.
func (g *Game) Stats(ctx context.Context) ([]GridStats, error) {
	var stats []GridStats
	err := g.look(ctx, func() error {
		for i, gr := range g.m.grids {
			s := GridStats{Generation: gr.Generation(), Population: gr.Population(), Hash: gr.Hash(), Memory: gr.Memory()}
			s.Births, s.Deaths = gr.Changes()
			if g.m.specs[i].Mode == Owners {
				s.Owners = g.m.byOwner(gr, g.m.specs[i].Owners)
			}
			stats = append(stats, s)
		}
		return nil
	})
	return stats, err
}

func (m *machine) byOwner(gr *grid.Grid, owners int) map[string]int64 {
	live := map[string]int64{}
	for n := range owners {
		id := ""
		if u := m.users.byNumber(n); u != nil {
			id = u.ID
		}
		if cells := gr.PopulationOf(uint8(n)); cells > 0 {
			live[id] += cells
		}
	}
	return live
}
