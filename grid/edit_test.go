package grid

import (
	"errors"
	"testing"
)

// mustGrid makes a grid.
func mustGrid(t *testing.T, o Options) *Grid {
	t.Helper()
	g, err := New(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Goal: single edits do what they say, and refuse what they must.
func TestEdits(t *testing.T) {
	g := mustGrid(t, Options{Width: 70, Height: 70, Owners: 3})
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"place", g.Place(69, 69, 2), nil},
		{"place on live", g.Place(69, 69, 2), ErrOccupied},
		{"place outside", g.Place(70, 0, 0), ErrOutside},
		{"place left of it", g.Place(-1, 0, 0), ErrOutside},
		{"place for a stranger", g.Place(0, 0, 3), ErrMark},
		{"paint over", g.Paint(69, 69, 1), nil},
		{"kill", g.Kill(69, 69), nil},
		{"kill again", g.Kill(69, 69), ErrDead},
		{"kill outside", g.Kill(0, 70), ErrOutside},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.err, c.want)
		}
	}
	if g.Population() != 0 {
		t.Fatalf("population %d", g.Population())
	}
	colours := mustGrid(t, Options{Width: 3, Height: 3, Colours: ColourWhole})
	if err := colours.Place(0, 0, 0x1000000); !errors.Is(err, ErrMark) {
		t.Errorf("a colour of 25 bits: %v", err)
	}
}

// Goal: a rectangle is erased exactly, across tiles, and refused beyond edges.
func TestErase(t *testing.T) {
	g := mustGrid(t, Options{Width: 200, Height: 130})
	for y := range 130 {
		for x := range 200 {
			if err := g.Place(x, y, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	killed, err := g.Erase(Rect{X: 60, Y: 62, Width: 80, Height: 5})
	if err != nil || killed != 400 || g.Population() != 200*130-400 {
		t.Fatalf("killed %d, %v, population %d", killed, err, g.Population())
	}
	for y := range 130 {
		for x := range 200 {
			if inside := x >= 60 && x < 140 && y >= 62 && y < 67; g.Alive(x, y) == inside {
				t.Fatalf("(%d,%d) is wrong", x, y)
			}
		}
	}
	const most = int(^uint(0) >> 1)
	for _, r := range []Rect{{X: -1, Width: 5}, {X: 199, Width: 2}, {Y: 1, Height: 130}, {Width: -1}, {X: most, Width: most}, {X: 1, Width: most}} {
		if _, err := g.Erase(r); !errors.Is(err, ErrOutside) {
			t.Errorf("erase %+v: %v", r, err)
		}
	}
	g.Clear()
	if _, live := g.Bounds(); live || g.Population() != 0 || g.Hash() != 0 {
		t.Fatal("cells are left after Clear")
	}
}

// Goal: stamps land where they should in all orientations, all or nothing.
// Method: extract what was stamped, over tile borders and edges.
func TestStamp(t *testing.T) {
	p := gliderPattern()
	for _, o := range Orientations() {
		g := mustGrid(t, Options{Width: 140, Height: 130})
		if err := g.Stamp(p, 62, 63, StampOptions{Orientation: o}); err != nil {
			t.Fatal(err)
		}
		got, err := g.Extract(Rect{X: 62, Y: 63, Width: 3, Height: 3})
		if err != nil {
			t.Fatal(err)
		}
		want := o.Apply(p)
		if len(got.Cells) != len(want.Cells) {
			t.Fatalf("%v: %d cells", o, len(got.Cells))
		}
		for i, c := range want.Cells {
			if got.Cells[i] != c {
				t.Fatalf("%v: cell %d is %+v, want %+v", o, i, got.Cells[i], c)
			}
		}
	}
	g := mustGrid(t, Options{Width: 100, Height: 100})
	plane := mustGrid(t, Options{Width: 100, Height: 100, Topology: Plane})
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"beyond the edge", g.Stamp(p, 98, 98, StampOptions{}), ErrOutside},
		{"wrapped", g.Stamp(p, 98, 98, StampOptions{Wrap: true}), nil},
		{"wrapped from far", g.Stamp(p, -200+50, 350, StampOptions{Wrap: true}), nil},
		{"in the way", g.Stamp(p, 99, 99, StampOptions{Wrap: true}), ErrOccupied},
		{"overwritten", g.Stamp(p, 99, 99, StampOptions{Wrap: true, Overwrite: true}), nil},
		{"wrapped on a plane", plane.Stamp(p, 98, 98, StampOptions{Wrap: true}), ErrOutside},
		{"wider than the torus", g.Stamp(&Pattern{Width: 101, Height: 1}, 0, 0, StampOptions{Wrap: true}), ErrOutside},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.err, c.want)
		}
	}
	if plane.Population() != 0 {
		t.Error("a refused stamp left cells")
	}
	if !g.Alive(99, 98) || !g.Alive(0, 99) || !g.Alive(98, 0) || !g.Alive(51, 50) {
		t.Error("wrapped cells are not where they belong")
	}
}

// Goal: owners come from the pattern's states when asked, and go back to them.
func TestStampStates(t *testing.T) {
	g := mustGrid(t, Options{Width: 70, Height: 70, Owners: 3})
	p := &Pattern{Width: 3, Height: 1, Cells: []Cell{{0, 0, 1}, {1, 0, 3}, {2, 0, 2}}}
	if err := g.Stamp(p, 63, 63, StampOptions{States: true}); err != nil {
		t.Fatal(err)
	}
	got, err := g.Extract(Rect{X: 63, Y: 63, Width: 3, Height: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range p.Cells {
		if got.Cells[i] != c {
			t.Errorf("cell %d came back as %+v, want %+v", i, got.Cells[i], c)
		}
	}
	p.Cells[1].State = 4
	if err := g.Stamp(p, 0, 0, StampOptions{States: true}); !errors.Is(err, ErrMark) || g.Population() != 3 {
		t.Errorf("a state without an owner: %v, population %d", err, g.Population())
	}
	if err := g.Stamp(p, 0, 0, StampOptions{Owner: 2}); err != nil || g.PopulationOf(2) != 4 {
		t.Errorf("one owner for all: %v, %d cells", err, g.PopulationOf(2))
	}
}
