package edge

import (
	"errors"

	"gosper/protocol"
)

// receive takes bytes from the socket. b is the loop's read buffer: it may be changed and is gone when receive returns.
func (s *Session) receive(b []byte) {
	l := s.loop
	l.stats.bytesIn += uint64(len(b))
	s.times.heard = l.now
	s.missed = 0
	if s.secure != nil {
		s.receiveTLS(b)
		return
	}
	s.read(b)
	s.Flush()
}

// read takes plain bytes. Complete frames are handled where they are; only a begun frame at the end is kept.
func (s *Session) read(b []byte) {
	if !s.is(flagTrusted) {
		s.guestIn += uint32(len(b))
	}
	if len(s.in) > 0 {
		if b = s.complete(b); len(b) == 0 {
			return
		}
	}
	n := s.frames(b)
	if n < len(b) && !s.is(flagClosed) {
		s.keepRest(b[n:])
	}
}

// frames has the door take frames from b and returns the length of what was taken.
func (s *Session) frames(b []byte) int {
	if s.is(flagClosed|flagPaused) || len(b) == 0 {
		return 0
	}
	return s.door.Frames(s, b)
}

// complete adds bytes of b to the begun frame until that is whole, and returns the bytes behind it, so that the frames
// that follow are not copied.
func (s *Session) complete(b []byte) (rest []byte) {
	for step := 512; len(b) > 0; step *= 2 {
		if s.is(flagPaused) {
			s.keepRest(b)
			return nil
		}
		old := len(s.in)
		k := min(step, len(b))
		s.in = append(s.in, b[:k]...)
		n := s.frames(s.in)
		switch {
		case s.is(flagClosed):
			return nil
		case n == 0:
			b = b[k:]
		case n >= old:
			s.dropIn()
			return b[n-old:]
		default: // paused within what was kept
			s.in = append(s.in[:0], s.in[n:]...)
			s.times.partial = s.loop.now
			b = b[k:]
		}
	}
	return nil
}

// keepRest keeps what the door did not take: the begin of a frame, or whole frames while the session is paused.
func (s *Session) keepRest(rest []byte) {
	l := s.loop
	if s.is(flagClosing) {
		rest = rest[:min(len(rest), l.engine.limits.LineBytes)]
	}
	if s.is(flagPaused) && len(s.in)+len(rest) > s.mayHold() {
		limitHit("held_in")
		s.end(protocol.CloseRate, "held_in")
		return
	}
	if len(s.in) == 0 {
		s.in = l.grab(len(rest))
		s.times.partial = l.now
		if !s.is(flagPaused) {
			l.wheel.earlier(s, l.after(l.engine.limits.FrameTimeout))
		}
	}
	s.in = append(s.in, rest...)
}

// mayHold is how many bytes are kept while the session is paused.
func (s *Session) mayHold() int {
	lim := &s.loop.engine.limits
	if h, ok := s.door.Door.(Holder); ok {
		return h.Holds(lim)
	}
	if s.is(flagTrusted) {
		return lim.HeldIn
	}
	return min(lim.HeldIn, lim.GuestIn)
}

func (s *Session) dropIn() {
	s.loop.giveBack(s.in)
	s.in = nil
}

// resume takes the frames that waited while the session was paused.
func (s *Session) resume() {
	s.flags &^= flagPaused
	if len(s.in) == 0 || s.is(flagClosed) {
		return
	}
	n := s.frames(s.in)
	switch {
	case s.is(flagClosed) || n == 0 && s.is(flagPaused):
	case n == len(s.in):
		s.dropIn()
	default:
		s.in = append(s.in[:0], s.in[n:]...)
		s.times.partial = s.loop.now
		s.loop.wheel.earlier(s, s.loop.after(s.loop.engine.limits.FrameTimeout))
	}
}

// receiveTLS takes ciphertext. One decrypted piece at a time is read into memory of the loop.
func (s *Session) receiveTLS(b []byte) {
	l := s.loop
	s.secure.link.in = b
	for !s.is(flagClosed) {
		if l.plain == nil {
			l.plain = make([]byte, 16<<10)
		}
		n, err := s.secure.conn.Read(l.plain)
		if n > 0 {
			s.read(l.plain[:n])
			s.Flush()
		}
		if errors.Is(err, errWouldBlock) || n == 0 && err == nil {
			break
		}
		if err != nil {
			s.Kill("client")
			return
		}
	}
	if !s.is(flagClosed) {
		s.secure.link.in = nil
	}
}

// Fragment tells that a message came in part, or that it is whole now. A message in parts has the time of one frame.
// Loop only.
func (s *Session) Fragment(begun bool) {
	switch {
	case !begun:
		s.flags &^= flagFragment
	case !s.is(flagFragment):
		s.flags |= flagFragment
		s.times.message = s.loop.now
		s.loop.wheel.earlier(s, s.loop.after(s.loop.engine.limits.FrameTimeout))
	}
}

// Fragmented reports whether a message came in part. Loop only.
func (s *Session) Fragmented() bool { return s.is(flagFragment) }
