package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
)

// Engine runs the event loops of a node and everything on them. All methods may be called from any goroutine.
type Engine struct {
	// static after construction
	config    Config
	limits    Limits
	log       *slog.Logger
	client    *gnet.Client
	loops     []*loop
	hub       *hub
	listeners []*listener
	cap       int64
	addresses *addresses
	slots     chan struct{}   // one a handshake under way
	ctx       context.Context // ends when Close begins
	cancel    context.CancelFunc
	stopping  <-chan struct{} // its channel
	workers   sync.WaitGroup

	// owned by the goroutine that ticks
	calm calm

	// atomic
	lastID   atomic.Uint64
	held     atomic.Int64 // places of the cap in use
	sessions atomic.Int64
	ticks    atomic.Uint32
	ready    atomic.Bool
	draining atomic.Bool

	// guarded by their own locks
	adopting sync.RWMutex // held for reading while a socket is handed to a loop
	stopped  bool         // guarded by adopting
	awake    sync.RWMutex // held for reading while a loop is woken
	asleep   bool         // guarded by awake
	mu       sync.Mutex
	doors    map[Door]*doorInfo // guarded by mu
	err      error              // guarded by mu
	ended    bool               // guarded by mu
	done     chan struct{}
	empty    chan struct{} // gets a value when a draining engine lost its last session
}

// Errors of an engine.
var (
	ErrDraining = errors.New("the node takes no new connections")
	ErrFull     = errors.New("the node has as many connections as it can hold")
	ErrClosed   = errors.New("the engine is closed")
	ErrStalled  = errors.New("an event loop has stopped")
)

// Start opens the listeners and runs the loops. On success the engine runs until Close.
func Start(config Config) (*Engine, error) {
	if err := config.complete(); err != nil {
		return nil, err
	}
	e := &Engine{
		config: config, limits: config.Limits, log: config.Log,
		slots: make(chan struct{}, config.Limits.Handshakes),
		doors: map[Door]*doorInfo{}, done: make(chan struct{}), empty: make(chan struct{}, 1),
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.stopping = e.ctx.Done()
	e.hub = &hub{engine: e, subjects: map[string]*subject{}}
	e.cap = connectionCap(&e.limits, acceptors*len(config.Listeners))
	e.addresses = newAddresses(&e.limits, e.cap)
	if err := e.startLoops(); err != nil {
		return nil, err
	}
	if config.Streams != nil {
		config.Streams.engine.Store(e)
	}
	if err := e.listen(); err != nil {
		_ = e.Close()
		return nil, err
	}
	e.log.Info("event loops run", "loops", len(e.loops), "connections_max", e.cap)
	return e, nil
}

// startLoops runs gnet's loops and gets hold of each by sending a connection of our own through it.
func (e *Engine) startLoops() error {
	client, err := gnet.NewClient(&events{engine: e}, gnet.WithNumEventLoop(e.config.Loops), gnet.WithTicker(true),
		gnet.WithReadBufferCap(readBuffer), gnet.WithTCPNoDelay(gnet.TCPDelay), gnet.WithLogger(gnetLog{e.log}))
	if err != nil {
		return fmt.Errorf("event loops: %w", err)
	}
	if err := client.Start(); err != nil {
		return fmt.Errorf("event loops: %w", err)
	}
	e.client = client
	err = e.probe()
	for _, l := range e.loops {
		if err == nil {
			l.outlet, err = newOutlet()
		}
	}
	if err != nil {
		_ = client.Stop()
		e.closeOutlets()
		return fmt.Errorf("event loops: %w", err)
	}
	for _, l := range e.loops {
		e.workers.Go(l.kicker)
		e.workers.Go(l.watchOutlet)
	}
	e.ready.Store(true)
	return nil
}

// closeOutlets ends the goroutines that wait for them. REQUIRES: the loops have stopped.
func (e *Engine) closeOutlets() {
	for _, l := range e.loops {
		if l.outlet != nil {
			_ = l.outlet.file.Close()
		}
	}
}

const readBuffer = 64 << 10 // bytes a loop reads from one connection before it looks at the others

// probe is the context of a connection that shows us a loop.
type probe struct{ events gnet.EventLoop }

// probe sends one connection to each loop. gnet gives a new one to the loop with the fewest, so each loop gets one.
func (e *Engine) probe() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		if ln, err = net.Listen("tcp", "[::1]:0"); err != nil {
			return err
		}
	}
	defer ln.Close()
	for i := range e.config.Loops {
		near, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			return err
		}
		defer near.Close()
		far, err := ln.Accept()
		if err != nil {
			return err
		}
		p := &probe{}
		if _, err := e.client.EnrollContext(far, p); err != nil {
			return err
		}
		l := newLoop(e, i)
		l.events = p.events
		e.loops = append(e.loops, l)
	}
	return nil
}

// opening is the context of a connection until its session is made.
type opening struct {
	door   *doorInfo
	info   AdoptInfo
	secure *tls.Conn
	link   *handover
	own    bool // of our own listeners: nobody else looks at the socket's addresses
}

// Adopt gives a connection that was opened elsewhere, such as a websocket after its upgrade, to a loop. c is a TCP
// connection or one of NewTLSListener, bare or wrapped by types with a method NetConn or UnsafeConn. On success it
// belongs to the engine and must not be closed by the caller (with fasthttp: KeepHijackedConns), and neither must its
// place be released. On error both still are the caller's. Not to be called on a loop.
func (e *Engine) Adopt(c net.Conn, d Door, info AdoptInfo) error {
	tcp, secure, err := unwrap(c)
	if err != nil {
		return err
	}
	if !info.Remote.IsValid() {
		info.Remote = remoteOf(tcp)
	}
	if !info.Acquired && !e.Acquire(info.Remote) {
		return ErrFull
	}
	o := &opening{door: e.door(d), info: info, secure: secure}
	if secure != nil {
		o.link = secure.NetConn().(*handover)
	}
	if err = e.enroll(tcp, o); err != nil && !info.Acquired {
		e.Release(info.Remote)
	}
	return err
}

// enroll hands a socket, for which a place is held, to a loop.
func (e *Engine) enroll(tcp *net.TCPConn, o *opening) error {
	e.adopting.RLock()
	defer e.adopting.RUnlock()
	if e.stopped {
		return ErrClosed
	}
	if e.draining.Load() {
		refusedDrain.Inc()
		return ErrDraining
	}
	if _, err := e.client.EnrollContext(tcp, o); err != nil {
		refusedError.Inc()
		return err
	}
	return nil
}

// take is enroll for connections of our own listeners.
func (e *Engine) take(tcp *net.TCPConn, o *opening) {
	if err := e.enroll(tcp, o); err != nil {
		refuse(tcp)
		e.Release(o.info.Remote)
	}
}

func remoteOf(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// door returns the engine's record of d.
func (e *Engine) door(d Door) *doorInfo {
	e.mu.Lock()
	defer e.mu.Unlock()
	info := e.doors[d]
	if info == nil {
		info = &doorInfo{Door: d, beats: d.Beats(), metrics: newDoorMetrics(d.Name())}
		e.doors[d] = info
	}
	return info
}

// open makes the session of a connection that has come to its loop.
func (e *Engine) open(c gnet.Conn, o *opening) {
	l := e.loopOf(c)
	s := &Session{loop: l, door: o.door, id: e.lastID.Add(1), remote: o.info.Remote, conn: c, index: uint32(len(l.sessions))}
	s.times = times{opened: l.now, heard: l.now, beat: l.now - uint32(rand.IntN(int(ticksOf(e.limits.Heartbeat)))), struck: l.now}
	c.SetContext(s)
	c.SetSafeContext(nil) // it held o
	if o.own {
		forgetAddrs(c)
	}
	l.sessions = append(l.sessions, s)
	l.count.Add(1)
	e.sessions.Add(1)
	o.door.metrics.open.Inc()
	o.door.metrics.opened.Inc()
	defer s.rescue()
	if o.secure != nil {
		o.link.s, o.link.Conn = s, nil
		s.secure = &secureLink{conn: o.secure, link: o.link}
	}
	s.door.Open(s, &o.info)
	s.Flush()
	if len(o.info.Leftover) > 0 {
		s.read(append([]byte(nil), o.info.Leftover...))
		s.Flush()
	}
	if s.secure != nil && !s.is(flagClosed) {
		s.receiveTLS(nil) // what the handshake read too much
	}
	s.schedule()
}

// forgetAddrs frees what the addresses of a connection point to: a tenth of what gnet keeps for it. The session has the
// one it needs.
func forgetAddrs(c gnet.Conn) {
	for _, a := range []net.Addr{c.LocalAddr(), c.RemoteAddr()} {
		if tcp, ok := a.(*net.TCPAddr); ok {
			*tcp = net.TCPAddr{}
		}
	}
}

func (e *Engine) loopOf(c gnet.Conn) *loop {
	events := c.EventLoop()
	for _, l := range e.loops {
		if l.events == events {
			return l
		}
	}
	panic("edge: connection on an unknown loop")
}

// left counts a session that has ended.
func (e *Engine) left(s *Session) {
	s.loop.count.Add(-1)
	e.Release(s.remote)
	if e.sessions.Add(-1) == 0 && e.draining.Load() {
		e.signalEmpty()
	}
}

func (e *Engine) signalEmpty() {
	select {
	case e.empty <- struct{}{}:
	default:
	}
}

// Sessions returns the number of connections on the loops.
func (e *Engine) Sessions() int { return int(e.sessions.Load()) }

// Done is closed when the engine has ended: after Close, or by itself, and then Err says why.
func (e *Engine) Done() <-chan struct{} { return e.done }

// Err returns why the engine ended by itself, nil while it runs and after Close.
func (e *Engine) Err() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

func (e *Engine) finish(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return
	}
	e.ended, e.err = true, err
	close(e.done)
}

// closeTime bounds Close: a loop that has stopped for good cannot be waited for, one on a busy machine can.
const closeTime = 10 * time.Second

// Close cuts all connections and stops the loops. Use Drain before it to let clients go in peace. It is idempotent, and
// returns ErrStalled when a loop does not stop.
func (e *Engine) Close() error {
	e.closeListeners()
	stopped := make(chan error, 1)
	go func() { stopped <- e.stop() }()
	select {
	case err := <-stopped:
		return err
	case <-time.After(closeTime):
		e.finish(ErrStalled)
		return ErrStalled
	}
}

func (e *Engine) stop() error {
	e.adopting.Lock() // waits for sockets on their way to a loop
	again := e.stopped
	e.stopped = true
	e.adopting.Unlock()
	if again {
		<-e.done
		return nil
	}
	e.cancel()
	e.awake.Lock()
	e.asleep = true
	e.awake.Unlock()
	err := e.client.Stop()
	e.closeOutlets()
	e.workers.Wait()
	e.finish(nil)
	return err
}

// tick asks each loop to run its wheel, and ends the engine when one has not done so for too long.
func (e *Engine) tick() {
	if !e.ready.Load() {
		return
	}
	now, at := e.ticks.Add(1), time.Now()
	for _, l := range e.loops {
		if behind := now - l.done.Load(); behind > ticksOf(e.limits.LoopStall) {
			limitHit("loop_stall")
			e.log.Error("an event loop has stopped", "loop", l.index, "behind", time.Duration(behind)*tick)
			e.finish(ErrStalled)
		}
		l.askTick(now, at)
	}
	if e.calm.over(now, e.sessions.Load()) {
		go debug.FreeOSMemory()
	}
}

// events is what gnet calls.
type events struct {
	gnet.BuiltinEventEngine
	engine *Engine
}

func (ev *events) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	switch o := c.Context().(type) {
	case *probe:
		o.events = c.EventLoop()
	case *opening:
		ev.engine.open(c, o)
	}
	return nil, gnet.None
}

func (ev *events) OnTraffic(c gnet.Conn) gnet.Action {
	b, err := c.Next(-1)
	s, ok := c.Context().(*Session)
	if !ok || err != nil {
		return gnet.Close
	}
	defer s.rescue()
	s.receive(b)
	return gnet.None
}

func (ev *events) OnClose(c gnet.Conn, _ error) gnet.Action {
	if s, ok := c.Context().(*Session); ok {
		defer s.rescue()
		s.closed()
	}
	return gnet.None
}

func (ev *events) OnTick() (time.Duration, gnet.Action) {
	ev.engine.tick()
	return tick, gnet.None
}

// gnetLog passes gnet's log on. Its info lines are of interest to nobody who runs a node.
type gnetLog struct{ log *slog.Logger }

func (g gnetLog) Debugf(string, ...any)            {}
func (g gnetLog) Infof(string, ...any)             {}
func (g gnetLog) Warnf(format string, args ...any) { g.warn(slog.LevelWarn, format, args) }
func (g gnetLog) Errorf(format string, args ...any) {
	g.warn(slog.LevelError, format, args)
}
func (g gnetLog) Fatalf(format string, args ...any) {
	g.warn(slog.LevelError, format, args)
}

func (g gnetLog) warn(level slog.Level, format string, args []any) {
	g.log.Log(context.Background(), level, "gnet: "+fmt.Sprintf(format, args...))
}
