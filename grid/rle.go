package grid

import (
	"bytes"
	"strconv"
	"strings"
)

// Run length encoding, the format most patterns come in:
//
//	#N Glider                         name; #O author, #C comment
//	#CXRLE Pos=-1,-1 Gen=0            place and generation, if known
//	x = 3, y = 3, rule = B3/S23       box and rule
//	bo$2bo$3o!                        rows
//
// In the rows "b" and "." are dead cells, "o" and "A" state 1, "B" to "X"
// states 2 to 24, "pA" to "pX" 25 to 48, and so on to "yO", 255. "$" ends a row,
// "!" the pattern; a number repeats what stands behind it.

// maxRunDigits bounds a repeat count; longer ones are beyond every limit.
const maxRunDigits = 10

// rleReader is a reader with the place in the rows.
type rleReader struct {
	*reader
	x, y   int64
	count  int64 // 0 where none was given
	digits int
	prefix byte // 'p' to 'y' of a state above 24, 0 for none
	ended  bool
	width  int64 // as the header says
	height int64
}

// ParseRLE reads run length encoding. The header may be missing, and where its
// box is too small for the cells the true box counts; text behind "!" is
// ignored. States other than 0 and 1 are kept. Memory: 12 bytes a live cell,
// at most twice limits.Cells of them, and the comments. Errors are
// [*PatternError].
func ParseRLE(b []byte, limits PatternLimits) (*Pattern, error) {
	base, err := newReader(b, limits)
	if err != nil {
		return nil, err
	}
	r := &rleReader{reader: base}
	header := false
	for !r.ended {
		line, ok := r.next()
		if !ok {
			break
		}
		switch text := bytes.TrimSpace(line); {
		case len(text) == 0:
		case text[0] == '#':
			err = r.mark(line, text)
		case !header && text[0]|0x20 == 'x' && bytes.IndexByte(text, '=') > 0:
			header, err = true, r.header(line)
		default:
			header, err = true, r.rows(line)
		}
		if err != nil {
			return nil, err
		}
	}
	if r.digits > 0 || r.prefix != 0 {
		return nil, r.wrong(1, "the file ends inside a run: it seems to be cut off")
	}
	return r.finishBoxed(r.width, r.height), nil
}

// mark reads a line that starts with "#".
func (r *rleReader) mark(line, text []byte) error {
	if rest, ok := cutMark(text, "#CXRLE"); ok {
		r.placement(rest)
		return nil
	}
	for _, mark := range []string{"#C", "#c", "#D"} {
		if rest, ok := cutMark(text, mark); ok {
			r.comment(rest)
			return nil
		}
	}
	if rest, ok := cutMark(text, "#N"); ok {
		r.pattern.Name = clean(rest)
	} else if rest, ok := cutMark(text, "#O"); ok {
		r.pattern.Author = clean(rest)
	} else if rest, ok := cutMark(text, "#r"); ok {
		return r.ruleLine(columnOf(line, rest), rest)
	} else if rest, ok := cutMark(text, "#P"); ok {
		r.position(rest)
	} else if rest, ok := cutMark(text, "#R"); ok {
		r.position(rest)
	}
	return nil
}

// placement reads "Pos=x,y Gen=n". What it does not understand it leaves, as
// other programs add members of their own.
func (r *rleReader) placement(text []byte) {
	for _, field := range strings.Fields(string(text)) {
		key, value, _ := strings.Cut(field, "=")
		switch strings.ToLower(key) {
		case "pos":
			x, y, _ := strings.Cut(value, ",")
			r.setOrigin(x, y)
		case "gen":
			if n, err := strconv.ParseUint(value, 10, 64); err == nil {
				r.pattern.Generation = n
			}
		}
	}
}

// position reads the older "#P x y".
func (r *rleReader) position(text []byte) {
	if f := strings.Fields(string(text)); len(f) == 2 {
		r.setOrigin(f[0], f[1])
	}
}

func (r *rleReader) setOrigin(x, y string) {
	px, errX := strconv.ParseInt(x, 10, 32)
	py, errY := strconv.ParseInt(y, 10, 32)
	if errX == nil && errY == nil {
		r.pattern.OriginX, r.pattern.OriginY = int32(px), int32(py)
	}
}

// header reads "x = 3, y = 3, rule = B3/S23". The rule is last, as a universe
// behind it holds a comma.
func (r *rleReader) header(line []byte) error {
	rest := line
	for len(bytes.TrimSpace(rest)) > 0 {
		key, value, ok := bytes.Cut(rest, []byte("="))
		if !ok {
			return r.wrong(columnOf(line, bytes.TrimSpace(rest)), "the header has no \"=\" here; write it as x = 3, y = 3, rule = B3/S23")
		}
		name := strings.ToLower(string(bytes.TrimSpace(key)))
		if name == "rule" {
			value = bytes.TrimSpace(value)
			return r.ruleLine(columnOf(line, value), value)
		}
		value, rest, _ = bytes.Cut(value, []byte(","))
		value = bytes.TrimSpace(value)
		n, err := strconv.ParseUint(string(value), 10, 64)
		if err != nil {
			return r.wrong(columnOf(line, value), "the header's %s is %q, which is not a whole number of cells", clip(clean([]byte(name))), clip(clean(value)))
		}
		r.size(name, n)
	}
	return nil
}

// size takes a side from the header. One beyond the limit is left out: headers
// are wrong at times, and the cells themselves are checked.
func (r *rleReader) size(name string, n uint64) {
	if n > uint64(r.limits.Side) {
		return
	}
	switch name {
	case "x":
		r.width = int64(n)
	case "y":
		r.height = int64(n)
	}
}

// rows reads one line of runs.
func (r *rleReader) rows(line []byte) error {
	for i := 0; i < len(line) && !r.ended; i++ {
		if err := r.item(line[i], i+1); err != nil {
			return err
		}
	}
	return nil
}

// item reads one character of the rows.
func (r *rleReader) item(c byte, column int) error {
	switch {
	case c == ' ' || c == '\t':
		return nil
	case c >= '0' && c <= '9' && r.prefix == 0:
		return r.digit(c, column)
	case c >= 'p' && c <= 'y' && r.prefix == 0:
		r.prefix = c
		return nil
	case c >= 'A' && c <= 'X':
		return r.state(c, column)
	case r.prefix != 0:
		return r.wrong(column, "%q must be followed by a letter from A to X, not by %q", r.prefix, c)
	}
	switch c {
	case 'o':
		return r.live(1, column)
	case 'b', '.':
		return r.dead(column)
	case '$':
		return r.endRow(column)
	case '!':
		r.ended = true
		return nil
	}
	return r.wrong(column, "%q is not part of run length encoding; use b, o, $, ! and numbers, or A to X for states", c)
}

func (r *rleReader) digit(c byte, column int) error {
	r.digits++
	if r.digits > maxRunDigits {
		return r.large(column, "a repeat count has more than %d digits", maxRunDigits)
	}
	r.count = r.count*10 + int64(c-'0')
	return nil
}

// take returns the repeat count before the current item and clears it.
func (r *rleReader) take() int64 {
	n := r.count
	if r.digits == 0 {
		n = 1
	}
	r.count, r.digits, r.prefix = 0, 0, 0
	return n
}

func (r *rleReader) state(c byte, column int) error {
	state := int(c-'A') + 1
	if r.prefix != 0 {
		state += 24 * int(r.prefix-'p'+1)
	}
	if state > 255 {
		return r.wrong(column, "state %d is beyond 255 (yO), the last one there is", state)
	}
	return r.live(uint8(state), column)
}

func (r *rleReader) live(state uint8, column int) error {
	n := r.take()
	if n == 0 {
		return nil
	}
	if side := int64(r.limits.Side); r.x+n > side || r.y >= side {
		return r.large(column, "the cells reach beyond column or row %d", side)
	}
	err := r.run(column, r.x, r.y, n, state)
	r.x += n
	return err
}

func (r *rleReader) dead(column int) error {
	r.x += r.take()
	if r.x > coordinateLimit {
		return r.large(column, "a row has more than %d cells", int64(coordinateLimit))
	}
	return nil
}

func (r *rleReader) endRow(column int) error {
	r.x = 0
	r.y += r.take()
	if r.y > coordinateLimit {
		return r.large(column, "there are more than %d rows", int64(coordinateLimit))
	}
	return nil
}
