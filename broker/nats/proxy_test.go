package nats

import (
	"net"
	"sync"
	"testing"
)

// proxy stands between a node and a server. Paused it takes bytes in both directions and gives none on, as a server does
// that was stopped by a signal; cut, it drops connections and takes no new ones.
type proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	room  sync.Cond
	pause bool
	down  bool
	conns map[net.Conn]struct{}
	done  sync.WaitGroup
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, conns: make(map[net.Conn]struct{})}
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
		p.done.Go(func() { p.copy(c, s) })
		p.done.Go(func() { p.copy(s, c) })
	}
}

func (p *proxy) enter(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return false
	}
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return true
}

func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		p.mu.Lock()
		for p.pause && !p.down {
			p.room.Wait()
		}
		p.mu.Unlock()
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
