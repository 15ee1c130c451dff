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

// testSizes are tiny, odd and multi-tile sides, around every border of a word.
var testSizes = [][2]int{
	{1, 1}, {1, 2}, {2, 1}, {2, 2}, {3, 1}, {3, 3}, {5, 7}, {8, 8}, {31, 33}, {62, 3}, {63, 63}, {64, 64},
	{64, 1}, {1, 64}, {65, 65}, {66, 62}, {100, 100}, {127, 129}, {128, 128}, {130, 64}, {64, 130}, {192, 191}, {200, 70},
}

// testRules are Life and others with every kind of neighbour count.
func testRules() []Rule {
	return []Rule{
		Life, mustRule("36", "23"), mustRule("3678", "34678"), mustRule("2", ""),
		mustRule("1357", "1357"), mustRule("12345678", "012345678"), mustRule("1", "08"),
	}
}

// Goal: every kernel, topology, rule and size gives the cells and figures of
// the naive reference. Method: soups with random edits, compared each
// generation; Life and two other rules for each size.
func TestEngineEqualsReference(t *testing.T) {
	for i, size := range testSizes {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			others := testRules()[1:]
			for _, topology := range []Topology{Torus, Plane} {
				at := rng.IntN(len(others))
				for _, rule := range []Rule{Life, others[at], others[(at+1)%len(others)]} {
					o := Options{Width: size[0], Height: size[1], Topology: topology, Rule: rule}
					p := newPair(t, o, fmt.Sprintf("%dx%d %v %v", size[0], size[1], topology, rule))
					p.soup(rng, 0.3, 64)
					p.compare()
					for range 16 {
						p.step()
						p.compare()
						p.compareChanges()
						if rng.IntN(4) == 0 {
							p.edits(rng)
						}
					}
				}
			}
		})
	}
}

// Goal: skipping is exact on boards that have settled, where an edit must wake
// its tile for two steps. Method: sparse soups for long, with rare edits.
func TestSettledBoardsWithEdits(t *testing.T) {
	for i, o := range []Options{
		{Width: 192, Height: 130}, {Width: 100, Height: 100, Topology: Plane}, {Width: 128, Height: 64},
		{Width: 128, Height: 128, Owners: 16}, {Width: 90, Height: 70, Owners: 5}, {Width: 70, Height: 90, Owners: 200, Topology: Plane},
		{Width: 100, Height: 70, Colours: ColourWhole},
	} {
		t.Run(fmt.Sprintf("%dx%d %v %d owners %v", o.Width, o.Height, o.Topology, o.Owners, o.Colours), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(2, uint64(i)))
			p := newPair(t, o, "settled")
			p.soup(rng, 0.09, 20)
			for gen := range 500 {
				p.step()
				if gen%9 == 0 || gen > 450 {
					p.compare()
					p.compareChanges()
				}
				if gen%40 == 0 || gen > 480 {
					p.compareOwners()
				}
				if rng.IntN(35) == 0 {
					p.edits(rng)
				}
			}
			p.compareOwners()
		})
	}
}

// Goal: owners are exact. Method: soups of many small and large patches, ties
// included, with edits.
func TestOwnersEqualReference(t *testing.T) {
	sizes := [][2]int{{1, 1}, {2, 3}, {5, 7}, {64, 64}, {65, 63}, {100, 100}, {128, 128}, {192, 70}, {70, 192}}
	rules := []Rule{Life, Life, mustRule("36", "23"), mustRule("2", "34")}
	for i, size := range sizes {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(5, uint64(i)))
			for _, topology := range []Topology{Torus, Plane} {
				for _, owners := range []int{1, 2, 3, 16, 255} {
					o := Options{Width: size[0], Height: size[1], Topology: topology, Rule: rules[rng.IntN(len(rules))], Owners: owners}
					p := newPair(t, o, fmt.Sprintf("%+v", o))
					p.soup(rng, 0.3, []int{1, 5, 16, 64, 200}[rng.IntN(5)])
					p.compare()
					for range 12 {
						p.step()
						p.compare()
						if rng.IntN(3) == 0 {
							p.edits(rng)
						}
					}
					p.step()
					p.compareOwners()
				}
			}
		})
	}
}

// Goal: blended colours are exact with both roundings, and their memory goes
// back when cells die. Method: as above, with colours.
func TestColoursEqualReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for _, size := range [][2]int{{1, 1}, {5, 7}, {64, 64}, {65, 63}, {128, 70}, {100, 100}} {
		for _, topology := range []Topology{Torus, Plane} {
			for i, colours := range []ColourMode{ColourWhole, ColourChannels} {
				o := Options{Width: size[0], Height: size[1], Topology: topology, Colours: colours}
				if i == 1 {
					o.Rule = mustRule("36", "23")
				}
				p := newPair(t, o, fmt.Sprintf("%+v", o))
				p.soup(rng, 0.2, 3)
				for range 30 {
					p.step()
					p.compare()
					if rng.IntN(10) == 0 {
						p.edits(rng)
					}
				}
				p.colourMemory(o)
			}
		}
	}
}

// colourMemory checks that the colours stay within Size and go when cells do.
func (p *pair) colourMemory(o Options) {
	p.t.Helper()
	if most, err := Size(o); err != nil || p.g.Memory() > most {
		p.t.Fatalf("%s: %d bytes, more than Size, %d (%v)", p.name, p.g.Memory(), most, err)
	}
	p.g.Clear()
	p.g.Step()
	p.g.Step()
	for i, n := range p.g.colours.index {
		if n != 0 {
			p.t.Fatalf("%s: an empty grid still holds colour block %d", p.name, i)
		}
	}
}
