package edge

import (
	"context"
	"math/rand/v2"
	"time"

	"gosper/protocol"
)

// Drain closes the listeners, takes no new session, and ends each one with the code that says "come back, elsewhere",
// at a random time within drain_spread, so that the clients do not all come back at once. A call in work is answered
// first, and what is queued is sent. It returns nil when no session is left, or the error of ctx, and then Close cuts
// what is left.
func (e *Engine) Drain(ctx context.Context) error {
	e.draining.Store(true)
	e.closeListeners()
	spread := e.limits.DrainSpread
	if deadline, ok := ctx.Deadline(); ok {
		spread = max(0, min(spread, time.Until(deadline)-e.limits.CloseTimeout-tick))
	}
	for _, l := range e.loops {
		l.post(func() { l.drain(spread) })
	}
	if e.sessions.Load() == 0 {
		e.signalEmpty()
	}
	for {
		select {
		case <-e.empty:
			if e.sessions.Load() == 0 {
				return nil
			}
		case <-e.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// drain gives each session of the loop its turn.
func (l *loop) drain(spread time.Duration) {
	for i := len(l.sessions) - 1; i >= 0; i-- {
		s := l.sessions[i]
		if s.flags&(flagClosing|flagDraining) != 0 {
			continue
		}
		s.flags |= flagDraining
		s.times.end = l.now + 1 + uint32(rand.Int64N(int64(ticksOf(spread))))
		s.schedule()
	}
}

// drainTurn ends the session, or waits for the call in work.
func (s *Session) drainTurn() {
	if s.calls != nil && s.calls.active != nil || s.needed() {
		s.times.end = s.loop.now + 1
		s.schedule()
		return
	}
	s.end(protocol.CloseGoingAway, "drain")
}
