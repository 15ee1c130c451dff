package migrate

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
)

// Sum is what one side has of a kind: two sides with equal sums have the same things in the same order.
type Sum struct {
	Count uint64 `json:"count"`  // things
	Bytes uint64 `json:"bytes"`  // of their content
	Hash  string `json:"sha256"` // over all of them, in hex
}

// summer makes a Sum. Every part of a thing goes in with its length, so that no two different sequences look alike.
type summer struct {
	h   hash.Hash
	sum Sum
	buf []byte
}

func newSummer() *summer { return &summer{h: sha256.New()} }

// text adds a part; it counts as content.
func (s *summer) text(b []byte) {
	s.number(uint64(len(b)))
	s.h.Write(b)
	s.sum.Bytes += uint64(len(b))
}

// number adds numbers.
func (s *summer) number(all ...uint64) {
	for _, n := range all {
		s.buf = binary.BigEndian.AppendUint64(s.buf[:0], n)
		s.h.Write(s.buf)
	}
}

// end counts the thing whose parts were added.
func (s *summer) end() { s.sum.Count++ }

// result returns the sum of all so far.
func (s *summer) result() Sum {
	s.sum.Hash = hex.EncodeToString(s.h.Sum(nil))
	return s.sum
}
