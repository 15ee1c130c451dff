package grid

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
)

// Life 1.05:
//
//	#Life 1.05
//	#D a comment
//	#N                normal rule; "#R 23/36" names another, survival first
//	#P -1 -1          a block whose corner is at (-1, -1)
//	.*.
//	..*
//	***

// ParseLife105 reads Life 1.05. Blocks may overlap. The box of the result is
// that of its cells. Memory as [ParseRLE]; a cell that two blocks name counts
// twice for the limit. Errors are [*PatternError].
func ParseLife105(b []byte, limits PatternLimits) (*Pattern, error) {
	r, err := newReader(b, limits)
	if err != nil {
		return nil, err
	}
	var x, y int64
	for {
		line, ok := r.next()
		if !ok {
			return r.finishCropped(), nil
		}
		line = bytes.TrimRight(line, " \t")
		switch {
		case len(line) > 0 && line[0] == '#':
			if rest, ok := cutMark(line, "#P"); ok && len(rest) == 0 {
				x, y = 0, 0 // some files leave the place out
			} else if ok {
				x, y, err = r.point(line, rest)
			} else {
				err = r.life105Mark(line)
			}
		default:
			err = r.textRow(line, x, y)
			y++
		}
		if err != nil {
			return nil, err
		}
	}
}

// life105Mark reads a line that starts with "#", but not a block's corner.
func (r *reader) life105Mark(line []byte) error {
	if text, ok := cutMark(line, "#R"); ok {
		return r.ruleLine(columnOf(line, text), text)
	}
	if _, ok := cutMark(line, "#N"); ok {
		r.pattern.Rule = Life
	}
	for _, mark := range []string{"#D", "#C"} {
		if text, ok := cutMark(line, mark); ok {
			r.comment(text)
		}
	}
	return nil
}

// point reads two whole numbers, a place in the plane.
func (r *reader) point(line, text []byte) (x, y int64, err error) {
	parts := fields(text, 3)
	if len(parts) != 2 {
		return 0, 0, r.wrong(columnOf(line, text), "two whole numbers belong here, the column and the row, such as -3 5")
	}
	if x, err = r.coordinate(line, parts[0]); err == nil {
		y, err = r.coordinate(line, parts[1])
	}
	return x, y, err
}

func (r *reader) coordinate(line, text []byte) (int64, error) {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return 0, r.wrong(columnOf(line, text), "%q is not a whole number", clip(clean(text)))
	}
	if n < -coordinateLimit || n > coordinateLimit {
		return 0, r.large(columnOf(line, text), "%d is further than %d cells from the origin", n, int64(coordinateLimit))
	}
	return n, nil
}

// lifeBlock is the side of the blocks that are written: the format asks for
// lines of at most 80 characters.
const lifeBlock = 80

// AppendLife105 writes p behind dst in Life 1.05, in blocks of 80 by 80 cells
// that hold live ones. States, name and author are lost (name and author go
// into comments).
func AppendLife105(dst []byte, p *Pattern) []byte {
	dst = append(dst, "#Life 1.05\n"...)
	dst = appendNote(dst, "#D Name: ", p.Name)
	dst = appendNote(dst, "#D Author: ", p.Author)
	for _, c := range p.Comments {
		dst = appendFolded(dst, "#D ", c)
	}
	if p.Rule == (Rule{}) || p.Rule == Life {
		dst = append(dst, "#N\n"...)
	} else {
		dst = fmt.Appendf(dst, "#R %s\n", p.Rule.survivalFirst())
	}
	cells := slices.Clone(p.Cells)
	slices.SortStableFunc(cells, compareBlocks)
	for len(cells) > 0 {
		n := 1
		for n < len(cells) && lifeBlockOf(cells[n]) == lifeBlockOf(cells[0]) {
			n++
		}
		dst = appendBlock(dst, p, cells[:n])
		cells = cells[n:]
	}
	return dst
}

// appendBlock writes one block, its corner first.
func appendBlock(dst []byte, p *Pattern, cells []Cell) []byte {
	x0, y0 := cells[0].X, cells[0].Y
	for _, c := range cells {
		x0 = min(x0, c.X)
	}
	dst = fmt.Appendf(dst, "#P %d %d\n", int64(x0)+int64(p.OriginX), int64(y0)+int64(p.OriginY))
	return appendText(dst, cells, x0, y0, 0, '*')
}

// lifeBlockOf is the block a cell lies in.
func lifeBlockOf(c Cell) [2]int32 { return [2]int32{c.Y / lifeBlock, c.X / lifeBlock} }

// compareBlocks orders by blocks; a stable sort keeps the rows inside.
func compareBlocks(a, b Cell) int {
	p, q := lifeBlockOf(a), lifeBlockOf(b)
	return slices.Compare(p[:], q[:])
}
