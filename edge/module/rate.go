package module

import (
	"hash/maphash"
	"sync"
	"time"
)

// Class is a rate class: how often one caller may call its functions.
type Class uint8

// Classes of functions.
const (
	ClassRead  Class = iota // cheap reads
	ClassWrite              // writes of records
	ClassChat               // chat lines
	ClassAuth               // passwords, registration, e-mail codes: one caller is one client address
	ClassEdit               // what draws on a grid
	ClassLook               // what takes the time of many reads: patterns, past generations
	ClassOpen               // session set-up with a secret too long to guess: bounded by the call queue only
	classCount
)

// String returns the name used in metrics and documents.
func (c Class) String() string {
	return [classCount]string{"read", "write", "chat", "auth", "edit", "look", "open"}[c]
}

// Rate is a sustained rate and a burst. The zero Rate means no limit.
type Rate struct {
	PerSecond float64
	Burst     int // calls that may come at once; at least 1 when PerSecond is set
}

// caller is who a rate limit counts: an account, a name in a world, or a client address.
type caller struct {
	class Class
	a, b  string
}

// limiter counts calls by caller with one number each: the time at which the caller's bucket would be full again
// (the generic cell rate algorithm). Memory is bounded: full buckets are forgotten when a shard grows, and a shard
// that still holds limiterShardMax callers starts afresh, which favours callers over memory.
type limiter struct {
	seed   maphash.Seed
	rates  [classCount]Rate
	shards [limiterShards]limiterShard
}

const (
	limiterShards   = 16
	limiterShardMax = 1 << 15
	limiterSweep    = 1 << 10 // a shard smaller than this is not swept
)

type limiterShard struct {
	mu    sync.Mutex
	full  map[caller]int64 // unix nanoseconds
	sweep int              // size at which to sweep next
}

// newLimiter returns a limiter with the given rates.
func newLimiter(rates [classCount]Rate) *limiter {
	l := &limiter{seed: maphash.MakeSeed(), rates: rates}
	for i := range l.shards {
		l.shards[i] = limiterShard{full: make(map[caller]int64), sweep: limiterSweep}
	}
	return l
}

// allow counts one call of the caller and says whether it fits its class's rate. It may be called on a loop.
func (l *limiter) allow(c caller, now time.Time) bool {
	return l.allowRate(c, l.rates[c.class], now)
}

// allowRate is allow with a rate of its own.
func (l *limiter) allowRate(c caller, rate Rate, now time.Time) bool {
	if rate.PerSecond <= 0 {
		return true
	}
	step := int64(float64(time.Second) / rate.PerSecond)
	room := step * int64(max(rate.Burst, 1))
	s := &l.shards[maphash.Comparable(l.seed, c)%limiterShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	at := now.UnixNano()
	next := max(s.full[c], at) + step
	if next-at > room {
		return false
	}
	s.full[c] = next
	if len(s.full) >= s.sweep {
		s.forget(at)
	}
	return true
}

// forget drops callers whose bucket is full. The caller holds mu.
func (s *limiterShard) forget(at int64) {
	for c, full := range s.full {
		if full <= at {
			delete(s.full, c)
		}
	}
	if len(s.full) >= limiterShardMax {
		clear(s.full)
	}
	s.sweep = max(limiterSweep, 2*len(s.full))
}
