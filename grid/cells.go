package grid

import (
	"bytes"
	"fmt"
)

// Plaintext, the format that shows what it means:
//
//	!Name: Glider
//	!any comment
//	.O.
//	..O
//	OOO

// ParseCells reads plaintext: "!" lines are comments ("!Name:" and "!Author:"
// are kept as such), "." is dead, "O", "o" or "*" alive, an empty line an empty
// row. Memory as [ParseRLE]. Errors are [*PatternError].
func ParseCells(b []byte, limits PatternLimits) (*Pattern, error) {
	r, err := newReader(b, limits)
	if err != nil {
		return nil, err
	}
	var width, height, y int64
	for {
		line, ok := r.next()
		if !ok {
			return r.finishBoxed(width, height), nil
		}
		if len(line) > 0 && line[0] == '!' {
			r.cellsNote(line[1:])
			continue
		}
		line = bytes.TrimRight(line, " \t")
		if err := r.textRow(line, 0, y); err != nil {
			return nil, err
		}
		y++
		if len(line) > 0 {
			width, height = max(width, int64(len(line))), y
		}
		if side := int64(r.limits.Side); width > side || height > side {
			return nil, r.large(len(line), "the box has more than %d columns or rows", side)
		}
	}
}

// cellsNote keeps one comment line.
func (r *reader) cellsNote(text []byte) {
	if name, ok := bytes.CutPrefix(text, []byte("Name:")); ok {
		r.pattern.Name = clean(name)
	} else if author, ok := bytes.CutPrefix(text, []byte("Author:")); ok {
		r.pattern.Author = clean(author)
	} else if len(bytes.TrimSpace(text)) > 0 {
		r.comment(text)
	}
}

// textRow reads a row of "." and "O" that starts at (x, y).
func (r *reader) textRow(line []byte, x, y int64) error {
	for i, c := range line {
		switch c {
		case '.':
		case 'O', 'o', '*':
			if err := r.run(i+1, x+int64(i), y, 1, 1); err != nil {
				return err
			}
		default:
			return r.wrong(i+1, "%q is neither a dead cell (.) nor a live one (O or *)", c)
		}
	}
	return nil
}

// maxPlaintext bounds what [AppendCells] writes, in bytes: a few cells far
// apart make much text.
const maxPlaintext = 64 << 20

// AppendCells writes p behind dst as plaintext. Dead cells behind the last
// live one of a row are left out. States are lost: every live cell is "O". It
// fails with [ErrPatternTooLarge] where the text would pass 64 MiB.
func AppendCells(dst []byte, p *Pattern) ([]byte, error) {
	if need := plaintextSize(p); need > maxPlaintext {
		return dst, fmt.Errorf("%w: it needs %d bytes as plaintext, and at most %d are written; use rle", ErrPatternTooLarge, need, maxPlaintext)
	}
	dst = appendNote(dst, "!Name: ", p.Name)
	dst = appendNote(dst, "!Author: ", p.Author)
	for _, c := range p.Comments {
		dst = append(append(append(dst, '!'), clean([]byte(c))...), '\n')
	}
	return appendText(dst, p.Cells, 0, 0, int(p.Height), 'O'), nil
}

func plaintextSize(p *Pattern) int64 {
	size := int64(p.Height)
	for i, c := range p.Cells {
		if i+1 == len(p.Cells) || p.Cells[i+1].Y != c.Y {
			size += int64(c.X) + 1
		}
	}
	return size
}

// appendText writes cells in row-major order as rows of text whose corner is
// (x0, y0). At least rows lines are written; an empty row is one ".".
func appendText(dst []byte, cells []Cell, x0, y0 int32, rows int, live byte) []byte {
	for i, y := 0, y0; i < len(cells) || int(y-y0) < rows; y++ {
		start := len(dst)
		for ; i < len(cells) && cells[i].Y == y; i++ {
			for len(dst)-start < int(cells[i].X-x0) {
				dst = append(dst, '.')
			}
			dst = append(dst, live)
		}
		if len(dst) == start {
			dst = append(dst, '.')
		}
		dst = append(dst, '\n')
	}
	return dst
}
