package bench

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// fanReader reads the sockets of a share of the subscribers, on a thread of its own: one thread would read more slowly
// than a server on two cores can write, and its speed would be what is measured.
type fanReader struct {
	// static after construction
	proto *fanProtocol
	p     *poller
	done  int // eventfd, told when the reader has caught up

	// owned by the reader's goroutine
	track *fanTrack
	links []fanLink
	buf   []byte

	delivered atomic.Uint64 // since the start

	// guarded by mu, which is held while a batch of events is handled
	mu     sync.Mutex
	lat    latencies
	err    error
	ended  bool
	finish chan struct{} // closed when run has returned
}

// adopt takes over sockets that are registered with the poller from.
func (r *fanReader) adopt(from *poller, links []link) error {
	for _, k := range links {
		if err := from.control(unix.EPOLL_CTL_DEL, k.fd, 0, 0); err != nil {
			return err
		}
		if err := r.p.add(k.fd, len(r.links), unix.EPOLLIN); err != nil {
			return err
		}
		r.links = append(r.links, fanLink{fd: k.fd, rest: k.rest})
	}
	return nil
}

// run serves the reader's sockets until stop, on a thread of its own.
func (r *fanReader) run() {
	ownThread()
	defer close(r.finish)
	for r.handle(50*time.Millisecond) == nil {
	}
}

// handle waits for events and handles one batch. It fails for ever after the first error and after stop.
func (r *fanReader) handle(limit time.Duration) error {
	events, err := r.p.wait(limit)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.err != nil:
		return r.err
	case r.ended:
		return errGone
	}
	for _, ev := range events {
		if err != nil {
			break
		}
		if err = r.receive(&r.links[ev.Fd]); err != nil {
			err = fmt.Errorf("subscriber %d: %w", ev.Fd, err)
		}
	}
	if r.err = err; err != nil {
		r.tell()
		return err
	}
	if len(events) > 0 && r.delivered.Load()%uint64(len(r.links)) == 0 {
		r.tell()
	}
	if len(r.track.ref) > 4<<20 {
		r.track.trim(r.links)
	}
	return nil
}

// tell wakes the goroutine that publishes.
func (r *fanReader) tell() {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = writeNow(r.done, one[:])
}

// stop ends run and waits for it.
func (r *fanReader) stop() {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	<-r.finish
}

// begin starts a measurement: what arrives from now on is timed in a fresh record.
func (r *fanReader) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lat = newLatencies()
}

// failed returns the error that ended the reader.
func (r *fanReader) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// collect adds what was timed to lat and returns how many messages came twice.
func (r *fanReader) collect(lat latencies) (doubled uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lat.h.Merge(r.lat.h)
	return r.track.doubled
}

// receive reads one socket. REQUIRES: mu.
func (r *fanReader) receive(k *fanLink) error {
	n, err := readNow(k.fd, r.buf)
	if err != nil || n == 0 {
		return err
	}
	now := time.Now()
	messages, pings, err := r.track.receive(k, r.buf[:n], func(due time.Time) { r.lat.add(now.Sub(due)) })
	r.delivered.Add(messages)
	if err != nil {
		return err
	}
	if len(pings) > 0 {
		// A pong is a few bytes on a socket that carries nothing else from us: it fits.
		if _, err := writeNow(k.fd, r.proto.answer(pings)); err != nil {
			return err
		}
	}
	return nil
}
