package keys

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"gosper/broker"
)

// Holder is who has a lease.
type Holder struct {
	Owner string
	Token uint64
}

// Rules are the operations of the Registry on a state, written once for all engines that have one place where writes
// are serial. A rule that returns an error has written nothing. Keys and values were checked with Check before; values
// belong to the state from then on.
type Rules struct {
	Keys   State[[]byte]
	Leases State[Holder]
	Token  func() uint64 // the next fencing token: greater than every earlier one
}

var (
	errTTL       = errors.New("time to live must be positive")
	errNoCounter = errors.New("key holds no number")
)

// Check refuses a bad key, an over-long value and a ttl that is not positive.
func Check(key string, value []byte, ttl time.Duration) error {
	if err := broker.CheckWrite(key, value); err != nil {
		return err
	}
	if ttl <= 0 {
		return fmt.Errorf("key %q: %w", key, errTTL)
	}
	return nil
}

// End returns when something with this ttl ends: at least a millisecond from now.
func End(now time.Time, ttl time.Duration) time.Time { return now.Add(max(ttl, time.Millisecond)) }

// Set writes key whatever was there.
func (r *Rules) Set(key string, value []byte, ttl time.Duration, now time.Time) error {
	r.Keys.Set(key, Item[[]byte]{value, End(now, ttl)})
	return nil
}

// Create writes a key that must not exist.
func (r *Rules) Create(key string, value []byte, ttl time.Duration, now time.Time) error {
	if _, ok := r.Keys.Get(key, now); ok {
		return named(broker.ErrExists, key)
	}
	return r.Set(key, value, ttl, now)
}

// Get returns the caller's own copy of the value.
func (r *Rules) Get(key string, now time.Time) ([]byte, error) {
	it, ok := r.Keys.Get(key, now)
	if !ok {
		return nil, named(broker.ErrNotFound, key)
	}
	return slices.Clone(it.Value), nil
}

// Take removes key and returns its value.
func (r *Rules) Take(key string, now time.Time) ([]byte, error) {
	it, ok := r.Keys.Get(key, now)
	if !ok {
		return nil, named(broker.ErrNotFound, key)
	}
	r.Keys.Delete(key)
	return it.Value, nil
}

// Touch gives key a new ttl.
func (r *Rules) Touch(key string, ttl time.Duration, now time.Time) error {
	it, ok := r.Keys.Get(key, now)
	if !ok {
		return named(broker.ErrNotFound, key)
	}
	it.Expires = End(now, ttl)
	r.Keys.Set(key, it)
	return nil
}

// Count adds delta to a counter, which is a key whose value is its decimal text.
func (r *Rules) Count(key string, delta int64, ttl time.Duration, now time.Time) (int64, error) {
	it, ok := r.Keys.Get(key, now)
	if !ok {
		it.Expires = End(now, ttl)
	}
	sum, err := number(it.Value)
	if err != nil {
		return 0, fmt.Errorf("%q: %w", key, errNoCounter)
	}
	sum += delta
	it.Value = strconv.AppendInt(nil, sum, 10)
	r.Keys.Set(key, it)
	return sum, nil
}

func number(b []byte) (int64, error) {
	if b == nil {
		return 0, nil
	}
	return strconv.ParseInt(string(b), 10, 64)
}

// Acquire takes the lease for owner, or prolongs it when owner has it. An owner whose lease ended meanwhile gets a new
// token, because somebody else may have had it in between.
func (r *Rules) Acquire(name, owner string, ttl time.Duration, now time.Time) (broker.Lease, error) {
	it, ok := r.Leases.Get(name, now)
	if ok && it.Value.Owner != owner {
		return broker.Lease{}, fmt.Errorf("%w: lease %q", broker.ErrHeld, name)
	}
	if !ok {
		it.Value = Holder{owner, r.Token()}
	}
	return r.hold(name, it.Value, ttl, now), nil
}

// Renew prolongs l if it is still held.
func (r *Rules) Renew(l broker.Lease, ttl time.Duration, now time.Time) (broker.Lease, error) {
	it, ok := r.Leases.Get(l.Name, now)
	if !ok {
		return broker.Lease{}, fmt.Errorf("%w: lease %q", broker.ErrNotFound, l.Name)
	}
	if it.Value != (Holder{l.Owner, l.Token}) {
		return broker.Lease{}, fmt.Errorf("%w: lease %q", broker.ErrHeld, l.Name)
	}
	return r.hold(l.Name, it.Value, ttl, now), nil
}

// Release ends l if it is still held, and does nothing otherwise.
func (r *Rules) Release(l broker.Lease, now time.Time) error {
	if it, ok := r.Leases.Get(l.Name, now); ok && it.Value == (Holder{l.Owner, l.Token}) {
		r.Leases.Delete(l.Name)
	}
	return nil
}

func (r *Rules) hold(name string, h Holder, ttl time.Duration, now time.Time) broker.Lease {
	end := End(now, ttl)
	r.Leases.Set(name, Item[Holder]{h, end})
	return broker.Lease{Name: name, Owner: h.Owner, Token: h.Token, Expires: end}
}

func named(err error, key string) error { return fmt.Errorf("%w: key %q", err, key) }

// Entries lists the live keys with the prefix, at most limit, with copies of their values.
func Entries(t *Table[[]byte], prefix string, limit int, now time.Time) []broker.Entry {
	var found []broker.Entry
	t.List(prefix, now, func(key string, it Item[[]byte]) bool {
		if len(found) >= limit {
			return false
		}
		found = append(found, broker.Entry{Key: key, Value: slices.Clone(it.Value)})
		return true
	})
	return found
}
