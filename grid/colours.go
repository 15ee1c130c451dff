package grid

import (
	"math/bits"
	"unsafe"
)

// Colours are kept in blocks of 16 by 16 cells, one uint32 a cell, and only
// where cells live: a lonely glider has one to four blocks. A block's cells are
// updated in place at births, as owner planes are (see owner.go).
//
//	index   16 a tile, block number + 1, 0 for none; block (x/16, y/16) of the
//	        tile is at x/16 + 4·(y/16)
//	chunks  16 blocks each, 16 KiB
//	free    the first free block + 1; the first cell of a free block holds the next
const (
	blockSide   = 16
	blockCells  = blockSide * blockSide
	tileBlocks  = (tileSide / blockSide) * (tileSide / blockSide)
	chunkBlocks = 16
)

type colourBlock [blockCells]uint32

// colourStore holds the colours of one grid.
type colourStore struct {
	index  []uint32
	chunks []*[chunkBlocks]colourBlock
	free   uint32
	used   int // blocks handed out
}

func newColourStore(tiles int) *colourStore {
	return &colourStore{
		index:  make([]uint32, tiles*tileBlocks),
		chunks: make([]*[chunkBlocks]colourBlock, 0, tiles*tileBlocks/chunkBlocks),
	}
}

// colourBytes is the most a store for that many tiles can take.
func colourBytes(tiles int) int64 {
	const pointer, index = 8, 4
	blocks := int64(tiles) * tileBlocks
	chunk := int64(unsafe.Sizeof([chunkBlocks]colourBlock{})) + pointer
	return int64(unsafe.Sizeof(colourStore{})) + blocks*index + blocks/chunkBlocks*chunk
}

// bytes is what the store takes now.
func (s *colourStore) bytes() int64 {
	return int64(unsafe.Sizeof(*s)) + int64(len(s.index))*4 + int64(cap(s.chunks))*8 +
		int64(len(s.chunks))*int64(unsafe.Sizeof([chunkBlocks]colourBlock{}))
}

// block returns a block by its number + 1.
func (s *colourStore) block(n uint32) *colourBlock {
	return &s.chunks[(n-1)/chunkBlocks][(n-1)%chunkBlocks]
}

// at returns the colour of cell (x, y) of tile t, 0 where none is kept.
func (s *colourStore) at(t, x, y int) uint32 {
	n := s.index[t*tileBlocks+blockOf(x, y)]
	if n == 0 {
		return 0
	}
	return s.block(n)[y%blockSide*blockSide+x%blockSide]
}

// set keeps the colour of a cell.
func (s *colourStore) set(t, x, y int, colour uint32) {
	n := &s.index[t*tileBlocks+blockOf(x, y)]
	if *n == 0 {
		*n = s.take()
	}
	s.block(*n)[y%blockSide*blockSide+x%blockSide] = colour
}

func blockOf(x, y int) int { return y/blockSide*(tileSide/blockSide) + x/blockSide }

// take hands out a block with all cells 0.
func (s *colourStore) take() uint32 {
	if n := s.free; n != 0 {
		b := s.block(n)
		s.free, b[0] = b[0], 0
		return n
	}
	if s.used == len(s.chunks)*chunkBlocks {
		s.chunks = append(s.chunks, new([chunkBlocks]colourBlock))
	}
	s.used++
	return uint32(s.used)
}

// sweep gives back the blocks of tile t where no cell lives or lived a
// generation ago.
func (s *colourStore) sweep(t int, now, before *tile) {
	for i := range tileBlocks {
		n := &s.index[t*tileBlocks+i]
		if *n == 0 || blockLives(i, now, before) {
			continue
		}
		b := s.block(*n)
		clear(b[:])
		b[0], s.free = s.free, *n
		*n = 0
	}
}

// blockLives says whether block i has a live cell in either tile.
func blockLives(i int, now, before *tile) bool {
	const perRow = tileSide / blockSide
	var any uint64
	for y := i / perRow * blockSide; y < (i/perRow+1)*blockSide; y++ {
		any |= now[y&63] | before[y&63]
	}
	return any>>(i%perRow*blockSide)&(1<<blockSide-1) != 0
}

// Colour returns the colour 0xRRGGBB of a live cell; false for a dead cell, a
// place outside, and a grid without colours.
func (g *Grid) Colour(x, y int) (uint32, bool) {
	if g.colours == nil || !g.Alive(x, y) {
		return 0, false
	}
	return g.colours.at(g.shape.tileOf(x, y), x%tileSide, y%tileSide), true
}

// Memory is the bytes the grid takes now: [Size] of its options, but for
// colours only what the live cells need.
func (g *Grid) Memory() int64 {
	n := g.size
	if g.colours != nil {
		n += g.colours.bytes() - colourBytes(g.shape.tiles())
	}
	return n
}

// blend gives the newborn of a tile the mean of their parents' colours.
func (g *Grid) blend(tx, ty, dst int, c *change) {
	t := ty*g.shape.tw + tx
	before, after := &g.tiles[1-dst][t], &g.tiles[dst][t]
	last := g.shape.rows(ty) - 1
	for y, row := range after {
		var changed uint64
		for fresh := row &^ before[y]; fresh != 0; fresh &= fresh - 1 {
			x := bits.TrailingZeros64(fresh)
			colour := g.mean(tx, ty, x, y, 1-dst)
			if g.colours.at(t, x, y) != colour {
				g.colours.set(t, x, y, colour)
				changed |= 1 << x
			}
		}
		c.any |= changed
		if y == 0 {
			c.first |= changed
		}
		if y == last {
			c.last |= changed
		}
	}
}

// mean returns the blended colour of the live neighbours that cell (x, y) of
// tile (tx, ty) has in buffer b.
func (g *Grid) mean(tx, ty, x, y, b int) uint32 {
	sum, n := meanSum{}, uint32(0)
	if x > 0 && x < tileSide-1 && y > 0 && y < tileSide-1 && !g.shape.odd() {
		t := ty*g.shape.tw + tx
		cells := &g.tiles[b][t]
		for r := y - 1; r <= y+1; r++ {
			for three := cells[r&63] >> (x - 1) & 7; three != 0; three &= three - 1 {
				sum.add(g.colours.at(t, x-1+bits.TrailingZeros64(three), r))
				n++
			}
		}
	} else {
		g.eachParent(tx*tileSide+x, ty*tileSide+y, b, func(t, px, py int) {
			sum.add(g.colours.at(t, px, py))
			n++
		})
	}
	if g.opts.Colours == ColourWhole {
		return sum.whole / n
	}
	return sum.red/n<<16 | sum.green/n<<8 | sum.blue/n
}

// meanSum adds up to eight colours, as numbers and by channel.
type meanSum struct{ whole, red, green, blue uint32 }

func (s *meanSum) add(c uint32) {
	s.whole += c
	s.red += c >> 16
	s.green += c >> 8 & 255
	s.blue += c & 255
}
