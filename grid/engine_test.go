package grid

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// pair is an engine and the naive reference side by side.
type pair struct {
	t *testing.T
	g *Grid
	n *naive
	// name says how to repeat a failure.
	name string
}

func newPair(t *testing.T, o Options, name string) *pair {
	t.Helper()
	g, err := New(o, nil)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	n := newNaive(o.Width, o.Height, o.Topology == Torus, g.Options().Rule)
	if o.Colours == ColourWhole {
		n.blend = blendInteger
	}
	return &pair{t: t, g: g, n: n, name: name}
}

// mark is the mark of a naive cell on the engine's grid.
func (p *pair) mark(c naiveCell) Mark {
	switch {
	case p.g.opts.Owners > 0:
		return Mark(c.owner)
	case p.g.opts.Colours != ColourNone:
		return Mark(c.colour)
	}
	return 0
}

// paint sets a cell on both sides.
func (p *pair) paint(x, y int, c naiveCell) {
	p.t.Helper()
	if err := p.g.Paint(x, y, p.mark(c)); err != nil {
		p.t.Fatalf("%s: paint: %v", p.name, err)
	}
	p.n.set(x, y, c)
}

// kill makes a cell dead on both sides, if it lives.
func (p *pair) kill(x, y int) {
	p.t.Helper()
	if err := p.g.Kill(x, y); (err == nil) != p.n.at(x, y).alive {
		p.t.Fatalf("%s: kill (%d,%d): %v", p.name, x, y, err)
	}
	p.n.set(x, y, naiveCell{})
}

func (p *pair) randomCell(rng *rand.Rand) naiveCell {
	return naiveCell{alive: true, owner: uint8(rng.IntN(max(1, p.g.opts.Owners))), colour: rng.Uint32() & 0xffffff}
}

// soup fills part of both sides. patch is the side of the squares that get one
// owner.
func (p *pair) soup(rng *rand.Rand, density float64, patch int) {
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

// edits makes a few random changes on both sides.
func (p *pair) edits(rng *rand.Rand) {
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
	p.g.Step()
	p.n.step()
}

// compare checks every cell and every figure.
func (p *pair) compare() {
	p.t.Helper()
	where := fmt.Sprintf("%s, generation %d", p.name, p.g.Generation())
	for y := range p.n.h {
		for x := range p.n.w {
			c := p.n.cells[y*p.n.w+x]
			if p.g.Alive(x, y) != c.alive {
				p.t.Fatalf("%s: cell (%d,%d) alive %v, want %v", where, x, y, !c.alive, c.alive)
			}
			if c.alive {
				p.compareMark(where, x, y, c)
			}
		}
	}
	if p.g.Generation() != p.n.gen || p.g.Population() != int64(p.n.population()) {
		p.t.Fatalf("%s: population %d, want %d (generation %d)", where, p.g.Population(), p.n.population(), p.n.gen)
	}
	x0, y0, x1, y1, ok := p.n.box()
	box, live := p.g.Bounds()
	if live != ok || ok && box != (Rect{x0, y0, x1 - x0 + 1, y1 - y0 + 1}) {
		p.t.Fatalf("%s: bounds %v %v, want %d,%d to %d,%d %v", where, box, live, x0, y0, x1, y1, ok)
	}
}

func (p *pair) compareMark(where string, x, y int, c naiveCell) {
	p.t.Helper()
	if p.g.opts.Owners > 0 {
		if o, ok := p.g.Owner(x, y); !ok || o != c.owner {
			p.t.Fatalf("%s: owner of (%d,%d) is %d, want %d", where, x, y, o, c.owner)
		}
	}
	if p.g.opts.Colours != ColourNone {
		if got, ok := p.g.Colour(x, y); !ok || got != c.colour {
			p.t.Fatalf("%s: colour of (%d,%d) is %06x, want %06x", where, x, y, got, c.colour)
		}
	}
}

// compareChanges checks births and deaths; edits spoil them in the reference
// only until the next step.
func (p *pair) compareChanges() {
	p.t.Helper()
	births, deaths := p.g.Changes()
	if births != int64(p.n.births) || deaths != int64(p.n.deaths) {
		p.t.Fatalf("%s, generation %d: births %d, deaths %d, want %d and %d",
			p.name, p.g.Generation(), births, deaths, p.n.births, p.n.deaths)
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
// generation.
func TestEngineEqualsReference(t *testing.T) {
	for _, k := range Kernels() {
		t.Run(k.String(), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, uint64(k)))
			for _, size := range testSizes {
				for _, topology := range []Topology{Torus, Plane} {
					for _, rule := range testRules() {
						name := fmt.Sprintf("%v %dx%d %v %v", k, size[0], size[1], topology, rule)
						p := newPair(t, Options{Width: size[0], Height: size[1], Topology: topology, Rule: rule, Kernel: k}, name)
						p.soup(rng, 0.3, 64)
						p.compare()
						for range 12 {
							p.step()
							p.compare()
							p.compareChanges()
							if rng.IntN(4) == 0 {
								p.edits(rng)
								p.compare()
							}
						}
					}
				}
			}
		})
	}
}

// Goal: skipping is exact on boards that have settled, where an edit must wake
// its tile for two steps. Method: sparse soups for long, with rare edits, the
// kernels side by side with the reference.
func TestSettledBoardsWithEdits(t *testing.T) {
	for _, k := range Kernels() {
		t.Run(k.String(), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(2, uint64(k)))
			for _, o := range []Options{
				{Width: 192, Height: 130}, {Width: 100, Height: 100, Topology: Plane}, {Width: 128, Height: 128},
			} {
				o.Kernel = k
				p := newPair(t, o, fmt.Sprintf("settled %v %dx%d %v", k, o.Width, o.Height, o.Topology))
				p.soup(rng, 0.08, 64)
				for gen := range 600 {
					p.step()
					if gen%7 == 0 || gen > 550 {
						p.compare()
						p.compareChanges()
					}
					if rng.IntN(40) == 0 {
						p.edits(rng)
					}
				}
			}
		})
	}
}

// Goal: owners are exact with every kernel. Method: soups of many small and
// large patches, ties included, with edits, against the reference.
func TestOwnersEqualReference(t *testing.T) {
	sizes := [][2]int{{1, 1}, {2, 3}, {5, 7}, {64, 64}, {65, 63}, {100, 100}, {128, 128}, {192, 130}, {130, 192}}
	for _, k := range Kernels() {
		t.Run(k.String(), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(5, uint64(k)))
			for _, size := range sizes {
				for _, topology := range []Topology{Torus, Plane} {
					for _, owners := range []int{1, 2, 3, 16, 255} {
						for _, rule := range []Rule{Life, mustRule("36", "23"), mustRule("2", "34")} {
							o := Options{Width: size[0], Height: size[1], Topology: topology, Rule: rule, Owners: owners, Kernel: k}
							p := newPair(t, o, fmt.Sprintf("owners %+v", o))
							p.soup(rng, 0.3, []int{1, 5, 16, 64, 200}[rng.IntN(5)])
							p.compare()
							for range 10 {
								p.step()
								p.compare()
								if rng.IntN(3) == 0 {
									p.edits(rng)
								}
							}
							p.compareOwners()
						}
					}
				}
			}
		})
	}
}

// compareOwners checks the population of every owner.
func (p *pair) compareOwners() {
	p.t.Helper()
	for o := range p.g.opts.Owners {
		if got, want := p.g.PopulationOf(uint8(o)), p.n.populationOf(uint8(o)); got != int64(want) {
			p.t.Fatalf("%s: owner %d has %d cells, want %d", p.name, o, got, want)
		}
	}
}

// Goal: owners stay exact while tiles are skipped, go back to one owner, and
// are edited on settled boards. Method: long runs of sparse soups.
func TestSettledOwnersWithEdits(t *testing.T) {
	for _, k := range Kernels() {
		t.Run(k.String(), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(6, uint64(k)))
			for _, o := range []Options{
				{Width: 192, Height: 128, Owners: 16}, {Width: 150, Height: 100, Owners: 5},
				{Width: 100, Height: 150, Owners: 200, Topology: Plane},
			} {
				o.Kernel = k
				p := newPair(t, o, fmt.Sprintf("settled owners %+v", o))
				p.soup(rng, 0.1, 20)
				for gen := range 500 {
					p.step()
					if gen%5 == 0 || gen > 450 {
						p.compare()
					}
					if rng.IntN(30) == 0 {
						p.edits(rng)
					}
				}
				p.compareOwners()
			}
		})
	}
}

// Goal: blended colours are exact with both roundings, and their memory goes
// back when cells die. Method: as above, with colours.
func TestColoursEqualReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for _, size := range [][2]int{{1, 1}, {5, 7}, {64, 64}, {65, 63}, {128, 192}, {100, 100}} {
		for _, topology := range []Topology{Torus, Plane} {
			for _, colours := range []ColourMode{ColourWhole, ColourChannels} {
				for _, rule := range []Rule{Life, mustRule("36", "23")} {
					o := Options{Width: size[0], Height: size[1], Topology: topology, Rule: rule, Colours: colours}
					p := newPair(t, o, fmt.Sprintf("colours %+v", o))
					p.soup(rng, 0.2, 3)
					for range 60 {
						p.step()
						p.compare()
						if rng.IntN(10) == 0 {
							p.edits(rng)
						}
					}
					if most, _ := Size(o); p.g.Memory() > most {
						t.Fatalf("%s: %d bytes, more than Size, %d", p.name, p.g.Memory(), most)
					}
					p.g.Clear()
					empty := p.g.colours.bytes()
					p.g.Step()
					p.g.Step()
					if p.g.colours.index[0] != 0 {
						t.Fatalf("%s: an empty grid still holds colour blocks (%d bytes)", p.name, empty)
					}
				}
			}
		}
	}
}
