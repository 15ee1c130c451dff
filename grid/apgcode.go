package grid

import (
	"fmt"
	"strings"
)

// Apgcode, the short names of small patterns that pattern censuses use: "xs4_33"
// is the still life (s) of 4 cells that is a block, "xp2_7" the oscillator of
// period 2 that is a blinker, "xq4_153" the spaceship of period 4 that is a
// glider. Behind "_" stand the cells: strips of five rows, from the top, each a
// character a column whose five bits are its cells, the top one in bit 0; "z"
// begins the next strip, "w" and "x" are two and three empty columns, "y" and a
// digit is that many and four.

const apgDigits = "0123456789abcdefghijklmnopqrstuvwxyz"

// apgStrip is the number of rows of a strip.
const apgStrip = 5

// ParseApgcode reads an apgcode. Its prefix is not checked against what the
// cells do. Memory and errors as [ParseRLE]; all is on line 1.
func ParseApgcode(code string, limits PatternLimits) (*Pattern, error) {
	r, err := newReader([]byte(code), limits)
	if err != nil {
		return nil, err
	}
	r.number = 1
	prefix, cells, ok := strings.Cut(code, "_")
	if !ok || !isApgPrefix(prefix) {
		return nil, r.wrong(1, "%q is not an apgcode; one looks like xs4_33 or xq4_153", clip(clean([]byte(code))))
	}
	r.pattern.Name = code
	var x, y int64
	for i := 0; i < len(cells); i++ {
		column := len(prefix) + i + 2
		digit := strings.IndexByte(apgDigits, cells[i])
		switch {
		case digit < 0:
			return nil, r.wrong(column, "%q is not a digit of an apgcode (0 to 9, a to z)", cells[i])
		case cells[i] == 'z':
			x, y = 0, y+apgStrip
		case cells[i] == 'w' || cells[i] == 'x':
			x += int64(digit - strings.IndexByte(apgDigits, 'u'))
		case cells[i] == 'y':
			if i++; i == len(cells) || strings.IndexByte(apgDigits, cells[i]) < 0 {
				return nil, r.wrong(column, "behind y belongs a digit (0 to 9, a to z)")
			}
			x += 4 + int64(strings.IndexByte(apgDigits, cells[i]))
		default:
			if err := r.apgColumn(column, x, y, digit); err != nil {
				return nil, err
			}
			x++
		}
	}
	return r.finishCropped(), nil
}

// isApgPrefix recognises xs, xp or xq and a number.
func isApgPrefix(s string) bool {
	return len(s) > 2 && s[0] == 'x' && strings.IndexByte("spq", s[1]) >= 0 && allDigits(s[2:])
}

// apgColumn adds the live cells of one column of a strip.
func (r *reader) apgColumn(column int, x, y int64, bits int) error {
	for i := int64(0); i < apgStrip; i++ {
		if bits>>i&1 == 1 {
			if err := r.run(column, x, y+i, 1, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// apgBody writes cells whose box is w by h and starts at (0, 0).
func apgBody(cells []Cell, w, h int) string {
	strips := make([][]byte, (h+apgStrip-1)/apgStrip)
	for i := range strips {
		strips[i] = make([]byte, w)
	}
	for _, c := range cells {
		strips[c.Y/apgStrip][c.X] |= 1 << (c.Y % apgStrip)
	}
	var b strings.Builder
	for i, strip := range strips {
		if i > 0 {
			b.WriteByte('z')
		}
		empty := 0
		for _, bits := range strip {
			if bits == 0 {
				empty++
				continue
			}
			apgEmpty(&b, empty)
			empty = 0
			b.WriteByte(apgDigits[bits])
		}
	}
	return b.String()
}

// apgEmpty writes n empty columns.
func apgEmpty(b *strings.Builder, n int) {
	const longest = 4 + 35 // "yz"
	for ; n > longest; n -= longest {
		b.WriteString("yz")
	}
	switch {
	case n >= 4:
		b.WriteByte('y')
		b.WriteByte(apgDigits[n-4])
	case n == 3:
		b.WriteByte('x')
	case n == 2:
		b.WriteByte('w')
	case n == 1:
		b.WriteByte('0')
	}
}

// apgcode is the code of what has motion m: the shortest one of all phases and
// orientations, the first in the alphabet of those. "" where m never repeats.
func (m *motion) apgcode() string {
	if m.period == 0 {
		return ""
	}
	best := ""
	for _, cells := range m.phases {
		x0, y0, x1, y1 := boxOf(cells)
		p := &Pattern{Cells: shifted(cells, int32(-x0), int32(-y0)), Width: int32(x1 - x0 + 1), Height: int32(y1 - y0 + 1)}
		for _, o := range Orientations() {
			q := o.Apply(p)
			body := apgBody(q.Cells, int(q.Width), int(q.Height))
			if best == "" || len(body) < len(best) || len(body) == len(best) && body < best {
				best = body
			}
		}
	}
	switch {
	case m.moves():
		return fmt.Sprintf("xq%d_%s", m.period, best)
	case m.period > 1:
		return fmt.Sprintf("xp%d_%s", m.period, best)
	}
	return fmt.Sprintf("xs%d_%s", len(m.phases[0]), best)
}
