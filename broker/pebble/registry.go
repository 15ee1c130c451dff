package pebble

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"gosper/broker"
	"gosper/broker/keys"
	"gosper/broker/memory"
	"gosper/protocol"
)

const (
	// collectEvery is the shortest time between two collections of ended keys; readers never see one anyway.
	collectEvery = time.Second
	// maxCollect is how many ended keys one collection removes, so that it does not hold up the batch it is in.
	maxCollect = 1024
)

// Registry is the broker.Registry of a DB. Everything is in memory for reading; what is not ephemeral is on disk before
// a write is answered, so a nonce that was taken does not come back after a crash, and a lease keeps its token.
// Ephemeral prefixes (Options.Ephemeral) name keys that are worthless after a restart: they never touch the disk. So are
// keys that are ids of gate jobs, of which each names the gate whose client waits.
type Registry struct {
	db       *DB
	volatile *memory.Registry
	prefixes []string

	mu     sync.RWMutex
	keys   keys.Table[[]byte]      // guarded by mu, written by the committer only
	leases keys.Table[keys.Holder] // the same

	timer *time.Timer // owned by the committer; nil while nothing can end
}

var _ broker.Registry = (*Registry)(nil)

// ephemeral reports whether the key lives in memory only.
func (r *Registry) ephemeral(key string) bool {
	if protocol.ValidJobID(key) {
		return true
	}
	for _, p := range r.prefixes {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

// rule is one operation of the Registry on its way.
type rule struct {
	call
	bytes int
	frees bool
	run   func(*keys.Rules, time.Time) error
}

func (w *rule) size() (int, bool) { return w.bytes, w.frees }

func (w *rule) stage(t *tx) error {
	t.sync = true
	return w.run(t.rules(), t.now)
}

func (w *rule) apply(*tx) { w.answer(nil) }

// write runs a rule on the committer. The rule's results may be read after success only.
func (r *Registry) write(ctx context.Context, bytes int, run func(*keys.Rules, time.Time) error) error {
	w := &rule{call: newCall(), bytes: bytes + 32, run: run}
	return r.db.committer.do(ctx, w, &w.call)
}

// free is write for rules that make the store smaller.
func (r *Registry) free(ctx context.Context, run func(*keys.Rules, time.Time) error) error {
	w := &rule{call: newCall(), bytes: 32, frees: true, run: run}
	return r.db.committer.do(ctx, w, &w.call)
}

// Set implements broker.Registry.
func (r *Registry) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if r.ephemeral(key) {
		return r.volatile.Set(ctx, key, value, ttl)
	}
	if err := keys.Check(key, value, ttl); err != nil {
		return err
	}
	own := clone(value)
	return r.write(ctx, len(key)+len(own), func(to *keys.Rules, now time.Time) error {
		return to.Set(key, own, ttl, now)
	})
}

// Create implements broker.Registry.
func (r *Registry) Create(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if r.ephemeral(key) {
		return r.volatile.Create(ctx, key, value, ttl)
	}
	if err := keys.Check(key, value, ttl); err != nil {
		return err
	}
	own := clone(value)
	return r.write(ctx, len(key)+len(own), func(to *keys.Rules, now time.Time) error {
		return to.Create(key, own, ttl, now)
	})
}

// Get implements broker.Registry. It only reads memory.
func (r *Registry) Get(ctx context.Context, key string) ([]byte, error) {
	if r.ephemeral(key) {
		return r.volatile.Get(ctx, key)
	}
	if err := r.readable(ctx); err != nil {
		return nil, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return (&keys.Rules{Keys: &r.keys}).Get(key, time.Now())
}

// Take implements broker.Registry. The removal is durable before it returns.
func (r *Registry) Take(ctx context.Context, key string) ([]byte, error) {
	if r.ephemeral(key) {
		return r.volatile.Take(ctx, key)
	}
	var value []byte
	err := r.free(ctx, func(to *keys.Rules, now time.Time) (err error) {
		value, err = to.Take(key, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

// Touch implements broker.Registry.
func (r *Registry) Touch(ctx context.Context, key string, ttl time.Duration) error {
	if r.ephemeral(key) {
		return r.volatile.Touch(ctx, key, ttl)
	}
	if err := keys.Check(key, nil, ttl); err != nil {
		return err
	}
	return r.write(ctx, len(key), func(to *keys.Rules, now time.Time) error { return to.Touch(key, ttl, now) })
}

// Delete implements broker.Registry.
func (r *Registry) Delete(ctx context.Context, key string) error {
	if r.ephemeral(key) {
		return r.volatile.Delete(ctx, key)
	}
	return r.free(ctx, func(to *keys.Rules, _ time.Time) error {
		to.Keys.Delete(key)
		return nil
	})
}

// Count implements broker.Registry.
func (r *Registry) Count(ctx context.Context, key string, delta int64, ttl time.Duration) (int64, error) {
	if r.ephemeral(key) {
		return r.volatile.Count(ctx, key, delta, ttl)
	}
	if err := keys.Check(key, nil, ttl); err != nil {
		return 0, err
	}
	var sum int64
	err := r.write(ctx, len(key), func(to *keys.Rules, now time.Time) (err error) {
		sum, err = to.Count(key, delta, ttl, now)
		return err
	})
	if err != nil {
		return 0, err
	}
	return sum, nil
}

// List implements broker.Registry.
func (r *Registry) List(ctx context.Context, prefix string, limit int) ([]broker.Entry, error) {
	if err := r.readable(ctx); err != nil {
		return nil, err
	}
	found, err := r.volatile.List(ctx, prefix, limit)
	if err != nil || r.ephemeral(prefix) {
		return found, err
	}
	r.mu.RLock()
	durable := keys.Entries(&r.keys, prefix, limit, time.Now())
	r.mu.RUnlock()
	if len(found) == 0 {
		return durable, nil
	}
	found = append(found, durable...)
	slices.SortFunc(found, func(a, b broker.Entry) int { return strings.Compare(a.Key, b.Key) })
	return found[:min(len(found), max(limit, 0))], nil
}

// Acquire implements broker.Registry.
func (r *Registry) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (broker.Lease, error) {
	if r.ephemeral(name) {
		return r.volatile.Acquire(ctx, name, owner, ttl)
	}
	return r.lease(ctx, name, ttl, func(to *keys.Rules, now time.Time) (broker.Lease, error) {
		return to.Acquire(name, owner, ttl, now)
	})
}

// Renew implements broker.Registry.
func (r *Registry) Renew(ctx context.Context, old broker.Lease, ttl time.Duration) (broker.Lease, error) {
	if r.ephemeral(old.Name) {
		return r.volatile.Renew(ctx, old, ttl)
	}
	return r.lease(ctx, old.Name, ttl, func(to *keys.Rules, now time.Time) (broker.Lease, error) {
		return to.Renew(old, ttl, now)
	})
}

func (r *Registry) lease(ctx context.Context, name string, ttl time.Duration,
	run func(*keys.Rules, time.Time) (broker.Lease, error)) (broker.Lease, error) {
	if err := keys.Check(name, nil, ttl); err != nil {
		return broker.Lease{}, err
	}
	var l broker.Lease
	err := r.write(ctx, 2*len(name), func(to *keys.Rules, now time.Time) (err error) {
		l, err = run(to, now)
		return err
	})
	if err != nil {
		return broker.Lease{}, err
	}
	return l, nil
}

// Release implements broker.Registry.
func (r *Registry) Release(ctx context.Context, l broker.Lease) error {
	if r.ephemeral(l.Name) {
		return r.volatile.Release(ctx, l)
	}
	return r.free(ctx, func(to *keys.Rules, now time.Time) error { return to.Release(l, now) })
}

// Close does nothing: the registry ends with its DB.
func (r *Registry) Close() error { return nil }

func (r *Registry) readable(ctx context.Context) error {
	if r.db.closed.Load() {
		return broker.ErrClosed
	}
	return ctx.Err()
}

// absorb takes over what a batch changed. It is called by the committer.
func (r *Registry) absorb(k *overlay[[]byte], l *overlay[keys.Holder]) {
	if len(k.staged) == 0 && len(l.staged) == 0 {
		return
	}
	r.mu.Lock()
	k.flush()
	l.flush()
	r.mu.Unlock()
	if r.timer == nil {
		r.arm(time.Now())
	}
}

// arm sets the timer for the next end. It is called by the committer, or before it runs.
func (r *Registry) arm(now time.Time) {
	next, some := r.keys.Next()
	if lease, ok := r.leases.Next(); ok && (!some || lease.Before(next)) {
		next, some = lease, true
	}
	r.timer = nil
	if some {
		r.timer = time.AfterFunc(max(next.Sub(now), collectEvery), r.requestCollect)
	}
}

// requestCollect runs on the timer. A queue that is full or a commit that hangs only puts the collection off.
func (r *Registry) requestCollect() {
	err := r.db.committer.offer(&collect{registry: r})
	if err != nil && !r.db.closed.Load() {
		time.AfterFunc(collectEvery, r.requestCollect)
	}
}

// collect is the work that removes what has ended. It needs no fsync of its own: after a crash the keys have ended all
// the same.
type collect struct{ registry *Registry }

func (w *collect) size() (int, bool) { return 32, true }

func (w *collect) stage(t *tx) error {
	for _, key := range w.registry.keys.Expired(t.now, maxCollect, nil) {
		if _, live := t.keys.Get(key, t.now); !live {
			t.keys.Delete(key)
		}
	}
	for _, name := range w.registry.leases.Expired(t.now, maxCollect, nil) {
		if _, live := t.leases.Get(name, t.now); !live {
			t.leases.Delete(name)
		}
	}
	return nil
}

func (w *collect) apply(t *tx)  { w.registry.arm(t.now) }
func (w *collect) answer(error) {}
func (w *collect) refuse(error) { time.AfterFunc(collectEvery, w.registry.requestCollect) }

// load reads the durable keys and leases. It is called before the committer runs.
func (r *Registry) load(now time.Time) error {
	err := r.db.scan(spaceKey, func(key, value []byte) error {
		it, err := parseKey(key, value)
		if err == nil && now.Before(it.Expires) {
			r.keys.Set(string(key[1:]), it)
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.db.scan(spaceLease, func(key, value []byte) error {
		it, err := parseLease(key, value)
		if err == nil && now.Before(it.Expires) {
			r.leases.Set(string(key[1:]), it)
		}
		return err
	})
}

// scan calls fn for every key of a space, in order. key and value are only valid during the call.
func (db *DB) scan(space byte, fn func(key, value []byte) error) error {
	it, err := db.pebble.NewIter(&pebble.IterOptions{LowerBound: []byte{space}, UpperBound: []byte{space + 1}})
	if err != nil {
		return fmt.Errorf("scan %q: %w", space, err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if err := fn(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	return it.Error()
}

func clone(b []byte) []byte { return append([]byte{}, b...) }
