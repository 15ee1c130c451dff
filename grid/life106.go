package grid

import (
	"bytes"
	"strconv"
)

// ParseLife106 reads Life 1.06: "#Life 1.06", then one live cell a line as two
// whole numbers, column and row, in any order. The box of the result is that
// of its cells. Memory as [ParseRLE]; a cell named twice counts twice for the
// limit. Errors are [*PatternError].
func ParseLife106(b []byte, limits PatternLimits) (*Pattern, error) {
	r, err := newReader(b, limits)
	if err != nil {
		return nil, err
	}
	for {
		line, ok := r.next()
		if !ok {
			return r.finishCropped(), nil
		}
		text := bytes.TrimSpace(line)
		if len(text) == 0 {
			continue
		}
		if text[0] == '#' {
			if err := r.life105Mark(text); err != nil {
				return nil, err
			}
			continue
		}
		x, y, err := r.point(line, text)
		if err != nil {
			return nil, err
		}
		if err := r.run(1, x, y, 1, 1); err != nil {
			return nil, err
		}
	}
}

// AppendLife106 writes p behind dst in Life 1.06, which knows nothing but the
// places of the live cells: rule, states and all text are lost.
func AppendLife106(dst []byte, p *Pattern) []byte {
	dst = append(dst, "#Life 1.06\n"...)
	for _, c := range p.Cells {
		dst = strconv.AppendInt(dst, int64(c.X)+int64(p.OriginX), 10)
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, int64(c.Y)+int64(p.OriginY), 10)
		dst = append(dst, '\n')
	}
	return dst
}
