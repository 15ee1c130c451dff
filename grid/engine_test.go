package grid

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

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
// generation; Life and two other rules for each size. This is 12 million
// cell-generations for each kernel.
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
