package grid

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Goal: a view shows exactly what its tiles hold, and nothing of the others. Method: followers of random views take
// snapshots and deltas of grids of every kind, with edits, and are compared cell by cell.
func TestViewFollows(t *testing.T) {
	for i, o := range deltaOptions() {
		t.Run(fmt.Sprintf("%dx%d %d owners %v", o.Width, o.Height, o.Owners, o.Colours), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(9, uint64(i)))
			p := newPair(t, o, "view")
			p.soup(rng, 0.12, 13)
			p.g = p.gs[0]
			view, ok := AlignView(Rect{rng.IntN(o.Width), rng.IntN(o.Height), 1 + rng.IntN(70), 1 + rng.IntN(70)}, o.Width, o.Height)
			if !ok {
				t.Fatal("the view is empty")
			}
			o.Kernel = KernelAuto
			follower, err := New(o, nil)
			if err != nil {
				t.Fatal(err)
			}
			p.g.Step()
			if err := follower.ApplySnapshot(p.g.AppendView(nil, view)); err != nil {
				t.Fatal(err)
			}
			sameView(t, p.g, follower, view)
			take := func(delta []byte) {
				part, err := p.g.AppendViewDelta(nil, delta, view)
				if err == nil {
					err = follower.ApplyDelta(part)
				}
				if err != nil {
					t.Fatal(err)
				}
				sameView(t, p.g, follower, view)
			}
			for range 80 {
				if rng.IntN(6) == 0 {
					someEdits(p, rng)
					take(p.g.AppendEdits(nil))
				}
				take(p.g.StepDelta(nil))
			}
		})
	}
}

// sameView compares the cells of a follower with those of a grid inside view, and wants none outside.
func sameView(t *testing.T, g, follower *Grid, view Rect) {
	t.Helper()
	for y := range g.opts.Height {
		for x := range g.opts.Width {
			in := x >= view.X && x < view.X+view.Width && y >= view.Y && y < view.Y+view.Height
			ao, _ := g.Owner(x, y)
			bo, _ := follower.Owner(x, y)
			ac, _ := g.Colour(x, y)
			bc, _ := follower.Colour(x, y)
			if follower.Alive(x, y) != (in && g.Alive(x, y)) || in && (ao != bo || ac != bc) {
				t.Fatalf("generation %d: (%d,%d) differs", g.gen, x, y)
			}
		}
	}
}

// Goal: a view is whole tiles that show some of the grid. Method: a table on 130 by 100 cells.
func TestAlignView(t *testing.T) {
	const huge = int(^uint(0) >> 1)
	for _, c := range []struct {
		in, want Rect
		ok       bool
	}{
		{Rect{0, 0, 1, 1}, Rect{0, 0, 64, 64}, true},
		{Rect{63, 63, 2, 2}, Rect{0, 0, 128, 128}, true},
		{Rect{129, 99, 5, 5}, Rect{128, 64, 64, 64}, true},
		{Rect{-5, -5, huge, huge}, Rect{0, 0, 192, 128}, true},
		{Rect{130, 0, 5, 5}, Rect{}, false},
		{Rect{5, 5, 0, 5}, Rect{}, false},
		{Rect{5, 5, 5, -3}, Rect{}, false},
		{Rect{huge, huge, huge, huge}, Rect{}, false},
	} {
		if got, ok := AlignView(c.in, 130, 100); got != c.want || ok != c.ok {
			t.Errorf("AlignView(%v) is %v, %v", c.in, got, ok)
		}
	}
}
