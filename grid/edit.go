package grid

import (
	"errors"
	"fmt"
)

// What an [EditError] wraps.
var (
	// ErrOutside: a cell lies beyond the edge.
	ErrOutside = errors.New("outside the grid")
	// ErrOccupied: a live cell is in the way.
	ErrOccupied = errors.New("a live cell is in the way")
	// ErrDead: there is no live cell to kill.
	ErrDead = errors.New("no live cell there")
	// ErrMark: an owner or a colour is out of range.
	ErrMark = errors.New("owner or colour out of range")
)

// EditError says which cell an edit failed at. Nothing was changed.
type EditError struct {
	X, Y int
	Err  error // ErrOutside, ErrOccupied, ErrDead or ErrMark
}

// Error names the cell.
func (e *EditError) Error() string { return fmt.Sprintf("cell (%d, %d): %v", e.X, e.Y, e.Err) }

// Unwrap returns the reason.
func (e *EditError) Unwrap() error { return e.Err }

// Mark is what a live cell carries: its owner's number on a grid with owners,
// its colour 0xRRGGBB on a grid with colours, and 0 on any other.
type Mark uint32

// checkMark refuses what the grid's cells cannot carry.
func (g *Grid) checkMark(x, y int, m Mark) error {
	most := Mark(0)
	switch {
	case g.opts.Owners > 0:
		most = Mark(g.opts.Owners - 1)
	case g.opts.Colours != ColourNone:
		most = 0xffffff
	}
	if m > most {
		return &EditError{x, y, ErrMark}
	}
	return nil
}

// Place makes a dead cell alive. It returns an *[EditError] that wraps
// [ErrOutside], [ErrOccupied] or [ErrMark].
func (g *Grid) Place(x, y int, m Mark) error {
	if g.Alive(x, y) {
		return &EditError{x, y, ErrOccupied}
	}
	return g.Paint(x, y, m)
}

// Paint makes a cell alive, or gives a live cell another owner or colour. It
// returns an *[EditError] that wraps [ErrOutside] or [ErrMark].
func (g *Grid) Paint(x, y int, m Mark) error {
	if !g.Inside(x, y) {
		return &EditError{x, y, ErrOutside}
	}
	if err := g.checkMark(x, y, m); err != nil {
		return err
	}
	var e edit
	e.set(g, x, y, m)
	return nil
}

// Kill makes a live cell dead. It returns an *[EditError] that wraps
// [ErrOutside] or [ErrDead].
func (g *Grid) Kill(x, y int) error {
	if !g.Inside(x, y) {
		return &EditError{x, y, ErrOutside}
	}
	if !g.Alive(x, y) {
		return &EditError{x, y, ErrDead}
	}
	var e edit
	e.clear(g, x, y)
	return nil
}

// Erase kills every live cell of r and returns how many there were. A
// rectangle that reaches beyond the grid is refused with an *[EditError] that
// wraps [ErrOutside].
func (g *Grid) Erase(r Rect) (int, error) {
	if err := g.checkRect(r); err != nil {
		return 0, err
	}
	var e edit
	killed := 0
	for y := r.Y; y < r.Y+r.Height; y++ {
		for x := r.X; x < r.X+r.Width; {
			word := g.tiles[g.now][g.shape.tileOf(x, y)][y%tileSide] >> (x % tileSide)
			if word == 0 {
				x = (x/tileSide + 1) * tileSide
				continue
			}
			if word&1 != 0 {
				e.clear(g, x, y)
				killed++
			}
			x++
		}
	}
	return killed, nil
}

// checkRect refuses a rectangle that is not inside the grid.
func (g *Grid) checkRect(r Rect) error {
	w, h := g.opts.Width, g.opts.Height
	if r.Width < 0 || r.Height < 0 || r.X < 0 || r.Y < 0 ||
		r.Width > w || r.Height > h || r.X > w-r.Width || r.Y > h-r.Height {
		return &EditError{r.X, r.Y, ErrOutside}
	}
	return nil
}

// Clear kills every cell and keeps the generation.
func (g *Grid) Clear() {
	whole := Rect{Width: g.opts.Width, Height: g.opts.Height}
	if box, live := g.Bounds(); live {
		whole = box
	}
	// The rectangle is inside the grid.
	_, _ = g.Erase(whole)
}

// edit is a run of changes to cells of the current generation. It remembers
// the last tile it woke, so that a stamp wakes each tile about once.
type edit struct {
	tile  int
	woken bool
}

// set makes a cell alive with mark m. REQUIRES: inside, mark in range.
func (e *edit) set(g *Grid, x, y int, m Mark) {
	t := e.touch(g, x, y)
	word, bit := &g.tiles[g.now][t][y%tileSide], uint64(1)<<(x%tileSide)
	g.setMark(t, x%tileSide, y%tileSide, m)
	if *word&bit == 0 {
		*word |= bit
		g.setLive(g.now, t, g.counts[g.now][t].live+1)
	}
}

// clear makes a live cell dead.
func (e *edit) clear(g *Grid, x, y int) {
	t := e.touch(g, x, y)
	g.tiles[g.now][t][y%tileSide] &^= 1 << (x % tileSide)
	g.setLive(g.now, t, g.counts[g.now][t].live-1)
}

// touch notes that the tile of a cell is being edited and returns its number.
func (e *edit) touch(g *Grid, x, y int) int {
	t := g.shape.tileOf(x, y)
	// A tile that goes to a new owner drops the owners of the dead cells too.
	g.byOwner[0].valid, g.byOwner[1].valid = false, false
	if e.woken && e.tile == t {
		return t
	}
	e.tile, e.woken = t, true
	g.noteEdit(t)
	g.wakeAround(x/tileSide, y/tileSide)
	return t
}

// noteEdit marks what is kept of a tile's current cells as out of date.
func (g *Grid) noteEdit(t int) {
	setBit(g.stale[g.now], t)
	setBit(g.edited[g.now], t)
	setBit(g.unsent, t)
	g.touched = true
}

// setMark gives the cell (x, y) of tile t its owner or colour.
func (g *Grid) setMark(t, x, y int, m Mark) {
	switch {
	case g.opts.Owners > 0:
		g.setOwner(t, x, y, uint8(m))
	case g.colours != nil:
		g.colours.set(t, x, y, uint32(m))
	}
}
