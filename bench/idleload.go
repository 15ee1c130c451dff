package bench

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"gosper/protocol"
)

// idleKind is what an idle connection speaks.
type idleKind uint8

const (
	idleLine idleKind = iota
	idleWeb
	idleEcho // a bare echo server: the bytes of a PING line come back
)

// idleLoad keeps connections alive: it answers what pings them, and pings itself where that is the client's part.
type idleLoad struct {
	kind  idleKind
	p     *poller
	links []link
	buf   []byte
	ping  []byte // what asks a server for a sign of life
	want  []byte // its answer, in whole
	total counts // pings of this side and their answers
	next  int    // connection whose heartbeat is due next
	due   time.Time
}

func newIdleLoad(p *poller, links []link, kind idleKind) *idleLoad {
	l := &idleLoad{kind: kind, p: p, links: links, buf: make([]byte, readSize), due: time.Now()}
	switch kind {
	case idleWeb:
		l.ping = protocol.AppendMaskedFrame(nil, protocol.OpPing, clientMask, []byte("alive"))
		l.want = []byte("alive")
	case idleLine:
		l.ping = protocol.AppendLine(nil, protocol.CmdPing)
		l.want = protocol.AppendLine(nil, protocol.CmdPong)
	case idleEcho:
		l.ping = protocol.AppendLine(nil, protocol.CmdPing)
		l.want = l.ping
	}
	return l
}

// serve handles what comes for d, and sends the heartbeats of lines in an even stream.
func (l *idleLoad) serve(d time.Duration) error {
	for end := time.Now().Add(d); ; {
		if l.kind != idleWeb {
			if err := l.beat(); err != nil {
				return err
			}
		}
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if err := l.turn(min(left, 20*time.Millisecond)); err != nil {
			return err
		}
	}
}

// beat sends the PINGs that are due: one a connection and idleBeat.
func (l *idleLoad) beat() error {
	step := idleBeat / time.Duration(len(l.links))
	now := time.Now()
	for !l.due.After(now) {
		if err := l.send(l.next); err != nil {
			return err
		}
		l.next = (l.next + 1) % len(l.links)
		l.due = l.due.Add(step)
	}
	return nil
}

func (l *idleLoad) send(i int) error {
	n, err := writeNow(l.links[i].fd, l.ping)
	if err == nil && n < len(l.ping) {
		err = fmt.Errorf("connection %d takes nothing", i)
	}
	l.total.sent++
	return err
}

func (l *idleLoad) turn(limit time.Duration) error {
	events, err := l.p.wait(limit)
	if err != nil {
		return err
	}
	for _, ev := range events {
		if ev.Fd == timerID {
			l.p.ticks()
			continue
		}
		k := &l.links[ev.Fd]
		n, err := readNow(k.fd, l.buf)
		if err == nil {
			err = l.receive(k, l.buf[:n])
		}
		if err != nil {
			return fmt.Errorf("connection %d: %w", ev.Fd, err)
		}
	}
	return nil
}

// receive takes what came on one connection.
func (l *idleLoad) receive(k *link, b []byte) error {
	if len(k.rest) > 0 {
		b = append(k.rest, b...)
	}
	for len(b) > 0 {
		n, err := l.frame(k, b)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		b = b[n:]
	}
	k.rest = nil
	if len(b) > 0 {
		k.rest = append(k.rest, b...)
	}
	return nil
}

// frame handles the first frame of b and returns its length, 0 when it is not whole.
func (l *idleLoad) frame(k *link, b []byte) (int, error) {
	if l.kind != idleWeb {
		end := bytes.IndexByte(b, '\n') + 1
		if end > 0 && bytes.Equal(b[:end], l.want) {
			l.total.received++
		} else if end > 0 && bytes.HasPrefix(b, []byte(protocol.CmdClose.String())) {
			return 0, fmt.Errorf("the server said %q", b[:end])
		}
		return end, nil
	}
	h, n, err := protocol.ParseFrameHeader(b)
	if err != nil || n == 0 || uint64(len(b)-n) < h.Length {
		return 0, err
	}
	end := n + int(h.Length)
	switch h.Op {
	case protocol.OpPing:
		_, err = writeNow(k.fd, protocol.AppendMaskedFrame(nil, protocol.OpPong, clientMask, b[n:end]))
	case protocol.OpPong:
		if bytes.Equal(b[n:end], l.want) {
			l.total.received++
		}
	case protocol.OpClose:
		err = fmt.Errorf("the server closed with %q", b[n:end])
	}
	return end, err
}

// roundTrip asks every connection for a sign of life and waits for all answers.
func (l *idleLoad) roundTrip() error {
	for i := range l.links {
		if err := l.send(i); err != nil {
			return err
		}
		if i%eventsAtOnce == 0 {
			if err := l.turn(0); err != nil {
				return err
			}
		}
	}
	for end := time.Now().Add(drainTimeout); l.total.received < l.total.sent; {
		if err := l.turn(50 * time.Millisecond); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d connections gave no sign of life", l.total.sent-l.total.received)
		}
	}
	return nil
}

// pause waits for d, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
