package nats

import (
	"errors"
	"sync"
	"time"

	"gosper/broker"
)

// tellers is how many changed records are read at once for the watchers.
const tellers = 32

// teller hands changes to the watchers. A change waits by its key alone, and the value is read when its turn comes, so
// watchers that are slow cost no memory for values.
type teller struct {
	store *Store
	wake  chan struct{}

	mu      sync.Mutex
	queue   []string          // guarded by mu: keys in the order of their first change that waits
	changes map[string]news   // guarded by mu: the newest change of each
	told    map[string]uint64 // owned by run: revisions that were told before their change came
}

// news is what the index says about a key.
type news struct {
	seq  uint64
	gone bool
}

func (t *teller) init(s *Store) {
	t.store, t.wake = s, make(chan struct{}, 1)
	t.changes, t.told = make(map[string]news), make(map[string]uint64)
}

// changed takes note of a change. It is called in the order of the stream.
func (s *Store) changed(key string, seq uint64, gone bool) {
	if !s.watchers.Wants(key) {
		return
	}
	t := &s.teller
	t.mu.Lock()
	if _, waits := t.changes[key]; !waits {
		t.queue = append(t.queue, key)
	}
	t.changes[key] = news{seq, gone}
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// run tells until the state is closed.
func (t *teller) run() {
	for {
		select {
		case <-t.store.life.Done():
			return
		case <-t.wake:
		}
		for {
			names, changes := t.take()
			if len(names) == 0 || t.store.life.Err() != nil {
				break
			}
			t.tell(names, changes)
		}
	}
}

// take returns the next changes.
func (t *teller) take() (names []string, changes []news) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(t.queue), tellers)
	names = append(names, t.queue[:n]...)
	rest := copy(t.queue, t.queue[n:])
	clear(t.queue[rest:])
	t.queue = t.queue[:rest]
	for _, key := range names {
		changes = append(changes, t.changes[key])
		delete(t.changes, key)
	}
	return names, changes
}

// tell reads the changed records at once, and tells them in turn.
func (t *teller) tell(names []string, changes []news) {
	records := make([]broker.Record, len(names))
	var reads sync.WaitGroup
	for i, key := range names {
		records[i].Key = key
		if changes[i].gone || changes[i].seq <= t.told[key] {
			continue
		}
		reads.Go(func() { records[i] = t.read(key, changes[i].seq) })
	}
	reads.Wait()
	for i, r := range records {
		if t.fresh(r, changes[i]) {
			t.store.watchers.Tell(r)
		}
	}
}

// fresh reports whether a change is news: it may have been read, and told, with one before it.
func (t *teller) fresh(r broker.Record, c news) bool {
	before := t.told[r.Key]
	if before <= c.seq {
		delete(t.told, r.Key)
	}
	if before >= c.seq {
		return false
	}
	if r.Revision > c.seq {
		t.told[r.Key] = r.Revision
	}
	return c.gone || r.Revision > 0 // else it is deleted again, and the next change says so
}

// read reads a record that was changed at seq; while the servers are away it tries again. A record that is gone has
// revision 0, and so has one of which the index has another change meanwhile. The leader may be behind the replica that the index
// follows, so an older record, or none, is no answer before the leader has seq; for good it is older when the servers have lost seq.
func (t *teller) read(key string, seq uint64) broker.Record {
	end := time.Now().Add(callWait)
	for there := false; ; {
		r, err := t.store.get(t.store.life, key)
		switch {
		case t.store.life.Err() != nil, errors.Is(err, broker.ErrNotFound) && there:
			return broker.Record{Key: key}
		case err == nil && (r.Revision >= seq || there && time.Now().After(end)):
			return r
		case !t.store.index.at(key, seq):
			return broker.Record{Key: key}
		}
		last, err := t.store.vault.lastSeq(t.store.life)
		there = err == nil && last >= seq
		select {
		case <-t.store.life.Done():
		case <-time.After(behindWait):
		}
	}
}
