package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
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

// fanLoad drives the subscribers and publishers of one side. What a publisher receives is read and dropped: it is no
// part of the balance. It belongs to one goroutine.
type fanLoad struct {
	proto    fanProtocol
	size     int // bytes of a message
	p        *poller
	links    []fanLink
	pubs     []link // their ids in p follow those of the subscribers
	track    *fanTrack
	numbers  []uint64 // next number of each publisher
	buf, out []byte

	// Of the measurement under way.
	lat       latencies
	sent      uint64
	delivered uint64
}

func newFanLoad(ctx context.Context, addr string, subscribers, publishers, size int, proto fanProtocol, opened func(int)) (*fanLoad, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &fanLoad{proto: proto, size: size, p: p, numbers: make([]uint64, publishers), buf: make([]byte, readSize)}
	l.track = newFanTrack(proto.cut, publishers, proto.free)
	links, err := open(ctx, p, plan{addr: addr, n: subscribers, greet: proto.greet, opened: opened})
	if err != nil {
		p.close()
		return nil, err
	}
	for _, k := range links {
		l.links = append(l.links, fanLink{fd: k.fd, rest: k.rest})
	}
	l.pubs, err = open(ctx, p, plan{addr: proto.pubAddr, n: publishers, greet: proto.pubGreet, firstID: subscribers})
	if err != nil {
		l.close()
		return nil, fmt.Errorf("publishers: %w", err)
	}
	return l, nil
}

func (l *fanLoad) close() {
	for i := range l.links {
		closeHard(l.links[i].fd)
	}
	closeAll(l.pubs)
	l.p.close()
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
		arrived := l.delivered / uint64(len(l.links))
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
	l.lat, l.sent, l.delivered = lat, 0, 0
}

func (l *fanLoad) counts() fanCounts {
	return fanCounts{sent: l.sent * uint64(len(l.links)), received: l.delivered, doubled: l.track.doubled}
}

// publish sends n messages of one publisher in one write.
func (l *fanLoad) publish(pub, n int) error {
	l.out = l.out[:0]
	text := make([]byte, 0, l.size)
	now := time.Now()
	for range n {
		text = appendFanText(text[:0], pub, l.numbers[pub], l.size)
		l.numbers[pub]++
		l.track.publishing(pub, l.numbers[pub]-1, now)
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
	want := n * uint64(len(l.links))
	for end := time.Now().Add(drainTimeout); l.delivered < want; {
		if err := l.turn(50 * time.Millisecond); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d deliveries are missing after %v", want-l.delivered, drainTimeout)
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

func (l *fanLoad) turn(limit time.Duration) error {
	events, err := l.p.wait(limit)
	if err != nil {
		return err
	}
	for _, ev := range events {
		if ev.Fd == timerID {
			l.p.ticks()
			continue
		}
		if i := int(ev.Fd) - len(l.links); i >= 0 {
			if _, err := readNow(l.pubs[i].fd, l.buf); err != nil {
				return fmt.Errorf("publisher %d: %w", i, err)
			}
		} else if err := l.receive(&l.links[ev.Fd]); err != nil {
			return fmt.Errorf("subscriber %d: %w", ev.Fd, err)
		}
	}
	if len(l.track.ref) > 4<<20 {
		l.track.trim(l.links)
	}
	return nil
}

func (l *fanLoad) receive(k *fanLink) error {
	n, err := readNow(k.fd, l.buf)
	if err != nil || n == 0 {
		return err
	}
	now := time.Now()
	messages, pings, err := l.track.receive(k, l.buf[:n], func(due time.Time) { l.lat.add(now.Sub(due)) })
	l.delivered += messages
	if err != nil {
		return err
	}
	if len(pings) > 0 {
		// A pong is a few bytes on a socket that carries nothing else from us: it fits.
		if _, err := writeNow(k.fd, l.proto.answer(pings)); err != nil {
			return err
		}
	}
	return nil
}
