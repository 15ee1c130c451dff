package nats

import (
	"sync"

	"gosper/broker/keys"
)

// about is what a node remembers of a record.
type about struct {
	revision uint64
	parts    uint16 // messages in front of the record's own that hold the start of its value
	round    uint16 // of the index, when the record was met last
}

// index is the list of all keys with their revisions. Every node keeps it in memory, so that List is no scan of the
// servers: about 120 bytes for a key of 40.
type index struct {
	changed func(key string, seq uint64, gone bool) // called with mu held, in the order of the stream; must not block
	shrunk  chan struct{}                           // told when a record has fewer parts than it had

	mu       sync.Mutex
	order    keys.Ordered         // guarded by mu
	records  map[string]about     // guarded by mu
	seen     uint64               // guarded by mu: the index says what the stream said then
	reading  bool                 // guarded by mu: all is being read again, so the index says nothing yet
	round    uint16               // guarded by mu: grows when all is read again
	progress uint64               // guarded by mu: messages taken so far
	waiting  map[*waiter]struct{} // guarded by mu
}

// waiter waits until the index has seen a sequence.
type waiter struct {
	seq  uint64
	done chan struct{}
}

func newIndex(changed func(string, uint64, bool)) *index {
	return &index{changed: changed, shrunk: make(chan struct{}, 1), records: make(map[string]about), reading: true, waiting: make(map[*waiter]struct{})}
}

// posting is a message of the stream.
type posting struct {
	key string
	seq uint64
	mark
}

// take enters the messages of one commit, at once.
func (x *index) take(commit []posting) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range commit {
		x.enter(e.key, e.seq, e.mark)
	}
	x.progress += uint64(len(commit))
	x.advance(commit[len(commit)-1].seq)
}

// enter takes a message. Caller holds mu.
func (x *index) enter(key string, seq uint64, m mark) {
	old, was := x.records[key]
	if old.parts > m.parts {
		select {
		case x.shrunk <- struct{}{}:
		default:
		}
	}
	switch {
	case m.deleted && was:
		x.remove(key, seq)
	case !m.deleted:
		x.records[key] = about{seq, m.parts, x.round}
		if !was {
			x.order.Add(key)
		}
		if old.revision != seq {
			x.changed(key, seq, false)
		}
	}
}

// remove takes a key out. Caller holds mu.
func (x *index) remove(key string, seq uint64) {
	delete(x.records, key)
	x.order.Remove(key)
	x.changed(key, seq, true)
}

// advance takes note that the index has all up to seq, and tells those who wait. Caller holds mu.
func (x *index) advance(seq uint64) {
	x.seen = max(x.seen, seq)
	if x.reading {
		return
	}
	for w := range x.waiting {
		if w.seq <= x.seen {
			close(w.done)
			delete(x.waiting, w)
		}
	}
}

// restart begins to read all again: records that are not met until finish are gone.
func (x *index) restart() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seen, x.reading = 0, true
	x.round++
}

// finish ends what restart began.
func (x *index) finish() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.reading {
		return
	}
	for key, a := range x.records {
		if a.round != x.round {
			x.remove(key, a.revision)
		}
	}
	x.reading = false
	x.advance(x.seen)
}

// has takes note that nothing is missing up to seq; from is what the index had seen when that was found out.
func (x *index) has(seq, from uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.seen >= from { // else all is being read again
		x.advance(seq)
	}
}

// state returns how far the index is; it is no use while it is being read.
func (x *index) state() (seen, progress uint64, reading bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.seen, x.progress, x.reading
}

// wait returns a channel that closes when the index has seen seq, and a function for whoever no longer waits.
func (x *index) wait(seq uint64) (<-chan struct{}, func()) {
	w := &waiter{seq, make(chan struct{})}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.reading && x.seen >= seq {
		close(w.done)
		return w.done, func() {}
	}
	x.waiting[w] = struct{}{}
	return w.done, func() {
		x.mu.Lock()
		delete(x.waiting, w)
		x.mu.Unlock()
	}
}

// get returns what is known of a key; false when it is not known.
func (x *index) get(key string) (about, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	a, ok := x.records[key]
	return a, ok
}

// at reports whether the newest that the index knows of a key is the record of seq.
func (x *index) at(key string, seq uint64) bool {
	known, ok := x.get(key)
	return ok && known.revision == seq
}

// row is a key of the index.
type row struct {
	key string
	about
}

// list returns the keys that start with prefix and sort after `after`, at most limit, as they were at one moment.
func (x *index) list(prefix, after string, limit int) []row {
	x.mu.Lock()
	defer x.mu.Unlock()
	var rows []row
	x.order.Prefix(prefix, after, func(key string) bool {
		if len(rows) >= limit {
			return false
		}
		rows = append(rows, row{key, x.records[key]})
		return true
	})
	return rows
}
