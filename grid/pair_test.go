package grid

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// pair is the naive reference beside one engine for each kernel, so that each
// generation of the slow reference serves all.
type pair struct {
	t  *testing.T
	g  *Grid   // the last of gs
	gs []*Grid // one a kernel
	n  *naive
	// name says how to repeat a failure.
	name string
}

func newPair(t *testing.T, o Options, name string) *pair {
	t.Helper()
	p := &pair{t: t, name: name}
	for _, k := range Kernels() {
		o.Kernel = k
		g, err := New(o, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p.gs = append(p.gs, g)
	}
	p.g = p.gs[len(p.gs)-1]
	p.n = newNaive(o.Width, o.Height, o.Topology == Torus, p.g.Options().Rule)
	if o.Colours == ColourWhole {
		p.n.blend = blendInteger
	}
	return p
}

// mark is the mark of a naive cell on the engines' grids.
func (p *pair) mark(c naiveCell) Mark {
	switch {
	case p.g.opts.Owners > 0:
		return Mark(c.owner)
	case p.g.opts.Colours != ColourNone:
		return Mark(c.colour)
	}
	return 0
}

// paint sets a cell on all sides.
func (p *pair) paint(x, y int, c naiveCell) {
	p.t.Helper()
	for _, g := range p.gs {
		if err := g.Paint(x, y, p.mark(c)); err != nil {
			p.t.Fatalf("%s: paint: %v", p.name, err)
		}
	}
	p.n.set(x, y, c)
}

// kill makes a cell dead on all sides, if it lives.
func (p *pair) kill(x, y int) {
	p.t.Helper()
	for _, g := range p.gs {
		if err := g.Kill(x, y); (err == nil) != p.n.at(x, y).alive {
			p.t.Fatalf("%s: kill (%d,%d): %v", p.name, x, y, err)
		}
	}
	p.n.set(x, y, naiveCell{})
}

func (p *pair) randomCell(rng *rand.Rand) naiveCell {
	return naiveCell{alive: true, owner: uint8(rng.IntN(max(1, p.g.opts.Owners))), colour: rng.Uint32() & 0xffffff}
}

// soup fills part of all sides. patch is the side of the squares that get one
// owner.
func (p *pair) soup(rng *rand.Rand, density float64, patch int) {
	p.t.Helper()
	marks := make([]naiveCell, ceilDiv(p.n.w, patch)*ceilDiv(p.n.h, patch))
	for i := range marks {
		marks[i] = p.randomCell(rng)
	}
	for y := range p.n.h {
		for x := range p.n.w {
			if rng.Float64() < density {
				p.paint(x, y, marks[y/patch*ceilDiv(p.n.w, patch)+x/patch])
			}
		}
	}
}

// edits makes a few random changes on all sides.
func (p *pair) edits(rng *rand.Rand) {
	p.t.Helper()
	for range 1 + rng.IntN(4) {
		x, y := rng.IntN(p.n.w), rng.IntN(p.n.h)
		for range 1 + rng.IntN(8) {
			ex, ey := min(x+rng.IntN(3), p.n.w-1), min(y+rng.IntN(3), p.n.h-1)
			if rng.IntN(3) == 0 {
				p.kill(ex, ey)
			} else {
				p.paint(ex, ey, p.randomCell(rng))
			}
		}
	}
}

func (p *pair) step() {
	for _, g := range p.gs {
		g.Step()
	}
	p.n.step()
}

// compare checks every cell and every figure.
func (p *pair) compare() {
	p.t.Helper()
	cells := p.n.cells
	live := int64(p.n.population())
	x0, y0, x1, y1, ok := p.n.box()
	want := Rect{}
	if ok {
		want = Rect{x0, y0, x1 - x0 + 1, y1 - y0 + 1}
	}
	for _, g := range p.gs {
		where := fmt.Sprintf("%s, kernel %v, generation %d", p.name, g.kernel, g.Generation())
		for i, c := range cells {
			x, y := i%p.n.w, i/p.n.w
			if g.Alive(x, y) != c.alive {
				p.t.Fatalf("%s: cell (%d,%d) alive %v, want %v", where, x, y, !c.alive, c.alive)
			}
			if c.alive {
				compareMark(p.t, g, where, x, y, c)
			}
		}
		if g.Generation() != p.n.gen || g.Population() != live {
			p.t.Fatalf("%s: population %d, want %d (generation %d)", where, g.Population(), live, p.n.gen)
		}
		if box, any := g.Bounds(); any != ok || box != want {
			p.t.Fatalf("%s: bounds %v %v, want %v %v", where, box, any, want, ok)
		}
		if a, b := g.Hash(), p.g.Hash(); a != b {
			p.t.Fatalf("%s: hash %x, with kernel %v %x", where, a, p.g.kernel, b)
		}
	}
}

func compareMark(t *testing.T, g *Grid, where string, x, y int, c naiveCell) {
	t.Helper()
	if g.opts.Owners > 0 {
		if o, ok := g.Owner(x, y); !ok || o != c.owner {
			t.Fatalf("%s: owner of (%d,%d) is %d, want %d", where, x, y, o, c.owner)
		}
	}
	if g.opts.Colours != ColourNone {
		if got, ok := g.Colour(x, y); !ok || got != c.colour {
			t.Fatalf("%s: colour of (%d,%d) is %06x, want %06x", where, x, y, got, c.colour)
		}
	}
}

// compareChanges checks births and deaths, after a step and before edits.
func (p *pair) compareChanges() {
	p.t.Helper()
	for _, g := range p.gs {
		births, deaths := g.Changes()
		if births != int64(p.n.births) || deaths != int64(p.n.deaths) {
			p.t.Fatalf("%s, kernel %v, generation %d: births %d, deaths %d, want %d and %d",
				p.name, g.kernel, g.Generation(), births, deaths, p.n.births, p.n.deaths)
		}
	}
}

// compareOwners checks the population of every owner.
func (p *pair) compareOwners() {
	p.t.Helper()
	for o := range p.g.opts.Owners {
		want := int64(p.n.populationOf(uint8(o)))
		for _, g := range p.gs {
			if got := g.PopulationOf(uint8(o)); got != want {
				p.t.Fatalf("%s, kernel %v: owner %d has %d cells, want %d", p.name, g.kernel, o, got, want)
			}
		}
	}
}
