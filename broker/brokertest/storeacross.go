package brokertest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"gosper/broker"
)

// RunStoreAcross checks that two handles of one engine, as two nodes have them, are one store: the whole of RunStore with
// calls that go to one and the other in turn, so that each reads what the other wrote, and what only two can do.
func RunStoreAcross(t *testing.T, open func(t *testing.T) (a, b broker.Store)) {
	RunStore(t, func(t *testing.T) broker.Store {
		a, b := open(t)
		return &turns{both: [2]broker.Store{a, b}}
	})
	t.Run("WatchOther", func(t *testing.T) {
		a, b := open(t)
		storeWatch(t, watchAt{a, b}, unique("s"))
	})
	t.Run("ListOther", func(t *testing.T) {
		a, b := open(t)
		storeListOther(t, a, b, unique("s"))
	})
}

// turns is a Store whose calls go to two others in turn.
type turns struct {
	both [2]broker.Store
	n    atomic.Uint64
}

func (s *turns) one() broker.Store { return s.both[s.n.Add(1)%2] }

func (s *turns) Get(ctx context.Context, key string) (broker.Record, error) {
	return s.one().Get(ctx, key)
}

func (s *turns) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	return s.one().Put(ctx, key, value)
}

func (s *turns) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	return s.one().Create(ctx, key, value)
}

func (s *turns) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return s.one().Update(ctx, key, value, revision)
}

func (s *turns) Delete(ctx context.Context, key string, revision uint64) error {
	return s.one().Delete(ctx, key, revision)
}

func (s *turns) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	return s.one().Commit(ctx, ops...)
}

func (s *turns) List(ctx context.Context, prefix, after string, limit int) ([]broker.Record, error) {
	return s.one().List(ctx, prefix, after, limit)
}

func (s *turns) Watch(ctx context.Context, prefix string, fn func(broker.Record)) error {
	return s.one().Watch(ctx, prefix, fn)
}

func (s *turns) Close() error { return errors.Join(s.both[0].Close(), s.both[1].Close()) }

// watchAt writes to one Store and watches another.
type watchAt struct {
	broker.Store
	at broker.Store
}

func (w watchAt) Watch(ctx context.Context, prefix string, fn func(broker.Record)) error {
	return w.at.Watch(ctx, prefix, fn)
}

// storeListOther checks that a List at one handle shows every write that the other one has answered, at once.
func storeListOther(t *testing.T, a, b broker.Store, key string) {
	ctx := within(t)
	for i := range 50 {
		name := fmt.Sprintf("%s/%02d", key, i)
		revision, err := a.Put(ctx, name, strconv.AppendInt(nil, int64(i), 10))
		must(t, err)
		found, err := b.List(ctx, key+"/", "", 100)
		must(t, err)
		last := found[len(found)-1]
		if len(found) != min(i, 1)+1 || last.Key != name || last.Revision != revision {
			t.Fatalf("after %s in revision %d the other lists %d records, the last %q in revision %d", name, revision, len(found), last.Key, last.Revision)
		}
		if i > 0 {
			must(t, a.Delete(ctx, found[0].Key, found[0].Revision))
		}
	}
}
