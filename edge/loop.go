package edge

import (
	"context"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
)

const ticksPerSecond = int64(time.Second / tick)

// loop is the state of one event loop beside gnet's. Other goroutines reach it through its mailbox only: post,
// deliver and deliverFrame. At most one wake of the loop is under way at a time, and one pass empties the mailbox, so that what comes in
// while the loop is busy is handled together.
type loop struct {
	// static after construction
	engine *Engine
	index  int
	events gnet.EventLoop
	kicks  chan struct{} // asks the kicker for another pass

	// owned by the loop
	now      uint32 // the tick
	wheel    wheel
	sessions []*Session
	out      []byte   // what the current session sends when its callback is over
	plain    []byte   // decrypted bytes of a TLS read
	spare    [][]byte // small buffers for the begun frames of sessions
	passed   []post   // the mailbox being emptied, kept to be used again
	fan      fanout
	streams  loopStreams
	outlet   *outlet
	stats    loopStats

	// guarded by mu
	mu       sync.Mutex
	posts    []post
	inbox    []*message
	frames   []*streamFrame
	writable bool // the outlet has news
	waking   bool

	// atomic
	asked   atomic.Uint32 // the tick the loop shall run up to
	askedAt atomic.Int64  // when that was asked first, in nanoseconds; 0 when it has run
	done    atomic.Uint32 // the tick the loop has run up to
	count   atomic.Int32  // sessions
}

// post is one entry of a mailbox: a finished call, or anything else.
type post struct {
	call *call
	run  func()
}

func newLoop(e *Engine, index int) *loop {
	return &loop{engine: e, index: index, kicks: make(chan struct{}, 1)}
}

// post has run called on the loop, after what was posted before. Any goroutine.
func (l *loop) post(run func()) { l.put(post{run: run}) }

func (l *loop) put(p post) {
	l.mu.Lock()
	l.posts = append(l.posts, p)
	l.wakeLocked()
}

// deliver hands a message to the loop's subscribers. Any goroutine.
func (l *loop) deliver(m *message) {
	l.mu.Lock()
	l.inbox = append(l.inbox, m)
	l.wakeLocked()
}

// askTick has the loop run its wheel up to tick now. Any goroutine.
func (l *loop) askTick(now uint32, at time.Time) {
	l.askedAt.CompareAndSwap(0, at.UnixNano())
	l.asked.Store(now)
	l.mu.Lock()
	l.wakeLocked()
}

// wakeLocked wakes the loop unless a wake is under way, and unlocks mu.
func (l *loop) wakeLocked() {
	wake := !l.waking
	l.waking = true
	l.mu.Unlock()
	if wake {
		l.wake()
	}
}

func (l *loop) wake() {
	e := l.engine
	e.awake.RLock() // after the end of the loops their descriptors may be somebody else's
	defer e.awake.RUnlock()
	if e.asleep {
		return
	}
	if err := l.events.Execute(context.Background(), l); err != nil {
		e.log.Debug("a loop could not be woken", "loop", l.index, "error", err)
	}
}

// Run is one pass over the mailbox, called by gnet. When more has come in meanwhile, the next pass is asked for by the
// kicker goroutine and not from here: gnet runs tasks until there are none, so a stream of messages would keep the loop
// from its sockets.
func (l *loop) Run(context.Context) error {
	l.mu.Lock()
	posts, inbox, frames, writable := l.posts, l.inbox, l.frames, l.writable
	l.posts, l.inbox, l.frames = l.passed[:0], l.fan.taken[:0], l.streams.taken[:0]
	l.writable = false
	l.mu.Unlock()

	for i := range posts {
		l.runPost(&posts[i])
		posts[i] = post{}
	}
	l.passed = keep(posts)
	if len(inbox) > 0 {
		l.fanOut(inbox)
		clear(inbox)
	}
	l.fan.taken = keep(inbox)
	l.takeFrames(frames)
	clear(frames)
	l.streams.taken = keep(frames)
	l.runStreams(writable)
	if asked := l.asked.Load(); asked != l.now {
		l.runTick(asked)
	}

	l.mu.Lock()
	busy := l.streams.untold || l.streams.busy()
	l.waking = busy || l.writable || len(l.posts) > 0 || len(l.inbox) > 0 || len(l.frames) > 0 || l.asked.Load() != l.now
	again := l.waking
	l.mu.Unlock()
	if busy {
		runtime.Gosched() // games and calls need processors too, and a loop with work would never give its own away
	}
	if again { // last of all: while this goroutine rests the kicker would ask, and gnet run the next pass before it looks at sockets
		select {
		case l.kicks <- struct{}{}:
		default:
		}
	}
	return nil
}

// kicker runs beside the loop and wakes it again after a pass that left something behind.
func (l *loop) kicker() {
	for {
		select {
		case <-l.kicks:
			l.wake()
		case <-l.engine.stopping:
			return
		}
	}
}

func (l *loop) runPost(p *post) {
	if p.call != nil {
		s := p.call.session
		defer s.rescue()
		s.answered(p.call)
		s.Flush()
		return
	}
	defer l.rescue("post")
	p.run()
}

func (l *loop) runTick(now uint32) {
	l.now = now
	if at := l.askedAt.Swap(0); at != 0 {
		loopLag.Update(float64(time.Now().UnixNano()-at) / 1e9)
	}
	l.wheel.advance(now, l.fire)
	l.catchUp()
	l.stats.flush(l)
	l.done.Store(now)
}

func (l *loop) fire(s *Session) {
	defer s.rescue()
	s.timeout()
	s.Flush()
}

// rescue ends a panic of work that belongs to no session.
func (l *loop) rescue(where string) {
	if r := recover(); r != nil {
		panics.Inc()
		l.engine.log.Error("panic on an event loop", "where", where, "panic", r, "stack", string(debug.Stack()))
	}
}

// after returns the tick that lies d after now, at least one tick ahead.
func (l *loop) after(d time.Duration) uint32 { return l.now + ticksOf(d) }

func ticksOf(d time.Duration) uint32 { return uint32(max(1, (d+tick-1)/tick)) }

const (
	spareSize  = 4096 // largest buffer kept for the next begun frame
	spareCount = 64
)

// grab returns an empty buffer with room for n bytes.
func (l *loop) grab(n int) []byte {
	if last := len(l.spare) - 1; last >= 0 && cap(l.spare[last]) >= n {
		b := l.spare[last]
		l.spare = l.spare[:last]
		return b[:0]
	}
	size := 512
	for size < n {
		size *= 2
	}
	return make([]byte, 0, size)
}

// giveBack keeps a buffer of grab for later.
func (l *loop) giveBack(b []byte) {
	if cap(b) <= spareSize && len(l.spare) < spareCount {
		l.spare = append(l.spare, b)
	}
}

// keep drops a slice that a burst has made too large to hold on to.
func keep[T any](s []T) []T {
	if cap(s) > 1<<14 {
		return nil
	}
	return s
}
