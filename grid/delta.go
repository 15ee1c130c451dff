package grid

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// A delta says what one step changed, against two generations ago: that is
// what the follower's other buffer holds, so still lifes and everything of
// period 2 cost nothing. A follower keeps two bitmaps, xors the delta into the
// older one, and shows that. All numbers are little-endian; varint is the usual
// one of 7 bits a byte, low bits first.
//
//	u8      kind: 0xD1 step, 0xD2 edits
//	u64     generation of the result
//	        step:  the follower must be at the generation before
//	        edits: the follower must be at this generation
//	tile records, by rising number:
//	  varint  number of the tile minus that of the record before (the first:
//	          plus 1), so at least 1. Tile (tx, ty) is number ty·⌈width/64⌉ + tx
//	  u8      tag:
//	          bit 0     replace: the content stands for itself; otherwise it is
//	                    xor'd into the follower's tile
//	          bit 1     raw: 64 u64, row 0 first, bit x of a row is column x
//	                    otherwise masks: u64 with bit y set for every row that
//	                    is not 0; for each of them a byte with bit i set for
//	                    every byte i of the row that is not 0; then all these
//	                    bytes, row by row, byte 0 of a row (columns 0-7) first
//	          bits 2-3  marks: 0 none, 1 one for all, 2 one for each
//	          bit 4     the marks are of all live cells of the tile; otherwise
//	                    of the newborn, alive now and dead in the generation
//	                    before
//	  content
//	  marks   in row-major order; owners: a byte, or for each cell k bits, low
//	          bits first, packed into bytes; colours: 3 bytes each (blue,
//	          green, red)
//	varint  0
//
// An edits delta changes the current bitmap instead, and all its records
// replace.
const (
	kindStep     = 0xD1
	kindEdits    = 0xD2
	kindSnapshot = 0xD3

	tagReplace   = 1 << 0
	tagRaw       = 1 << 1
	tagMarkShift = 2
	tagAll       = 1 << 4
	tagKnown     = 1<<5 - 1

	marksNone = 0
	marksOne  = 1
	marksEach = 2

	deltaHeader = 9
)

// Bounds of the parts of a record.
const (
	rawContent = tileSide * 8
	maxRecord  = binary.MaxVarintLen32 + 1 + packSpace + tileSide*tileSide*3
)

// MaxDelta is the most bytes that one delta of a grid with these options can
// take, for buffers. Errors wrap [ErrOptions].
func MaxDelta(o Options) (int64, error) {
	o, err := o.withDefaults()
	if err != nil {
		return 0, err
	}
	s := newShape(o)
	marks := int64(0)
	switch {
	case o.Owners > 0:
		marks = max(1, tileSide*tileSide/8*int64(s.planes))
	case o.Colours != ColourNone:
		marks = tileSide * tileSide * 3
	}
	record := binary.MaxVarintLen32 + 1 + rawContent + marks
	return deltaHeader + 1 + int64(s.tiles())*record, nil
}

// StepDelta computes one generation and appends its delta to dst. A grid that
// is settled appends ten bytes. Followers that apply every delta, or that start
// from a snapshot and apply those after it, have the same cells, owners and
// colours; edits reach them with the next delta, or at once with
// [Grid.AppendEdits]. A step made without a delta leaves followers behind:
// send them a snapshot.
func (g *Grid) StepDelta(dst []byte) []byte {
	w := deltaWriter{buf: appendDeltaHeader(dst, kindStep, g.gen+1), last: -1}
	g.step(&w)
	return append(w.buf, 0)
}

// AppendEdits appends an edits delta with the tiles edited since the last call
// and the last step, or nothing when there are none. It lets followers see an
// edit before the next step, on a paused grid above all.
func (g *Grid) AppendEdits(dst []byte) []byte {
	if !g.touched {
		return dst
	}
	started := false
	w := deltaWriter{last: -1}
	for i, tiles := range g.unsent {
		for ; tiles != 0; tiles &= tiles - 1 {
			if !started {
				w.buf, started = appendDeltaHeader(dst, kindEdits, g.gen), true
			}
			t := i<<6 + bits.TrailingZeros64(tiles)
			w.record(g, t, g.now, &emptyTile, true, true)
		}
		g.unsent[i] = 0
	}
	if !started {
		return dst
	}
	return append(w.buf, 0)
}

func appendDeltaHeader(dst []byte, kind byte, gen uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, kind), gen)
}

// turnEdited forgets the edits of the buffer just overwritten, after a turn,
// and says whether any are left.
func (g *Grid) turnEdited() bool {
	clear(g.edited[g.now])
	clear(g.unsent)
	return slices.ContainsFunc(g.edited[1-g.now], func(w uint64) bool { return w != 0 })
}

// deltaWriter collects the records of one delta.
type deltaWriter struct {
	buf    []byte
	last   int  // number of the last tile written, -1 before the first
	before tile // what the tile being computed held
}

// tile writes what a step did to tile t of buffer dst. c is the change that
// the step found, in cells or marks.
//
// An edit makes the follower's cells differ from ours until it hears of them.
// Where the buffer just written had been edited, the follower has other cells
// to xor into, so the record replaces; where the generation before was edited,
// the follower does not know who is newborn, so the marks are of all cells.
func (w *deltaWriter) tile(g *Grid, t, dst int, c change) {
	replace := g.touched && testBit(g.edited[dst], t)
	all := replace || g.touched && testBit(g.edited[1-dst], t)
	if !all && c.any == 0 {
		return
	}
	if replace {
		w.record(g, t, dst, &emptyTile, true, true)
		return
	}
	w.record(g, t, dst, &w.before, false, all)
}

// record writes one record for tile t of buffer b, its content against base.
func (w *deltaWriter) record(g *Grid, t, b int, base *tile, replace, all bool) {
	w.buf = slices.Grow(w.buf, maxRecord)
	w.buf = binary.AppendUvarint(w.buf, uint64(t-w.last))
	w.last = t
	at := len(w.buf)
	w.buf = append(w.buf, 0)
	var tag byte
	if replace {
		tag |= tagReplace
	}
	var raw bool
	if w.buf, raw = appendContent(w.buf, g.kernel, &g.tiles[b][t], base); raw {
		tag |= tagRaw
	}
	if all {
		tag |= tagAll
	}
	scope := markScope{cells: &g.tiles[b][t]}
	if !all {
		scope.except = &g.tiles[1-b][t]
	}
	var marks byte
	w.buf, marks = g.appendMarks(w.buf, t, scope)
	w.buf[at] = tag | marks<<tagMarkShift
}

// appendContent appends the tile a xor b as masks, or raw where that is
// shorter.
func appendContent(dst []byte, k Kernel, a, b *tile) (out []byte, raw bool) {
	start := len(dst)
	dst = slices.Grow(dst, packSpace)
	j := packJob{a: a, b: b, dst: (*[packSpace]byte)(dst[start : start+packSpace])}
	if n := j.run(k); n <= rawContent {
		return dst[:start+n], false
	}
	for y, row := range a {
		dst = binary.LittleEndian.AppendUint64(dst, row^b[y])
	}
	return dst, true
}
