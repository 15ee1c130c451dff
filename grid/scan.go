package grid

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
)

// lines walks over the lines of a text, which end with LF, CR or CRLF.
type lines struct {
	rest   []byte
	number int // of the line returned last, from 1
}

// newLines starts before the first line of b; a byte order mark is skipped.
func newLines(b []byte) *lines {
	return &lines{rest: bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))}
}

// next returns the next line without its end; it aliases the text.
func (l *lines) next() ([]byte, bool) {
	if len(l.rest) == 0 {
		return nil, false
	}
	l.number++
	end := bytes.IndexAny(l.rest, "\r\n")
	if end < 0 {
		line := l.rest
		l.rest = nil
		return line, true
	}
	line, rest := l.rest[:end], l.rest[end+1:]
	if l.rest[end] == '\r' && len(rest) > 0 && rest[0] == '\n' {
		rest = rest[1:]
	}
	l.rest = rest
	return line, true
}

// reader is what all parsers share: the lines, the limits, the place for
// errors and the cells so far.
type reader struct {
	lines
	limits  PatternLimits
	pattern *Pattern

	// The box of the cells, valid when there are any.
	minX, minY, maxX, maxY int64
	// Cells are kept as differences to the first one: these stay below the
	// side that is allowed, wherever in the plane the file puts its cells.
	baseX, baseY int64
}

func newReader(b []byte, limits PatternLimits) (*reader, error) {
	r := &reader{lines: *newLines(b), limits: limits.withDefaults(), pattern: &Pattern{}}
	r.minX, r.minY, r.maxX, r.maxY = math.MaxInt64, math.MaxInt64, math.MinInt64, math.MinInt64
	if len(b) > r.limits.Bytes {
		r.number = 1
		return nil, r.large(1, "the file has %d bytes, and %d are taken", len(b), r.limits.Bytes)
	}
	return r, nil
}

// wrong makes an error at a column (from 1) of the current line.
func (r *reader) wrong(column int, format string, args ...any) error {
	return &PatternError{Line: r.number, Column: column, Text: fmt.Sprintf(format, args...)}
}

// large makes an error about a limit.
func (r *reader) large(column int, format string, args ...any) error {
	text := fmt.Sprintf(format, args...) + "; use a smaller pattern or raise the limit"
	return &PatternError{Line: r.number, Column: column, Text: text, Err: ErrPatternTooLarge}
}

// coordinateLimit bounds the coordinates a file may name, in cells from its
// origin, so that no sum or difference leaves 64 bits.
const coordinateLimit = 1 << 40

// run adds n live cells from (x, y) to the right. It checks the limits before
// it takes memory.
func (r *reader) run(column int, x, y, n int64, state uint8) error {
	p := r.pattern
	if n > int64(r.limits.Cells-len(p.Cells)) {
		return r.large(column, "there are more than %d live cells", r.limits.Cells)
	}
	minX, minY := min(r.minX, x), min(r.minY, y)
	maxX, maxY := max(r.maxX, x+n-1), max(r.maxY, y)
	if side := int64(r.limits.Side); maxX-minX >= side || maxY-minY >= side {
		return r.large(column, "the cells reach over more than %d columns or rows", side)
	}
	if len(p.Cells) == 0 {
		r.baseX, r.baseY = x, y
	}
	r.minX, r.minY, r.maxX, r.maxY = minX, minY, maxX, maxY
	p.Cells = slices.Grow(p.Cells, int(n))
	for i := int64(0); i < n; i++ {
		p.Cells = append(p.Cells, Cell{X: int32(x + i - r.baseX), Y: int32(y - r.baseY), State: state})
	}
	return nil
}

// finishBoxed ends a pattern whose box starts at (0, 0) of the file, whatever
// its cells fill, and is at least width by height.
func (r *reader) finishBoxed(width, height int64) *Pattern {
	p := r.pattern
	for i := range p.Cells {
		p.Cells[i].X += int32(r.baseX)
		p.Cells[i].Y += int32(r.baseY)
	}
	p.Width, p.Height = int32(width), int32(height)
	p.Normalise()
	return p
}

// finishCropped ends a pattern whose box is that of its cells, and remembers
// where in the file's system it was.
func (r *reader) finishCropped() *Pattern {
	p := r.pattern
	p.Crop()
	p.OriginX, p.OriginY = 0, 0
	if len(p.Cells) > 0 && r.minX == int64(int32(r.minX)) && r.minY == int64(int32(r.minY)) {
		p.OriginX, p.OriginY = int32(r.minX), int32(r.minY)
	}
	return p
}

// comment keeps one comment line while there is room.
func (r *reader) comment(text []byte) {
	if len(r.pattern.Comments) < r.limits.Comments {
		r.pattern.Comments = append(r.pattern.Comments, clean(text))
	}
}

// clean makes text of a file fit to be shown: valid UTF-8, no control
// characters, no white space at the ends.
func clean(text []byte) string {
	s := strings.ToValidUTF8(string(text), "?")
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, s)
	return strings.TrimSpace(s)
}

// ruleLine reads a rule with its universe into the pattern.
func (r *reader) ruleLine(column int, text []byte) error {
	rule, bounds, err := ParseBoundedRule(string(text))
	if err != nil {
		return &PatternError{Line: r.number, Column: column, Text: err.Error(), Err: err}
	}
	r.pattern.Rule, r.pattern.Bounds = rule, bounds
	return nil
}

// cutMark takes a mark such as "#C" off a line, and the white space after it.
func cutMark(line []byte, mark string) ([]byte, bool) {
	rest, ok := bytes.CutPrefix(line, []byte(mark))
	if !ok || len(rest) > 0 && rest[0] != ' ' && rest[0] != '\t' {
		return nil, false
	}
	return bytes.TrimSpace(rest), true
}

// columnOf is the column, from 1, where part starts in line, which it aliases.
func columnOf(line, part []byte) int {
	if len(part) == 0 {
		return len(line) + 1
	}
	return cap(line) - cap(part) + 1
}

// fields splits text at white space. Unlike those of bytes.Fields the parts
// keep the capacity behind them, which columnOf needs. At most limit are
// returned, so that a hostile line costs nothing.
func fields(text []byte, limit int) [][]byte {
	parts := make([][]byte, 0, limit)
	for len(parts) < limit {
		if text = bytes.TrimLeft(text, " \t"); len(text) == 0 {
			break
		}
		end := bytes.IndexAny(text, " \t")
		if end < 0 {
			end = len(text)
		}
		parts = append(parts, text[:end])
		text = text[end:]
	}
	return parts
}
