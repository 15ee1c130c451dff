package edge

import "gosper/protocol"

// progress follows how a client takes what is kept for it.
type progress struct {
	written uint32 // bytes given to the connection, modulo 2^32
	taken   uint32 // bytes of these that had left at the tick since
	since   uint32 // tick at which the client was last seen to take something while bytes waited
	waiting bool   // bytes wait
}

// Buffer returns the buffer in which the door gathers what it sends. It is flushed when the door's method returns. Loop
// only; not to be kept.
func (s *Session) Buffer() *[]byte { return &s.loop.out }

// maxGathered is how much a door gathers before it should flush by itself.
const maxGathered = 64 << 10

// Full reports whether the door should Flush before it gathers more.
func (s *Session) Full() bool { return len(s.loop.out) >= maxGathered }

// Flush sends what was gathered in Buffer. Loop only.
func (s *Session) Flush() {
	l := s.loop
	if len(l.out) == 0 {
		return
	}
	b := l.out
	l.out = l.out[:0]
	s.write(b)
	l.out = keep(l.out)
}

// Send sends b at once. b may be used again when Send returns. Loop only.
func (s *Session) Send(b []byte) { s.write(b) }

// write sends b or queues it, within the budget of the client. It reports whether the session goes on.
func (s *Session) write(b []byte) bool {
	if s.is(flagClosed | flagShut) {
		return false
	}
	if s.queued() {
		return s.queue(b)
	}
	if s.secure != nil {
		_, err := s.secure.conn.Write(b)
		return err == nil && !s.is(flagClosed)
	}
	return s.writeRaw(b)
}

// writeRaw gives b to the socket. After a failed write gnet has closed the connection already.
func (s *Session) writeRaw(b []byte) bool {
	if s.is(flagClosed) || !s.room(len(b)) {
		return false
	}
	if _, err := s.conn.Write(b); err != nil {
		return false
	}
	s.wrote(len(b))
	return true
}

// writeAll is write for several buffers in one system call.
func (s *Session) writeAll(bufs [][]byte) {
	if len(bufs) == 1 {
		s.write(bufs[0])
		return
	}
	if s.is(flagClosed | flagShut) {
		return
	}
	total := 0
	for _, b := range bufs {
		total += len(b)
	}
	if s.secure != nil || total <= maxGathered || len(bufs) > 1000 || s.queued() {
		joined := s.loop.out[:0] // empty between sessions
		for _, b := range bufs {
			joined = append(joined, b...)
		}
		s.loop.out = joined[:0]
		s.write(joined)
		return
	}
	if !s.room(total) {
		return
	}
	if _, err := s.conn.Writev(bufs); err == nil {
		s.wrote(total)
	}
}

// room reports whether n more bytes fit into what may be kept for the client, and ends the session when they do not.
func (s *Session) room(n int) bool {
	kept := s.kept()
	if kept == 0 {
		return true
	}
	lim := &s.loop.engine.limits
	budget, name := lim.OutBytes, "out_bytes"
	if !s.is(flagTrusted) {
		budget, name = lim.GuestOut, "guest_out"
	}
	if kept+n <= budget+s.frameBytes() {
		return true
	}
	limitHit(name)
	s.slow()
	return false
}

// slow ends a session that does not read. Its queue is full, so its goodbye would wait behind all of it: the bytes are
// added only when the session is not closing yet, once, and the time of the close is bounded.
func (s *Session) slow() {
	if s.is(flagClosing) {
		s.cut()
		return
	}
	l := s.loop
	s.flags |= flagClosing | flagCut
	s.door.count(protocol.CloseSlow.Name())
	from := len(l.out)
	s.door.Goodbye(s, protocol.CloseSlow)
	if bye := l.out[from:]; len(bye) > 0 && s.queued() {
		s.push(bye)
	} else if len(bye) > 0 && s.secure == nil {
		if _, err := s.conn.Write(bye); err != nil {
			l.out = l.out[:from]
			return
		}
	}
	l.out = l.out[:from]
	s.times.end = l.after(l.engine.limits.CloseTimeout)
	l.wheel.set(s, l.now+1)
	s.drop()
}

func (s *Session) wrote(n int) {
	s.loop.stats.bytesOut += uint64(n)
	s.noted(n)
}

// noted follows n more bytes that the client has to take.
func (s *Session) noted(n int) {
	l := s.loop
	s.out.written += uint32(n)
	if kept := s.kept(); kept > 0 && !s.out.waiting {
		s.out.waiting = true
		s.out.since, s.out.taken = l.now, s.out.written-uint32(kept)
		l.wheel.earlier(s, l.after(l.engine.limits.WriteTimeout))
	}
}

// stalled looks whether a client for whom bytes wait has taken some of them, and returns the tick of the next look.
func (s *Session) stalled() (due uint32, ok bool) {
	l := s.loop
	kept := s.kept()
	if kept == 0 {
		s.out.waiting = false
		return 0, true
	}
	if taken := s.out.written - uint32(kept); taken != s.out.taken {
		s.out.taken, s.out.since = taken, l.now
	}
	due = s.out.since + ticksOf(l.engine.limits.WriteTimeout)
	if int32(l.now-due) < 0 {
		return due, true
	}
	limitHit("write_timeout")
	return 0, false
}
