package control

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"

	"gosper/edge"
)

// Room counts client connections against the caps of the node and of each address. The edge engine is one. A zero
// address is one that is not known yet.
type Room interface {
	Acquire(from netip.Addr) bool // one connection more, if there is room
	Claim(from netip.Addr) bool   // the address of a connection that was acquired without one, if that may have more
	Release(from netip.Addr)      // one connection less
}

// listener gives the connections of an HTTP port. It counts them in a Room, survives a shortage of descriptors (which
// would end the HTTP server), and reads PROXY protocol headers of trusted balancers.
type listener struct {
	net.Listener
	room      Room           // nil: uncounted
	proxyFrom []netip.Prefix // peers that must send a PROXY header
	done      chan struct{}
	once      sync.Once
	last      *conn // newest connection; owned by the accepting goroutine
}

func newListener(ln net.Listener, room Room, proxyFrom []netip.Prefix) *listener {
	return &listener{Listener: ln, room: room, proxyFrom: proxyFrom, done: make(chan struct{})}
}

// Close closes the port and ends a waiting Accept.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

// Accept returns the next connection for which there is room. Every error but the closing of the port is waited out,
// with growing pauses.
func (l *listener) Accept() (net.Conn, error) {
	for pause := 5 * time.Millisecond; ; {
		c, err := l.Listener.Accept()
		switch {
		case err == nil:
			if w := l.wrap(c); w != nil {
				return w, nil
			}
			c.Close()
		case errors.Is(err, net.ErrClosed):
			return nil, io.EOF
		default:
			select {
			case <-time.After(pause):
			case <-l.done:
				return nil, io.EOF
			}
			pause = min(2*pause, time.Second)
		}
	}
}

// wrap makes a conn of a fresh socket, nil when there is no room for it.
func (l *listener) wrap(c net.Conn) net.Conn {
	w := &conn{Conn: c, room: l.room, from: addressOf(c.RemoteAddr())}
	for _, p := range l.proxyFrom {
		if p.Contains(w.from) {
			w.header, w.from = true, netip.Addr{}
			break
		}
	}
	if l.room != nil && !l.room.Acquire(w.from) {
		return nil
	}
	l.last = w
	return w
}

// addressOf returns the address of a TCP peer without its port, zero for any other.
func addressOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// conn is a client connection of an HTTP port.
type conn struct {
	net.Conn
	room   Room
	header bool // a PROXY header has to come first; owned by the reading goroutine
	remote atomic.Pointer[net.TCPAddr]

	refused atomic.Bool // a request was answered before all of it was read

	mu   sync.Mutex
	from netip.Addr // under which it is counted; guarded by mu
	gone bool       // released, or handed to an event loop; guarded by mu
}

// NetConn returns the socket, for the event loop that takes it over.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Read reads the PROXY header before anything else where one is due, under the deadline of the caller.
func (c *conn) Read(p []byte) (int, error) {
	if c.header {
		remote, err := readProxyHeader(c.Conn)
		if err != nil {
			return 0, err
		}
		c.header = false
		c.remote.Store(remote)
		if !c.claim() {
			return 0, errCrowded
		}
	}
	return c.Conn.Read(p)
}

// RemoteAddr returns the client's address, after a PROXY header the one it names.
func (c *conn) RemoteAddr() net.Addr {
	if a := c.remote.Load(); a != nil {
		return a
	}
	return c.Conn.RemoteAddr()
}

// claim counts the address that a PROXY header has told.
func (c *conn) claim() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if from := addressOf(c.RemoteAddr()); c.room != nil && !c.gone {
		if !c.room.Claim(from) {
			return false
		}
		c.from = from
	}
	return true
}

// handOver says that the engine has the socket and counts it from now on.
func (c *conn) handOver() { c.leave() }

// leave says that this side counts the socket no more, and reports whether it did until now.
func (c *conn) leave() (from netip.Addr, counted bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	counted, c.gone = !c.gone, true
	return c.from, counted
}

// Bounds of what is read after the answer to a request that was not read whole.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 8 << 20
)

// linger reads on until the client has seen the answer and closes. A socket that is closed with bytes unread resets the
// connection (RFC 9112, section 9.6), and the client might lose the answer that says why.
func (c *conn) linger() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes) // whatever ends it, the close follows
}

// Close closes the socket and gives its place back, once.
func (c *conn) Close() error {
	if c.refused.Swap(false) {
		c.linger()
	}
	if from, counted := c.leave(); counted && c.room != nil {
		c.room.Release(from)
	}
	return c.Conn.Close()
}

// tlsListener is the TLS twin of a listener. HTTP servers accept on one goroutine, so last is the connection below.
type tlsListener struct {
	net.Listener
	below *listener
}

func newTLSListener(below *listener, cfg *tls.Config) *tlsListener {
	return &tlsListener{edge.NewTLSListener(below, cfg), below}
}

// Accept returns a connection whose handshake happens at the first read.
func (l *tlsListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tlsConn{c, l.below.last}, nil
}

// tlsConn is a TLS connection and its place among the connections of the node.
type tlsConn struct {
	net.Conn // *tls.Conn
	place    *conn
}

// NetConn returns the TLS connection, for the event loop that takes it over.
func (c *tlsConn) NetConn() net.Conn { return c.Conn }

var errCrowded = errors.New("the address has as many connections as it may")

var errProxyHeader = errors.New("a PROXY protocol header is missing or damaged")

// Sizes of PROXY headers: version 1 is one line, version 2 a head with the length of the rest.
const (
	proxyLineMax = 107
	proxyHead    = 16
	proxyRestMax = 536
)

// readProxyHeader reads exactly the header and not one byte more, so that the socket can be handed on as it is. It
// returns nil when the balancer speaks for itself.
func readProxyHeader(r io.Reader) (*net.TCPAddr, error) {
	head := make([]byte, proxyHead, proxyHead+proxyRestMax)
	if _, err := io.ReadFull(r, head[:6]); err != nil {
		return nil, err
	}
	var err error
	if string(head[:6]) == "PROXY " {
		head, err = readProxyLine(r, head[:6])
	} else {
		head, err = readProxyRest(r, head)
	}
	if err != nil {
		return nil, err
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return nil, errProxyHeader
	}
	if h.Command.IsLocal() || h.TransportProtocol.IsUnspec() {
		return nil, nil
	}
	remote, ok := h.SourceAddr.(*net.TCPAddr)
	if !ok {
		return nil, errProxyHeader
	}
	return remote, nil
}

// readProxyLine reads version 1 up to its line end.
func readProxyLine(r io.Reader, line []byte) ([]byte, error) {
	for one := make([]byte, 1); len(line) < proxyLineMax; {
		if _, err := io.ReadFull(r, one); err != nil {
			return nil, err
		}
		line = append(line, one[0])
		if one[0] == '\n' {
			return line, nil
		}
	}
	return nil, errProxyHeader
}

// readProxyRest reads version 2, of which head holds the first 6 bytes.
func readProxyRest(r io.Reader, head []byte) ([]byte, error) {
	if _, err := io.ReadFull(r, head[6:proxyHead]); err != nil {
		return nil, err
	}
	rest := int(binary.BigEndian.Uint16(head[14:]))
	if string(head[:12]) != "\r\n\r\n\x00\r\nQUIT\n" || rest > proxyRestMax {
		return nil, errProxyHeader
	}
	_, err := io.ReadFull(r, head[proxyHead:proxyHead+rest])
	return head[:proxyHead+rest], err
}
