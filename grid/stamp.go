package grid

import (
	"math/bits"
	"slices"
)

// StampOptions say how a pattern is laid on a grid. The zero value lays it as
// it is, for owner 0 or in black, and refuses live cells and edges.
type StampOptions struct {
	// Orientation is applied to the pattern first.
	Orientation Orientation
	// Owner is the owner of every cell, on a grid with owners.
	Owner uint8
	// States takes the owner of each cell from the pattern instead: its state
	// minus one.
	States bool
	// Colour is the colour of every cell, 0xRRGGBB, on a grid with colours.
	Colour uint32
	// Overwrite lets the pattern's live cells take the place of live ones.
	// Otherwise one live cell under a live cell of the pattern refuses all.
	Overwrite bool
	// Wrap continues at the opposite edge of a torus. Otherwise, and on a
	// plane always, one cell beyond the edge refuses all.
	Wrap bool
}

// Stamp brings the live cells of p to life, with its top left corner at
// (x, y), all of them or none. Dead cells of the pattern change nothing. It
// returns an *[EditError] with the first cell in the way, which wraps
// [ErrOutside], [ErrOccupied] or [ErrMark].
func (g *Grid) Stamp(p *Pattern, x, y int, o StampOptions) error {
	p = o.Orientation.Apply(p)
	wrap := o.Wrap && g.shape.torus
	if wrap && (int(p.Width) > g.opts.Width || int(p.Height) > g.opts.Height) {
		return &EditError{x, y, ErrOutside}
	}
	for _, c := range p.Cells {
		cx, cy := g.stampPlace(c, x, y, wrap)
		if !g.Inside(cx, cy) {
			return &EditError{cx, cy, ErrOutside}
		}
		if !o.Overwrite && g.Alive(cx, cy) {
			return &EditError{cx, cy, ErrOccupied}
		}
		if err := g.checkMark(cx, cy, g.stampMark(c, o)); err != nil {
			return err
		}
	}
	var e edit
	for _, c := range p.Cells {
		cx, cy := g.stampPlace(c, x, y, wrap)
		e.set(g, cx, cy, g.stampMark(c, o))
	}
	return nil
}

// stampPlace is where a cell of a pattern at (x, y) comes to lie.
func (g *Grid) stampPlace(c Cell, x, y int, wrap bool) (int, int) {
	cx, cy := x+int(c.X), y+int(c.Y)
	if wrap {
		cx, cy = floorMod(cx, g.opts.Width), floorMod(cy, g.opts.Height)
	}
	return cx, cy
}

func floorMod(a, m int) int {
	if a %= m; a < 0 {
		a += m
	}
	return a
}

// stampMark is the mark that a cell of a pattern gets.
func (g *Grid) stampMark(c Cell, o StampOptions) Mark {
	switch {
	case g.opts.Owners > 0 && o.States:
		return Mark(c.State) - 1
	case g.opts.Owners > 0:
		return Mark(o.Owner)
	case g.colours != nil:
		return Mark(o.Colour)
	}
	return 0
}

// Extract returns the live cells of r as a pattern of r's size, with the
// grid's rule and generation and its corner as origin. On a grid with owners
// the state of a cell is its owner plus one. A rectangle that reaches beyond
// the grid is refused with an *[EditError] that wraps [ErrOutside].
func (g *Grid) Extract(r Rect) (*Pattern, error) {
	if err := g.checkRect(r); err != nil {
		return nil, err
	}
	p := &Pattern{
		Rule: g.opts.Rule, Generation: g.gen,
		Width: int32(r.Width), Height: int32(r.Height), OriginX: int32(r.X), OriginY: int32(r.Y),
	}
	for y := r.Y; y < r.Y+r.Height; y++ {
		p.Cells = g.extractRow(p.Cells, r, y)
	}
	p.Cells = slices.Clip(p.Cells)
	return p, nil
}

// extractRow appends the live cells of row y of r.
func (g *Grid) extractRow(cells []Cell, r Rect, y int) []Cell {
	for tx := r.X / tileSide; tx*tileSide < r.X+r.Width; tx++ {
		t := y/tileSide*g.shape.tw + tx
		row := g.tiles[g.now][t][y%tileSide]
		for ; row != 0; row &= row - 1 {
			in := bits.TrailingZeros64(row)
			x := tx*tileSide + in
			if x < r.X || x >= r.X+r.Width {
				continue
			}
			state := uint8(1)
			if g.opts.Owners > 0 {
				state += g.ownerAt(t, in, y%tileSide)
			}
			cells = append(cells, Cell{X: int32(x - r.X), Y: int32(y - r.Y), State: state})
		}
	}
	return cells
}
