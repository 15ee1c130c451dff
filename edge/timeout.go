package edge

import (
	"time"

	"gosper/protocol"
)

// timeout runs when the session is due on the wheel. It looks at every time limit of the session, and schedules the
// next look at the earliest that is still to come. A session for which nothing is to come leaves the wheel.
func (s *Session) timeout() {
	switch {
	case s.is(flagClosed):
		return
	case s.is(flagClosing):
		s.finish()
		return
	case s.is(flagDraining) && int32(s.loop.now-s.times.end) >= 0:
		s.drainTurn()
		return
	}
	if s.is(flagAlarm) && int32(s.loop.now-s.times.beat) >= 0 {
		s.ring()
		if s.flags&(flagClosed|flagClosing) != 0 {
			return
		}
	}
	lim := &s.loop.engine.limits
	if s.overdue(s.times.partial, lim.FrameTimeout, len(s.in) > 0 && !s.is(flagPaused)) ||
		s.overdue(s.times.message, lim.FrameTimeout, s.is(flagFragment) && !s.is(flagPaused)) {
		limitHit("frame_timeout")
		if code := s.door.TooSlow(); code != 0 {
			s.end(code, "frame_timeout")
		} else {
			s.Kill("frame_timeout")
		}
		return
	}
	if !s.is(flagTrusted) && s.late() {
		return
	}
	if s.out.waiting {
		if _, ok := s.stalled(); !ok {
			s.slow()
			return
		}
	}
	if s.door.beats {
		if !s.heartbeat() {
			return
		}
	} else if s.overdue(s.times.heard, lim.LineIdle, lim.LineIdle > 0) {
		limitHit("line_idle")
		s.end(protocol.CloseTimeout, "idle")
		return
	}
	s.schedule()
}

func (s *Session) overdue(since uint32, limit time.Duration, counts bool) bool {
	return counts && int32(s.loop.now-since-ticksOf(limit)) >= 0
}

// guestTime is how long the session may go on without authentication: the short time for a line and for a websocket
// that has not called anything, the long one for a websocket whose user is about to log in.
func (s *Session) guestTime() (limit time.Duration, name string) {
	lim := &s.loop.engine.limits
	if s.door.beats && s.is(flagCalled) {
		return lim.GuestTimeout, "guest_timeout"
	}
	return lim.AuthTimeout, "auth_timeout"
}

func (s *Session) late() bool {
	limit, name := s.guestTime()
	if !s.overdue(s.times.opened, limit, true) {
		return false
	}
	limitHit(name)
	if s.door.beats {
		s.end(protocol.CloseAuthTimeout, protocol.CloseAuthTimeout.Name())
	} else {
		s.Kill(protocol.CloseAuthTimeout.Name())
	}
	return true
}

// heartbeat pings when it is time, and gives up a client of whom nothing was heard for too many pings.
func (s *Session) heartbeat() (alive bool) {
	lim := &s.loop.engine.limits
	if !s.overdue(s.times.beat, lim.Heartbeat, true) {
		return true
	}
	s.times.beat = s.loop.now
	if int(s.missed) >= lim.HeartbeatMisses {
		limitHit("heartbeat_misses")
		s.end(protocol.CloseTimeout, "heartbeat")
		return false
	}
	s.missed++
	s.door.Beat(s)
	return true
}

// schedule puts the session on the wheel for the next time limit that can be met.
func (s *Session) schedule() {
	if s.flags&(flagClosed|flagClosing) != 0 {
		return
	}
	l, lim := s.loop, &s.loop.engine.limits
	var due uint32
	found := false
	at := func(since uint32, d time.Duration) {
		if t := since + ticksOf(d); !found || int32(t-due) < 0 {
			due, found = t, true
		}
	}
	if s.is(flagDraining) {
		due, found = s.times.end, true
	}
	if s.is(flagAlarm) && (!found || int32(s.times.beat-due) < 0) {
		due, found = s.times.beat, true
	}
	if len(s.in) > 0 && !s.is(flagPaused) {
		at(s.times.partial, lim.FrameTimeout)
	}
	if s.is(flagFragment) && !s.is(flagPaused) {
		at(s.times.message, lim.FrameTimeout)
	}
	if !s.is(flagTrusted) {
		limit, _ := s.guestTime()
		at(s.times.opened, limit)
	}
	if s.out.waiting {
		at(s.out.since, lim.WriteTimeout)
	}
	if s.door.beats {
		at(s.times.beat, lim.Heartbeat)
	} else if lim.LineIdle > 0 {
		at(s.times.heard, lim.LineIdle)
	}
	if found {
		l.wheel.set(s, due)
	} else {
		l.wheel.remove(s)
	}
}
