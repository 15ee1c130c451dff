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

// Room counts client connections against the cap of the node. The edge engine is one.
type Room interface {
	Acquire() bool // one connection more, if there is room
	Release()      // one connection less
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
		case err == nil && l.room != nil && !l.room.Acquire():
			c.Close()
		case err == nil:
			return l.wrap(c), nil
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

// wrap makes a conn of a fresh socket.
func (l *listener) wrap(c net.Conn) net.Conn {
	w := &conn{Conn: c, room: l.room}
	l.last = w
	peer, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return w
	}
	from := peer.AddrPort().Addr().Unmap()
	for _, p := range l.proxyFrom {
		if p.Contains(from) {
			w.header = true
		}
	}
	return w
}

// conn is a client connection of an HTTP port.
type conn struct {
	net.Conn
	room   Room
	gone   atomic.Bool // released, or handed to an event loop
	header bool        // a PROXY header has to come first; owned by the reading goroutine
	remote atomic.Pointer[net.TCPAddr]
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

// handOver says that the engine has the socket and counts it from now on.
func (c *conn) handOver() { c.gone.Store(true) }

// Close closes the socket and gives its place back, once.
func (c *conn) Close() error {
	if !c.gone.Swap(true) && c.room != nil {
		c.room.Release()
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
