package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"gosper/protocol"
)

// drainTimeout is how long the generator waits for answers after it stopped sending.
const drainTimeout = 30 * time.Second

// paceTick is the step in which the paced mode sends.
const paceTick = time.Millisecond

// dueRing is how many frames a connection of the paced mode may have under way.
const dueRing = 1024

// counts is what one measurement sent and got back, in frames.
type counts struct{ sent, received uint64 }

func (r *Run) balanceOf(c counts) {
	r.Balance(c.sent, c.received, c.sent-min(c.sent, c.received), c.received-min(c.sent, c.received))
}

// echoConn is one connection of an echoLoad. It is small and lies in one slice, so that a turn over thousands of
// connections stays in the cache.
type echoConn struct {
	fd   int
	id   int    // in the poller
	sent uint64 // bytes of the script that were sent since the start
	owed uint64 // bytes that may be sent now and that the socket did not take yet
	got  uint64 // bytes of the script that came back
	rest []byte // a server's own frame that has not arrived whole (websocket only)
	due  []time.Time
}

// echoLoad drives the connections of one side from one goroutine.
type echoLoad struct {
	script  echoScript
	sendLen uint64 // bytes of one cycle; script.send holds more, so that any piece of up to echoCycle/2 frames is in one
	wantLen uint64
	p       *poller
	conns   []echoConn
	buf     []byte
	total   counts
	onFrame func(c *echoConn, frames uint64) error
}

func newEchoLoad(ctx context.Context, addr string, n int, script echoScript, greet func(int) greeter) (*echoLoad, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	links, err := open(ctx, p, plan{addr: addr, n: n, greet: greet})
	if err != nil {
		p.close()
		return nil, err
	}
	l := &echoLoad{script: script, sendLen: uint64(len(script.send)), wantLen: uint64(len(script.want)), p: p, buf: make([]byte, readSize)}
	l.script.send = append(script.send, script.send[:len(script.send)/2]...)
	for i, k := range links {
		l.conns = append(l.conns, echoConn{fd: k.fd, id: i, rest: k.rest})
	}
	return l, nil
}

func (l *echoLoad) close() {
	for i := range l.conns {
		closeHard(l.conns[i].fd)
	}
	l.p.close()
}

// saturate keeps depth frames under way on every connection for d, then waits for the rest.
func (l *echoLoad) saturate(ctx context.Context, depth int, d time.Duration) (counts, error) {
	l.total = counts{}
	end := time.Now().Add(d)
	more := true
	l.onFrame = func(c *echoConn, frames uint64) error {
		if more {
			return l.push(c, frames)
		}
		return nil
	}
	for i := range l.conns {
		if err := l.push(&l.conns[i], uint64(depth)); err != nil {
			return l.total, err
		}
	}
	for more {
		if err := l.turn(50 * time.Millisecond); err != nil {
			return l.total, err
		}
		more = ctx.Err() == nil && time.Now().Before(end)
	}
	err := l.drain()
	return l.total, err
}

// pace sends rate frames a second over all connections in turn, and records how long after its due time each came back.
func (l *echoLoad) pace(ctx context.Context, rate int, d time.Duration, lat latencies) (counts, error) {
	l.total = counts{}
	l.onFrame = func(c *echoConn, frames uint64) error {
		now := time.Now()
		for _, due := range c.due[:frames] {
			lat.add(now.Sub(due))
		}
		c.due = append(c.due[:0], c.due[frames:]...)
		return nil
	}
	if err := l.p.tick(paceTick); err != nil {
		return l.total, err
	}
	defer l.p.tick(0)
	l.p.ticks()
	due, next := time.Now(), 0
	perTick := max(1, rate/int(time.Second/paceTick))
	for end := due.Add(d); due.Before(end) && ctx.Err() == nil; {
		if err := l.turn(50 * time.Millisecond); err != nil {
			return l.total, err
		}
		for range l.p.ticks() {
			due = due.Add(paceTick)
			for range perTick {
				c := &l.conns[next%len(l.conns)]
				next++
				if len(c.due) == dueRing {
					return l.total, fmt.Errorf("%d frames of a connection are unanswered", dueRing)
				}
				c.due = append(c.due, due)
				if err := l.push(c, 1); err != nil {
					return l.total, err
				}
			}
		}
	}
	err := l.drain()
	return l.total, err
}

// push allows a connection to send so many frames more, and sends what the socket takes.
func (l *echoLoad) push(c *echoConn, frames uint64) error {
	l.total.sent += frames
	full := c.owed > 0
	c.owed += frames * uint64(l.script.sendFrame)
	if full {
		return nil // epoll says when there is room
	}
	if err := l.flush(c); err != nil {
		return err
	}
	if c.owed > 0 {
		return l.p.change(c.fd, c.id, unix.EPOLLIN|unix.EPOLLOUT)
	}
	return nil
}

func (l *echoLoad) flush(c *echoConn) error {
	for c.owed > 0 {
		at := c.sent % l.sendLen
		n, err := writeNow(c.fd, l.script.send[at:min(at+c.owed, uint64(len(l.script.send)))])
		if err != nil || n == 0 {
			return err
		}
		c.sent += uint64(n)
		c.owed -= uint64(n)
	}
	return nil
}

// turn handles one round of ready sockets.
func (l *echoLoad) turn(limit time.Duration) error {
	events, err := l.p.wait(limit)
	if err != nil {
		return err
	}
	for _, ev := range events {
		if ev.Fd == timerID {
			continue // pace asks for the ticks itself
		}
		c := &l.conns[ev.Fd]
		if ev.Events&unix.EPOLLOUT != 0 {
			if err := l.flush(c); err != nil {
				return err
			}
			if c.owed == 0 {
				if err := l.p.change(c.fd, int(ev.Fd), unix.EPOLLIN); err != nil {
					return err
				}
			}
		}
		if ev.Events&^unix.EPOLLOUT != 0 {
			if err := l.receive(c); err != nil {
				return fmt.Errorf("connection %d: %w", ev.Fd, err)
			}
		}
	}
	return nil
}

// receive reads once and checks what came.
func (l *echoLoad) receive(c *echoConn) error {
	n, err := readNow(c.fd, l.buf)
	if err != nil {
		return err
	}
	b := l.buf[:n]
	if len(c.rest) > 0 {
		b = append(c.rest, b...)
		c.rest = nil
	}
	before := c.got / uint64(l.script.wantFrame)
	if b = l.match(c, b); len(b) > 0 {
		if err := l.stray(c, b); err != nil {
			return err
		}
	}
	if frames := c.got/uint64(l.script.wantFrame) - before; frames > 0 {
		l.total.received += frames
		return l.onFrame(c, frames)
	}
	return nil
}

// match advances over the bytes that are as expected and returns the others.
func (l *echoLoad) match(c *echoConn, b []byte) []byte {
	for len(b) > 0 {
		at := c.got % l.wantLen
		n := min(len(b), int(l.wantLen-at))
		want := l.script.want[at : at+uint64(n)]
		if !bytes.Equal(b[:n], want) {
			same := 0
			for b[same] == want[same] {
				same++
			}
			c.got += uint64(same)
			return b[same:]
		}
		c.got += uint64(n)
		b = b[n:]
	}
	return nil
}

var errEcho = errors.New("the answer is not what was sent")

// stray handles bytes that are not of the script: on a websocket the server's own pings may stand between two frames.
func (l *echoLoad) stray(c *echoConn, b []byte) error {
	for len(b) > 0 {
		// The first byte of a ping is unlike that of a text frame, so nothing of it can have matched.
		between := c.got%uint64(l.script.wantFrame) == 0
		h, n, err := protocol.ParseFrameHeader(b)
		if err != nil || !between || n > 0 && h.Op != protocol.OpPing {
			return fmt.Errorf("%w: %.80q after %d frames", errEcho, b, c.got/uint64(l.script.wantFrame))
		}
		if n == 0 || len(b)-n < int(h.Length) {
			c.rest = append([]byte(nil), b...)
			return nil
		}
		end := n + int(h.Length)
		if c.owed == 0 { // between two frames of ours; else the next ping is answered
			if _, err := writeNow(c.fd, protocol.AppendMaskedFrame(nil, protocol.OpPong, clientMask, b[n:end])); err != nil {
				return err
			}
		}
		b = l.match(c, b[end:])
	}
	return nil
}

// drain waits until every frame that was sent has come back.
func (l *echoLoad) drain() error {
	for end := time.Now().Add(drainTimeout); l.total.received < l.total.sent; {
		if time.Now().After(end) {
			return fmt.Errorf("%d frames did not come back within %v", l.total.sent-l.total.received, drainTimeout)
		}
		if err := l.turn(50 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
