package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"gosper/protocol"
)

// gateLoad asks a gate from one goroutine: a new connection for each request.
type gateLoad struct {
	p       *poller
	dial    *dialer
	request []byte
	visits  []gateVisit
	free    []int // places in visits
	buf     []byte
	total   counts
	lat     latencies
}

// gateVisit is one connection under way.
type gateVisit struct {
	fd     int
	due    time.Time
	sent   bool
	got    []byte
	closed bool // answered: only its end is awaited
}

func newGateLoad(addr, function string, content []byte) (*gateLoad, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	d, err := newDialer(addr)
	if err != nil {
		p.close()
		return nil, err
	}
	return &gateLoad{p: p, dial: d, request: protocol.AppendGateRequest(nil, "0", function, content), buf: make([]byte, readSize)}, nil
}

func (l *gateLoad) close() {
	for i := range l.visits {
		if l.visits[i].fd >= 0 {
			closeHard(l.visits[i].fd)
		}
	}
	l.p.close()
}

// gateOpenMost is how many requests may be under way: far more than a server that keeps up needs.
const gateOpenMost = 8192

// pace begins rate requests a second for d, and records how long after its due time each was answered.
func (l *gateLoad) pace(ctx context.Context, rate int, d time.Duration, lat latencies) (counts, error) {
	l.total, l.lat = counts{}, lat
	if err := l.p.tick(paceTick); err != nil {
		return l.total, err
	}
	defer l.p.tick(0)
	l.p.ticks()
	due, perTick := time.Now(), max(1, rate/int(time.Second/paceTick))
	for end := due.Add(d); due.Before(end) && ctx.Err() == nil; {
		if err := l.turn(50 * time.Millisecond); err != nil {
			return l.total, err
		}
		for range l.p.ticks() {
			due = due.Add(paceTick)
			for range perTick {
				if err := l.begin(due); err != nil {
					return l.total, err
				}
			}
		}
	}
	for end := time.Now().Add(drainTimeout); l.total.received < l.total.sent; {
		if time.Now().After(end) {
			return l.total, fmt.Errorf("%d requests were not answered within %v", l.total.sent-l.total.received, drainTimeout)
		}
		if err := l.turn(50 * time.Millisecond); err != nil {
			return l.total, err
		}
	}
	return l.total, nil
}

// begin connects and sends, if the connection stands at once.
func (l *gateLoad) begin(due time.Time) error {
	fd, err := l.dial.dial()
	if err != nil {
		return err
	}
	id := len(l.visits)
	if n := len(l.free); n > 0 {
		id, l.free = l.free[n-1], l.free[:n-1]
	} else if id == gateOpenMost {
		unix.Close(fd)
		return fmt.Errorf("%d requests are under way: the server does not keep up", gateOpenMost)
	} else {
		l.visits = append(l.visits, gateVisit{})
	}
	v := &l.visits[id]
	*v = gateVisit{fd: fd, due: due, got: v.got[:0]}
	l.total.sent++
	if n, err := writeNow(fd, l.request); err == nil && n == len(l.request) {
		v.sent = true
		return l.p.add(fd, id, unix.EPOLLIN)
	}
	return l.p.add(fd, id, unix.EPOLLOUT)
}

// turn handles one round of ready sockets.
func (l *gateLoad) turn(limit time.Duration) error {
	events, err := l.p.wait(limit)
	if err != nil {
		return err
	}
	for _, ev := range events {
		if ev.Fd == timerID {
			continue // pace asks for the ticks itself
		}
		if err := l.handle(int(ev.Fd)); err != nil {
			return fmt.Errorf("request %d of this turn: %w", l.total.sent, err)
		}
	}
	return nil
}

func (l *gateLoad) handle(id int) error {
	v := &l.visits[id]
	if !v.sent {
		if err := socketError(v.fd); err != nil {
			return err
		}
		if n, err := writeNow(v.fd, l.request); err != nil || n != len(l.request) {
			return fmt.Errorf("the socket took %d of %d bytes: %v", n, len(l.request), err)
		}
		v.sent = true
		return l.p.change(v.fd, id, unix.EPOLLIN)
	}
	n, err := readNow(v.fd, l.buf)
	if errors.Is(err, errGone) && v.closed {
		l.end(id)
		return nil
	}
	if err != nil {
		return err
	}
	v.got = append(v.got, l.buf[:n]...)
	if v.closed || !bytes.HasSuffix(v.got, []byte("\r\n")) {
		return nil
	}
	if r, err := protocol.ParseGateResponse(v.got[:len(v.got)-2]); err != nil || r.Status != protocol.StatusOK {
		return fmt.Errorf("answered %.200q", v.got)
	}
	l.lat.add(time.Since(v.due))
	l.total.received++
	v.closed = true
	if _, err := readNow(v.fd, l.buf); errors.Is(err, errGone) { // the gate closes behind its answer
		l.end(id)
	}
	return nil
}

func (l *gateLoad) end(id int) {
	unix.Close(l.visits[id].fd)
	l.visits[id].fd = -1
	l.free = append(l.free, id)
}

// gatePlayer makes an account with a player in world 0 and returns a token of that world.
func gatePlayer(addr string) (token string, err error) {
	login, err := askGate(addr, "login_unique", []byte(`{"unique_id":"bench"}`))
	if err != nil {
		return "", err
	}
	enter, err := askGate(addr, "enter_world", fmt.Appendf(nil, `{"token":%q,"name":"Bench"}`, login.Token))
	return enter.Session, err
}

// gateData is what the bench reads of an answer.
type gateData struct {
	Token   string `json:"token"`
	Session string `json:"session"`
}

func askGate(addr, function string, content []byte) (d gateData, err error) {
	c, err := net.DialTimeout("tcp", addr, readyTimeout)
	if err != nil {
		return d, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(readyTimeout)); err != nil {
		return d, err
	}
	if _, err := c.Write(protocol.AppendGateRequest(nil, "0", function, content)); err != nil {
		return d, err
	}
	line, err := io.ReadAll(c)
	if err != nil {
		return d, err
	}
	r, err := protocol.ParseGateResponse(bytes.TrimSpace(line))
	if err != nil || r.Status != protocol.StatusOK && r.Status != 1 {
		return d, fmt.Errorf("%s was answered %.200q", function, line)
	}
	return d, json.Unmarshal(r.Data, &d)
}
