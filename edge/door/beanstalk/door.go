// Package beanstalk is the door of workers and producers in any language: the published beanstalkd protocol over the
// durable queue of the node. Clients and consoles of beanstalkd work unchanged.
//
// What was answered INSERTED, DELETED, RELEASED, BURIED or KICKED is on disk. A lease ends with its connection. Commands may
// be sent ahead: they take effect and are answered in their order, and puts, deletes and the like that are sent ahead
// share the disk's work. The port knows no login, so it belongs on loopback or a trusted network.
//
// Where the text of the protocol leaves room, the door answers as version 1.12 does, except: a line with trailing words is
// badly formed everywhere; a client that closes its half of the connection is taken to have gone; a job that cannot be
// stored because the disk is nearly full, or because too many wait to be stored, is OUT_OF_MEMORY.
package beanstalk

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker"
	"gosper/edge"
	"gosper/edge/module"
	"gosper/protocol"
)

// Door is the beanstalkd door. One serves all its listeners.
type Door struct {
	// static after construction
	queue   broker.Queue
	version string
	log     *slog.Logger
	started time.Time
	id      string
	tubes   *refs

	// atomic
	draining atomic.Bool
	needed   atomic.Pointer[func() bool]
	maxJob   atomic.Int64 // limit job_bytes, as the sessions know it
	clients  clientCounts

	mu     sync.Mutex
	closed bool           // guarded by mu
	work   sync.WaitGroup // looks at the queue; Add under mu
}

// New returns a door to a queue. version is told by the command stats.
func New(queue broker.Queue, version string, log *slog.Logger) *Door {
	return &Door{queue: queue, version: version, log: log, started: time.Now(), id: newID(), tubes: newRefs()}
}

// Drain has puts answered DRAINING from now on. Any goroutine.
func (d *Door) Drain() { d.draining.Store(true) }

// KeepWhile has a drain leave workers connected while needed says so: others wait for what they do. needed is called on
// loops and does not block. Any goroutine.
func (d *Door) KeepWhile(needed func() bool) { d.needed.Store(&needed) }

// Needed says whether a drain has to wait before it ends a connection. Only workers are waited for.
func (d *Door) Needed(s *edge.Session) bool {
	c, ok := s.State.(*client)
	needed := d.needed.Load()
	return ok && c.worker && needed != nil && (*needed)()
}

// Watching returns how many connections watch a tube. Any goroutine.
func (d *Door) Watching(tube string) int { return d.tubes.get(tube).watching }

// Close waits for looks at the queue that are under way. Call it after the engine's Close and before that of the queue.
func (d *Door) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.work.Wait()
}

// Name returns "beanstalk".
func (*Door) Name() string { return "beanstalk" }

// Open begins a session: it uses and watches the tube default.
func (d *Door) Open(s *edge.Session, _ *edge.AdoptInfo) {
	s.SetFormat(edge.FormatLine)
	s.Trust()
	d.maxJob.Store(int64(s.Limits().JobBytes))
	s.State = newClient(d, s)
}

// Frames runs the commands at the start of b.
func (d *Door) Frames(s *edge.Session, b []byte) (n int) {
	c, ok := s.State.(*client)
	if !ok || s.Closing() {
		return len(b)
	}
	for n < len(b) && !s.Paused() && !s.Closed() && !s.Closing() {
		size := c.take(b[n:])
		if size == 0 {
			break
		}
		n += size
		if s.Full() {
			s.Flush()
		}
	}
	if s.Closing() {
		return len(b)
	}
	return n
}

// Closed ends the leases of a client that has gone.
func (d *Door) Closed(s *edge.Session) {
	if c, ok := s.State.(*client); ok {
		c.gone()
	}
}

// Holds is the limit queue_held: producers may send far ahead.
func (*Door) Holds(l *edge.Limits) int { return l.QueueHeld }

// Reply is not used: no command is a call of a function.
func (*Door) Reply(*edge.Session, *edge.Request, *module.Reply) {}

// Goodbye says nothing: the protocol has no word for it.
func (*Door) Goodbye(*edge.Session, protocol.CloseCode) (answered bool) { return false }

// Beats is false: dead peers are found by TCP keep-alive.
func (*Door) Beats() bool { return false }

// Beat does nothing.
func (*Door) Beat(*edge.Session) {}

// TooSlow is 0: a command or a job that does not end is closed without a word.
func (*Door) TooSlow() protocol.CloseCode { return 0 }
