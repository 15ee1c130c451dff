package grid

import (
	"fmt"
	"strings"
)

// Orientation is one of the eight ways to lay a pattern on a square grid. The
// zero value leaves it as it is. With y growing downwards, Rotate90 turns
// clockwise.
type Orientation uint8

// The eight orientations. (x, y) is the cell before, w and h the box before.
const (
	Identity      Orientation = iota // (x, y)
	Rotate90                         // (h-1-y, x), a quarter turn clockwise
	Rotate180                        // (w-1-x, h-1-y)
	Rotate270                        // (y, w-1-x), a quarter turn anticlockwise
	FlipX                            // (w-1-x, y), left and right change places
	FlipY                            // (x, h-1-y), top and bottom change places
	Transpose                        // (y, x), mirrored at the falling diagonal
	AntiTranspose                    // (h-1-y, w-1-x), mirrored at the rising diagonal

	orientations = 8
)

var orientationNames = [orientations]string{
	"identity", "rotate90", "rotate180", "rotate270", "flipx", "flipy", "transpose", "antitranspose",
}

// Orientations returns all eight, Identity first.
func Orientations() []Orientation {
	return []Orientation{Identity, Rotate90, Rotate180, Rotate270, FlipX, FlipY, Transpose, AntiTranspose}
}

// String returns the name that [ParseOrientation] reads.
func (o Orientation) String() string {
	if o >= orientations {
		return fmt.Sprintf("orientation(%d)", uint8(o))
	}
	return orientationNames[o]
}

// Valid says whether o is one of the eight.
func (o Orientation) Valid() bool { return o < orientations }

// ParseOrientation reads a name such as "rotate90" or "flipx", in any case;
// "" is Identity.
func ParseOrientation(name string) (Orientation, error) {
	if name == "" {
		return Identity, nil
	}
	for o, n := range orientationNames {
		if strings.EqualFold(n, name) {
			return Orientation(o), nil
		}
	}
	return Identity, fmt.Errorf("unknown orientation %q: use one of %s", name, strings.Join(orientationNames[:], ", "))
}

// Swaps says whether o exchanges width and height.
func (o Orientation) Swaps() bool {
	return o == Rotate90 || o == Rotate270 || o == Transpose || o == AntiTranspose
}

// Cell maps one cell of a box of w by h cells. The result lies in a box of
// h by w cells where [Orientation.Swaps] says so.
func (o Orientation) Cell(x, y, w, h int32) (int32, int32) {
	switch o {
	case Rotate90:
		return h - 1 - y, x
	case Rotate180:
		return w - 1 - x, h - 1 - y
	case Rotate270:
		return y, w - 1 - x
	case FlipX:
		return w - 1 - x, y
	case FlipY:
		return x, h - 1 - y
	case Transpose:
		return y, x
	case AntiTranspose:
		return h - 1 - y, w - 1 - x
	default:
		return x, y
	}
}

// Apply returns p laid that way, as a new pattern in row-major order; p stays
// as it is. Identity returns p itself.
func (o Orientation) Apply(p *Pattern) *Pattern {
	if o == Identity || !o.Valid() {
		return p
	}
	q := p.Clone()
	for i, c := range p.Cells {
		q.Cells[i].X, q.Cells[i].Y = o.Cell(c.X, c.Y, p.Width, p.Height)
	}
	if o.Swaps() {
		q.Width, q.Height = p.Height, p.Width
	}
	q.Normalise()
	return q
}

// Then returns the orientation that equals o first and next afterwards.
func (o Orientation) Then(next Orientation) Orientation {
	// Two marks in a 2 by 2 box tell all eight apart: where (0,0) and (1,0) go.
	ax, ay := o.Cell(0, 0, 2, 2)
	bx, by := o.Cell(1, 0, 2, 2)
	ax, ay = next.Cell(ax, ay, 2, 2)
	bx, by = next.Cell(bx, by, 2, 2)
	for _, c := range Orientations() {
		cx, cy := c.Cell(0, 0, 2, 2)
		dx, dy := c.Cell(1, 0, 2, 2)
		if cx == ax && cy == ay && dx == bx && dy == by {
			return c
		}
	}
	return Identity
}
