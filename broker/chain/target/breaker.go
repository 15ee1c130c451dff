package target

import (
	"context"
	"sync"
	"time"
)

// breaker bounds the calls of one service at a time, and leaves a service alone that fails again and again.
type breaker struct {
	places  chan struct{}
	waiters chan struct{} // those who wait for a place: few, since each holds up a place of the engine

	mu       sync.Mutex
	failures int       // one after another
	until    time.Time // no call before
	trying   bool      // one call finds out whether the service is back
}

func newBreaker(most int) *breaker {
	return &breaker{places: make(chan struct{}, most), waiters: make(chan struct{}, most)}
}

// ticket is the right to make one call, given back by leave.
type ticket struct{ trial bool }

// crowded is how long who finds no place to wait should stay away.
const crowded = 50 * time.Millisecond

// enter waits for a place. When the service is left alone, or too many wait for it, it returns how long to stay away.
func (b *breaker) enter(ctx context.Context, now time.Time) (t ticket, away time.Duration, err error) {
	select {
	case b.waiters <- struct{}{}:
		defer func() { <-b.waiters }()
	default:
		return ticket{}, crowded, nil
	}
	select {
	case b.places <- struct{}{}:
	case <-ctx.Done():
		return ticket{}, 0, ctx.Err()
	}
	if t.trial, away = b.admit(now); away > 0 {
		<-b.places
	}
	return t, away, nil
}

// admit says how long the service is left alone yet. After that one call goes through, a trial, and others when it succeeds.
func (b *breaker) admit(now time.Time) (trial bool, away time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.until.IsZero():
		return false, 0
	case now.Before(b.until):
		return false, b.until.Sub(now)
	case b.trying:
		return false, breakTime
	}
	b.trying = true
	return true, 0
}

// The service is left alone after breakAfter failures, for breakTime, doubled with each further failure up to breakMost.
const (
	breakAfter = 5
	breakTime  = time.Second
	breakMost  = 30 * time.Second
)

// verdict is what a call tells about its service.
type verdict uint8

const (
	nothing verdict = iota // it was cut short by us
	alive
	dead
)

// leave gives a ticket back and notes how the call went.
func (b *breaker) leave(t ticket, v verdict, now time.Time) {
	<-b.places
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.trial {
		b.trying = false
	}
	switch v {
	case alive:
		b.failures, b.until = 0, time.Time{}
	case dead:
		if !t.trial && now.Before(b.until) {
			return // begun before the service was left alone: this is known
		}
		if b.failures++; b.failures >= breakAfter {
			b.until = now.Add(min(breakMost, breakTime<<min(b.failures-breakAfter, 10)))
		}
	}
}
