package game

import (
	"errors"
	"fmt"
	"testing"

	"gosper/broker"
	"gosper/grid"
)

// classic makes a game on the board of older clients.
func classic(t *testing.T) (*world, *Game) {
	t.Helper()
	spec, err := ClassicPixels.Grid()
	mustDo(t, err)
	w := newWorld(t)
	return w, w.create(CreateRequest{Colour: 0x3cfaa0, User: "a", UserName: "A", Grids: []GridSpec{spec}})
}

// Goal: the board of older clients has their places. Method: their facts: 321 by 321 places, corners included, bounded,
// snapped to the place below, and resolutions that make no sense refused.
func TestClassicBoard(t *testing.T) {
	_, g := classic(t)
	spec := g.Info().Grids[0]
	if spec.Width != 321 || spec.Height != 321 || spec.Topology != grid.Plane || spec.Rule != grid.Life || spec.Mode != Blended {
		t.Fatalf("%+v", spec)
	}
	for _, c := range []struct {
		x, y         float64
		cellX, cellY int32
		err          error
	}{
		{0, 0, 0, 0, nil}, {9.99, 10, 0, 1, nil}, {3200, 3200, 320, 320, nil}, {3209, 3209.9, 320, 320, nil}, {105, 15, 10, 1, nil},
		{3210, 0, 0, 0, grid.ErrOutside}, {-0.01, 5, 0, 0, grid.ErrOutside}, {5, -10, 0, 0, grid.ErrOutside}, {1e300, 0, 0, 0, grid.ErrOutside},
	} {
		x, y, err := ClassicPixels.Cell(c.x, c.y)
		if x != c.cellX || y != c.cellY || !errors.Is(err, c.err) {
			t.Errorf("(%v, %v) is cell (%d, %d), %v", c.x, c.y, x, y, err)
		}
	}
	for _, resolution := range []int{0, -10} {
		p := Pixels{3200, 3200, resolution}
		_, err := p.Grid()
		wantErr(t, err, ErrResolution)
		_, _, err = p.Cell(1, 1)
		wantErr(t, err, ErrResolution)
	}
	if x, y := ClassicPixels.Pixel(3, 320); x != 30 || y != 3200 {
		t.Errorf("pixel (%d, %d)", x, y)
	}
}

// Goal: newborn cells have the colour that older clients expect. Method: the two examples, and survivors keep theirs.
func TestClassicColours(t *testing.T) {
	w, g := classic(t)
	for i, c := range []Colour{0xffffff, 0x7a0058, 0x000000} {
		must[User](t)(g.Join(ctx, fmt.Sprint("b", i), "B", c))
	}
	place := func(user string, x, y int32) {
		t.Helper()
		must[Ack](t)(g.EditWait(ctx, user, 0, Edit{Kind: Place, X: x, Y: y}))
	}
	place("a", 10, 10)
	place("b0", 11, 10)
	place("b1", 12, 10)
	must[uint64](t)(g.Step(ctx, "a", 1))
	mustDo(t, g.look(ctx, func() error {
		for y, want := range map[int]uint32{9: 0x9253a7, 10: 0xffffff, 11: 0x9253a7} {
			if got, ok := g.m.grids[0].Colour(11, y); !ok || got != want {
				t.Errorf("(11, %d) has colour %06x, want %06x", y, got, want)
			}
		}
		return nil
	}))
	_ = w
	whole := func(colours ...uint32) uint32 {
		sum := uint32(0)
		for _, c := range colours {
			sum += c
		}
		return sum / uint32(len(colours))
	}
	if whole(0x000000, 0xffffff) != 0x7fffff || whole(0x3cfaa0, 0xffffff, 0x7a0058) != 0x9253a7 {
		t.Error("the rule of this test is not that of the examples")
	}
}

// Goal: the rules of the grid hold as older clients know them. Method: a row of 3 stays 3, a T of 4 makes 7, corners have
// three neighbours, outside is dead, placing on a live cell and killing a dead one are refused, templates are all or
// nothing.
func TestClassicRules(t *testing.T) {
	_, g := classic(t)
	population := func() int64 { return must[[]GridStats](t)(g.Stats(ctx))[0].Population }
	stamp := func(x, y int32, runs string) error {
		p, err := grid.ParseRLE([]byte(runs), grid.PatternLimits{})
		mustDo(t, err)
		_, err = g.EditWait(ctx, "a", 0, Edit{Kind: Stamp, Pattern: p, X: x, Y: y})
		return err
	}
	clear := func() {
		must[Ack](t)(g.EditWait(ctx, "a", 0, Edit{Kind: Erase, Width: 321, Height: 321}))
	}
	for runs, want := range map[string][]int64{"3o!": {3, 3, 3}, "3o$bo!": {4, 7}, "2o$2o!": {4, 4}} {
		for _, at := range [][2]int32{{100, 100}, {63, 62}} {
			clear()
			mustDo(t, stamp(at[0], at[1], runs))
			for i, n := range want {
				if population() != n {
					t.Errorf("%s has %d cells after %d generations, want %d", runs, population(), i, n)
				}
				must[uint64](t)(g.Step(ctx, "a", 1))
			}
		}
	}
	for _, corner := range [][2]int32{{0, 0}, {319, 0}, {0, 319}, {319, 319}} {
		clear()
		mustDo(t, stamp(corner[0], corner[1], "2o$2o!")) // a block in the corner: each has three neighbours and stays
		must[uint64](t)(g.Step(ctx, "a", 1))
		if population() != 4 {
			t.Errorf("a block in corner %v has %d cells", corner, population())
		}
	}
	clear()
	mustDo(t, stamp(0, 319, "3o!"))
	must[uint64](t)(g.Step(ctx, "a", 1))
	if p := must[*grid.Pattern](t)(g.Export(ctx, 0)); p.Population() != 3 || p.Cells[0].Y != 318 || p.Cells[2].Y != 320 {
		t.Errorf("a blinker at the edge became %v", p.Cells)
	}
	wantErr(t, stamp(0, 318, "3o!"), grid.ErrOccupied)
	if population() != 3 {
		t.Error("a refused template changed the grid")
	}
	wantErr(t, stamp(319, 5, "3o!"), grid.ErrOutside)
	_, err := g.EditWait(ctx, "a", 0, Edit{Kind: Place, X: 1, Y: 320})
	wantErr(t, err, grid.ErrOccupied)
	_, err = g.EditWait(ctx, "a", 0, Edit{Kind: Kill, X: 5, Y: 5})
	wantErr(t, err, grid.ErrDead)
	must[Ack](t)(g.EditWait(ctx, "a", 0, Edit{Kind: Kill, X: 1, Y: 320}))
}

// Goal: every template that older clients know can be laid, at its corner. Method: their names, cells and periods.
func TestClassicTemplates(t *testing.T) {
	_, g := classic(t)
	for name, c := range map[string]struct{ cells, period int }{
		"Block": {4, 1}, "Beehive": {6, 1}, "Loaf": {7, 1}, "Boat": {5, 1}, "Flower": {4, 1}, "Blinker": {3, 2}, "Toad": {6, 2}, "Beacon": {6, 2},
		"Pentadecathlon": {12, 15}, "Pulsar": {56, 3}, "Glider": {5, 4}, "Lightweight spaceship": {9, 4},
	} {
		e, err := TemplateEdit(name, 100, 100, grid.Identity)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		must[Ack](t)(g.EditWait(ctx, "a", 0, Edit{Kind: Erase, Width: 321, Height: 321}))
		ack := must[Ack](t)(g.EditWait(ctx, "a", 0, e))
		must[uint64](t)(g.Step(ctx, "a", c.period))
		if stats := must[[]GridStats](t)(g.Stats(ctx)); ack.Changed != c.cells || stats[0].Population != int64(c.cells) {
			t.Errorf("%s has %d cells, %d after a period", name, ack.Changed, stats[0].Population)
		}
	}
	_, err := TemplateEdit("no such thing", 0, 0, grid.Identity)
	wantErr(t, err, ErrNoTemplate)
}

// Goal: users, ownership and colours as older clients know them. Method: any user starts, the first who remains becomes
// owner, the last who leaves ends the game, colours clash in one game only, joining twice is no error any more.
func TestClassicUsers(t *testing.T) {
	w, g := classic(t)
	other := w.create(CreateRequest{})
	for _, u := range []string{"b", "c"} {
		must[User](t)(g.Join(ctx, u, u, 0x3cfaa0))
	}
	elsewhere := must[User](t)(other.Join(ctx, "b", "b", 0x3cfaa0))
	info := g.Info()
	b, _ := info.User("b")
	c, _ := info.User("c")
	if b.Colour == 0x3cfaa0 || c.Colour == 0x3cfaa0 || b.Colour == c.Colour || elsewhere.Colour != 0x3cfaa0 {
		t.Errorf("colours %v, %v, elsewhere %v", b.Colour, c.Colour, elsewhere.Colour)
	}
	must[User](t)(g.Join(ctx, "b", "b", AnyColour))
	mustDo(t, g.Start(ctx, "c"))
	mustDo(t, g.Start(ctx, "b")) // a second start adds no second timer
	for _, next := range []string{"b", "c"} {
		mustDo(t, g.Leave(ctx, g.Info().Owner))
		if owner := g.Info().Owner; owner != next {
			t.Errorf("the owner is %q, want %q", owner, next)
		}
	}
	mustDo(t, g.Leave(ctx, "c"))
	_, err := w.h.Game(g.ID())
	wantErr(t, err, ErrNoGame)
}

// Goal: each error of older clients has its name. Method: a table.
func TestErrorKeys(t *testing.T) {
	for err, want := range map[error]string{
		&grid.EditError{Err: grid.ErrOutside}:           "error.game.cellsGrid.cellAtInvalidPosition",
		&grid.EditError{Err: grid.ErrOccupied}:          "error.game.cellsGrid.cellCantBeOverride",
		&grid.EditError{Err: grid.ErrDead}:              "error.game.cellsGrid.canNotRemoveCellThatDoesNotExists",
		ErrResolution:                                   "error.game.cellsGrid.invalidResolution",
		ErrColour:                                       "error.game.cellsGrid.malformedColor",
		ErrNotMember:                                    "error.game.users.userDoesntExists",
		ErrNoGame:                                       "error.game.user.invalidGameForUser",
		fmt.Errorf("%w: x", ErrNoTemplate):              "error.game.gridTemplate.wrongCellsTemplate",
		fmt.Errorf("key %q: %w", "k", broker.ErrExists): "error.game.save.alreadyExists",
		errors.New("anything else"):                     "error.unexpectedError",
	} {
		if got := ErrorKey(err); got != want {
			t.Errorf("%v is %s", err, got)
		}
	}
}

// Goal: colours are read as older clients write them. Method: a table.
func TestParseColour(t *testing.T) {
	for text, want := range map[string]Colour{"3cfaa0": 0x3cfaa0, "#3CFAA0": 0x3cfaa0, "": AnyColour, "000000": 0, "FFFFFF": 0xffffff} {
		if c, err := ParseColour(text); err != nil || c != want {
			t.Errorf("%q is %v, %v", text, c, err)
		}
	}
	for _, text := range []string{"#", "12345", "1234567", "##12345", "gggggg", "12 456", "rgb(1,2,3)", "@@@@@@", "``````"} {
		if c, err := ParseColour(text); !errors.Is(err, ErrColour) {
			t.Errorf("%q is %v, %v", text, c, err)
		}
	}
	if AnyColour.String() != "any" || Colour(0xab).String() != "0000ab" {
		t.Error("texts of colours")
	}
}
