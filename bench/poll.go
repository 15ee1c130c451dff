package bench

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readSize is the shared read buffer of one loop. It is larger than what a socket usually holds, so that one read
// empties it and no second read is needed to learn that.
const readSize = 256 << 10

// eventsAtOnce is how many ready sockets one epoll_wait returns at most.
const eventsAtOnce = 1024

// poller is one level-triggered epoll with a timer. It belongs to one goroutine, which should be locked to its thread.
type poller struct {
	fd     int
	timer  int // timerfd, registered with timerID
	events []unix.EpollEvent
}

// timerID marks the timer among the ids of connections.
const timerID = -1

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	t, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("timerfd: %w", err)
	}
	p := &poller{fd: fd, timer: t, events: make([]unix.EpollEvent, eventsAtOnce)}
	if err := p.add(t, timerID, unix.EPOLLIN); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *poller) close() {
	unix.Close(p.timer)
	unix.Close(p.fd)
}

// add watches fd. id comes back with its events.
func (p *poller) add(fd, id int, events uint32) error {
	return p.control(unix.EPOLL_CTL_ADD, fd, id, events)
}

func (p *poller) change(fd, id int, events uint32) error {
	return p.control(unix.EPOLL_CTL_MOD, fd, id, events)
}

func (p *poller) control(op, fd, id int, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(id)}
	if err := unix.EpollCtl(p.fd, op, fd, &ev); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// tick makes the timer ready every period; 0 stops it.
func (p *poller) tick(period time.Duration) error {
	ts := unix.NsecToTimespec(int64(period))
	return unix.TimerfdSettime(p.timer, 0, &unix.ItimerSpec{Interval: ts, Value: ts}, nil)
}

// ticks returns how many periods have passed since it was last asked.
func (p *poller) ticks() uint64 {
	var b [8]byte
	if n, err := unix.Read(p.timer, b[:]); err != nil || n != len(b) {
		return 0
	}
	return *(*uint64)(unsafe.Pointer(&b))
}

// wait blocks at most for limit (in steps of a millisecond; 0 does not block) and returns what is ready. The slice
// is valid until the next call.
func (p *poller) wait(limit time.Duration) ([]unix.EpollEvent, error) {
	n, err := unix.EpollWait(p.fd, p.events, int((limit+time.Millisecond-1)/time.Millisecond))
	if err == unix.EINTR {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("epoll_wait: %w", err)
	}
	return p.events[:n], nil
}

// errGone says that the other side has closed the connection.
var errGone = errors.New("the server closed the connection")

// readNow reads what is there. n == 0 without an error: nothing yet. The raw call keeps Go's scheduler out of it: the
// socket never blocks, so there is nothing to hand over.
func readNow(fd int, b []byte) (n int, err error) {
	r, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	switch {
	case e == unix.EAGAIN || e == unix.EINTR:
		return 0, nil
	case e != 0:
		return 0, e
	case r == 0:
		return 0, errGone
	}
	return int(r), nil
}

// writeNow writes what the socket takes now, which may be nothing.
func writeNow(fd int, b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	r, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	switch {
	case e == unix.EAGAIN || e == unix.EINTR:
		return 0, nil
	case e != 0:
		return 0, e
	}
	return int(r), nil
}

// dialer makes non-blocking sockets to one address. For loopback targets it takes turns among source addresses, since
// one source has only some 28,000 ports for one target.
type dialer struct {
	to      unix.Sockaddr
	family  int
	sources []netip.Addr
	next    int
}

// portsPerSource is how many connections one source address is used for in a row: far fewer than it has ports, so
// that connections of an earlier run that still linger do not matter.
const portsPerSource = 4000

func newDialer(addr string) (*dialer, error) {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, err
	}
	ap := a.AddrPort()
	ip := ap.Addr().Unmap()
	d := &dialer{}
	if ip.Is4() {
		d.family, d.to = unix.AF_INET, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ip.As4()}
	} else {
		d.family, d.to = unix.AF_INET6, &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ip.As16()}
	}
	if ip.Is4() && ip.IsLoopback() && runtime.GOOS == "linux" {
		for i := byte(1); i <= 8; i++ {
			d.sources = append(d.sources, netip.AddrFrom4([4]byte{127, 0, 1, i}))
		}
	}
	return d, nil
}

// dial starts a connection. The socket becomes writable when it is connected; socketError says whether it is.
func (d *dialer) dial() (int, error) {
	fd, err := unix.Socket(d.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("socket: %w", err)
	}
	if len(d.sources) > 0 {
		src := d.sources[d.next/portsPerSource%len(d.sources)]
		d.next++
		// Without this option the kernel would pick the port at bind, before it knows the target.
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: src.As4()}); err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("bind %v: %w", src, err)
		}
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := unix.Connect(fd, d.to); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1, fmt.Errorf("connect: %w", err)
	}
	return fd, nil
}

// socketError returns the pending error of a socket, nil if there is none.
func socketError(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if n != 0 {
		return syscall.Errno(n)
	}
	return nil
}

// closeHard closes a socket with a reset, so that no TIME-WAIT keeps its port.
func closeHard(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Close(fd)
}

// onThread runs f on a goroutine with a thread of its own and waits for it. See ownThread.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		ownThread()
		done <- f()
	}()
	return <-done
}

// ownThread gives the goroutine a thread of its own until it ends, so that its system calls do not make the scheduler
// move other goroutines about. The thread is one for batch work: when a byte of the server wakes it, it waits for its
// turn and does not take the core from the server, as a client on another machine would not.
func ownThread() {
	runtime.LockOSThread()
	pinThread(pinned.load) // until the thread ends with its goroutine
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_BATCH}, 0)
}
