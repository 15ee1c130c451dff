package websocket

import (
	"encoding/binary"

	"gosper/edge"
	"gosper/protocol"
)

const (
	headerSize = 2 // of a small frame of the server
	maskSize   = 4 // what a frame of a client has more
	smallFrame = 125
)

// The first eight bytes of "000000PING", as a number.
var pingHead = binary.LittleEndian.Uint64([]byte("000000PI"))

// pings answers a run of PING messages of subprotocol gosper.line.v1 at the start of b and returns its length. The answer
// is the same text with one letter changed in a header four bytes shorter, so it is written over the run itself, always
// behind the place that is read. Anything odd ends the run and is left to the common way.
//
// REQUIRES: no message is in fragments.
func pings(s *edge.Session, b []byte, most int) (n int) {
	w, count := 0, 0
	for {
		size := pingFrame(b[n:], most)
		if size == 0 {
			break
		}
		w += pong(b[w:], b[n:], size)
		n += size
		count++
	}
	if count == 0 {
		return 0
	}
	s.Count(edge.Frame(protocol.CmdPing), count)
	out := s.Buffer()
	if n == len(b) && len(*out) == 0 {
		s.Send(b[:w])
	} else {
		*out = append(*out, b[:w]...)
	}
	return n
}

// pingFrame returns the length of the frame at the start of b if it is whole, small and a PING of printable ASCII with
// at most most bytes, else 0. It changes nothing.
func pingFrame(b []byte, most int) int {
	const head = headerSize + maskSize
	if len(b) < head+protocol.CommandSize || b[0] != 0x81 || b[1] < 0x80|protocol.CommandSize || b[1] > 0x80|smallFrame {
		return 0
	}
	size := int(b[1] & 0x7f)
	if size-protocol.CommandSize > most || len(b) < head+size {
		return 0
	}
	mask := uint64(binary.LittleEndian.Uint32(b[headerSize:]))
	mask |= mask << 32
	p := b[head : head+size]
	if binary.LittleEndian.Uint64(p)^mask != pingHead || p[8]^byte(mask) != 'N' || p[9]^byte(mask>>8) != 'G' {
		return 0
	}
	var odd uint64
	i := 8
	for ; len(p)-i >= 8; i += 8 {
		odd |= controlOrHigh(binary.LittleEndian.Uint64(p[i:]) ^ mask)
	}
	for ; i < len(p); i++ {
		if c := p[i] ^ byte(mask>>(8*(i&3))); c < ' ' || c >= 0x80 {
			return 0
		}
	}
	if odd != 0 {
		return 0
	}
	return head + size
}

// pong writes the answer to the PING frame of size bytes at the start of src to dst and returns its length. dst may be
// src, or lie before it in the same memory.
func pong(dst, src []byte, size int) int {
	const head = headerSize + maskSize
	mask := uint64(binary.LittleEndian.Uint32(src[headerSize:]))
	mask |= mask << 32
	from := src[head:size]
	to := dst[headerSize : headerSize+len(from)]
	dst[0], dst[1] = 0x81, byte(len(from))
	i := 0
	for ; len(from)-i >= 8; i += 8 {
		binary.LittleEndian.PutUint64(to[i:], binary.LittleEndian.Uint64(from[i:])^mask)
	}
	for ; i < len(from); i++ {
		to[i] = from[i] ^ byte(mask>>(8*(i&3)))
	}
	to[7] = 'O'
	return headerSize + len(from)
}

// controlOrHigh is not 0 if a byte of w is below ' ' or above 0x7f. It may be not 0 too often, never too seldom.
func controlOrHigh(w uint64) uint64 {
	const low, high = 0x0101010101010101, 0x8080808080808080
	return (w | (w-low*' ')&^w) & high
}
