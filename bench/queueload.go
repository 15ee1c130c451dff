package bench

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// queueSpeech is one connection's side of a queue protocol: one request, one reply, in turns.
type queueSpeech interface {
	// begin returns the first request of an operation.
	begin() []byte
	// reply looks at received bytes. used is the length of a whole reply, 0 for one that is incomplete; send is the next
	// request of the operation, nil when it is done.
	reply(b []byte) (used int, send []byte, err error)
}

// queueLoad drives connections that each do one operation after another.
type queueLoad struct {
	p        *poller
	links    []link
	speeches []queueSpeech
	begun    []time.Time
	buf      []byte
}

func newQueueLoad(ctx context.Context, addr string, n int, speak func(i int) queueSpeech) (*queueLoad, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	links, err := open(ctx, p, plan{addr: addr, n: n, greet: func(int) greeter { return noGreeting{} }})
	if err != nil {
		p.close()
		return nil, err
	}
	l := &queueLoad{p: p, links: links, speeches: make([]queueSpeech, n), begun: make([]time.Time, n), buf: make([]byte, readSize)}
	for i := range n {
		l.speeches[i] = speak(i)
		if err := p.change(links[i].fd, i, unix.EPOLLIN); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func (l *queueLoad) close() {
	closeAll(l.links)
	l.p.close()
}

// queueRun is what one run came to.
type queueRun struct {
	done    uint64 // operations answered
	seconds float64
	lat     latencies
}

func (q queueRun) perSecond() float64 { return float64(q.done) / q.seconds }

// join adds another run of the same load.
func (q *queueRun) join(o queueRun) {
	q.done, q.seconds = q.done+o.done, q.seconds+o.seconds
	if o.lat.h != nil {
		q.lat.h.Merge(o.lat.h)
	}
}

// run lets every connection work for d, and then waits for the answers that are owed.
func (l *queueLoad) run(ctx context.Context, d time.Duration) (q queueRun, err error) {
	q.lat = newLatencies()
	start := time.Now()
	end, busy := start.Add(d), 0
	for i := range l.links {
		if err := l.send(i, l.speeches[i].begin()); err != nil {
			return q, err
		}
		l.begun[i] = time.Now()
		busy++
	}
	for busy > 0 {
		events, err := l.p.wait(100 * time.Millisecond)
		if err != nil {
			return q, err
		}
		now := time.Now()
		if ctx.Err() != nil || now.After(end.Add(readyTimeout)) {
			return q, fmt.Errorf("%d answers are owed: %w", busy, context.Cause(ctx))
		}
		for _, ev := range events {
			if ev.Fd == timerID {
				l.p.ticks()
				continue
			}
			finished, err := l.handle(int(ev.Fd), &q, now.Before(end))
			if err != nil {
				return q, err
			}
			if finished {
				busy--
			}
		}
	}
	q.seconds = time.Since(start).Seconds()
	return q, nil
}

// handle takes a reply of connection i. finished: it has nothing more to do.
func (l *queueLoad) handle(i int, q *queueRun, more bool) (finished bool, err error) {
	link := &l.links[i]
	n, err := readNow(link.fd, l.buf)
	if err != nil {
		return false, err
	}
	b := l.buf[:n]
	if len(link.rest) > 0 {
		link.rest = append(link.rest, b...)
		b = link.rest
	}
	used, send, err := l.speeches[i].reply(b)
	switch {
	case err != nil:
		return false, err
	case used == 0:
		if len(link.rest) == 0 {
			link.rest = append(link.rest, b...)
		}
		return false, nil
	case used != len(b):
		return false, fmt.Errorf("more than was asked for: %.100q", b)
	}
	link.rest = link.rest[:0]
	if send != nil {
		return false, l.send(i, send)
	}
	now := time.Now()
	q.done++
	q.lat.add(now.Sub(l.begun[i]))
	if !more {
		return true, nil
	}
	l.begun[i] = now
	return false, l.send(i, l.speeches[i].begin())
}

// send writes a request, which is far smaller than a socket's buffer.
func (l *queueLoad) send(i int, b []byte) error {
	n, err := writeNow(l.links[i].fd, b)
	if err == nil && n < len(b) {
		err = fmt.Errorf("the socket took %d of %d bytes", n, len(b))
	}
	return err
}

// lineOf returns the first line of b with its CR LF, nil when it is incomplete.
func lineOf(b []byte) []byte {
	if i := bytes.Index(b, []byte("\r\n")); i >= 0 {
		return b[:i+2]
	}
	return nil
}

// putSpeech puts jobs by the beanstalkd protocol.
type putSpeech struct{ request []byte }

func newPutSpeech(body []byte) *putSpeech {
	return &putSpeech{fmt.Appendf(nil, "put 1000 0 60 %d\r\n%s\r\n", len(body), body)}
}

func (s *putSpeech) begin() []byte { return s.request }

func (s *putSpeech) reply(b []byte) (int, []byte, error) {
	line := lineOf(b)
	if line != nil && !bytes.HasPrefix(line, []byte("INSERTED ")) {
		return 0, nil, fmt.Errorf("a put was answered %q", line)
	}
	return len(line), nil, nil
}

// cycleSpeech puts a job, reserves one and deletes it.
type cycleSpeech struct {
	putSpeech
	stage int
	buf   []byte
}

func (s *cycleSpeech) begin() []byte {
	s.stage = 0
	return s.request
}

var reserveRequest = []byte("reserve\r\n")

func (s *cycleSpeech) reply(b []byte) (int, []byte, error) {
	line := lineOf(b)
	if line == nil {
		return 0, nil, nil
	}
	switch s.stage {
	case 0:
		used, _, err := s.putSpeech.reply(b)
		s.stage = 1
		return used, reserveRequest, err
	case 1:
		words := bytes.Fields(line)
		if len(words) != 3 || string(words[0]) != "RESERVED" {
			return 0, nil, fmt.Errorf("a reserve was answered %q", line)
		}
		size, err := strconv.Atoi(string(words[2]))
		used := len(line) + size + 2
		if err != nil || len(b) < used {
			return 0, nil, err
		}
		s.stage = 2
		s.buf = append(append(append(s.buf[:0], "delete "...), words[1]...), "\r\n"...)
		return used, s.buf, nil
	}
	if string(line) != "DELETED\r\n" {
		return 0, nil, fmt.Errorf("a delete was answered %q", line)
	}
	return len(line), nil, nil
}

// pushSpeech appends to a list of Redis.
type pushSpeech struct{ request []byte }

func newPushSpeech(body []byte) *pushSpeech {
	return &pushSpeech{fmt.Appendf(nil, "*3\r\n$5\r\nRPUSH\r\n$5\r\nqueue\r\n$%d\r\n%s\r\n", len(body), body)}
}

func (s *pushSpeech) begin() []byte { return s.request }

func (s *pushSpeech) reply(b []byte) (int, []byte, error) {
	line := lineOf(b)
	if line != nil && line[0] != ':' {
		return 0, nil, fmt.Errorf("RPUSH was answered %q", line)
	}
	return len(line), nil, nil
}
