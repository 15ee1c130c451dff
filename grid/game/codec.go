package game

import (
	"encoding/binary"
	"errors"
)

// Logs and snapshots are made of varints (7 bits a byte, low bits first; signed ones in zigzag) and of bytes behind their
// length. errCorrupt is what reading them fails with.
var errCorrupt = errors.New("corrupt log or snapshot of a game")

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// reader takes values off bytes. After the first mistake all values are zero and err is set.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() {
	r.err = errCorrupt
	r.b = nil
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// upTo reads a number of at most most.
func (r *reader) upTo(most uint64) uint64 {
	v := r.uint()
	if v > most {
		r.fail()
		return 0
	}
	return v
}

func (r *reader) int32() int32 {
	v, n := binary.Varint(r.b)
	if n <= 0 || v != int64(int32(v)) {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return int32(v)
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) bool() bool { return r.byte() != 0 }

// appendKeep writes how a game is kept: bit 0 that it is persistent, bit 1 that its durability is relaxed.
func appendKeep(dst []byte, persistent, relaxed bool) []byte {
	var b byte
	if persistent {
		b = 1
	}
	if relaxed {
		b |= 2
	}
	return append(dst, b)
}

func (r *reader) keep() (persistent, relaxed bool) {
	b := r.byte()
	return b&1 != 0, b&2 != 0
}

// bytes reads bytes behind their length; they alias the input.
func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	part := r.b[:n]
	r.b = r.b[n:]
	return part
}

func (r *reader) text() string { return string(r.bytes()) }

// count reads a number of things of which each takes at least a byte, so that memory follows the input.
func (r *reader) count() int { return int(r.upTo(uint64(len(r.b)))) }
