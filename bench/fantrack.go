package bench

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// frameKind is what a fan-out protocol says about the next frame of a stream.
type frameKind uint8

const (
	framePartial frameKind = iota // not all there yet
	frameMessage                  // a published message
	frameOther                    // anything else a server may send, e.g. a reply: passed over
	framePing                     // must be answered
)

// fanTrack is the one stream of messages that every subscriber of a reader must receive, byte for byte. Whoever is ahead of all
// others writes it, after a look into each frame; everyone else is compared with it, which costs no more than the
// comparison of bytes. It belongs to one goroutine.
//
//	ref:   … [frame][frame][frame][frame]
//	          ^base      ^a link's pos   ^end, written by the link that is ahead
type fanTrack struct {
	cut  func(b []byte) (n int, kind frameKind)
	ref  []byte
	base uint64 // position of ref[0] in the stream
	// For message number first+i: where its frame ends in the stream, and when it was due.
	ends  []uint64
	due   []time.Time
	first uint64
	next  []uint64 // the next number of each publisher in the stream
	sent  fanSent
	// free is set for servers that keep the order of each publisher only: subscribers see different streams then,
	// so every frame of every subscriber is looked into, against the numbers in its link.
	free bool

	doubled, strayed uint64
}

// fanFlight is how many messages of a publisher can be under way.
const fanFlight = 1 << 14

// fanSent is when the messages of each publisher were due, by their numbers modulo fanFlight, in nanoseconds since
// fanEpoch. One goroutine writes it, before it sends the message, and the readers of that message read it.
type fanSent [][]atomic.Int64

// fanEpoch is a moment of the monotonic clock.
var fanEpoch = time.Now()

func newFanSent(publishers int) fanSent {
	s := make(fanSent, publishers)
	for i := range s {
		s[i] = make([]atomic.Int64, fanFlight)
	}
	return s
}

// note notes when a message is due.
func (s fanSent) note(pub int, n uint64, due time.Time) {
	s[pub][n%fanFlight].Store(int64(due.Sub(fanEpoch)))
}

// due returns when a message was due.
func (s fanSent) due(pub int, n uint64) time.Time {
	return fanEpoch.Add(time.Duration(s[pub][n%fanFlight].Load()))
}

func newFanTrack(cut func([]byte) (int, frameKind), sent fanSent, free bool) *fanTrack {
	return &fanTrack{cut: cut, free: free, next: make([]uint64, len(sent)), sent: sent}
}

// fanLink is one subscriber.
type fanLink struct {
	fd   int
	pos  uint64   // in the stream: all before it was received
	msgs uint64   // whole messages before pos
	rest []byte   // bytes from pos on that are not in the stream yet, or not whole
	next []uint64 // with free: the next number of each publisher
}

var errStray = errors.New("a subscriber received another stream than the others")

func (t *fanTrack) end() uint64 { return t.base + uint64(len(t.ref)) }

// count returns how many messages the stream has had.
func (t *fanTrack) count() uint64 { return t.first + uint64(len(t.ends)) }

// receive takes what a link has read. It returns how many messages became whole, after calling arrived for each, and
// what must be answered.
func (t *fanTrack) receive(l *fanLink, b []byte, arrived func(due time.Time)) (messages uint64, answer []byte, err error) {
	before := l.msgs
	if len(l.rest) == 0 && t.free {
		used, answer, err := t.frames(l, b, arrived)
		l.rest = append(l.rest[:0], b[used:]...)
		return l.msgs - before, answer, err
	}
	if len(l.rest) == 0 {
		at := l.pos - t.base
		n := min(uint64(len(b)), t.end()-l.pos)
		same := samePrefix(b[:n], t.ref[at:at+n])
		l.pos += same
		t.pass(l, arrived)
		if b = b[same:]; len(b) == 0 {
			return l.msgs - before, nil, nil
		}
		// Step back to where the message under way began: its first bytes are in the stream, they were equal.
		start := t.start(l.msgs)
		l.rest = append(append(l.rest, t.ref[start-t.base:l.pos-t.base]...), b...)
		l.pos = start
	} else {
		l.rest = append(l.rest, b...)
	}
	used, answer, err := t.frames(l, l.rest, arrived)
	if used == len(l.rest) {
		l.rest = l.rest[:0]
	} else {
		l.rest = append([]byte(nil), l.rest[used:]...)
	}
	return l.msgs - before, answer, err
}

// start returns where message number msg begins in the stream.
func (t *fanTrack) start(msg uint64) uint64 {
	if msg == t.first {
		return t.base
	}
	return t.ends[msg-t.first-1]
}

// pass counts the messages that end before the link's position.
func (t *fanTrack) pass(l *fanLink, arrived func(time.Time)) {
	for i := l.msgs - t.first; i < uint64(len(t.ends)) && t.ends[i] <= l.pos; i++ {
		arrived(t.due[i])
		l.msgs++
	}
}

// frames looks at the whole frames of b one by one and returns how many bytes they are.
func (t *fanTrack) frames(l *fanLink, b []byte, arrived func(time.Time)) (used int, answer []byte, err error) {
	for used < len(b) {
		n, kind := t.cut(b[used:])
		if kind == framePartial {
			break
		}
		frame := b[used : used+n]
		used += n
		switch {
		case kind == framePing:
			answer = append(answer, frame...)
		case kind == frameMessage && t.free:
			if err := t.single(l, frame, arrived); err != nil {
				return used, answer, err
			}
		case kind == frameMessage:
			if err := t.message(l, frame); err != nil {
				return used, answer, err
			}
			t.pass(l, arrived)
		}
	}
	return used, answer, nil
}

// single takes a message of a server that keeps the order of each publisher only.
func (t *fanTrack) single(l *fanLink, frame []byte, arrived func(time.Time)) error {
	if l.next == nil {
		l.next = make([]uint64, len(t.next))
	}
	pub, n, err := t.check(frame, l.next)
	if err != nil {
		return err
	}
	l.msgs++
	arrived(t.sent.due(pub, n))
	return nil
}

// check reads a message's publisher and number, and wants the number to be the publisher's next.
func (t *fanTrack) check(frame []byte, next []uint64) (pub int, n uint64, err error) {
	pub, n, ok := parseFanText(frame)
	if !ok || pub >= len(next) {
		return 0, 0, fmt.Errorf("a message that was not published: %.160q", frame)
	}
	switch want := next[pub]; {
	case n < want:
		t.doubled++
		return 0, 0, fmt.Errorf("message %d of publisher %d came twice", n, pub)
	case n > want:
		return 0, 0, fmt.Errorf("message %d of publisher %d came before %d", n, pub, want)
	}
	next[pub]++
	return pub, n, nil
}

// message takes one whole message: the link either follows the stream or extends it.
func (t *fanTrack) message(l *fanLink, frame []byte) error {
	n := uint64(len(frame))
	if l.pos == t.end() {
		if err := t.extend(frame); err != nil {
			return err
		}
	} else if at := l.pos - t.base; at+n > uint64(len(t.ref)) || !bytes.Equal(t.ref[at:at+n], frame) {
		t.strayed++
		return fmt.Errorf("%w: %.160q", errStray, frame)
	}
	l.pos += n
	return nil
}

// extend adds a message that nobody had before to the stream.
func (t *fanTrack) extend(frame []byte) error {
	pub, n, err := t.check(frame, t.next)
	if err != nil {
		return err
	}
	t.ref = append(t.ref, frame...)
	t.ends = append(t.ends, t.end())
	t.due = append(t.due, t.sent.due(pub, n))
	return nil
}

// trim forgets what all links have passed.
func (t *fanTrack) trim(links []fanLink) {
	least := t.count()
	for i := range links {
		least = min(least, links[i].msgs)
	}
	if n := least - t.first; n > 0 {
		cut := t.start(least)
		t.ref = append(t.ref[:0], t.ref[cut-t.base:]...)
		t.base = cut
		t.ends = append(t.ends[:0], t.ends[n:]...)
		t.due = append(t.due[:0], t.due[n:]...)
		t.first = least
	}
}

// samePrefix returns how many bytes a and b, of the same length, have in common at their start.
func samePrefix(a, b []byte) uint64 {
	if bytes.Equal(a, b) {
		return uint64(len(a))
	}
	n := 0
	for a[n] == b[n] {
		n++
	}
	return uint64(n)
}

// fanMark opens the text of every message; it stands nowhere else in a frame.
const fanMark = "fan:"

// appendFanText appends the text of message number n of publisher pub, exactly size bytes long.
func appendFanText(dst []byte, pub int, n uint64, size int) []byte {
	start := len(dst)
	dst = fmt.Appendf(dst, "%s%03d:%012d:", fanMark, pub, n)
	for len(dst)-start < size {
		dst = append(dst, 'x')
	}
	return dst
}

// fanTextMin is the shortest text that holds the mark and the numbers.
const fanTextMin = len(fanMark) + 3 + 1 + 12 + 1

func parseFanText(frame []byte) (pub int, n uint64, ok bool) {
	_, text, found := bytes.Cut(frame, []byte(fanMark))
	if !found || len(text) < fanTextMin-len(fanMark) {
		return 0, 0, false
	}
	p, ok1 := digits(text[:3])
	n, ok2 := digits(text[4:16])
	return int(p), n, ok1 && ok2
}

// digits reads a number of fixed width.
func digits(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return n, true
}
