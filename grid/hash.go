package grid

import "math/bits"

// The hash of the live cells of a grid, the same for every kernel and
// topology, and cheap in JavaScript: 32-bit integers only.
//
// Cut each row y (from 0) into words of 32 cells: word i holds columns 32i to
// 32i+31, column 32i in bit 0; columns beyond the width are 0. Every word w
// that is not 0 gives a pair of 32-bit numbers, all arithmetic modulo 2^32:
//
//	k = y·0x9E3779B1 + i·0x85EBCA77
//	x = w·0xC2B2AE3D xor k
//	x = (x xor x>>>15)·0x2C1B3C6D
//	x = (x xor x>>>13)·0x297A2D39
//	a = x xor x>>>16
//	b = (x xor k)·0x94D049BB
//	b = b xor b>>>15
//
// The hash is high·2^32 + low, where high is the sum of all a and low the sum
// of all b. An empty grid has hash 0. In JavaScript · is Math.imul, and a sum
// is (s + a) >>> 0. Words of 0 cost nothing, and a client that keeps the sums
// of its tiles need only redo those that a delta touches, as this package does.
//
// It guards against mistakes, not against somebody who looks for a collision.
const (
	hashRow    = 0x9E3779B1
	hashColumn = 0x85EBCA77
	hashWord   = 0xC2B2AE3D
	hashMix1   = 0x2C1B3C6D
	hashMix2   = 0x297A2D39
	hashMix3   = 0x94D049BB
)

// Hash returns the 64-bit hash of the live cells, which depends on their
// places and on nothing else. It costs a look at the tiles that changed since
// it was asked for last, and adding up one number a tile.
func (g *Grid) Hash() uint64 {
	b := g.now
	for i, tiles := range g.stale[b] {
		for ; tiles != 0; tiles &= tiles - 1 {
			t := i<<6 + bits.TrailingZeros64(tiles)
			j := hashJob{t: &g.tiles[b][t], key: tileKey(t%g.shape.tw, t/g.shape.tw)}
			h := j.run(g.kernel)
			g.hashSum[b] = addHash(g.hashSum[b], subHash(h, g.hashes[b][t]))
			g.hashes[b][t] = h
		}
		g.stale[b][i] = 0
	}
	return g.hashSum[b]
}

// tileKey is the key of the first word of tile (tx, ty).
func tileKey(tx, ty int) uint32 {
	return uint32(ty*tileSide)*hashRow + uint32(2*tx)*hashColumn
}

// hashJob is one call of the hash kernel. The assembly reads it by offset.
type hashJob struct {
	t         *tile
	key       uint32 // of the first word
	high, low uint32 // out
}

// run returns the sums over the tile, high and low in one uint64.
func (j *hashJob) run(k Kernel) uint64 {
	if k == KernelAVX512 {
		hashAVX512(j)
	} else {
		hashGo(j)
	}
	return uint64(j.high)<<32 | uint64(j.low)
}

// hashGo is the kernel in plain Go.
func hashGo(j *hashJob) {
	for y, row := range j.t {
		if row == 0 {
			continue
		}
		key := j.key + uint32(y)*hashRow
		if w := uint32(row); w != 0 {
			a, b := hashBits(w, key)
			j.high, j.low = j.high+a, j.low+b
		}
		if w := uint32(row >> 32); w != 0 {
			a, b := hashBits(w, key+hashColumn)
			j.high, j.low = j.high+a, j.low+b
		}
	}
}

// hashBits returns the pair of one word w at key k.
func hashBits(w, k uint32) (a, b uint32) {
	x := w*hashWord ^ k
	x = (x ^ x>>15) * hashMix1
	x = (x ^ x>>13) * hashMix2
	b = (x ^ k) * hashMix3
	return x ^ x>>16, b ^ b>>15
}

// addHash and subHash work on both halves apart.
func addHash(a, b uint64) uint64 {
	return uint64(uint32(a>>32)+uint32(b>>32))<<32 | uint64(uint32(a)+uint32(b))
}

func subHash(a, b uint64) uint64 {
	return uint64(uint32(a>>32)-uint32(b>>32))<<32 | uint64(uint32(a)-uint32(b))
}
