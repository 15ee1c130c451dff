package grid

import (
	"errors"
	"fmt"
	"slices"
)

// Cell is one live cell of a [Pattern]: its place, counted from the top left
// corner of the pattern, and its state.
type Cell struct {
	X, Y int32
	// State is 1 for a plain live cell. In a pattern with owners it is the
	// owner's number plus one, as multi-state RLE has it. Never 0.
	State uint8
}

// Pattern is a finite set of live cells with what a pattern file says about
// it. The zero value is an empty pattern without a rule.
//
// Cells are in row-major order (by Y, then by X) without doubles, and each of
// them lies in 0 <= X < Width, 0 <= Y < Height; [Pattern.Normalise] brings any
// list of cells into this form. A Pattern is plain data: it may be read by
// several goroutines, and written by one.
type Pattern struct {
	Name, Author string
	// Comments are the free text lines of the file, without their marks.
	Comments []string
	// Rule is the zero value where the file names none.
	Rule Rule
	// Bounds is the bounded universe the file asks for (":T64,64" behind the
	// rule), the zero value where it asks for none.
	Bounds Bounds
	// Width and Height are the box, in cells. It may be larger than what the
	// live cells fill, as a header says; it is never smaller.
	Width, Height int32
	// Generation is the number the file gives to this state (#CXRLE Gen=, #G).
	Generation uint64
	// OriginX and OriginY are the coordinates of the top left corner in the
	// file's own system (#CXRLE Pos=, #P, Life 1.06).
	OriginX, OriginY int32
	Cells            []Cell
}

// PatternLimits bound what a parser takes from a file. A zero field means its
// default, [DefaultPatternLimits].
type PatternLimits struct {
	// Bytes is the largest input, in bytes.
	Bytes int
	// Cells is the largest number of live cells. A cell costs 12 bytes of
	// memory, so this bounds what a few bytes of input ("4000000o") can take.
	Cells int
	// Side is the largest width and height, in cells.
	Side int32
	// Comments is the largest number of comment lines kept; more are skipped.
	Comments int
}

// DefaultPatternLimits returns the limits used for fields left at zero:
// 16 MiB of input, 4 Mi live cells (48 MiB), sides of 65,536 cells and
// 1,000 comment lines.
func DefaultPatternLimits() PatternLimits {
	return PatternLimits{Bytes: 16 << 20, Cells: 4 << 20, Side: 1 << 16, Comments: 1000}
}

// withDefaults fills the zero fields of l.
func (l PatternLimits) withDefaults() PatternLimits {
	d := DefaultPatternLimits()
	if l.Bytes == 0 {
		l.Bytes = d.Bytes
	}
	if l.Cells == 0 {
		l.Cells = d.Cells
	}
	if l.Side == 0 {
		l.Side = d.Side
	}
	if l.Comments == 0 {
		l.Comments = d.Comments
	}
	return l
}

// ErrPatternTooLarge is what a parser's error wraps when a file is beyond its
// [PatternLimits].
var ErrPatternTooLarge = errors.New("pattern too large")

// PatternError says where a pattern file is wrong, and what to do about it.
type PatternError struct {
	Line, Column int // counted from 1; the column counts bytes
	Text         string
	Err          error // ErrPatternTooLarge, a rule's error, or nil
}

// Error writes the place first: "line 3, column 14: …".
func (e *PatternError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Text)
}

// Unwrap returns the error behind e, nil where there is none.
func (e *PatternError) Unwrap() error { return e.Err }

// Population is the number of live cells.
func (p *Pattern) Population() int { return len(p.Cells) }

// Clone returns a deep copy of p.
func (p *Pattern) Clone() *Pattern {
	q := *p
	q.Comments = slices.Clone(p.Comments)
	q.Cells = slices.Clone(p.Cells)
	return &q
}

// Normalise sorts the cells into row-major order, drops doubles (the last one
// given wins) and cells of state 0, and grows Width and Height until they hold
// every cell. REQUIRES: no negative coordinate; see [Pattern.Crop].
func (p *Pattern) Normalise() {
	p.Cells = slices.DeleteFunc(p.Cells, func(c Cell) bool { return c.State == 0 })
	if !slices.IsSortedFunc(p.Cells, compareCells) {
		slices.SortStableFunc(p.Cells, compareCells)
	}
	kept := p.Cells[:0]
	for _, c := range p.Cells {
		if n := len(kept); n > 0 && kept[n-1].X == c.X && kept[n-1].Y == c.Y {
			kept[n-1] = c
			continue
		}
		kept = append(kept, c)
		p.Width = max(p.Width, c.X+1)
		p.Height = max(p.Height, c.Y+1)
	}
	p.Cells = kept
}

// Crop moves the cells so that the box of the live ones starts at (0, 0) and
// makes Width and Height exactly that box. Cells may have had any coordinates
// before. The origin moves along, so the pattern stays where it was.
func (p *Pattern) Crop() {
	if len(p.Cells) == 0 {
		p.Width, p.Height = 0, 0
		return
	}
	minX, minY := p.Cells[0].X, p.Cells[0].Y
	for _, c := range p.Cells {
		minX, minY = min(minX, c.X), min(minY, c.Y)
	}
	for i := range p.Cells {
		p.Cells[i].X -= minX
		p.Cells[i].Y -= minY
	}
	p.OriginX += minX
	p.OriginY += minY
	p.Width, p.Height = 0, 0
	p.Normalise()
}

// States is the number of states the cells use, the dead one included: 2 for
// a plain pattern, 1 for an empty one.
func (p *Pattern) States() int {
	most := 0
	for _, c := range p.Cells {
		most = max(most, int(c.State))
	}
	return most + 1
}

// compareCells orders cells row by row.
func compareCells(a, b Cell) int {
	if a.Y != b.Y {
		return int(a.Y) - int(b.Y)
	}
	return int(a.X) - int(b.X)
}
