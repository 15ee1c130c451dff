package grid

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// A snapshot is all there is to know of a grid: its options, the cells of this
// generation and of the one before (which deltas build on), owners or colours.
// All numbers are little-endian.
//
//	u8   kind 0xD3     u8   version 1
//	u8   topology      u8   colour mode
//	u32  width         u32  height
//	u16  birth         u16  survive        bit n: n neighbours
//	u8   owners        u64  generation
//	tile records as in a delta, for tiles with live cells, replacing, with the
//	     marks of all live cells; varint 0
//	tile records for the generation before: each tile's content xor this
//	     generation's, for tiles where they differ; the marks are of the cells
//	     that lived then and are dead now; varint 0
const (
	snapshotVersion = 1
	snapshotHeader  = 25
)

// AppendSnapshot appends a snapshot of the grid to dst. Edits count as sent
// only for the reader of the snapshot; see [Grid.AppendEdits].
func (g *Grid) AppendSnapshot(dst []byte) []byte {
	return g.AppendView(dst, Rect{Width: g.opts.Width, Height: g.opts.Height})
}

// appendSnapshotHeader appends what stands before the records.
func (g *Grid) appendSnapshotHeader(dst []byte) []byte {
	o := g.opts
	dst = append(dst, kindSnapshot, snapshotVersion, byte(o.Topology), byte(o.Colours))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(o.Width))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(o.Height))
	dst = binary.LittleEndian.AppendUint16(dst, o.Rule.Birth)
	dst = binary.LittleEndian.AppendUint16(dst, o.Rule.Survive)
	dst = append(dst, byte(o.Owners))
	return binary.LittleEndian.AppendUint64(dst, g.gen)
}

// SnapshotOptions returns the options of the grid a snapshot was made of, with
// the default kernel, so that memory can be checked before a grid is made for
// it. Errors wrap [ErrCorrupt] or [ErrOptions].
func SnapshotOptions(b []byte) (Options, error) {
	if len(b) < snapshotHeader || b[0] != kindSnapshot || b[1] != snapshotVersion {
		return Options{}, fmt.Errorf("%w: not a snapshot of version %d", ErrCorrupt, snapshotVersion)
	}
	o := Options{
		Topology: Topology(b[2]), Colours: ColourMode(b[3]),
		Width:  int(binary.LittleEndian.Uint32(b[4:])),
		Height: int(binary.LittleEndian.Uint32(b[8:])),
		Rule:   Rule{binary.LittleEndian.Uint16(b[12:]), binary.LittleEndian.Uint16(b[14:])},
		Owners: int(b[16]),
	}
	return o.withDefaults()
}

// ApplySnapshot makes the grid what the snapshot says. The grid's options must
// be those of the snapshot, but for the kernel; otherwise an error that wraps
// [ErrOptions] leaves the grid as it was. The bytes may come from anywhere; no
// memory is taken beyond the grid's own, and an error in the content, which
// wraps [ErrCorrupt], leaves an empty grid at generation 0.
func (g *Grid) ApplySnapshot(b []byte) error {
	o, err := SnapshotOptions(b)
	if err != nil {
		return err
	}
	own := g.opts
	own.Kernel, o.Kernel = KernelAuto, KernelAuto
	if o != own {
		return fmt.Errorf("%w: the snapshot is of another kind of grid: %dx%d %v %v, %d owners, colours %v",
			ErrOptions, o.Width, o.Height, o.Topology, o.Rule, o.Owners, o.Colours)
	}
	g.reset()
	g.gen = binary.LittleEndian.Uint64(b[17:])
	now := deltaReader{g: g, buf: b[snapshotHeader:], target: g.now, edits: true, write: true}
	if now.records(); now.err != nil {
		g.reset()
		return now.err
	}
	copy(g.tiles[1-g.now], g.tiles[g.now])
	before := deltaReader{g: g, buf: now.buf, target: 1 - g.now, write: true}
	if before.records(); before.err == nil && len(before.buf) != 0 {
		before.fail("bytes behind the end")
	}
	if before.err != nil {
		g.reset()
		return before.err
	}
	g.recount()
	return nil
}

// reset empties the grid.
func (g *Grid) reset() {
	clear(g.words)
	for t := range g.owner {
		g.owner[t] = ownerNone
	}
	if g.colours != nil {
		g.colours = newColourStore(g.shape.tiles())
	}
	g.live, g.born, g.hashSum = [2]int64{}, [2]int64{}, [2]uint64{}
	g.births, g.deaths, g.gen = 0, 0, 0
	g.touched, g.foreign = false, true
	g.byOwner[0].valid, g.byOwner[1].valid = false, false
}

// recount sets the populations of both buffers from their cells.
func (g *Grid) recount() {
	for b := range 2 {
		for t := range g.tiles[b] {
			live := 0
			for _, row := range g.tiles[b][t] {
				live += bits.OnesCount64(row)
			}
			g.setLive(b, t, uint16(live))
			setBit(g.stale[b], t)
		}
	}
}
