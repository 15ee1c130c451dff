package edge

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
