package edge

import (
	"time"

	"gosper/protocol"
)

// Closer is a Door that wants to know when a session has ended.
type Closer interface {
	// Closed is called once, on the loop, when the connection has gone, for whatever reason. Session.State is still there.
	Closed(s *Session)
}

// Holder is a Door whose sessions may send more ahead, while they are paused, than the limit held_in.
type Holder interface {
	// Holds returns how many received bytes are kept.
	Holds(l *Limits) int
}

// Trust lets a session go on without authentication, for doors whose port is open to trusted programs only. Loop only.
func (s *Session) Trust() {
	if !s.Trusted() {
		s.setTrusted(true)
		s.schedule()
	}
}

// Pause keeps the session from taking more frames until Resume. Loop only.
func (s *Session) Pause() { s.flags |= flagPaused }

// Resume takes the frames that waited, after Pause. Not from inside Door.Frames. Loop only.
func (s *Session) Resume() {
	if s.is(flagPaused) {
		s.resume()
	}
}

// Post has run called on the loop and what it gathered in Buffer sent, unless the connection has gone by then. Calls of one
// goroutine keep their order. Any goroutine.
func (s *Session) Post(run func()) {
	s.loop.post(func() {
		if s.is(flagClosed) {
			return
		}
		defer s.rescue()
		run()
		s.Flush()
	})
}

// Alarmed is a Door that has deadlines of its own.
type Alarmed interface {
	// Alarm is called once, on the loop, when the time of SetAlarm has come.
	Alarm(s *Session)
}

// SetAlarm has the door's Alarm called after d, with the resolution of the loop's ticks, in place of an earlier alarm. The
// door must be Alarmed and send no pings. Loop only.
func (s *Session) SetAlarm(d time.Duration) {
	s.flags |= flagAlarm
	s.times.beat = s.loop.after(d)
	s.loop.wheel.earlier(s, s.times.beat)
}

// ring calls the door whose alarm is due.
func (s *Session) ring() {
	s.flags &^= flagAlarm
	if d, ok := s.door.Door.(Alarmed); ok {
		d.Alarm(s)
	}
}

// Needed is a Door whose sessions may be needed by others, so that a drain lets them be for a while.
type Needed interface {
	// Needed says whether a drain has to wait before it ends the session. It is asked on the loop, on each tick.
	Needed(s *Session) bool
}

func (s *Session) needed() bool {
	d, ok := s.door.Door.(Needed)
	return ok && d.Needed(s)
}

// Finish ends the session when everything gathered is sent, counted under reason: at once when the client takes it now.
// It is for protocols of one answer, whose client has nothing more to say: bytes that it has sent meanwhile can cost it
// the answer, so a door that has seen any uses End. Loop only.
func (s *Session) Finish(reason string) {
	s.Flush()
	switch {
	case s.flags&(flagClosed|flagClosing) != 0:
	case s.secure != nil || s.kept() > 0:
		s.end(protocol.CloseNormal, reason)
	default:
		s.Kill(reason)
	}
}
