package protocol

import (
	"encoding/binary"
	"math/bits"
)

// Mask applies mask to b in place; b[0] meets mask[0]. Masking and unmasking are the same (RFC 6455, section 5.3).
func Mask(b []byte, mask [4]byte) { maskAll(b, binary.LittleEndian.Uint32(mask[:])) }

// maskAll is Mask for a mask read as a little-endian word. It returns a word whose high bits (of each byte) are 0 when
// every byte of the result is ASCII: text that is all ASCII need not be looked at again.
func maskAll(b []byte, mask uint32) (seen uint64) {
	key := uint64(mask) | uint64(mask)<<32
	for len(b) >= 32 {
		p := b[:32:32]
		w0 := binary.LittleEndian.Uint64(p) ^ key
		w1 := binary.LittleEndian.Uint64(p[8:]) ^ key
		w2 := binary.LittleEndian.Uint64(p[16:]) ^ key
		w3 := binary.LittleEndian.Uint64(p[24:]) ^ key
		binary.LittleEndian.PutUint64(p, w0)
		binary.LittleEndian.PutUint64(p[8:], w1)
		binary.LittleEndian.PutUint64(p[16:], w2)
		binary.LittleEndian.PutUint64(p[24:], w3)
		seen |= w0 | w1 | w2 | w3
		b = b[32:]
	}
	for len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b) ^ key
		binary.LittleEndian.PutUint64(b, w)
		seen |= w
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(mask)
		seen |= uint64(b[i])
		mask = bits.RotateLeft32(mask, -8)
	}
	return seen
}
