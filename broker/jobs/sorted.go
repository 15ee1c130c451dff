package jobs

import (
	"cmp"
	"slices"
)

// Key is a place in an order: by A, then by B. Ready jobs are ordered by priority and id, delayed ones by due time and
// id, buried ones by id.
type Key struct{ A, B uint64 }

// Compare returns -1, 0 or 1.
func (k Key) Compare(o Key) int {
	if c := cmp.Compare(k.A, o.A); c != 0 {
		return c
	}
	return cmp.Compare(k.B, o.B)
}

// Next returns the smallest key above k.
func (k Key) Next() Key {
	if k.B++; k.B == 0 {
		k.A++
	}
	return k
}

// blockMost is how many keys a block of Sorted has at most: a change moves at most 8 KiB.
const blockMost = 512

// Sorted is a set of keys in order, in blocks: adding and removing cost the same wherever the key is. The zero value is
// empty.
type Sorted struct {
	blocks [][]Key // none is empty
	count  int
	most   int // keys in a block; 0: blockMost
}

// Len returns the number of keys.
func (s *Sorted) Len() int { return s.count }

// block returns the index of the block in which k is or belongs.
func (s *Sorted) block(k Key) int {
	i, found := slices.BinarySearchFunc(s.blocks, k, func(b []Key, k Key) int { return b[0].Compare(k) })
	if !found && i > 0 {
		i--
	}
	return i
}

// Add puts k in; a key that is there stays.
func (s *Sorted) Add(k Key) {
	if len(s.blocks) == 0 {
		s.blocks, s.count = append(s.blocks, []Key{k}), 1
		return
	}
	i := s.block(k)
	b := s.blocks[i]
	at, found := slices.BinarySearchFunc(b, k, Key.Compare)
	if found {
		return
	}
	s.count++
	most := s.most
	if most == 0 {
		most = blockMost
	}
	if len(b) < most {
		s.blocks[i] = slices.Insert(b, at, k)
		return
	}
	// Keys often come in order: a full block at the end is left full.
	half := most / 2
	if i == len(s.blocks)-1 && at == len(b) {
		half = most
	}
	right := append(make([]Key, 0, most), b[half:]...)
	s.blocks[i] = b[:half]
	s.blocks = slices.Insert(s.blocks, i+1, right)
	if at >= half {
		s.blocks[i+1] = slices.Insert(right, at-half, k)
	} else {
		s.blocks[i] = slices.Insert(s.blocks[i], at, k)
	}
}

// Remove takes k out and reports whether it was there.
func (s *Sorted) Remove(k Key) bool {
	if s.count == 0 {
		return false
	}
	i := s.block(k)
	at, found := slices.BinarySearchFunc(s.blocks[i], k, Key.Compare)
	if !found {
		return false
	}
	s.count--
	if b := slices.Delete(s.blocks[i], at, at+1); len(b) > 0 {
		s.blocks[i] = b
	} else {
		s.blocks = slices.Delete(s.blocks, i, i+1)
	}
	return true
}

// First returns the smallest key.
func (s *Sorted) First() (Key, bool) {
	if s.count == 0 {
		return Key{}, false
	}
	return s.blocks[0][0], true
}

// Each calls fn for every key from `from` on, in order, until it returns false.
func (s *Sorted) Each(from Key, fn func(Key) bool) {
	if s.count == 0 {
		return
	}
	for _, b := range s.blocks[s.block(from):] {
		for _, k := range b {
			if k.Compare(from) >= 0 && !fn(k) {
				return
			}
		}
	}
}

// cutTail drops the last block, if it is not the only one, and returns its first key.
func (s *Sorted) cutTail() (Key, bool) {
	last := len(s.blocks) - 1
	if last <= 0 {
		return Key{}, false
	}
	first := s.blocks[last][0]
	s.count -= len(s.blocks[last])
	s.blocks[last] = nil
	s.blocks = s.blocks[:last]
	return first, true
}

// Last returns the largest key. REQUIRES: there is one.
func (s *Sorted) Last() Key {
	b := s.blocks[len(s.blocks)-1]
	return b[len(b)-1]
}
