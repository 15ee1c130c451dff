package target

import (
	"context"
	"sync"
	"time"
)

// breaker bounds the calls of one service at a time, and leaves a service alone that fails again and again.
type breaker struct {
	places chan struct{}

	mu       sync.Mutex
	failures int       // one after another
	until    time.Time // no call before
	trying   bool      // one call finds out whether the service is back
}

// enter waits for a place. When the service is left alone it returns how long that will last.
func (b *breaker) enter(ctx context.Context, now time.Time) (rest time.Duration, err error) {
	if rest := b.rest(now); rest > 0 {
		return rest, nil
	}
	select {
	case b.places <- struct{}{}:
		return 0, nil
	case <-ctx.Done():
		b.mu.Lock()
		b.trying = false
		b.mu.Unlock()
		return 0, ctx.Err()
	}
}

// rest says how long the service is left alone yet. After that one call goes through, and others when it succeeds.
func (b *breaker) rest(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.until.IsZero():
		return 0
	case now.Before(b.until):
		return b.until.Sub(now)
	case b.trying:
		return breakTime
	}
	b.trying = true
	return 0
}

// The service is left alone after breakAfter failures, for breakTime, doubled with each further failure up to breakMost.
const (
	breakAfter = 5
	breakTime  = time.Second
	breakMost  = time.Minute
)

// leave notes how a call went.
func (b *breaker) leave(failed bool, now time.Time) {
	<-b.places
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
	if !failed {
		b.failures, b.until = 0, time.Time{}
		return
	}
	if b.failures++; b.failures >= breakAfter {
		b.until = now.Add(min(breakMost, breakTime<<min(b.failures-breakAfter, 10)))
	}
}
