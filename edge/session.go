package edge

import (
	"crypto/tls"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"gosper/edge/module"
	"gosper/protocol"
)

// Session is one client connection. It implements module.Session, whose methods may be called from any goroutine; every
// other method belongs to the loop of the session, which calls its Door. It wraps the connection of gnet, which nobody
// else holds: a write to a gnet connection after its end reaches whoever owns the descriptor by then.
//
// There are many of them, so what an idle client does not need is a pointer that is nil.
type Session struct {
	// static after construction
	loop   *loop
	door   *doorInfo
	id     uint64
	remote netip.Addr
	secure *secureLink // nil without TLS

	// owned by the loop
	conn     gnet.Conn
	flags    flags
	format   Format
	missed   uint8 // pings without any byte since
	strikes  uint8
	guestIn  uint32 // bytes received before authentication
	index    uint32 // in loop.sessions
	gathered int32  // 1 + index in fanout.dirty during a pass
	times    times
	rates    [rateClasses]bucket
	out      progress
	in       []byte // begun frames, nil when there is none
	subs     []subscription
	watching *watching  // nil while it watches no game
	calls    *callQueue // nil while there is no call
	known    *module.Identity
	timer    timerLink

	// State is the door's own.
	State any

	// guarded by mu: subs against Subscriptions, which reads it from other goroutines
	mu sync.Mutex

	// atomic
	identity atomic.Pointer[module.Identity]
}

var _ module.Session = (*Session)(nil)

// secureLink is the TLS half of a session.
type secureLink struct {
	conn *tls.Conn
	link *handover
}

// flags are the states a session can be in.
type flags uint16

const (
	flagClosed   flags = 1 << iota // the connection is gone: nothing may touch it
	flagClosing                    // the goodbye is sent, the end is near
	flagCut                        // after the goodbye: close as soon as everything is sent
	flagPaused                     // no frame is taken until a call is answered
	flagTrusted                    // authenticated
	flagCalled                     // made a call
	flagDraining                   // has a turn in a drain
	flagFragment                   // a message came in part
	flagShut                       // our half of the connection is closed
	flagAlarm                      // the door has asked to be called at a time
)

// times are ticks at which something about the session happened or will.
type times struct {
	opened  uint32
	heard   uint32 // last bytes from the client
	beat    uint32 // last ping; of a door without pings, flagAlarm: when it is called
	partial uint32 // begin of the frame that is incomplete
	message uint32 // begin of the message that came in part
	end     uint32 // flagClosing: when it is cut; flagDraining: its turn
	struck  uint32 // last time strikes were forgiven
}

func (s *Session) is(f flags) bool { return s.flags&f != 0 }

var nobody module.Identity

// ID returns a number that no other session of this process has. Any goroutine.
func (s *Session) ID() uint64 { return s.id }

// Remote returns the client's address, after the PROXY protocol. Any goroutine.
func (s *Session) Remote() netip.Addr { return s.remote }

// Limits returns the limits of the node, to be read only. Any goroutine.
func (s *Session) Limits() *Limits { return &s.loop.engine.limits }

// Who returns who the session speaks as. The result is shared and not to be changed. Any goroutine.
func (s *Session) Who() *module.Identity {
	if id := s.identity.Load(); id != nil {
		return id
	}
	return &nobody
}

// Trusted reports whether the client has authenticated. Loop only.
func (s *Session) Trusted() bool { return s.is(flagTrusted) }

// Paused reports whether frames have to wait until a call is answered. Loop only.
func (s *Session) Paused() bool { return s.is(flagPaused) }

// Closed reports whether the connection is gone. Loop only.
func (s *Session) Closed() bool { return s.is(flagClosed) }

// Closing reports whether the goodbye was sent. Loop only.
func (s *Session) Closing() bool { return s.is(flagClosing) }

// GuestIn returns how many bytes the client had sent when it was not yet authenticated. Loop only.
func (s *Session) GuestIn() int { return int(s.guestIn) }

// Format returns the form of messages of the bus. Loop only.
func (s *Session) Format() Format { return s.format }

// SetFormat chooses the form of messages of the bus. For Door.Open.
func (s *Session) SetFormat(f Format) { s.format = f }

// SetIdentity replaces who the session speaks as, before the reply of the call under way is written. Any goroutine.
func (s *Session) SetIdentity(id module.Identity) {
	s.identity.Store(&id)
	s.loop.post(s.meet)
}

// meet makes the loop's view of the identity the present one, and tells the dispatcher of who came and who left.
func (s *Session) meet() {
	id := s.identity.Load()
	if id == s.known {
		return
	}
	d := s.loop.engine.config.Dispatcher
	if s.is(flagClosed) {
		if id.Account != "" { // the call that logged it in was under way when the connection went
			d.Left(s.id, *id)
		}
		return
	}
	before := s.known
	s.known = id
	if present(before) && (!present(id) || *before != *id) {
		d.Left(s.id, *before)
	}
	if present(id) && (!present(before) || *before != *id) {
		d.Joined(s.id, *id)
	}
	trusted := id.LoggedIn || id.World != ""
	if trusted != s.is(flagTrusted) {
		s.setTrusted(trusted)
	}
}

func present(id *module.Identity) bool { return id != nil && id.World != "" && id.Name != "" }

func (s *Session) setTrusted(on bool) {
	if on {
		s.flags |= flagTrusted
		s.door.metrics.trusted.Inc()
		return
	}
	s.flags &^= flagTrusted
	s.unwatchAll()
	s.guestIn = 0
	s.times.opened = s.loop.now
	s.schedule()
}

// Close ends the connection with the code's bytes of its door, after what is queued was sent. Any goroutine.
func (s *Session) Close(code protocol.CloseCode) {
	s.loop.post(func() { s.end(code, code.Name()) })
}

// End is Close on the loop, counted under reason.
func (s *Session) End(code protocol.CloseCode, reason string) { s.end(code, reason) }

func (s *Session) end(code protocol.CloseCode, reason string) {
	if s.flags&(flagClosed|flagClosing) != 0 {
		return
	}
	defer s.rescue()
	s.flags |= flagClosing
	s.door.count(reason)
	answered := s.door.Goodbye(s, code)
	s.Flush()
	if s.is(flagClosed) {
		return
	}
	if !answered || s.is(flagPaused) { // no answer is read while paused
		s.flags |= flagCut
	}
	s.times.end = s.loop.after(s.loop.engine.limits.CloseTimeout)
	s.drop()
	s.finish()
}

// finish moves a closing session on: when everything is sent our half is closed, so that the client reads all of it
// before the end. It runs on each tick until the client has closed too or its time is over.
func (s *Session) finish() {
	late := int32(s.loop.now-s.times.end) >= 0
	if late {
		s.cut()
		return
	}
	if s.is(flagCut) && !s.is(flagShut) && s.kept() == 0 {
		s.flags |= flagShut
		if s.secure != nil {
			_ = s.secure.conn.CloseWrite()
		}
		_ = unix.Shutdown(s.conn.Fd(), unix.SHUT_WR)
	}
	s.loop.wheel.set(s, s.loop.now+1)
}

// Hangup closes the connection when everything is sent, after the peer has answered the goodbye. Loop only.
func (s *Session) Hangup() {
	if s.is(flagClosed) {
		return
	}
	if s.kept() == 0 {
		s.cut()
		return
	}
	s.flags |= flagCut
}

// Kill closes the connection at once, with what was gathered but without a word, counted under reason. Loop only.
func (s *Session) Kill(reason string) {
	if s.is(flagClosed) {
		return
	}
	s.Flush() // what earlier frames of the same read were answered
	if !s.is(flagClosing) {
		s.door.count(reason)
		s.flags |= flagClosing
	}
	s.cut()
}

// cut closes the connection now. gnet calls back into closed before it returns.
func (s *Session) cut() {
	if !s.is(flagClosed) {
		_ = s.loop.events.Close(s.conn)
	}
}

// closed is called by gnet when the connection has ended, for whatever reason. From here on nothing may touch it.
func (s *Session) closed() {
	if s.is(flagClosed) {
		return
	}
	if !s.is(flagClosing) {
		s.door.count("client")
	}
	s.flags |= flagClosed | flagClosing
	l := s.loop
	l.wheel.remove(s)
	s.drop()
	if s.calls != nil {
		s.calls.cancel()
		s.calls = nil
	}
	if s.in != nil {
		l.giveBack(s.in)
		s.in = nil
	}
	last := len(l.sessions) - 1
	l.sessions[last].index = s.index
	l.sessions[s.index], l.sessions[last] = l.sessions[last], nil
	l.sessions = l.sessions[:last]
	if c, ok := s.door.Door.(Closer); ok {
		c.Closed(s)
	}
	s.dropFlow()
	s.conn, s.State, s.secure = nil, nil, nil
	s.door.metrics.open.Dec()
	l.engine.left(s)
}

// drop ends everything that others know of the session: its subscriptions and its presence.
func (s *Session) drop() {
	for len(s.subs) > 0 {
		s.detach(len(s.subs) - 1)
	}
	s.unwatchAll()
	if present(s.known) || s.known != nil && s.known.Account != "" {
		s.loop.engine.config.Dispatcher.Left(s.id, *s.known)
	}
	s.known = nil
}

// Strike counts a message that was refused. More than the limit strikes, of which one a second is forgiven, end the
// session with code.
func (s *Session) Strike(code protocol.CloseCode, reason string) {
	l := s.loop
	if forgiven := (l.now - s.times.struck) / uint32(ticksPerSecond); forgiven > 0 {
		s.strikes -= uint8(min(forgiven, uint32(s.strikes)))
		s.times.struck = l.now
	}
	if int(s.strikes) >= l.engine.limits.Strikes {
		limitHit("strikes")
		s.end(code, reason)
		return
	}
	s.strikes++
}

// rescue, deferred around the work of one session, turns a panic into the end of that session alone.
func (s *Session) rescue() {
	r := recover()
	if r == nil {
		return
	}
	panics.Inc()
	l := s.loop
	l.engine.log.Error("panic in the work of a session", "session", s.id, "door", s.door.Name(), "panic", r, "stack", string(debug.Stack()))
	l.out = l.out[:0]
	s.Kill("panic")
}

var errGone error = &module.Fault{Status: protocol.StatusUnknown, Message: "the connection has ended"}
