package grid

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// Errors of [Grid.ApplyDelta] and [Grid.ApplySnapshot].
var (
	// ErrCorrupt: the bytes are not a delta or a snapshot of such a grid.
	ErrCorrupt = errors.New("corrupt grid data")
	// ErrGeneration: a delta does not follow the grid's generation; a
	// snapshot is needed.
	ErrGeneration = errors.New("delta of another generation")
)

// ApplyDelta brings a follower forward by one delta of [Grid.StepDelta] or
// [Grid.AppendEdits]. The bytes may come from anywhere: they are checked
// against the grid's size first, an error leaves the grid as it was, and no
// memory is taken beyond the grid's own. Errors wrap [ErrCorrupt] or
// [ErrGeneration].
//
// A follower may be stepped and edited by itself afterwards; it then computes
// all its tiles for two steps.
func (g *Grid) ApplyDelta(b []byte) error {
	if len(b) < deltaHeader+1 {
		return fmt.Errorf("%w: %d bytes are too few", ErrCorrupt, len(b))
	}
	kind, gen := b[0], binary.LittleEndian.Uint64(b[1:])
	target := g.now
	switch {
	case kind != kindStep && kind != kindEdits:
		return fmt.Errorf("%w: kind %#x is not a delta", ErrCorrupt, kind)
	case kind == kindStep && gen != g.gen+1, kind == kindEdits && gen != g.gen:
		return fmt.Errorf("%w: the grid is at %d, the delta makes %d", ErrGeneration, g.gen, gen)
	case kind == kindStep:
		target = 1 - g.now
	}
	check := deltaReader{g: g, buf: b[deltaHeader:], target: target, edits: kind == kindEdits}
	if check.records(); check.err == nil && len(check.buf) != 0 {
		check.fail("bytes behind the end")
	}
	if check.err != nil {
		return check.err
	}
	apply := deltaReader{g: g, buf: b[deltaHeader:], target: target, edits: kind == kindEdits, write: true}
	apply.records()
	g.foreign = true
	g.byOwner[0].valid, g.byOwner[1].valid = false, false
	if kind == kindStep {
		g.turn(target, 1)
	}
	return nil
}

// deltaReader reads tile records. It is run twice: to check, and then with
// write set.
type deltaReader struct {
	g      *Grid
	buf    []byte
	err    error
	target int // the buffer the records change
	edits  bool
	write  bool
	t      tile
}

// fail keeps the first error.
func (r *deltaReader) fail(text string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrCorrupt, text)
	}
}

// take cuts n bytes off; nil after an error.
func (r *deltaReader) take(n int) []byte {
	if r.err != nil || len(r.buf) < n {
		r.fail("cut off")
		return nil
	}
	part := r.buf[:n]
	r.buf = r.buf[n:]
	return part
}

// gap reads the step to the next tile.
func (r *deltaReader) gap() uint64 {
	v, n := binary.Uvarint(r.buf)
	if n <= 0 {
		r.fail("bad tile number")
		return 0
	}
	r.buf = r.buf[n:]
	return v
}

// records reads all records up to the end mark.
func (r *deltaReader) records() {
	last := -1
	for r.err == nil {
		gap := r.gap()
		if gap == 0 || r.err != nil {
			return
		}
		if gap > uint64(r.g.shape.tiles()-1-last) {
			r.fail("tile number beyond the grid")
			return
		}
		last += int(gap)
		r.record(last)
	}
}

// record reads one record, for tile n.
func (r *deltaReader) record(n int) {
	g := r.g
	head := r.take(1)
	if head == nil {
		return
	}
	tag := head[0]
	if tag&^tagKnown != 0 || r.edits && tag&(tagReplace|tagAll) != tagReplace|tagAll {
		r.fail("unknown tag")
		return
	}
	r.content(tag&tagRaw != 0)
	if tag&tagReplace == 0 {
		for y, row := range g.tiles[r.target][n] {
			r.t[y] ^= row
		}
	}
	if r.err != nil || !r.inside(n) {
		return
	}
	scope := markScope{cells: &r.t}
	if tag&tagAll == 0 {
		scope.except = &g.tiles[1-r.target][n]
	}
	var put func(x, y int, m Mark)
	if r.write {
		put = func(x, y int, m Mark) { g.putMark(n, x, y, m) }
	}
	g.readMarks(r, scope, tag>>tagMarkShift&3, put)
	if r.write {
		r.store(n)
	}
}

// content reads a tile's content into r.t.
func (r *deltaReader) content(raw bool) {
	r.t = tile{}
	if raw {
		if b := r.take(rawContent); b != nil {
			for y := range r.t {
				r.t[y] = binary.LittleEndian.Uint64(b[8*y:])
			}
		}
		return
	}
	head := r.take(8)
	if head == nil {
		return
	}
	rows := binary.LittleEndian.Uint64(head)
	masks := r.take(bits.OnesCount64(rows))
	for _, mask := range masks {
		y := bits.TrailingZeros64(rows)
		rows &= rows - 1
		set := r.take(bits.OnesCount8(mask))
		for _, b := range set {
			r.t[y] |= uint64(b) << (8 * bits.TrailingZeros8(mask))
			mask &= mask - 1
		}
	}
}

// inside refuses cells beyond the grid's edge.
func (r *deltaReader) inside(n int) bool {
	s := &r.g.shape
	cols, rows := s.cols(n%s.tw), s.rows(n/s.tw)
	for y, row := range r.t {
		if row&^cols != 0 || y >= rows && row != 0 {
			r.fail("a cell beyond the edge")
			return false
		}
	}
	return true
}

// store writes r.t to tile n of the target.
func (r *deltaReader) store(n int) {
	g, b := r.g, r.target
	live := 0
	for _, row := range r.t {
		live += bits.OnesCount64(row)
	}
	g.tiles[b][n] = r.t
	g.setLive(b, n, uint16(live))
	setBit(g.stale[b], n)
	if g.colours != nil {
		g.colours.sweep(n, &g.tiles[b][n], &g.tiles[1-b][n])
	}
}
