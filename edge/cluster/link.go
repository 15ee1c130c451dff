package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"gosper/broker"
	"gosper/grid/game"
)

// link is the connection to another node. One goroutine reads and one writes; everybody else puts frames into its queues.
// What is asked is answered exactly once: by the other node, or with errLost when the link ends.
type link struct {
	// static after construction
	cluster *Cluster
	node    string // the other
	conn    net.Conn
	ended   chan struct{} // closed with the link

	// guarded by mu
	mu      sync.Mutex
	more    sync.Cond
	closed  bool
	control []frame // questions, answers and what else is small
	queued  int     // bytes of control
	streams []relayed
	waiting int      // bytes of streams
	starved []*relay // that need a snapshot when there is room
	asks    map[uint64]func(frame, error)
	lastAsk uint64

	// relays are the streams of games here that the other node watches, by its number; guarded by Cluster.streams.mu
	relays map[uint32]*relay
}

// relayed is a frame of a stream on its way to the other node.
type relayed struct {
	relay *relay
	frame frame
	round uint32 // of the relay; another one: the frame was dropped meanwhile
	size  int    // what it counts for
}

// errLost says that a link ended after a question was sent.
var errLost = errors.New("the link to the node was lost")

// linkOverhead is what a queued frame counts for beside its data.
const linkOverhead = 64

func newLink(c *Cluster, node string, conn net.Conn) *link {
	l := &link{cluster: c, node: node, conn: &steady{conn, c.options.Lease}, ended: make(chan struct{}), asks: map[uint64]func(frame, error){}, relays: map[uint32]*relay{}}
	l.more.L = &l.mu
	return l
}

// run serves the link until it ends, and says why.
func (l *link) run() error {
	var others sync.WaitGroup
	others.Go(l.write)
	others.Go(l.ping)
	err := l.read()
	l.close()
	others.Wait()
	l.mu.Lock()
	asks := l.asks
	l.asks = nil
	l.mu.Unlock()
	for _, done := range asks {
		done(frame{}, errLost)
	}
	return err
}

// close ends the link. Any goroutine; idempotent.
func (l *link) close() {
	l.mu.Lock()
	l.closeLocked()
	l.mu.Unlock()
}

func (l *link) closeLocked() {
	if l.closed {
		return
	}
	l.closed = true
	close(l.ended)
	l.more.Broadcast()
	_ = l.conn.Close()
}

// steady is a connection that ends when nothing could be read, or written, for as long as silence.
type steady struct {
	net.Conn
	silence time.Duration
}

func (s *steady) Read(b []byte) (int, error) {
	if err := s.SetReadDeadline(time.Now().Add(s.silence)); err != nil {
		return 0, err
	}
	return s.Conn.Read(b)
}

// Write writes large frames in parts, each of which has its time.
func (s *steady) Write(b []byte) (n int, err error) {
	const part = 256 << 10
	for n < len(b) && err == nil {
		if err = s.SetWriteDeadline(time.Now().Add(s.silence)); err != nil {
			return n, err
		}
		var m int
		m, err = s.Conn.Write(b[n:min(n+part, len(b))])
		n += m
	}
	return n, err
}

// ping says now and then that this node is there.
func (l *link) ping() {
	tick := time.NewTicker(l.cluster.options.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.send(frame{kind: kindPing})
		case <-l.ended:
			return
		}
	}
}

// read takes frames until one is malformed or the connection ends.
func (l *link) read() error {
	r := bufio.NewReaderSize(l.conn, 64<<10)
	for {
		f, err := readFrame(r, l.cluster.options.FrameBytes)
		if err != nil {
			return err
		}
		bytesIn.Add(lengthSize + f.size())
		l.take(f)
	}
}

// take does what a frame says. It does not block.
func (l *link) take(f frame) {
	c := l.cluster
	switch f.kind {
	case kindPing:
		l.send(frame{kind: kindPong})
	case kindAsk:
		c.answer(l, f)
	case kindAnswer:
		l.mu.Lock()
		done := l.asks[f.call]
		delete(l.asks, f.call)
		l.mu.Unlock()
		if done != nil {
			done(f, nil)
		}
	case kindFrame, kindHole, kindGone:
		c.streams.arrived(l, &f)
	case kindWant:
		c.streams.wanted(l, f.number)
	case kindUnwatch:
		c.streams.dropRelay(l, f.number)
	}
}

// ask sends a question. done is called once, from any goroutine, and must not block; the error is errLost or what is
// returned when nothing was sent: then done is not called.
func (l *link) ask(w what, id game.ID, token uint64, data []byte, done func(frame, error)) error {
	f := frame{kind: kindAsk, what: w, game: id, token: token, data: data}
	if f.size() > l.cluster.options.FrameBytes {
		return fmt.Errorf("%w: %d bytes", broker.ErrTooLarge, f.size())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return errNoLink
	case l.queued > l.cluster.options.QueueBytes:
		asksBusy.Inc()
		return fmt.Errorf("%w: the link to the node of the game", broker.ErrBusy)
	}
	l.lastAsk++
	f.call = l.lastAsk
	l.asks[f.call] = done
	l.push(f)
	return nil
}

// send queues a frame that is no question. A link whose other end takes nothing ends.
func (l *link) send(f frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if l.queued > 2*l.cluster.options.QueueBytes+linkOverhead {
		linksSlow.Inc()
		l.closeLocked()
		return
	}
	l.push(f)
}

// push queues a frame. REQUIRES: mu.
func (l *link) push(f frame) {
	l.control = append(l.control, f)
	l.queued += len(f.data) + linkOverhead
	l.more.Signal()
}

// write sends what is queued: first everything but streams, then one frame of a stream.
func (l *link) write() {
	defer l.close()
	w := bufio.NewWriterSize(l.conn, 64<<10)
	var head [64]byte
	for {
		frames, one, ok := l.next(w.Buffered() > 0)
		if !ok {
			return
		}
		if frames == nil && one == nil {
			if w.Flush() != nil {
				return
			}
			continue
		}
		if one != nil {
			frames = []frame{one.frame}
		}
		for i := range frames {
			f := &frames[i]
			bytesOut.Add(lengthSize + f.size())
			if _, err := w.Write(f.appendHead(head[:0])); err != nil {
				return
			}
			if _, err := w.Write(f.data); err != nil {
				return
			}
		}
	}
}

// next waits for something to write. Nothing but ok means: flush. With unflushed bytes it does not wait.
func (l *link) next(unflushed bool) (control []frame, one *relayed, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed {
		if len(l.control) > 0 {
			control = l.control
			l.control, l.queued = nil, 0
			return control, nil, true
		}
		if one := l.nextStream(); one != nil {
			return nil, one, true
		}
		if unflushed {
			return nil, nil, true
		}
		l.more.Wait()
	}
	return nil, nil, false
}

// nextStream takes the first frame of streams that was not dropped. REQUIRES: mu.
func (l *link) nextStream() *relayed {
	for len(l.streams) > 0 {
		one := l.streams[0]
		l.streams[0] = relayed{}
		if l.streams = l.streams[1:]; len(l.streams) == 0 {
			l.streams = nil
		}
		if one.round != one.relay.round && one.frame.kind == kindFrame {
			continue // what it counted for was taken off when it was dropped
		}
		if one.round == one.relay.round {
			l.waiting -= one.size
			one.relay.waiting -= one.size
		}
		if l.waiting <= l.cluster.options.StreamBytes/2 {
			for _, r := range l.starved {
				r.starved = false
				r.want()
			}
			l.starved = nil
		}
		return &one
	}
	return nil
}
