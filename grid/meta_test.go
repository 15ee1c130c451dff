package grid

import (
	"math/rand/v2"
	"testing"
)

// soupPattern is a soup of w by h cells with owners 0…owners-1.
func soupPattern(rng *rand.Rand, w, h, owners int) *Pattern {
	p := &Pattern{Width: int32(w), Height: int32(h)}
	for y := range h {
		for x := range w {
			if rng.IntN(3) == 0 {
				p.Cells = append(p.Cells, Cell{int32(x), int32(y), uint8(1 + rng.IntN(owners))})
			}
		}
	}
	return p
}

// grown stamps p at (x, y) of a grid, runs it and returns the box of the cells.
func grown(t *testing.T, o Options, p *Pattern, x, y int, n uint64) (*Pattern, Rect) {
	t.Helper()
	g := mustGrid(t, o)
	if err := g.Stamp(p, x, y, StampOptions{States: o.Owners > 0, Wrap: true}); err != nil {
		t.Fatal(err)
	}
	g.Run(n, nil)
	box, _ := g.Bounds()
	q, err := g.Extract(box)
	if err != nil {
		t.Fatal(err)
	}
	return q, box
}

func sameCells(a, b *Pattern) bool {
	if len(a.Cells) != len(b.Cells) {
		return false
	}
	for i := range a.Cells {
		if a.Cells[i] != b.Cells[i] {
			return false
		}
	}
	return true
}

// Goal: a pattern evolves the same wherever it lies, above all across borders
// of tiles. Method: place it at 62…66 and elsewhere, compare the shapes.
func TestTranslation(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 1))
	for _, owners := range []int{0, 9} {
		o := Options{Width: 300, Height: 310, Topology: Plane, Owners: owners}
		p := soupPattern(rng, 16, 14, 9)
		want, box := grown(t, o, p, 150, 150, 90)
		for _, at := range [][2]int{{62, 130}, {63, 126}, {64, 127}, {65, 128}, {66, 129}, {126, 62}, {127, 190}, {128, 191}} {
			got, moved := grown(t, o, p, at[0]+45, at[1]+45, 90)
			if !sameCells(got, want) || moved.X-box.X != at[0]+45-150 || moved.Y-box.Y != at[1]+45-150 {
				t.Fatalf("owners %d: at %v it grows differently", owners, at)
			}
		}
	}
}

// Goal: the eight symmetries commute with a step. Method: turn before, and
// after, with owners.
func TestSymmetries(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 2))
	for _, side := range []int{64, 100, 129} {
		o := Options{Width: side, Height: side, Owners: 7}
		p := soupPattern(rng, side, side, 7)
		whole := Rect{Width: side, Height: side}
		run := func(p *Pattern) *Pattern {
			g := mustGrid(t, o)
			if err := g.Stamp(p, 0, 0, StampOptions{States: true}); err != nil {
				t.Fatal(err)
			}
			g.Run(60, nil)
			q, err := g.Extract(whole)
			if err != nil {
				t.Fatal(err)
			}
			return q
		}
		after := run(p)
		for _, turn := range Orientations() {
			if !sameCells(run(turn.Apply(p)), turn.Apply(after)) {
				t.Fatalf("side %d: %v does not commute with the steps", side, turn)
			}
		}
	}
}

// Goal: a torus has no edge. Method: shift everything around it, by amounts
// that are no multiple of a word.
func TestTorusShift(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 3))
	for _, size := range [][2]int{{128, 64}, {100, 70}, {65, 127}} {
		p := soupPattern(rng, size[0], size[1], 5)
		o := Options{Width: size[0], Height: size[1], Owners: 5}
		a := mustGrid(t, o)
		if err := a.Stamp(p, 0, 0, StampOptions{States: true}); err != nil {
			t.Fatal(err)
		}
		a.Run(80, nil)
		for range 5 {
			dx, dy := rng.IntN(size[0]), rng.IntN(size[1])
			b := mustGrid(t, o)
			if err := b.Stamp(p, dx, dy, StampOptions{States: true, Wrap: true}); err != nil {
				t.Fatal(err)
			}
			b.Run(80, nil)
			for y := range size[1] {
				for x := range size[0] {
					ao, alive := a.Owner(x, y)
					bo, moved := b.Owner((x+dx)%size[0], (y+dy)%size[1])
					if alive != moved || ao != bo {
						t.Fatalf("%v shifted by (%d,%d): (%d,%d) differs", size, dx, dy, x, y)
					}
				}
			}
		}
	}
}

// Goal: owners never change which cells live, one owner is plain Life, and
// renumbering that keeps the order changes nothing else. Method: the same soup
// three times.
func TestOwnersDoNotChangeCells(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 4))
	p := soupPattern(rng, 150, 100, 4)
	plain := mustGrid(t, Options{Width: 150, Height: 100})
	few := mustGrid(t, Options{Width: 150, Height: 100, Owners: 4})
	many := mustGrid(t, Options{Width: 150, Height: 100, Owners: 255})
	wide := p.Clone()
	numbers := [5]uint8{0, 3, 17, 99, 255}
	for i := range wide.Cells {
		wide.Cells[i].State = numbers[wide.Cells[i].State]
	}
	for g, q := range map[*Grid]*Pattern{plain: p, few: p, many: wide} {
		if err := g.Stamp(q, 0, 0, StampOptions{States: true}); err != nil {
			t.Fatal(err)
		}
		g.Run(150, nil)
	}
	if plain.Hash() != few.Hash() || plain.Hash() != many.Hash() {
		t.Fatal("owners changed the cells")
	}
	for y := range 100 {
		for x := range 150 {
			a, alive := few.Owner(x, y)
			if b, _ := many.Owner(x, y); alive && numbers[a+1]-1 != b {
				t.Fatalf("(%d,%d) belongs to %d, renumbered to %d", x, y, a, b)
			}
		}
	}
}

// Goal: parts that do not meet evolve as they do alone. Method: two soups far
// apart on one plane, and each on its own.
func TestSplitAndMerge(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 5))
	o := Options{Width: 400, Height: 200, Topology: Plane}
	a, b := soupPattern(rng, 20, 20, 1), soupPattern(rng, 20, 20, 1)
	both, left, right := mustGrid(t, o), mustGrid(t, o), mustGrid(t, o)
	for _, s := range []struct {
		g *Grid
		p *Pattern
		x int
	}{{both, a, 90}, {both, b, 290}, {left, a, 90}, {right, b, 290}} {
		if err := s.g.Stamp(s.p, s.x, 90, StampOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range []*Grid{both, left, right} {
		g.Run(80, nil)
	}
	if both.Population() != left.Population()+right.Population() || both.Hash() != addHash(left.Hash(), right.Hash()) {
		t.Fatal("the parts are not the whole")
	}
}
