package grid

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Goal: waves of generations give what single steps give, on every topology,
// with owners and colours, awake or settled. Method: side by side, with the
// number of waves set by hand, as grids of a test's size fit the cache.
func TestWavesEqualSteps(t *testing.T) {
	for i, o := range []Options{
		{Width: 128, Height: 1024}, {Width: 100, Height: 1000}, {Width: 192, Height: 700, Topology: Plane},
		{Width: 128, Height: 640, Owners: 16}, {Width: 90, Height: 650, Owners: 5}, {Width: 64, Height: 512, Colours: ColourWhole},
	} {
		t.Run(fmt.Sprintf("%dx%d %v", o.Width, o.Height, o.Topology), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(10, uint64(i)))
			p := newPair(t, o, "waves")
			p.soup(rng, 0.15, 20)
			a := p.gs[0]
			b, err := New(o, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.ApplySnapshot(a.AppendSnapshot(nil)); err != nil {
				t.Fatal(err)
			}
			for range 60 {
				k := 1 + rng.IntN(a.shape.th/2)
				for range k {
					a.Step()
				}
				if b.touched {
					t.Fatal("a snapshot left edits")
				}
				b.wave(k)
				sameGrid(t, fmt.Sprintf("%d waves to generation %d", k, a.gen), a, b)
				if a.births != b.births || a.deaths != b.deaths {
					t.Fatalf("births and deaths differ")
				}
			}
		})
	}
}

// Goal: Run does n generations, uses waves on a grid beyond the cache, and
// stops when told to.
func TestRun(t *testing.T) {
	o := Options{Width: 2048, Height: 8192}
	g, err := New(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if g.waves() < 2 {
		t.Fatalf("a grid of %dx%d is run without waves", o.Width, o.Height)
	}
	if err := g.Stamp(gliderPattern(), 2040, 8186, StampOptions{Wrap: true}); err != nil {
		t.Fatal(err)
	}
	if done := g.Run(401, nil); done != 401 || g.Generation() != 401 || g.Population() != 5 {
		t.Fatalf("%d generations, now at %d, population %d", done, g.Generation(), g.Population())
	}
	if box, _ := g.Bounds(); box.X < 90 || box.X > 100 || box.Y < 90 || box.Y > 100 {
		t.Fatalf("a glider is at %+v after 400 generations", box)
	}
	asked := 0
	done := g.Run(1000, func() bool { asked++; return asked > 3 })
	if done == 0 || done >= 1000 || g.Generation() != 401+done {
		t.Fatalf("stopped after %d generations", done)
	}
}

// gliderPattern flies to the lower right.
func gliderPattern() *Pattern {
	return &Pattern{Width: 3, Height: 3, Cells: []Cell{{1, 0, 1}, {2, 1, 1}, {0, 2, 1}, {1, 2, 1}, {2, 2, 1}}}
}
