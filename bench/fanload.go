package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// fanProtocol is how one kind of server is spoken to in a fan-out.
type fanProtocol struct {
	name   string
	greet  func(i int) greeter                    // of a subscriber
	cut    func(b []byte) (n int, kind frameKind) // a subscriber's stream
	answer func(pings []byte) []byte              // what answers whole ping frames
	free   bool                                   // the server keeps the order of each publisher only

	pubAddr  string
	pubGreet func(i int) greeter           // of a publisher
	publish  func(dst, text []byte) []byte // appends the frame that publishes text
}

// fanReaders is how many threads read what subscribers get.
const fanReaders = 2

// fanLoad drives the subscribers and publishers of one side. What a publisher receives is read and dropped: it is no
// part of the balance. It belongs to one goroutine, which publishes; its readers have goroutines of their own.
type fanLoad struct {
	proto    fanProtocol
	size     int // bytes of a message
	p        *poller
	done     int // eventfd, registered with doneID
	readers  []*fanReader
	pubs     []link // their indexes are their ids in p
	numbers  []uint64
	sentAt   fanSent
	total    uint64 // subscribers
	buf, out []byte

	// Of the measurement under way.
	lat  latencies
	sent uint64
	base uint64 // deliveries before it
}

// doneID marks the readers' eventfd among the ids of publishers.
const doneID = -2

func newFanLoad(ctx context.Context, addr string, subscribers, publishers, size int, proto fanProtocol, opened func(int)) (*fanLoad, error) {
	l := &fanLoad{proto: proto, size: size, done: -1, numbers: make([]uint64, publishers), sentAt: newFanSent(publishers),
		total: uint64(subscribers), buf: make([]byte, readSize)}
	if err := l.open(ctx, addr, subscribers, opened); err != nil {
		l.close()
		return nil, err
	}
	for _, r := range l.readers {
		go r.run()
	}
	return l, nil
}

func (l *fanLoad) open(ctx context.Context, addr string, subscribers int, opened func(int)) (err error) {
	if l.p, err = newPoller(); err != nil {
		return err
	}
	if l.done, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	if err = l.p.add(l.done, doneID, unix.EPOLLIN); err != nil {
		return err
	}
	links, err := open(ctx, l.p, plan{addr: addr, n: subscribers, greet: l.proto.greet, opened: opened})
	if err != nil {
		return err
	}
	for i := range fanReaders {
		share := links[i*len(links)/fanReaders : (i+1)*len(links)/fanReaders]
		if len(share) == 0 {
			continue
		}
		if err := l.addReader(share); err != nil {
			closeAll(links[i*len(links)/fanReaders:])
			return err
		}
	}
	l.pubs, err = open(ctx, l.p, plan{addr: l.proto.pubAddr, n: len(l.numbers), greet: l.proto.pubGreet})
	if err != nil {
		return fmt.Errorf("publishers: %w", err)
	}
	return nil
}

func (l *fanLoad) addReader(links []link) error {
	p, err := newPoller()
	if err != nil {
		return err
	}
	r := &fanReader{proto: &l.proto, p: p, done: l.done, buf: make([]byte, readSize), lat: newLatencies(), finish: make(chan struct{}),
		track: newFanTrack(l.proto.cut, l.sentAt, l.proto.free)}
	if err := r.adopt(l.p, links); err != nil {
		p.close()
		return err
	}
	l.readers = append(l.readers, r)
	return nil
}

func (l *fanLoad) close() {
	for _, r := range l.readers {
		if len(l.pubs) > 0 { // it runs
			r.stop()
		}
		for i := range r.links {
			closeHard(r.links[i].fd)
		}
		r.p.close()
	}
	closeAll(l.pubs)
	if l.done >= 0 {
		unix.Close(l.done)
	}
	if l.p != nil {
		l.p.close()
	}
}

// fanCounts is the balance of one measurement in deliveries: messages times subscribers.
type fanCounts struct{ sent, received, doubled uint64 }

// single keeps exactly one message under way: the next is sent when all subscribers have the last one, so that no
// server can join messages.
func (l *fanLoad) single(ctx context.Context, d time.Duration, lat latencies) (fanCounts, error) {
	l.begin(lat)
	for end := time.Now().Add(d); ctx.Err() == nil && time.Now().Before(end); {
		if err := l.publish(0, 1); err != nil {
			return l.counts(), err
		}
		if err := l.await(l.sent); err != nil {
			return l.counts(), err
		}
	}
	return l.counts(), nil
}

// one sends one message, waits until all have it, and then for a pause in which the server can come to rest.
func (l *fanLoad) one(pause time.Duration, lat latencies) (fanCounts, error) {
	l.begin(lat)
	err := l.publish(0, 1)
	if err == nil {
		err = l.await(1)
	}
	if err == nil {
		err = l.idle(pause)
	}
	return l.counts(), err
}

// joined keeps up to window messages of every publisher under way. A publisher is topped up when half of its window
// has arrived, so its messages travel in pieces, as those of a busy sender do.
func (l *fanLoad) joined(ctx context.Context, d time.Duration, window int, lat latencies) (fanCounts, error) {
	l.begin(lat)
	full := uint64(window * len(l.pubs))
	for end := time.Now().Add(d); ctx.Err() == nil && time.Now().Before(end); {
		arrived := l.delivered() / l.total
		if under := l.sent - arrived; under <= full/2 {
			each := int(full-under) / len(l.pubs)
			for pub := range l.pubs {
				if err := l.publish(pub, each); err != nil {
					return l.counts(), err
				}
			}
		}
		if err := l.turn(50 * time.Millisecond); err != nil {
			return l.counts(), err
		}
	}
	err := l.await(l.sent)
	return l.counts(), err
}

func (l *fanLoad) begin(lat latencies) {
	l.base += l.delivered()
	l.lat, l.sent = lat, 0
	for _, r := range l.readers {
		r.begin()
	}
}

// delivered returns how many messages of this measurement the subscribers have.
func (l *fanLoad) delivered() uint64 {
	n := uint64(0)
	for _, r := range l.readers {
		n += r.delivered.Load()
	}
	return n - l.base
}

// counts ends a measurement.
func (l *fanLoad) counts() fanCounts {
	c := fanCounts{sent: l.sent * l.total, received: l.delivered()}
	for _, r := range l.readers {
		c.doubled += r.collect(l.lat)
	}
	return c
}

// publish sends n messages of one publisher in one write, which are due now.
func (l *fanLoad) publish(pub, n int) error { return l.publishDue(pub, n, time.Now()) }

// publishDue is publish of messages that were due at some time.
func (l *fanLoad) publishDue(pub, n int, due time.Time) error {
	l.out = l.out[:0]
	text := make([]byte, 0, l.size)
	for range n {
		text = appendFanText(text[:0], pub, l.numbers[pub], l.size)
		l.numbers[pub]++
		l.sentAt.note(pub, l.numbers[pub]-1, due)
		l.out = l.proto.publish(l.out, text)
	}
	l.sent += uint64(n)
	return l.writeAll(l.pubs[pub].fd, l.out)
}

// writeAll writes everything, serving the other sockets while this one is full.
func (l *fanLoad) writeAll(fd int, b []byte) error {
	for end := time.Now().Add(drainTimeout); ; {
		n, err := writeNow(fd, b)
		if err != nil {
			return err
		}
		if b = b[n:]; len(b) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return errors.New("the server reads no more from a publisher")
		}
		if err := l.turn(time.Millisecond); err != nil {
			return err
		}
	}
}

// await serves the sockets until every subscriber has n messages of this measurement.
func (l *fanLoad) await(n uint64) error {
	want := n * l.total
	for end := time.Now().Add(drainTimeout); l.delivered() < want; {
		if err := l.turn(50 * time.Millisecond); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d deliveries are missing after %v", want-l.delivered(), drainTimeout)
		}
	}
	return nil
}

// idle serves the sockets for a while in which nothing should come but pings.
func (l *fanLoad) idle(d time.Duration) error {
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if err := l.turn(left); err != nil {
			return err
		}
	}
}

// turn waits for news of the readers or bytes for the publishers, and reads these.
func (l *fanLoad) turn(limit time.Duration) error {
	events, err := l.p.wait(limit)
	if err != nil {
		return err
	}
	for _, ev := range events {
		switch {
		case ev.Fd == timerID:
			l.p.ticks()
		case ev.Fd == doneID:
			_, _ = readNow(l.done, l.buf[:8])
		default:
			if _, err := readNow(l.pubs[ev.Fd].fd, l.buf); err != nil {
				return fmt.Errorf("publisher %d: %w", ev.Fd, err)
			}
		}
	}
	for _, r := range l.readers {
		if err := r.failed(); err != nil {
			return err
		}
	}
	return nil
}
