package edge

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"
)

// handover is the transport below a tls.Conn that starts life blocking, on a socket, for the handshake, and is then
// handed to an event loop. From there a read gives what the loop received or errWouldBlock, which crypto/tls takes as
// "try again later" without losing its state, and a write goes through the loop's connection. So an idle TLS client
// costs no goroutine.
type handover struct {
	net.Conn // the socket, until the handover

	// owned by the loop once s is set
	s  *Session
	in []byte // ciphertext not yet read
}

// errWouldBlock is a net.Error that is a timeout and temporary: crypto/tls keeps the connection usable after it.
var errWouldBlock = os.ErrDeadlineExceeded

func (h *handover) Read(p []byte) (int, error) {
	if h.s == nil {
		return h.Conn.Read(p)
	}
	if len(h.in) == 0 {
		return 0, errWouldBlock
	}
	n := copy(p, h.in)
	h.in = h.in[n:]
	return n, nil
}

func (h *handover) Write(p []byte) (int, error) {
	if h.s == nil {
		return h.Conn.Write(p)
	}
	if !h.s.writeRaw(p) {
		return 0, net.ErrClosed
	}
	return len(p), nil
}

func (h *handover) Close() error {
	if h.s == nil {
		return h.Conn.Close()
	}
	return nil // the loop closes its connection itself
}

func (h *handover) SetDeadline(t time.Time) error {
	if h.s == nil {
		return h.Conn.SetDeadline(t)
	}
	return nil
}

func (h *handover) SetReadDeadline(t time.Time) error {
	if h.s == nil {
		return h.Conn.SetReadDeadline(t)
	}
	return nil
}

func (h *handover) SetWriteDeadline(t time.Time) error {
	if h.s == nil {
		return h.Conn.SetWriteDeadline(t)
	}
	return nil
}

// NewTLSListener wraps the listener of an HTTP server so that its connections, which are *tls.Conn, can be adopted by
// an engine after a websocket upgrade. The handshake happens at the first read, under the deadlines of the server.
// REQUIRES: ln gives *net.TCPConn, or connections whose NetConn method leads to one.
func NewTLSListener(ln net.Listener, cfg *tls.Config) net.Listener {
	return &tlsListener{ln, cfg}
}

type tlsListener struct {
	net.Listener
	cfg *tls.Config
}

func (l *tlsListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(&handover{Conn: c}, l.cfg), nil
}

var errNotAdoptable = errors.New("neither a TCP connection nor a TLS connection of NewTLSListener")

// unwrap finds the socket below c, and the TLS session on it if there is one.
func unwrap(c net.Conn) (*net.TCPConn, *tls.Conn, error) {
	for {
		switch v := c.(type) {
		case *net.TCPConn:
			return v, nil, nil
		case *tls.Conn:
			h, ok := v.NetConn().(*handover)
			if !ok {
				return nil, nil, errNotAdoptable
			}
			tcp, _, err := unwrap(h.Conn)
			return tcp, v, err
		case interface{ UnsafeConn() net.Conn }: // fasthttp's hijacked connection
			c = v.UnsafeConn()
		case interface{ NetConn() net.Conn }:
			c = v.NetConn()
		default:
			return nil, nil, errNotAdoptable
		}
	}
}
