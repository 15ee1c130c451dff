package game

import (
	"encoding/binary"
	"errors"
	"fmt"

	"gosper/grid"
)

// EditKind says what an edit does.
type EditKind uint8

// The kinds of edits.
const (
	Place EditKind = iota // bring one dead cell to life
	Kill                  // kill one live cell
	Erase                 // kill every cell of a rectangle, which must lie inside the grid
	Stamp                 // bring the cells of a pattern to life: all or nothing, unless Policy says otherwise
	Wipe                  // kill those cells that a pattern names and that live
	Clear                 // kill every cell; only for the owner of the game

	editKinds
)

// Policy says what a Stamp or Place does where a live cell is in the way.
type Policy uint8

// The policies. The zero value refuses.
const (
	Refuse    Policy = iota // the edit changes nothing
	Overwrite               // the cell becomes the user's
	Skip                    // the cell stays, the rest is placed; what lies beyond the edge is left out too

	policies
)

// Edit is one change of a grid. Pattern is shared and must not be changed any more.
type Edit struct {
	Kind          EditKind
	X, Y          int32 // the cell, or the top left corner
	Width, Height int32 // of the rectangle to Erase
	Pattern       *grid.Pattern
	Orientation   grid.Orientation // applied to Pattern first
	Policy        Policy
	Wrap          bool // a pattern goes on at the opposite edge of a torus

	states bool // owners are those of the pattern's cells: an import
}

// check refuses edits that no grid could take, before anything is written. spec is that of the grid.
func (e *Edit) check(l *Limits) error {
	switch {
	case e.Kind >= editKinds:
		return fmt.Errorf("%w: kind of edit %d", ErrInvalid, e.Kind)
	case e.Policy >= policies:
		return fmt.Errorf("%w: policy %d", ErrInvalid, e.Policy)
	case !e.Orientation.Valid():
		return fmt.Errorf("%w: orientation %d", ErrInvalid, e.Orientation)
	case e.Kind == Erase && (e.Width < 0 || e.Height < 0):
		return fmt.Errorf("%w: a rectangle of %d by %d cells", ErrInvalid, e.Width, e.Height)
	case e.patterned() && e.Pattern == nil:
		return fmt.Errorf("%w: the edit has no pattern", ErrInvalid)
	case e.X > grid.MaxSide || e.Y > grid.MaxSide || e.X < -grid.MaxSide || e.Y < -grid.MaxSide:
		return &grid.EditError{X: int(e.X), Y: int(e.Y), Err: grid.ErrOutside}
	}
	if !e.patterned() {
		return nil
	}
	if side := max(e.Pattern.Width, e.Pattern.Height); side > grid.MaxSide {
		return fmt.Errorf("%w: a pattern with a side of %d cells", ErrInvalid, side)
	}
	return within("cells_request", len(e.Pattern.Cells), l.CellsRequest)
}

func (e *Edit) patterned() bool { return e.Kind == Stamp || e.Kind == Wipe }

// cost weighs an edit for rates and batches: one, and one more for 64 cells of a pattern or 65,536 cells to look at.
func (e *Edit) cost() int {
	switch e.Kind {
	case Stamp, Wipe:
		return 1 + len(e.Pattern.Cells)/64
	case Erase:
		return 1 + int(int64(e.Width)*int64(e.Height)>>16)
	}
	return 1
}

// An edit in a log:
//
//	u8      kind in bits 0-3, policy in bits 4-5, bit 6 wrap, bit 7 states
//	varint  x, y (signed)
//	Erase:  varint width, height
//	Stamp, Wipe: varint width, height, number of cells; for each cell, in row-major order, a varint that is twice the
//	             columns since the cell before in its row, or 1 plus twice the rows since the cell before and a varint
//	             with the column; with bit 7 a u8 with the state behind it
func (e *Edit) append(dst []byte) []byte {
	head := byte(e.Kind) | byte(e.Policy)<<4
	if e.Wrap {
		head |= 1 << 6
	}
	if e.states {
		head |= 1 << 7
	}
	dst = append(dst, head)
	dst = binary.AppendVarint(dst, int64(e.X))
	dst = binary.AppendVarint(dst, int64(e.Y))
	switch {
	case e.Kind == Erase:
		dst = binary.AppendUvarint(dst, uint64(e.Width))
		dst = binary.AppendUvarint(dst, uint64(e.Height))
	case e.patterned():
		dst = appendCells(dst, e.Pattern, e.states)
	}
	return dst
}

func appendCells(dst []byte, p *grid.Pattern, states bool) []byte {
	dst = binary.AppendUvarint(dst, uint64(p.Width))
	dst = binary.AppendUvarint(dst, uint64(p.Height))
	dst = binary.AppendUvarint(dst, uint64(len(p.Cells)))
	x, y := int32(-1), int32(0)
	for _, c := range p.Cells {
		if c.Y == y {
			dst = binary.AppendUvarint(dst, uint64(c.X-x)<<1)
		} else {
			dst = binary.AppendUvarint(dst, uint64(c.Y-y)<<1|1)
			dst = binary.AppendUvarint(dst, uint64(c.X))
		}
		x, y = c.X, c.Y
		if states {
			dst = append(dst, c.State)
		}
	}
	return dst
}

func (r *reader) edit() Edit {
	head := r.byte()
	e := Edit{Kind: EditKind(head & 15), Policy: Policy(head >> 4 & 3), Wrap: head>>6&1 != 0, states: head>>7 != 0}
	e.X, e.Y = r.int32(), r.int32()
	if e.Kind >= editKinds || e.Policy >= policies {
		r.fail()
	}
	switch {
	case e.Kind == Erase:
		e.Width, e.Height = int32(r.upTo(1<<31-1)), int32(r.upTo(1<<31-1))
	case e.patterned():
		e.Pattern = r.cells(e.states)
	}
	return e
}

func (r *reader) cells(states bool) *grid.Pattern {
	p := &grid.Pattern{Width: int32(r.upTo(grid.MaxSide)), Height: int32(r.upTo(grid.MaxSide))}
	n := r.count()
	p.Cells = make([]grid.Cell, 0, n)
	c := grid.Cell{X: -1, State: 1}
	for range n {
		v := r.upTo(2*grid.MaxSide + 1)
		if v>>1 == 0 { // the same cell, or a row again
			r.fail()
		}
		if v&1 == 0 {
			c.X += int32(v >> 1)
		} else {
			c.Y += int32(v >> 1)
			c.X = int32(r.upTo(grid.MaxSide))
		}
		if states {
			c.State = r.byte()
		}
		if r.err != nil || c.X >= p.Width || c.Y >= p.Height || c.State == 0 {
			r.fail()
			return p
		}
		p.Cells = append(p.Cells, c)
	}
	return p
}

// oriented returns the edit with its pattern turned, as it goes to the log.
func (e Edit) oriented() Edit {
	if e.patterned() {
		e.Pattern = e.Orientation.Apply(e.Pattern)
		e.Orientation = grid.Identity
	}
	return e
}

// apply changes g as u and returns how many cells it placed or killed. A refusal wraps *grid.EditError; it depends on the
// grid alone, so it is the same whenever the log is played.
func (e *Edit) apply(g *grid.Grid, mode Mode, u *User) (int, error) {
	mark := markOf(mode, u)
	switch e.Kind {
	case Place:
		return e.place(g, mark)
	case Kill:
		if err := g.Kill(int(e.X), int(e.Y)); err != nil {
			return 0, err
		}
		return 1, nil
	case Erase:
		return g.Erase(grid.Rect{X: int(e.X), Y: int(e.Y), Width: int(e.Width), Height: int(e.Height)})
	case Wipe:
		return e.wipe(g), nil
	case Clear:
		n := int(g.Population())
		g.Clear()
		return n, nil
	}
	if e.Policy == Skip {
		return e.stampFree(g, mark), nil
	}
	err := g.Stamp(e.Pattern, int(e.X), int(e.Y), grid.StampOptions{
		Owner: uint8(mark), Colour: uint32(mark), States: e.states, Overwrite: e.Policy == Overwrite, Wrap: e.Wrap,
	})
	if err != nil {
		return 0, err
	}
	return len(e.Pattern.Cells), nil
}

// markOf is what cells of u carry.
func markOf(mode Mode, u *User) grid.Mark {
	switch mode {
	case Owners:
		return grid.Mark(u.Number)
	case Blended, Channels:
		return grid.Mark(u.Colour)
	}
	return 0
}

func (e *Edit) place(g *grid.Grid, mark grid.Mark) (int, error) {
	x, y := int(e.X), int(e.Y)
	if e.Policy == Overwrite {
		if err := g.Paint(x, y, mark); err != nil {
			return 0, err
		}
		return 1, nil
	}
	switch err := g.Place(x, y, mark); {
	case err == nil:
		return 1, nil
	case e.Policy == Skip && (errors.Is(err, grid.ErrOccupied) || errors.Is(err, grid.ErrOutside)):
		return 0, nil
	default:
		return 0, err
	}
}

// target is where a cell of the pattern comes to lie.
func (e *Edit) target(g *grid.Grid, c grid.Cell) (int, int) {
	x, y := int(e.X)+int(c.X), int(e.Y)+int(c.Y)
	if o := g.Options(); e.Wrap && o.Topology == grid.Torus {
		x, y = (x%o.Width+o.Width)%o.Width, (y%o.Height+o.Height)%o.Height
	}
	return x, y
}

func (e *Edit) stampFree(g *grid.Grid, mark grid.Mark) int {
	n := 0
	for _, c := range e.Pattern.Cells {
		if x, y := e.target(g, c); g.Inside(x, y) && g.Place(x, y, mark) == nil {
			n++
		}
	}
	return n
}

func (e *Edit) wipe(g *grid.Grid) int {
	n := 0
	for _, c := range e.Pattern.Cells {
		if x, y := e.target(g, c); g.Inside(x, y) && g.Kill(x, y) == nil {
			n++
		}
	}
	return n
}
