package edge

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// outlet tells a loop which sockets take bytes again. gnet tells nobody, so it is an epoll of our own beside that of gnet:
// edge-triggered, looked at by the loop only. That something has become ready is noticed by a goroutine that waits for
// the epoll itself in Go's netpoller, and so costs no thread.
type outlet struct {
	// static after construction
	fd   int
	file *os.File // the same descriptor
	raw  syscall.RawConn

	// owned by the loop
	sessions map[int32]*Session // by descriptor
	events   []unix.EpollEvent
}

const outletEvents = 256 // taken at once

func newOutlet() (*outlet, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("epoll: %w", err)
	}
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &outlet{fd: fd, file: file, raw: raw, sessions: map[int32]*Session{}, events: make([]unix.EpollEvent, outletEvents)}, nil
}

// watchOutlet wakes the loop whenever sockets take bytes again, until the outlet is closed.
func (l *loop) watchOutlet() {
	_ = l.outlet.raw.Read(func(uintptr) bool {
		l.mu.Lock()
		l.writable = true
		l.wakeLocked()
		return false // the loop reads
	})
}

// register has the outlet tell when the socket of s takes bytes again. Without it each tick tries.
func (s *Session) register() {
	f, o := &s.watching.flow, s.loop.outlet
	if f.registered {
		return
	}
	fd := int32(s.conn.Fd())
	ev := unix.EpollEvent{Events: unix.EPOLLOUT | unix.EPOLLET, Fd: fd}
	if unix.EpollCtl(o.fd, unix.EPOLL_CTL_ADD, int(fd), &ev) == nil {
		f.registered = true
		o.sessions[fd] = s
	}
}

// dropFlow forgets what waits for a session that has ended. Its socket is still open.
func (s *Session) dropFlow() {
	if s.watching == nil {
		return
	}
	if s.watching.flow.registered {
		fd := s.conn.Fd()
		_ = unix.EpollCtl(s.loop.outlet.fd, unix.EPOLL_CTL_DEL, fd, nil)
		delete(s.loop.outlet.sessions, int32(fd))
	}
	s.watching.flow = flow{}
}

// takeWritable queues the sessions whose sockets take bytes again, and reports whether there may be more of them.
func (l *loop) takeWritable() (more bool) {
	o := l.outlet
	n, err := unix.EpollWait(o.fd, o.events, 0)
	if err != nil {
		return err == unix.EINTR
	}
	for i := range o.events[:n] {
		if s := o.sessions[o.events[i].Fd]; s != nil && s.queued() {
			l.streams.enqueue(s)
		}
	}
	return n == len(o.events)
}
