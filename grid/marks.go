package grid

import "math/bits"

// markScope is the cells of a tile whose owners or colours are written: those
// alive in cells and dead in except, when that is not nil.
type markScope struct{ cells, except *tile }

// row returns the cells of row y.
func (s markScope) row(y int) uint64 {
	if s.except == nil {
		return s.cells[y&63]
	}
	return s.cells[y&63] &^ s.except[y&63]
}

// count is the number of cells.
func (s markScope) count() int {
	n := 0
	for y := range tileSide {
		n += bits.OnesCount64(s.row(y))
	}
	return n
}

// each calls f for the cells in row-major order.
func (s markScope) each(f func(x, y int)) {
	for y := range tileSide {
		for row := s.row(y); row != 0; row &= row - 1 {
			f(bits.TrailingZeros64(row), y)
		}
	}
}

// appendMarks appends the marks of the cells of tile t that scope names, and
// says in which form.
func (g *Grid) appendMarks(dst []byte, t int, scope markScope) ([]byte, byte) {
	if g.opts.Owners == 0 && g.colours == nil || scope.count() == 0 {
		return dst, marksNone
	}
	if g.colours != nil {
		return g.appendColours(dst, t, scope)
	}
	if state := g.owner[t]; state < MaxOwners {
		return append(dst, byte(state)), marksOne
	}
	w := bitWriter{buf: dst}
	planes := g.planesOf(t)
	scope.each(func(x, y int) { w.add(uint64(planesAt(planes, x, y)), g.shape.planes) })
	return w.flush(), marksEach
}

func (g *Grid) appendColours(dst []byte, t int, scope markScope) ([]byte, byte) {
	start, same := len(dst), true
	var first uint32
	scope.each(func(x, y int) {
		c := g.colours.at(t, x, y)
		if len(dst) == start {
			first = c
		}
		same = same && c == first
		dst = append(dst, byte(c), byte(c>>8), byte(c>>16))
	})
	if same {
		return dst[:start+3], marksOne
	}
	return dst, marksEach
}

// bitWriter packs numbers into bytes, low bits first.
type bitWriter struct {
	buf  []byte
	acc  uint64
	have int
}

func (w *bitWriter) add(v uint64, n int) {
	w.acc |= v << w.have
	for w.have += n; w.have >= 8; w.have -= 8 {
		w.buf = append(w.buf, byte(w.acc))
		w.acc >>= 8
	}
}

// flush writes the bits left and returns the bytes.
func (w *bitWriter) flush() []byte {
	if w.have > 0 {
		w.buf = append(w.buf, byte(w.acc))
		w.acc, w.have = 0, 0
	}
	return w.buf
}

// readMarks reads the marks of the cells that scope names and hands each to
// put; put may be nil to check only. form is from the record's tag.
func (g *Grid) readMarks(r *deltaReader, scope markScope, form byte, put func(x, y int, m Mark)) {
	n := scope.count()
	marked := g.opts.Owners > 0 || g.colours != nil
	if form == marksNone || form > marksEach || !marked || n == 0 {
		if form != marksNone || marked && n != 0 {
			r.fail("marks do not fit the cells")
		}
		return
	}
	size, k := 3, 24
	if g.opts.Owners > 0 {
		size, k = 1, g.shape.planes
	}
	if form == marksEach {
		size = ceilDiv(n*k, 8)
	}
	b := bitReader{buf: r.take(size)}
	if r.err != nil {
		return
	}
	var m Mark
	if form == marksOne {
		m = Mark(b.next(8 * size))
	}
	scope.each(func(x, y int) {
		if form == marksEach {
			m = Mark(b.next(k))
		}
		if r.err == nil && g.checkMark(x, y, m) != nil {
			r.fail("owner out of range")
		}
		if put != nil {
			put(x, y, m)
		}
	})
}

// bitReader takes numbers out of bytes, low bits first. REQUIRES: enough bytes.
type bitReader struct {
	buf  []byte
	acc  uint64
	have int
}

func (r *bitReader) next(n int) uint64 {
	for r.have < n {
		r.acc |= uint64(r.buf[0]) << r.have
		r.buf = r.buf[1:]
		r.have += 8
	}
	v := r.acc & (1<<n - 1)
	r.acc >>= n
	r.have -= n
	return v
}

// putMark gives a cell of a follower its owner or colour, and keeps those of
// all other cells of the tile, the dead ones too.
func (g *Grid) putMark(t, x, y int, m Mark) {
	if g.colours != nil {
		g.colours.set(t, x, y, uint32(m))
		return
	}
	switch state := g.owner[t]; state {
	case uint16(m):
	case ownerNone:
		g.owner[t] = uint16(m)
	default:
		planesPut(g.mix(t), x, y, uint8(m))
	}
}
