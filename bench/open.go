package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// link is one connection of the load generator after its greeting.
type link struct {
	fd   int
	rest []byte // bytes that came after the greeting, not yet looked at
}

// greeter is the script that brings one new connection to the point where the load starts. It sees what has arrived
// and was not used yet (nothing at its first call) and says how much of it is used, what to send, and whether it is
// done. send may be kept by the caller until the next call.
type greeter interface {
	advance(in []byte) (used int, send []byte, done bool, err error)
}

// openAtOnce is how many connections are in their greeting at the same time: enough to keep both sides busy, fewer
// than a listen backlog.
const openAtOnce = 256

// openTimeout is how long one greeting may make no progress at all.
const openTimeout = 30 * time.Second

// plan says which connections to open.
type plan struct {
	addr    string
	n       int
	firstID int // id of the first in the poller
	greet   func(i int) greeter
	dial    *dialer     // nil: a new one for addr
	opened  func(n int) // progress; may be nil
}

// opening is the state of open.
type opening struct {
	plan
	p       *poller
	links   []link
	scripts []greeter // nil when done
	unsent  [][]byte  // what a script wants to send and the socket did not take yet
	started int
	done    int
	buf     []byte
}

// open makes the connections of a plan in the poller p. When it fails, those made by then are closed.
func open(ctx context.Context, p *poller, pl plan) ([]link, error) {
	if pl.dial == nil {
		d, err := newDialer(pl.addr)
		if err != nil {
			return nil, err
		}
		pl.dial = d
	}
	o := &opening{plan: pl, p: p, links: make([]link, pl.n), scripts: make([]greeter, pl.n), unsent: make([][]byte, pl.n), buf: make([]byte, readSize)}
	if err := o.run(ctx); err != nil {
		closeAll(o.links[:o.started])
		return nil, err
	}
	return o.links, nil
}

func closeAll(links []link) {
	for _, l := range links {
		closeHard(l.fd)
	}
}

func (o *opening) run(ctx context.Context) error {
	progress := time.Now()
	for o.done < o.n {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for o.started < o.n && o.started-o.done < openAtOnce {
			if err := o.start(); err != nil {
				return err
			}
		}
		events, err := o.p.wait(100 * time.Millisecond)
		if err != nil {
			return err
		}
		before := o.done
		for _, ev := range events {
			if ev.Fd == timerID {
				o.p.ticks()
				continue
			}
			id := int(ev.Fd) - o.firstID
			if id < 0 {
				continue // of an earlier plan in the same poller: it is served later
			}
			if err := o.handle(id, ev.Events); err != nil {
				return fmt.Errorf("connection %d to %s: %w", id, o.addr, err)
			}
		}
		if o.done > before {
			progress = time.Now()
			if o.opened != nil {
				o.opened(o.done)
			}
		} else if time.Since(progress) > openTimeout {
			return fmt.Errorf("only %d of %d connections to %s are ready, and no more in %v", o.done, o.n, o.addr, openTimeout)
		}
	}
	return nil
}

func (o *opening) start() error {
	fd, err := o.dial.dial()
	if err != nil {
		return err
	}
	id := o.started
	o.links[id].fd = fd
	o.scripts[id] = o.greet(id)
	o.started++
	return o.p.add(fd, o.firstID+id, unix.EPOLLOUT)
}

func (o *opening) handle(id int, events uint32) error {
	l := &o.links[id]
	if events&(unix.EPOLLOUT|unix.EPOLLERR) != 0 && events&unix.EPOLLIN == 0 {
		if err := socketError(l.fd); err != nil {
			return err
		}
		return o.writable(id)
	}
	n, err := readNow(l.fd, o.buf)
	if err != nil {
		if errors.Is(err, errGone) && len(l.rest) > 0 {
			return fmt.Errorf("%w after %.200q", err, l.rest)
		}
		return err
	}
	l.rest = append(l.rest, o.buf[:n]...)
	if o.scripts[id] == nil { // the load has not started, but others are still being greeted
		return nil
	}
	return o.step(id)
}

// writable is called when a socket got connected, or takes more of what it did not take before.
func (o *opening) writable(id int) error {
	if len(o.unsent[id]) > 0 {
		return o.send(id, o.unsent[id])
	}
	if err := o.p.change(o.links[id].fd, o.firstID+id, unix.EPOLLIN); err != nil {
		return err
	}
	return o.step(id)
}

// step runs the script until it waits for more bytes.
func (o *opening) step(id int) error {
	l := &o.links[id]
	for {
		used, send, done, err := o.scripts[id].advance(l.rest)
		if err != nil {
			return err
		}
		l.rest = l.rest[used:]
		if len(send) > 0 {
			if err := o.send(id, send); err != nil {
				return err
			}
		}
		if done {
			o.scripts[id] = nil
			o.done++
			l.rest = append([]byte(nil), l.rest...) // let go of the greeting's bytes
			return nil
		}
		if used == 0 {
			return nil
		}
	}
}

func (o *opening) send(id int, b []byte) error {
	l := &o.links[id]
	n, err := writeNow(l.fd, b)
	if err != nil {
		return err
	}
	waited := o.unsent[id] != nil
	o.unsent[id] = nil
	switch {
	case n < len(b):
		o.unsent[id] = append([]byte(nil), b[n:]...)
		return o.p.change(l.fd, o.firstID+id, unix.EPOLLIN|unix.EPOLLOUT)
	case waited:
		return o.p.change(l.fd, o.firstID+id, unix.EPOLLIN)
	}
	return nil
}
