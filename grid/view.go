package grid

import (
	"encoding/binary"
	"fmt"
)

// A view is what a rectangle of whole tiles shows of a grid: snapshots and
// deltas with the records of its tiles alone. Its follower is a grid of the
// same options whose other tiles stay empty; it must not be stepped, and the
// hash of the grid is not that of the view.

// AlignView returns the smallest rectangle of whole tiles around the part of r
// that lies on a grid of width by height cells; it may reach beyond the right
// and bottom edges by less than a tile. False when no cell is left.
func AlignView(r Rect, width, height int) (Rect, bool) {
	x0, y0 := max(r.X, 0), max(r.Y, 0)
	x1, y1 := width, height
	if r.Width < width-r.X {
		x1 = r.X + r.Width
	}
	if r.Height < height-r.Y {
		y1 = r.Y + r.Height
	}
	if x0 >= x1 || y0 >= y1 {
		return Rect{}, false
	}
	x0, y0 = x0/tileSide*tileSide, y0/tileSide*tileSide
	return Rect{X: x0, Y: y0, Width: ceilDiv(x1, tileSide)*tileSide - x0, Height: ceilDiv(y1, tileSide)*tileSide - y0}, true
}

// tileIn says whether tile t meets view.
func (g *Grid) tileIn(t int, view Rect) bool {
	x, y := t%g.shape.tw*tileSide, t/g.shape.tw*tileSide
	return x+tileSide > view.X && x < view.X+view.Width && y+tileSide > view.Y && y < view.Y+view.Height
}

// AppendView appends a snapshot of the tiles that meet view, in the form of
// [Grid.AppendSnapshot].
func (g *Grid) AppendView(dst []byte, view Rect) []byte {
	w := deltaWriter{buf: g.appendSnapshotHeader(dst), last: -1}
	g.eachTile(view, func(t int) {
		if g.counts[g.now][t].live != 0 {
			w.record(g, t, g.now, &emptyTile, true, true)
		}
	})
	w = deltaWriter{buf: append(w.buf, 0), last: -1}
	g.eachTile(view, func(t int) {
		now, before := &g.tiles[g.now][t], &g.tiles[1-g.now][t]
		if *now != *before {
			w.record(g, t, 1-g.now, now, false, false)
		}
	})
	return append(w.buf, 0)
}

// eachTile calls f for the tiles that meet view, by rising number.
func (g *Grid) eachTile(view Rect, f func(t int)) {
	x0, x1 := max(view.X/tileSide, 0), min(ceilDiv(view.X+view.Width, tileSide), g.shape.tw)
	y0, y1 := max(view.Y/tileSide, 0), min(ceilDiv(view.Y+view.Height, tileSide), g.shape.th)
	for ty := y0; ty < y1; ty++ {
		for tx := x0; tx < x1; tx++ {
			f(ty*g.shape.tw + tx)
		}
	}
}

// AppendViewDelta appends delta with the records of the tiles that meet view
// alone. REQUIRES: delta is what the last [Grid.StepDelta] or
// [Grid.AppendEdits] appended, and the grid has not changed since. An error
// wraps [ErrCorrupt] and means that this does not hold.
func (g *Grid) AppendViewDelta(dst, delta []byte, view Rect) ([]byte, error) {
	if len(delta) < deltaHeader {
		return dst, fmt.Errorf("%w: %d bytes are too few", ErrCorrupt, len(delta))
	}
	dst = append(dst, delta[:deltaHeader]...)
	r := deltaReader{g: g, buf: delta[deltaHeader:]}
	read, written := -1, -1
	for {
		gap := r.gap()
		if r.err == nil && gap > uint64(g.shape.tiles()-1-read) {
			r.fail("tile number beyond the grid")
		}
		if r.err != nil {
			return dst, r.err
		}
		if gap == 0 {
			return append(dst, 0), nil
		}
		read += int(gap)
		record := r.skipRecord(read)
		if record != nil && g.tileIn(read, view) {
			dst = binary.AppendUvarint(dst, uint64(read-written))
			dst = append(dst, record...)
			written = read
		}
	}
}

// skipRecord returns the bytes of the record of tile n behind its number.
func (r *deltaReader) skipRecord(n int) []byte {
	start := r.buf
	head := r.take(1)
	if head == nil {
		return nil
	}
	tag := head[0]
	r.content(tag&tagRaw != 0)
	scope := markScope{cells: &r.g.tiles[r.g.now][n]}
	if tag&tagAll == 0 {
		scope.except = &r.g.tiles[1-r.g.now][n]
	}
	size, k := 3, 24
	if r.g.opts.Owners > 0 {
		size, k = 1, r.g.shape.planes
	}
	switch tag >> tagMarkShift & 3 {
	case marksNone:
		size = 0
	case marksEach:
		size = ceilDiv(scope.count()*k, 8)
	}
	r.take(size)
	if r.err != nil {
		return nil
	}
	return start[:len(start)-len(r.buf)]
}
