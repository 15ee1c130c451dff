package redis

import (
	"net"
	"sync"
	"testing"
)

// proxy is a TCP proxy whose present connections can be made half-open: bytes are swallowed, nothing is closed.
type proxy struct {
	listener net.Listener
	target   string
	work     sync.WaitGroup

	mu    sync.Mutex
	hole  chan struct{} // closed: connections that were made before swallow everything
	conns []net.Conn
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, hole: make(chan struct{})}
	p.work.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		hole := p.hole
		p.mu.Unlock()
		p.work.Go(func() { pass(client, server, hole) })
		p.work.Go(func() { pass(server, client, hole) })
	}
}

// pass copies until an end closes, or swallows when hole is closed.
func pass(from, to net.Conn, hole <-chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		select {
		case <-hole:
			if err == nil {
				continue
			}
		default:
		}
		if err != nil {
			break
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			break
		}
	}
	to.Close()
	from.Close()
}

// swallow makes all present connections half-open; new ones work.
func (p *proxy) swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.hole)
	p.hole = make(chan struct{})
}

func (p *proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}
