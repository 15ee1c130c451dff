package memory

import (
	"context"
	"fmt"
	"sync"

	"gosper/broker"
	"gosper/broker/keys"
)

// Store is a broker.Store in memory. Watch functions are called by the writer, before its write returns.
type Store struct {
	keys.Single

	mu       sync.RWMutex
	records  map[string]broker.Record // guarded by mu
	order    keys.Ordered             // guarded by mu
	revision uint64                   // guarded by mu: the newest given to any key
	changes  []broker.Record          // guarded by mu: changes nobody was told yet
	telling  bool                     // guarded by mu: a writer is telling
	closed   bool                     // guarded by mu
	watchers keys.Watchers
}

var _ broker.Store = (*Store)(nil)

// NewStore returns an empty store.
func NewStore() *Store {
	s := &Store{records: make(map[string]broker.Record)}
	s.Single = keys.SingleOf(s.Commit)
	return s
}

// Get implements broker.Store.
func (s *Store) Get(ctx context.Context, key string) (broker.Record, error) {
	if err := ctx.Err(); err != nil {
		return broker.Record{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return broker.Record{}, broker.ErrClosed
	}
	r, ok := s.records[key]
	if !ok {
		return broker.Record{}, fmt.Errorf("%w: key %q", broker.ErrNotFound, key)
	}
	r.Value = clone(r.Value)
	return r, nil
}

// Commit implements broker.Store.
func (s *Store) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := keys.CheckOps(ops); err != nil {
		return nil, err
	}
	revisions, err := s.commit(ops)
	s.tell()
	return revisions, err
}

func (s *Store) commit(ops []broker.Op) ([]uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, broker.ErrClosed
	}
	for _, op := range ops {
		if err := keys.Condition(op, s.records[op.Key].Revision); err != nil {
			return nil, err
		}
	}
	watched := s.watchers.Any()
	revisions := make([]uint64, len(ops))
	for i, op := range ops {
		_, existed := s.records[op.Key]
		r := s.apply(op)
		revisions[i] = r.Revision
		if watched && (existed || op.Value != nil) {
			s.changes = append(s.changes, r)
		}
	}
	return revisions, nil
}

// apply writes op and returns the change. Caller holds mu.
func (s *Store) apply(op broker.Op) broker.Record {
	if op.Value == nil {
		delete(s.records, op.Key)
		s.order.Remove(op.Key)
		return broker.Record{Key: op.Key}
	}
	s.revision++
	r := broker.Record{Key: op.Key, Value: clone(op.Value), Revision: s.revision}
	s.records[op.Key] = r
	s.order.Add(op.Key)
	return r
}

// tell hands the queued changes to the watchers, in order and without the lock: a watch function may write, its change
// is then told by the writer who is at it.
func (s *Store) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.telling {
		return
	}
	s.telling = true
	for len(s.changes) > 0 {
		batch := s.changes
		s.changes = nil
		s.mu.Unlock()
		for _, change := range batch {
			s.watchers.Tell(change)
		}
		s.mu.Lock()
	}
	s.telling = false
}

// List implements broker.Store.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]broker.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, broker.ErrClosed
	}
	var found []broker.Record
	s.order.Prefix(prefix, after, func(key string) bool {
		if len(found) >= limit {
			return false
		}
		r := s.records[key]
		r.Value = clone(r.Value)
		found = append(found, r)
		return true
	})
	return found, nil
}

// Watch implements broker.Store. It returns at once.
func (s *Store) Watch(ctx context.Context, prefix string, fn func(broker.Record)) error {
	return s.watchers.Watch(ctx, prefix, fn)
}

// Close implements broker.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}
