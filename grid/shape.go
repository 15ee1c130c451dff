package grid

import (
	"math/bits"
	"unsafe"
)

// tileSide is the side of a tile in cells: a row is one uint64.
const tileSide = 64

// tile is 64 by 64 cells, 512 bytes, eight cache lines. Word y is row y, bit x
// is column x, bit 0 the leftmost. Cells beyond the grid's edge are always 0.
//
//	          column 0 1 2 …            63
//	tile[0]   row 0  b0 b1 b2 …        b63     one uint64
//	tile[1]   row 1
//	  …
//	tile[63]  row 63
type tile [tileSide]uint64

// tileCount is what is known of one tile of one buffer.
type tileCount struct {
	live   uint16 // live cells
	births uint16 // births in the step that wrote it
}

// shape is everything that follows from the options' sizes.
type shape struct {
	tw, th   int // tiles across and down
	lastCols int // columns in use of the last tile column, 1…64
	lastRows int // rows in use of the last tile row, 1…64
	rowWords int // words of a bit set for the tiles of one tile row
	planes   int // owner planes a tile
	torus    bool
	aligned  bool // a torus whose sides are multiples of 64
}

func newShape(o Options) shape {
	s := shape{tw: ceilDiv(o.Width, tileSide), th: ceilDiv(o.Height, tileSide), torus: o.Topology == Torus}
	s.lastCols = o.Width - (s.tw-1)*tileSide
	s.lastRows = o.Height - (s.th-1)*tileSide
	s.rowWords = ceilDiv(s.tw, 64)
	s.aligned = s.torus && s.lastCols == tileSide && s.lastRows == tileSide
	if o.Owners > 1 {
		s.planes = bits.Len(uint(o.Owners - 1))
	}
	return s
}

func (s *shape) tiles() int          { return s.tw * s.th }
func (s *shape) tileOf(x, y int) int { return y/tileSide*s.tw + x/tileSide }
func (s *shape) tileBits() int       { return ceilDiv(s.tiles(), 64) }
func (s *shape) needWords() int      { return s.th*s.rowWords + ceilDiv(s.th, 64) }
func (s *shape) lineWords() int      { return ceilDiv((s.tw+s.th)*4, 8) }
func (s *shape) ownerWords(o Options) int {
	if o.Owners == 0 {
		return 0
	}
	return ceilDiv(s.tiles()*2, 8) + 2*o.Owners
}

// cols returns the mask of columns in use of tile column tx.
func (s *shape) cols(tx int) uint64 {
	if tx < s.tw-1 {
		return ^uint64(0)
	}
	return ^uint64(0) >> (tileSide - s.lastCols)
}

// rows returns the number of rows in use of tile row ty.
func (s *shape) rows(ty int) int {
	if ty < s.th-1 {
		return tileSide
	}
	return s.lastRows
}

// words is the length of the one allocation, in uint64. Its layout, where T is
// the number of tiles and k the number of owner planes:
//
//	pad      to the next multiple of 64 bytes
//	T × 64   tiles of buffer 0
//	T × 64   tiles of buffer 1
//	T × 64k  owner planes, the k planes of a tile together
//	then for buffer 0 and for buffer 1:
//	  T/2    population and births of each tile (uint16 each)
//	  T      cached tile hashes
//	  T/64   bit per tile: cached hash out of date
//	  T/64   bit per tile: edited after the step that wrote the buffer
//	  need   bit per tile to compute, and bit per tile row with any
//	  lines  uint32 per tile row and tile column: tiles with live cells
//	T/64     bit per tile: edited since edits were last sent
//	with owners only:
//	T/4      owner state of each tile (uint16)
//	2        population of each owner, for buffer 0 and buffer 1
func (s *shape) words(o Options) int {
	t := s.tiles()
	perBuffer := ceilDiv(t, 2) + t + 2*s.tileBits() + s.needWords() + s.lineWords()
	return cacheLineWords + (2+s.planes)*t*tileSide + 2*perBuffer + s.tileBits() + s.ownerWords(o)
}

const cacheLineWords = 8

// bytes is the memory of a grid: the allocation, the struct, and with colours
// the most that every tile's colours can take.
func (s *shape) bytes(o Options) int64 {
	n := int64(s.words(o))*8 + int64(unsafe.Sizeof(Grid{}))
	if o.Colours != ColourNone {
		n += colourBytes(s.tiles())
	}
	return n
}

// Size returns the bytes that a grid with these options takes, before it is
// made: exactly what [New] asks the allocator for. With colours it is the most
// the grid can come to take, as colours are kept only where cells live. Errors
// wrap [ErrOptions].
func Size(o Options) (int64, error) {
	o, err := o.withDefaults()
	if err != nil {
		return 0, err
	}
	s := newShape(o)
	return s.bytes(o), nil
}

// carve makes the allocation and cuts the views out of it.
func (g *Grid) carve() {
	s := &g.shape
	g.words = make([]uint64, s.words(g.opts))
	c := carver{words: g.words}
	c.align()
	t := s.tiles()
	g.tiles[0] = carveAs[tile](&c, t*tileSide, t)
	g.tiles[1] = carveAs[tile](&c, t*tileSide, t)
	g.planes = carveAs[tile](&c, t*tileSide*s.planes, t*s.planes)
	for b := range 2 {
		g.counts[b] = carveAs[tileCount](&c, ceilDiv(t, 2), t)
		g.hashes[b] = c.next(t)
		g.stale[b] = c.next(s.tileBits())
		g.edited[b] = c.next(s.tileBits())
		g.need[b] = needMap{bits: c.next(s.th * s.rowWords), rows: c.next(ceilDiv(s.th, 64)), rowWords: s.rowWords}
		counts := carveAs[uint32](&c, s.lineWords(), s.tw+s.th)
		g.lines[b] = lineCounts{rows: counts[:s.th], cols: counts[s.th:]}
	}
	g.unsent = c.next(s.tileBits())
	if g.opts.Owners > 0 {
		g.owner = carveAs[uint16](&c, ceilDiv(t*2, 8), t)
		for b := range 2 {
			g.byOwner[b].live = carveAs[int64](&c, g.opts.Owners, g.opts.Owners)
		}
	}
}

// carver hands out consecutive parts of an allocation.
type carver struct{ words []uint64 }

func (c *carver) align() {
	past := int(uintptr(unsafe.Pointer(&c.words[0])) / 8 % cacheLineWords)
	c.words = c.words[(cacheLineWords-past)%cacheLineWords:]
}

func (c *carver) next(n int) []uint64 {
	part := c.words[:n:n]
	c.words = c.words[n:]
	return part
}

// carveAs views the next n words as count values of a pointer-free type.
func carveAs[T any](c *carver, n, count int) []T {
	if count == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&c.next(n)[0])), count)
}
