package grid

import (
	"encoding/binary"
	"math/bits"
)

// packJob is one call of the kernel that writes a tile's content in masks (see
// delta.go). The assembly reads it by offset.
type packJob struct {
	a, b *tile // the content is a xor b
	dst  *[packSpace]byte
	n    int // out: bytes of content, up to packMost
}

const (
	// packMost is the longest content in masks.
	packMost = 8 + tileSide + rawContent
	// packSpace leaves room for a whole vector behind the last byte.
	packSpace = packMost + 64
)

// run writes the content and returns its length.
func (j *packJob) run(k Kernel) int {
	if k == KernelAVX512 {
		packAVX512(j)
	} else {
		packGo(j)
	}
	return j.n
}

// packGo is the kernel in plain Go. Every byte is written, and the place of the
// next one moves on where it was not 0: a branch would be guessed wrong.
func packGo(j *packJob) {
	out := j.dst
	var rows uint64
	n := 8
	for y, row := range j.a {
		mask := byteMask(row ^ j.b[y])
		out[n] = mask
		if mask != 0 {
			rows |= 1 << y
			n++
		}
	}
	binary.LittleEndian.PutUint64(out[:], rows)
	for ; rows != 0; rows &= rows - 1 {
		y := bits.TrailingZeros64(rows)
		for w, i := j.a[y]^j.b[y], 0; i < 8; i++ {
			b := w >> (8 * i) & 0xff
			out[n] = byte(b)
			n += int((b + 0xff) >> 8)
		}
	}
	j.n = n
}

// byteMask has bit i set when byte i of w is not 0.
func byteMask(w uint64) byte {
	const low, high = 0x7f7f7f7f7f7f7f7f, 0x8080808080808080
	set := ((w&low + low) | w) & high
	return byte(set >> 7 * 0x0102040810204080 >> 56)
}
