// Package keys is what the engines share about keys: an ordered set, tables whose entries expire, the rules of the
// Registry written once, and the watchers of a Store.
package keys

import (
	"slices"
	"sort"
	"strings"
)

// maxChunk is the most keys a chunk holds: small enough that an insert moves a few KiB at most, large enough that a
// million keys need only a few thousand chunks.
const maxChunk = 512

// Ordered is a set of strings in byte order: sorted chunks of at most maxChunk keys. A search is two binary searches;
// an insert moves part of one chunk. The zero value is empty. It is not safe for concurrent use.
type Ordered struct {
	chunks [][]string // none empty
	count  int
}

// Len returns the number of keys.
func (o *Ordered) Len() int { return o.count }

// Add enters key; false when it was there.
func (o *Ordered) Add(key string) bool {
	c := o.chunk(key)
	if c == len(o.chunks) {
		if c == 0 {
			o.chunks = append(o.chunks, []string{key})
			o.count++
			return true
		}
		c-- // above the last key of all: the last chunk takes it
	}
	i, found := slices.BinarySearch(o.chunks[c], key)
	if found {
		return false
	}
	o.chunks[c] = slices.Insert(o.chunks[c], i, key)
	o.count++
	if len(o.chunks[c]) > maxChunk {
		o.split(c)
	}
	return true
}

// Remove takes key out; false when it was not there.
func (o *Ordered) Remove(key string) bool {
	c := o.chunk(key)
	if c == len(o.chunks) {
		return false
	}
	i, found := slices.BinarySearch(o.chunks[c], key)
	if !found {
		return false
	}
	o.chunks[c] = slices.Delete(o.chunks[c], i, i+1)
	o.count--
	if len(o.chunks[c]) == 0 {
		o.chunks = slices.Delete(o.chunks, c, c+1)
	}
	return true
}

// Prefix calls fn for the keys that start with prefix and sort after `after`, in order, until it returns false. fn must
// not change the set.
func (o *Ordered) Prefix(prefix, after string, fn func(key string) bool) {
	from := max(prefix, after)
	for c := o.chunk(from); c < len(o.chunks); c++ {
		chunk := o.chunks[c]
		i, _ := slices.BinarySearch(chunk, from)
		for _, key := range chunk[i:] {
			if !strings.HasPrefix(key, prefix) {
				return
			}
			if (key > after || after == "") && !fn(key) {
				return
			}
		}
	}
}

// chunk returns the index of the first chunk whose last key is not below key.
func (o *Ordered) chunk(key string) int {
	return sort.Search(len(o.chunks), func(i int) bool {
		c := o.chunks[i]
		return c[len(c)-1] >= key
	})
}

// split halves chunk c. The halves get arrays of their own, so that growing one does not write into the other.
func (o *Ordered) split(c int) {
	old := o.chunks[c]
	half := len(old) / 2
	right := append(make([]string, 0, maxChunk+1), old[half:]...)
	clear(old[half:])
	o.chunks[c] = old[:half:half]
	o.chunks = slices.Insert(o.chunks, c+1, right)
}
