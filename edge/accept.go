package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// acceptors is how many goroutines wait for connections on each listener. Each hands a socket to its loop before it
// takes the next, so one busy loop does not keep the others from new clients.
const acceptors = 4

// listener is an open Listener.
type listener struct {
	Listener
	ln   *net.TCPListener
	door *doorInfo
}

// listen opens the listeners and starts their acceptors.
func (e *Engine) listen() error {
	for _, cfg := range e.config.Listeners {
		ln, err := e.openListener(&cfg)
		if err != nil {
			return fmt.Errorf("%s-addr: %w", cfg.Name, err)
		}
		e.listeners = append(e.listeners, &listener{Listener: cfg, ln: ln, door: e.door(cfg.Door)})
	}
	for _, ln := range e.listeners {
		for range acceptors {
			e.workers.Go(func() { e.accept(ln) })
		}
	}
	return nil
}

// openListener listens on an address. Keep-alive is set on the listener, whose connections inherit it, instead of by four calls
// a connection.
func (e *Engine) openListener(cfg *Listener) (*net.TCPListener, error) {
	lc := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) {
			if err = setKeepAlive(int(fd), e.limits.KeepAlive); err == nil && cfg.ReusePort {
				err = setReusePort(int(fd))
			}
		}); cerr != nil {
			return cerr
		}
		return err
	}}
	lc.SetMultipathTCP(false) // its sockets are slower, and phones that use it are served by plain TCP as well
	ln, err := lc.Listen(context.Background(), "tcp", cfg.Addr)
	if err != nil {
		return nil, err
	}
	return ln.(*net.TCPListener), nil
}

func setKeepAlive(fd int, idle time.Duration) error {
	const probes = 3
	s := max(1, int(idle/time.Second))
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, s),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, max(1, s/probes)),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, probes),
	)
}

func setReusePort(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }

// ListenShared listens on a TCP address that other processes of this machine may listen on too, if they say so as well.
func ListenShared(addr string) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = setReusePort(int(fd)) }); cerr != nil {
			return cerr
		}
		return err
	}}
	return lc.Listen(context.Background(), "tcp", addr)
}

// Addr returns the address of the named listener, nil when there is none.
func (e *Engine) Addr(name string) net.Addr {
	for _, ln := range e.listeners {
		if ln.Name == name {
			return ln.ln.Addr()
		}
	}
	return nil
}

func (e *Engine) closeListeners() {
	for _, ln := range e.listeners {
		_ = ln.ln.Close()
	}
}

// accept takes connections until the listener is closed. An error, such as too many open files, is counted and waited
// out: it must never end the listener.
func (e *Engine) accept(ln *listener) {
	wait := time.Duration(0)
	for {
		c, err := ln.ln.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			acceptErrors.Inc()
			wait = min(max(2*wait, 5*time.Millisecond), time.Second)
			if wait == time.Second {
				e.log.Warn("connections cannot be accepted", "listener", ln.Name, "error", err)
			}
			select {
			case <-time.After(wait):
			case <-e.stopping:
				return
			}
		default:
			wait = 0
			e.admit(ln, c)
		}
	}
}

// admit lets a connection in when there is room for it.
func (e *Engine) admit(ln *listener, c *net.TCPConn) {
	o := &opening{door: ln.door, own: true, info: AdoptInfo{Remote: remoteOf(c)}}
	trusted := ln.trusts(o.info.Remote)
	if trusted {
		o.info.Remote = netip.Addr{} // the header will tell
	}
	if !e.Acquire(o.info.Remote) {
		refuse(c)
		return
	}
	if ln.TLS == nil && !trusted {
		e.take(c, o)
		return
	}
	select {
	case e.slots <- struct{}{}:
		e.workers.Go(func() {
			defer func() { <-e.slots }()
			e.handshake(ln, c, o, trusted)
		})
	default:
		limitHit("handshakes")
		refusedBusy.Inc()
		refuse(c)
		e.Release(o.info.Remote)
	}
}

var errCrowded = errors.New("the address has as many connections as it may")

// refuse closes c so that it leaves nothing behind on this host.
func refuse(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

func (ln *listener) trusts(from netip.Addr) bool {
	for _, p := range ln.ProxyFrom {
		if p.Contains(from) {
			return true
		}
	}
	return false
}

// handshake reads what comes before the door's protocol, a PROXY header and a TLS handshake, on a goroutine of its own
// for that time.
func (e *Engine) handshake(ln *listener, c *net.TCPConn, o *opening, trusted bool) {
	fail := func(err error) {
		e.log.Debug("handshake failed", "listener", ln.Name, "error", err)
		refuse(c)
		e.Release(o.info.Remote)
	}
	defer func() {
		if r := recover(); r != nil {
			panics.Inc()
			fail(fmt.Errorf("panic: %v", r))
		}
	}()
	deadline := time.Now().Add(e.limits.HandshakeTimeout)
	_ = c.SetDeadline(deadline)
	stop := context.AfterFunc(e.ctx, func() { _ = c.SetDeadline(time.Now()) })
	defer stop()
	if trusted {
		from, err := readProxy(c)
		if err != nil {
			refusedProxy.Inc()
			fail(err)
			return
		}
		if !from.IsValid() {
			from = remoteOf(c)
		}
		if !e.Claim(from) {
			fail(errCrowded)
			return
		}
		o.info.Remote = from
	}
	if ln.TLS != nil {
		o.link = &handover{Conn: c}
		o.secure = tls.Server(o.link, ln.TLS)
		if err := o.secure.Handshake(); err != nil {
			refusedTLS.Inc()
			fail(err)
			return
		}
	}
	_ = c.SetDeadline(time.Time{})
	e.take(c, o)
}

// readProxy reads a PROXY header and not a byte behind it.
func readProxy(c *net.TCPConn) (from netip.Addr, err error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return from, err
	}
	var buf [proxyV2Max]byte
	for seen := 0; ; {
		n, err := peek(rc, buf[:], seen)
		if err != nil {
			return from, err
		}
		from, size, err := parseProxy(buf[:n])
		if err != nil {
			return from, err
		}
		if size > 0 {
			_, err = c.Read(buf[:size])
			return from, err
		}
		seen = n
	}
}

// peek waits until more than seen bytes can be read and looks at them without taking them.
func peek(rc syscall.RawConn, b []byte, seen int) (n int, err error) {
	cerr := rc.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), b, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return err != unix.EAGAIN && err != unix.EINTR && (err != nil || n == 0 || n > seen)
	})
	if cerr != nil {
		return 0, cerr
	}
	if err == nil && n == 0 {
		err = net.ErrClosed
	}
	return n, err
}
