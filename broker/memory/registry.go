package memory

import (
	"context"
	"sync"
	"time"

	"gosper/broker"
	"gosper/broker/keys"
)

// sweepEvery is the shortest time between two collections of expired keys. Readers never see an expired key whatever
// this is; it only bounds how often the timer runs.
const sweepEvery = 100 * time.Millisecond

// Registry is a broker.Registry in memory. One lock serialises all calls, one timer collects what has ended.
type Registry struct {
	mu     sync.Mutex
	keys   keys.Table[[]byte]
	leases keys.Table[keys.Holder]
	token  uint64
	timer  *time.Timer // nil while nothing can end
	closed bool
}

var _ broker.Registry = (*Registry)(nil)

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return new(Registry) }

// write runs rule under the lock and arms the timer for what it may have set.
func (r *Registry) write(ctx context.Context, rule func(*keys.Rules, time.Time) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return broker.ErrClosed
	}
	now := time.Now()
	err := rule(&keys.Rules{Keys: &r.keys, Leases: &r.leases, Token: r.nextToken}, now)
	if r.timer == nil {
		r.arm(now)
	}
	return err
}

func (r *Registry) nextToken() uint64 {
	r.token++
	return r.token
}

// arm sets the timer for the next end. Caller holds mu.
func (r *Registry) arm(now time.Time) {
	next, any := r.keys.Next()
	if lease, ok := r.leases.Next(); ok && (!any || lease.Before(next)) {
		next, any = lease, true
	}
	r.timer = nil
	if any {
		r.timer = time.AfterFunc(max(next.Sub(now), sweepEvery), r.sweep)
	}
}

// sweep removes what has ended.
func (r *Registry) sweep() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	now := time.Now()
	for _, key := range r.keys.Expired(now, r.keys.Len(), nil) {
		r.keys.Delete(key)
	}
	for _, name := range r.leases.Expired(now, r.leases.Len(), nil) {
		r.leases.Delete(name)
	}
	r.arm(now)
}

// Set implements broker.Registry.
func (r *Registry) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := keys.Check(key, value, ttl); err != nil {
		return err
	}
	value = clone(value)
	return r.write(ctx, func(to *keys.Rules, now time.Time) error { return to.Set(key, value, ttl, now) })
}

// Create implements broker.Registry.
func (r *Registry) Create(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := keys.Check(key, value, ttl); err != nil {
		return err
	}
	value = clone(value)
	return r.write(ctx, func(to *keys.Rules, now time.Time) error { return to.Create(key, value, ttl, now) })
}

// Get implements broker.Registry.
func (r *Registry) Get(ctx context.Context, key string) (value []byte, err error) {
	err = r.write(ctx, func(to *keys.Rules, now time.Time) (err error) {
		value, err = to.Get(key, now)
		return err
	})
	return value, err
}

// Take implements broker.Registry.
func (r *Registry) Take(ctx context.Context, key string) (value []byte, err error) {
	err = r.write(ctx, func(to *keys.Rules, now time.Time) (err error) {
		value, err = to.Take(key, now)
		return err
	})
	return value, err
}

// Touch implements broker.Registry.
func (r *Registry) Touch(ctx context.Context, key string, ttl time.Duration) error {
	if err := keys.Check(key, nil, ttl); err != nil {
		return err
	}
	return r.write(ctx, func(to *keys.Rules, now time.Time) error { return to.Touch(key, ttl, now) })
}

// Delete implements broker.Registry.
func (r *Registry) Delete(ctx context.Context, key string) error {
	return r.write(ctx, func(to *keys.Rules, now time.Time) error {
		to.Keys.Delete(key)
		return nil
	})
}

// Count implements broker.Registry.
func (r *Registry) Count(ctx context.Context, key string, delta int64, ttl time.Duration) (sum int64, err error) {
	if err := keys.Check(key, nil, ttl); err != nil {
		return 0, err
	}
	err = r.write(ctx, func(to *keys.Rules, now time.Time) (err error) {
		sum, err = to.Count(key, delta, ttl, now)
		return err
	})
	return sum, err
}

// List implements broker.Registry.
func (r *Registry) List(ctx context.Context, prefix string, limit int) (found []broker.Entry, err error) {
	err = r.write(ctx, func(_ *keys.Rules, now time.Time) error {
		found = keys.Entries(&r.keys, prefix, limit, now)
		return nil
	})
	return found, err
}

// Acquire implements broker.Registry.
func (r *Registry) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (l broker.Lease, err error) {
	if err := keys.Check(name, nil, ttl); err != nil {
		return l, err
	}
	err = r.write(ctx, func(to *keys.Rules, now time.Time) (err error) {
		l, err = to.Acquire(name, owner, ttl, now)
		return err
	})
	return l, err
}

// Renew implements broker.Registry.
func (r *Registry) Renew(ctx context.Context, old broker.Lease, ttl time.Duration) (l broker.Lease, err error) {
	if err := keys.Check(old.Name, nil, ttl); err != nil {
		return l, err
	}
	err = r.write(ctx, func(to *keys.Rules, now time.Time) (err error) {
		l, err = to.Renew(old, ttl, now)
		return err
	})
	return l, err
}

// Release implements broker.Registry.
func (r *Registry) Release(ctx context.Context, l broker.Lease) error {
	return r.write(ctx, func(to *keys.Rules, now time.Time) error { return to.Release(l, now) })
}

// Close implements broker.Registry.
func (r *Registry) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.timer != nil {
		r.timer.Stop()
	}
	return nil
}

// clone copies b; the copy of nothing is an empty value, not none.
func clone(b []byte) []byte { return append([]byte{}, b...) }
