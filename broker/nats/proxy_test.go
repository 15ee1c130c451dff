package nats

import (
	"bytes"
	"errors"
	"net"
	"sync"
	"testing"
)

// proxy stands between a node and a server. Paused it takes bytes in both directions and gives none on, as a server does
// that was stopped by a signal; cut, it drops connections and takes no new ones.
type proxy struct {
	listener net.Listener
	target   string
	only     string // not "": only connections that begin with a text that has this in it are ever paused

	mu     sync.Mutex
	room   sync.Cond
	pause  bool
	down   bool
	conns  map[net.Conn]struct{}
	turned int    // connections it has not taken
	held   []byte // what waits, and what has waited
	done   sync.WaitGroup
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return proxyAt(t, l, target, "")
}

func proxyAt(t *testing.T, l net.Listener, target, only string) *proxy {
	p := &proxy{listener: l, target: target, only: only, conns: make(map[net.Conn]struct{})}
	p.room.L = &p.mu
	p.done.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.set(false, true)
		p.done.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

// set changes what the proxy does.
func (p *proxy) set(pause, down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pause, p.down = pause, down
	if down {
		for c := range p.conns {
			c.Close()
		}
	}
	p.room.Broadcast()
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", p.target)
		if err != nil || !p.enter(c, s) {
			c.Close()
			if s != nil {
				s.Close()
			}
			continue
		}
		one := &passage{pausable: p.only == ""}
		p.done.Go(func() { p.copy(one, c, s) })
		p.done.Go(func() { p.copy(one, s, c) })
	}
}

func (p *proxy) enter(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		p.turned++
		return false
	}
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return true
}

// holds reports whether text waits, or has waited.
func (p *proxy) holds(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Contains(p.held, []byte(text))
}

// turnedAway is how many connections it has not taken.
func (p *proxy) turnedAway() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.turned
}

// passage is one connection through the proxy.
type passage struct {
	pausable bool // guarded by proxy.mu
}

// passageHead is how much of what a connection begins with is looked at for proxy.only.
const passageHead = 8 << 10

// maxHeld is how many reads of a connection a proxy with only keeps at most while it is paused.
const maxHeld = 1024

func (p *proxy) copy(one *passage, to, from net.Conn) {
	defer to.Close()
	if p.only == "" {
		p.carry(from, func(b []byte) error { return p.give(one, to, b) })
		return
	}
	late := make(chan []byte, maxHeld)
	p.done.Go(func() {
		defer to.Close()
		for b := range late {
			if p.give(one, to, b) != nil {
				return
			}
		}
	})
	var head []byte
	p.carry(from, func(b []byte) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(head) < passageHead {
			head = append(head, b...)
			one.pausable = one.pausable || bytes.Contains(head, []byte(p.only))
		}
		if p.pause && one.pausable {
			p.held = append(p.held, b...)
		}
		select {
		case late <- bytes.Clone(b):
			return nil
		default:
			return errors.New("too much waits")
		}
	})
	close(late)
}

// carry calls take with what comes, until one of both fails.
func (p *proxy) carry(from net.Conn, take func([]byte) error) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || take(buffer[:n]) != nil {
			return
		}
	}
}

// give writes when the proxy is not paused.
func (p *proxy) give(one *passage, to net.Conn, b []byte) error {
	p.mu.Lock()
	for p.pause && !p.down && one.pausable {
		p.room.Wait()
	}
	p.mu.Unlock()
	_, err := to.Write(b)
	return err
}
