package keys

import (
	"container/heap"
	"time"
)

// Item is a value that ends. Values are never changed in place, only replaced.
type Item[V any] struct {
	Value   V
	Expires time.Time // with monotonic clock when it was set in this process, so that wall clock jumps do not end it
}

// State is where rules read and write: a Table, or an engine's view of one.
type State[V any] interface {
	Get(key string, now time.Time) (Item[V], bool) // false also when it has expired
	Set(key string, it Item[V])
	Delete(key string)
}

// Table is a map of items in key order that knows which ends next. The zero value is ready. It is not safe for
// concurrent use.
type Table[V any] struct {
	items map[string]*slot[V]
	order Ordered
	ends  expiry[V]
}

// slot is an item with its place in the heap.
type slot[V any] struct {
	Item[V]
	key   string
	index int
}

// Get implements State.
func (t *Table[V]) Get(key string, now time.Time) (Item[V], bool) {
	s := t.items[key]
	if s == nil || !now.Before(s.Expires) {
		return Item[V]{}, false
	}
	return s.Item, true
}

// Set implements State.
func (t *Table[V]) Set(key string, it Item[V]) {
	if s := t.items[key]; s != nil {
		s.Item = it
		heap.Fix(&t.ends, s.index)
		return
	}
	if t.items == nil {
		t.items = make(map[string]*slot[V])
	}
	s := &slot[V]{Item: it, key: key}
	t.items[key] = s
	t.order.Add(key)
	heap.Push(&t.ends, s)
}

// Delete implements State.
func (t *Table[V]) Delete(key string) {
	s := t.items[key]
	if s == nil {
		return
	}
	heap.Remove(&t.ends, s.index)
	delete(t.items, key)
	t.order.Remove(key)
}

// Len returns the number of items, expired ones that were not collected yet included.
func (t *Table[V]) Len() int { return len(t.items) }

// List calls fn for the live items with the prefix, in order, until it returns false.
func (t *Table[V]) List(prefix string, now time.Time, fn func(key string, it Item[V]) bool) {
	t.order.Prefix(prefix, "", func(key string) bool {
		it, ok := t.Get(key, now)
		return !ok || fn(key, it)
	})
}

// Next returns the end of the item that ends first; false when the table is empty.
func (t *Table[V]) Next() (time.Time, bool) {
	if len(t.ends) == 0 {
		return time.Time{}, false
	}
	return t.ends[0].Expires, true
}

// Expired appends the keys that ended by now to dst, at most limit of them, without removing them, and returns dst. They
// come in no order.
func (t *Table[V]) Expired(now time.Time, limit int, dst []string) []string {
	// The heap's expired items form a subtree at its root: visit it and nothing else.
	stack := []int{0}
	for len(stack) > 0 && len(dst) < limit {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if i >= len(t.ends) || now.Before(t.ends[i].Expires) {
			continue
		}
		dst = append(dst, t.ends[i].key)
		stack = append(stack, 2*i+1, 2*i+2)
	}
	return dst
}

// expiry is a heap of slots by their end.
type expiry[V any] []*slot[V]

func (e expiry[V]) Len() int           { return len(e) }
func (e expiry[V]) Less(i, j int) bool { return e[i].Expires.Before(e[j].Expires) }
func (e expiry[V]) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].index, e[j].index = i, j
}

func (e *expiry[V]) Push(x any) {
	s := x.(*slot[V])
	s.index = len(*e)
	*e = append(*e, s)
}

func (e *expiry[V]) Pop() any {
	last := len(*e) - 1
	s := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	return s
}
