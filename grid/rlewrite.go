package grid

import (
	"fmt"
	"strconv"
	"strings"
)

// rleLineLimit is the longest line of rows that is written, as the format asks.
const rleLineLimit = 70

// AppendRLE writes p behind dst in run length encoding, with its name, author,
// comments, place, generation and rule ([Life] where p has none), in lines of
// at most 70 characters (a name or author may be longer). A pattern with states
// above 1 is written with letters.
func AppendRLE(dst []byte, p *Pattern) []byte {
	dst = appendNote(dst, "#N ", p.Name)
	dst = appendNote(dst, "#O ", p.Author)
	for _, c := range p.Comments {
		dst = appendFolded(dst, "#C ", c)
	}
	if p.OriginX != 0 || p.OriginY != 0 || p.Generation != 0 {
		dst = fmt.Appendf(dst, "#CXRLE Pos=%d,%d", p.OriginX, p.OriginY)
		if p.Generation != 0 {
			dst = fmt.Appendf(dst, " Gen=%d", p.Generation)
		}
		dst = append(dst, '\n')
	}
	rule := p.Rule
	if rule == (Rule{}) {
		rule = Life
	}
	dst = fmt.Appendf(dst, "x = %d, y = %d, rule = %s%s\n", p.Width, p.Height, rule, p.Bounds)
	return append(AppendRuns(dst, p), '\n')
}

// appendNote writes one marked line, nothing where there is no text.
func appendNote(dst []byte, mark, text string) []byte {
	if text == "" {
		return dst
	}
	return append(append(append(dst, mark...), clean([]byte(text))...), '\n')
}

// appendFolded writes text in as many marked lines as it needs, broken at
// spaces where there are any.
func appendFolded(dst []byte, mark, text string) []byte {
	text = clean([]byte(text))
	for {
		room := rleLineLimit - len(mark)
		if len(text) <= room {
			return append(append(append(dst, mark...), text...), '\n')
		}
		cut := strings.LastIndexByte(text[:room+1], ' ')
		if cut <= 0 {
			for cut = room; cut > 1 && text[cut]&0xc0 == 0x80; cut-- {
				// Do not cut inside a character.
			}
		}
		dst = append(append(append(dst, mark...), text[:cut]...), '\n')
		text = strings.TrimLeft(text[cut:], " ")
	}
}

// AppendRuns writes only the rows of p, "bo$2bo$3o!", in lines of at most 70
// characters and without a line end behind the last one.
func AppendRuns(dst []byte, p *Pattern) []byte {
	w := runWriter{dst: dst, start: len(dst), limit: rleLineLimit}
	return w.pattern(p)
}

// AppendRunLine writes only the rows of p, "bo$2bo$3o!", on one line of any
// length.
func AppendRunLine(dst []byte, p *Pattern) []byte {
	w := runWriter{dst: dst, start: len(dst)}
	return w.pattern(p)
}

// runWriter writes items and breaks lines before the limit (0 for none).
type runWriter struct {
	dst          []byte
	start, limit int
	states       bool
}

// pattern writes all rows of p, which must be in row-major order.
func (w *runWriter) pattern(p *Pattern) []byte {
	w.states = p.States() > 2
	x, y := int32(0), int32(0)
	for i := 0; i < len(p.Cells); {
		c, n := p.Cells[i], 1
		for i+n < len(p.Cells) && p.Cells[i+n] == (Cell{X: c.X + int32(n), Y: c.Y, State: c.State}) {
			n++
		}
		if c.Y > y {
			w.item(int(c.Y-y), "$")
			x, y = 0, c.Y
		}
		w.item(int(c.X-x), w.deadTag())
		w.item(n, w.liveTag(c.State))
		x = c.X + int32(n)
		i += n
	}
	w.item(1, "!")
	return w.dst
}

func (w *runWriter) deadTag() string {
	if w.states {
		return "."
	}
	return "b"
}

func (w *runWriter) liveTag(state uint8) string {
	if !w.states {
		return "o"
	}
	letter := string(rune('A' + (int(state)-1)%24))
	if state <= 24 {
		return letter
	}
	return string(rune('p'+(int(state)-25)/24)) + letter
}

// item writes a run of n, nothing for 0.
func (w *runWriter) item(n int, tag string) {
	if n == 0 {
		return
	}
	size := len(w.dst)
	if n > 1 {
		w.dst = strconv.AppendInt(w.dst, int64(n), 10)
	}
	w.dst = append(w.dst, tag...)
	if w.limit == 0 || len(w.dst)-w.start <= w.limit {
		return
	}
	item := string(w.dst[size:])
	w.dst = append(append(w.dst[:size], '\n'), item...)
	w.start = size + 1
}
