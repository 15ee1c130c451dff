package pebble

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"gosper/broker"
	"gosper/broker/keys"
)

// revisionBlock is how many revisions are reserved on disk at once. A restart skips the rest of a block, so a revision
// is never given twice, not even to a key that was deleted.
const revisionBlock = 1 << 16

// Store is the broker.Store of a DB.
type Store struct {
	keys.Single

	db       *DB
	watchers keys.Watchers

	// owned by the committer
	revision uint64 // the newest given
	reserved uint64 // revisions below it may be given without writing
}

var _ broker.Store = (*Store)(nil)

// Get implements broker.Store.
func (s *Store) Get(ctx context.Context, key string) (broker.Record, error) {
	if err := ctx.Err(); err != nil {
		return broker.Record{}, err
	}
	snap := s.db.view.acquire()
	if snap == nil {
		return broker.Record{}, broker.ErrClosed
	}
	defer snap.release()
	value, closer, err := snap.Get(in(spaceRecord, key))
	if errors.Is(err, pebble.ErrNotFound) {
		return broker.Record{}, fmt.Errorf("%w: key %q", broker.ErrNotFound, key)
	}
	if err != nil {
		return broker.Record{}, fmt.Errorf("read %q: %w", key, err)
	}
	defer closer.Close()
	return record(key, value)
}

// record parses the value of r|key into the caller's own copy.
func record(key string, value []byte) (broker.Record, error) {
	if len(value) < 8 {
		return broker.Record{}, damaged("record", in(spaceRecord, key))
	}
	revision, err := parseNumber(value[:8])
	return broker.Record{Key: key, Value: append([]byte{}, value[8:]...), Revision: revision}, err
}

// Commit implements broker.Store. The values are copied before it returns.
func (s *Store) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	if err := keys.CheckOps(ops); err != nil {
		return nil, err
	}
	w := &storeWrite{call: newCall(), ops: slices.Clone(ops)}
	for i := range w.ops {
		w.ops[i].Value = slices.Clone(ops[i].Value)
	}
	if err := s.db.committer.do(ctx, w, &w.call); err != nil {
		return nil, err
	}
	return w.revisions, nil
}

// storeWrite is a Commit on its way.
type storeWrite struct {
	call
	ops       []broker.Op
	revisions []uint64
}

func (w *storeWrite) size() (bytes int, frees bool) {
	frees = true
	for _, op := range w.ops {
		bytes += len(op.Key) + len(op.Value) + 16
		frees = frees && op.Value == nil
	}
	return bytes, frees
}

// stage checks all conditions first, then writes.
func (w *storeWrite) stage(t *tx) error {
	existed := make([]bool, len(w.ops))
	for i, op := range w.ops {
		if op.Revision == broker.AnyRevision && op.Value != nil {
			continue // whatever was there: it need not be looked for
		}
		revision, err := t.revision(op.Key)
		if err == nil {
			err = keys.Condition(op, revision)
		}
		if err != nil {
			return err
		}
		existed[i] = revision != 0
	}
	watched := t.db.store.watchers.Any()
	w.revisions = make([]uint64, len(w.ops))
	for i, op := range w.ops {
		if op.Value == nil && !existed[i] {
			continue
		}
		w.revisions[i] = t.put(op)
		if watched {
			t.changes = append(t.changes, broker.Record{Key: op.Key, Value: op.Value, Revision: w.revisions[i]})
		}
	}
	return nil
}

// put stages one op and returns the key's new revision, 0 for a delete.
func (t *tx) put(op broker.Op) uint64 {
	t.sync = true
	key := in(spaceRecord, op.Key)
	if op.Value == nil {
		t.records[op.Key] = 0
		t.remove(key)
		return 0
	}
	revision := t.nextRevision()
	t.records[op.Key] = revision
	t.set(key, append(number(revision), op.Value...))
	return revision
}

func (t *tx) nextRevision() uint64 {
	s := t.db.store
	if s.revision+1 >= s.reserved {
		s.reserved = s.revision + 1 + revisionBlock
		t.set(metaRevision, number(s.reserved))
	}
	s.revision++
	return s.revision
}

func (w *storeWrite) apply(*tx) { w.answer(nil) }

// List implements broker.Store.
func (s *Store) List(ctx context.Context, prefix, from string, limit int) ([]broker.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	snap := s.db.view.acquire()
	if snap == nil {
		return nil, broker.ErrClosed
	}
	defer snap.release()
	lower, upper := in(spaceRecord, prefix), after(in(spaceRecord, prefix))
	if from >= prefix && from != "" {
		lower = append(in(spaceRecord, from), 0)
	}
	it, err := snap.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", prefix, err)
	}
	defer it.Close()
	var found []broker.Record
	for ok := it.First(); ok && len(found) < limit; ok = it.Next() {
		r, err := record(string(it.Key()[1:]), it.Value())
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("list %q: %w", prefix, err)
	}
	return found, nil
}

// Watch implements broker.Store. It returns at once; fn runs on the courier, after the write is durable.
func (s *Store) Watch(ctx context.Context, prefix string, fn func(broker.Record)) error {
	return s.watchers.Watch(ctx, prefix, fn)
}

// Close does nothing: the store ends with its DB.
func (s *Store) Close() error { return nil }
