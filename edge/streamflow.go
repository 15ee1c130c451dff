package edge

import (
	"time"

	"golang.org/x/sys/unix"
)

// flow is what waits to be written to the client of a session that watches: frames, and whatever came behind them. The
// bytes of a frame are those that all watchers share, so a client that does not read costs no copy of them, and only the
// system keeps some: watch_socket bytes. gnet keeps nothing of a frame, because it would write all it keeps for
// thousands of clients in one turn of the loop. It belongs to the loop.
type flow struct {
	parts      []part
	bytes      int    // not yet written, of all parts
	frames     int    // of these, of frames
	fed        uint32 // tick at which the client last took something, or at which the flow began
	registered bool   // with the loop's outlet
	ready      bool   // in loopStreams.ready
	stuck      bool   // in loopStreams.stuck
	flying     bool   // in loopStreams.flying
}

// part is one entry of a flow: the rest of a frame, or bytes of its own.
type part struct {
	b     []byte
	frame bool // b is shared and read only
}

// kept returns how many bytes wait for the client, but those that the system keeps.
func (s *Session) kept() int {
	n := s.conn.OutboundBuffered()
	if s.watching != nil {
		n += s.watching.flow.bytes
	}
	return n
}

// frameBytes returns how many bytes of what is kept for the client are frames. They do not count against what may be
// kept for it: how many there are is bound by watch_bytes and the size of a frame.
func (s *Session) frameBytes() int {
	if s.watching == nil {
		return 0
	}
	return s.watching.flow.frames
}

// queued reports whether what is sent has to wait behind frames.
func (s *Session) queued() bool { return s.watching != nil && s.watching.flow.bytes > 0 }

// queue keeps a copy of b behind the frames that wait, within the budget of the client.
func (s *Session) queue(b []byte) bool {
	if !s.room(len(b)) {
		return false
	}
	s.push(b)
	return true
}

// push is queue without a budget.
func (s *Session) push(b []byte) {
	f := &s.watching.flow
	if last := len(f.parts) - 1; last >= 0 && !f.parts[last].frame {
		f.parts[last].b = append(f.parts[last].b, b...)
	} else {
		f.parts = append(f.parts, part{b: append([]byte(nil), b...)})
	}
	f.bytes += len(b)
	s.given(len(b))
}

// sendFrame sends b, the bytes of a frame, which stay shared and read only, and returns how many were written at once: a
// turn's share at most.
func (s *Session) sendFrame(b []byte) (written int) {
	if s.is(flagClosed | flagShut) {
		return 0
	}
	idle := !s.queued()
	if idle && s.secure == nil && s.conn.OutboundBuffered() == 0 {
		n, ok := s.take(b[:min(len(b), feedPiece)])
		if !ok {
			return 0
		}
		s.wrote(n)
		if n == len(b) {
			return n
		}
		b, written, idle = b[n:], n, n == feedPiece
	}
	s.pushFrame(b)
	if idle {
		written += s.feed(turnShare)
	}
	return written
}

// pushFrame keeps the rest of a frame behind what waits.
func (s *Session) pushFrame(b []byte) {
	f := &s.watching.flow
	if f.bytes == 0 {
		f.fed = s.loop.now
	}
	f.parts = append(f.parts, part{b: b, frame: true})
	f.bytes += len(b)
	f.frames += len(b)
	s.given(len(b))
	s.loop.streams.fly(s, len(b))
	s.register()
	if !f.registered {
		s.loop.streams.park(s)
	}
}

// given counts n bytes that were put into the flow. Behind TLS they count as sent when they are encrypted.
func (s *Session) given(n int) {
	if s.secure == nil {
		s.wrote(n)
	} else {
		s.noted(n)
	}
}

// take writes what the socket takes of b now. After an error the session is closed.
func (s *Session) take(b []byte) (n int, ok bool) {
	for {
		n, err := unix.Write(s.conn.Fd(), b)
		switch err {
		case nil:
			return n, true
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, true
		default:
			s.cut()
			return 0, false
		}
	}
}

// feed writes about share bytes of the flow, or as many as the socket takes, and returns how many that were. When the
// socket takes no more, the outlet tells when it does again.
func (s *Session) feed(share int) (written int) {
	f := &s.watching.flow
	for more := true; more && f.bytes > 0; {
		if written >= share {
			s.loop.streams.enqueue(s)
			return written
		}
		if s.conn.OutboundBuffered() > 0 { // of gnet, which tells nobody when it has written that
			s.loop.streams.park(s)
			return written
		}
		var n int
		n, more = s.feedPart(f, min(share-written, feedPiece))
		if s.is(flagClosed) {
			return written
		}
		if written += n; n > 0 {
			f.fed = s.loop.now
		}
	}
	if f.bytes > 0 && !f.registered {
		s.loop.streams.park(s)
	}
	return written
}

const feedPiece = 64 << 10 // bytes of one write

// feedPart writes a piece of the first part, and reports whether the socket may take more.
func (s *Session) feedPart(f *flow, most int) (n int, more bool) {
	first := &f.parts[0]
	b := first.b[:min(len(first.b), most)]
	if s.secure != nil {
		if _, err := s.secure.conn.Write(b); err != nil || s.is(flagClosed) {
			return 0, false
		}
		n = len(b)
	} else {
		var ok bool
		if n, ok = s.take(b); !ok {
			return 0, false
		}
	}
	f.bytes -= n
	if first.frame {
		f.frames -= n
	}
	if n == len(first.b) {
		f.parts[0] = part{}
		f.parts = f.parts[1:]
		if len(f.parts) == 0 {
			f.parts = nil
		}
	} else {
		first.b = first.b[n:]
	}
	return n, n == len(b)
}

// enqueue gives a session with a flow a turn.
func (st *loopStreams) enqueue(s *Session) {
	if f := &s.watching.flow; !f.ready {
		f.ready = true
		st.ready = append(st.ready, s)
	}
}

// park has the next tick give a session with a flow a turn.
func (st *loopStreams) park(s *Session) {
	if f := &s.watching.flow; !f.stuck {
		f.stuck = true
		st.stuck = append(st.stuck, s)
	}
}

// feedReady gives sessions their turns until about share bytes are spent.
func (l *loop) feedReady(share int) (cost int) {
	st := &l.streams
	for cost < share && st.fed < len(st.ready) {
		s := st.ready[st.fed]
		st.ready[st.fed] = nil
		st.fed++
		if s.is(flagClosed) {
			continue
		}
		s.watching.flow.ready = false
		cost += s.feed(feedPiece) + writeCost
	}
	return cost
}

// compact forgets the sessions that had their turns.
func (st *loopStreams) compact() {
	n := copy(st.ready, st.ready[st.fed:])
	if st.ready, st.fed = st.ready[:n], 0; n == 0 {
		st.ready = keep(st.ready)
	}
}

// fly counts n more bytes of frames in the flow of s.
func (st *loopStreams) fly(s *Session, n int) {
	st.flight += n
	if f := &s.watching.flow; !f.flying {
		f.flying = true
		st.flying = append(st.flying, s)
	}
}

// stillTime is how long a client that takes nothing counts as one that takes its frames. Then it keeps no other watcher
// from getting a snapshot.
const stillTime = 500 * time.Millisecond

// measureFlight sums up the frames on their way to clients that take them, and gives a turn to the parked sessions.
func (l *loop) measureFlight() {
	st := &l.streams
	left := st.flying[:0]
	st.flight = 0
	for _, s := range st.flying {
		if s.is(flagClosed) {
			continue
		}
		f := &s.watching.flow
		if f.frames == 0 {
			f.flying = false
			continue
		}
		if l.now-f.fed < ticksOf(stillTime) {
			st.flight += f.frames
		}
		left = append(left, s)
	}
	clear(st.flying[len(left):])
	st.flying = left
	for i, s := range st.stuck {
		st.stuck[i] = nil
		if s.is(flagClosed) {
			continue
		}
		if s.watching.flow.stuck = false; s.queued() {
			st.enqueue(s)
		}
	}
	st.stuck = keep(st.stuck[:0])
}
