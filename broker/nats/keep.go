package nats

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
)

const (
	retryAfter   = 50 * time.Millisecond
	maxRunHeader = 512 // bytes of the headers that a message with history carries, at most

	// Codes of the server.
	errWrongLast    = 10071 // the subject's newest message is another one
	errWrongLastToo = 10164
	errIncomplete   = 10176 // a message of the batch did not arrive
	errNotFound     = 10037 // the subject has no message
	errNoStream     = 10059
	errNoMemory     = 10028
)

// ack is the stream's answer to a publish.
type ack struct {
	Seq   uint64 `json:"seq"`
	Error *struct {
		Code        int    `json:"code"`
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

// advance sends what can be sent of the queue. Caller holds l's lock and drains the lane afterwards.
func (b *Bus) advance(l *lane, t *topic) {
	for t.flying == 0 && !t.asking && t.retry.IsZero() && len(t.queue) > 0 {
		p := t.queue[0]
		if p.keep.Messages > 0 {
			b.write(l, t)
			return
		}
		b.shift(t, 1)
		if err := b.emit(l, p); err != nil {
			go p.end(err) // not under the lock: done may publish
		}
	}
}

// shift takes the first n messages off the queue. Caller holds the lane's lock.
func (b *Bus) shift(t *topic, n int) {
	for _, p := range t.queue[:n] {
		b.queued.Add(-p.size())
	}
	rest := copy(t.queue, t.queue[n:])
	clear(t.queue[rest:])
	t.queue = t.queue[:rest]
}

// write sends the next messages to the stream, or the question for its newest one. Caller holds l's lock.
func (b *Bus) write(l *lane, t *topic) {
	if !t.known {
		b.look(l, t)
		return
	}
	s := b.stream(t.subject)
	epoch := s.now()
	if epoch == 0 {
		b.recheck(s)
		b.later(l, t)
		return
	}
	if t.doubtful(epoch) {
		b.resolve(l, t)
		return
	}
	if t.try == nil {
		t.try = &try{run: t.stamps(b.link.node, epoch, s.run()), after: t.seq}
	}
	y := t.try
	t.flying = len(y.run)
	letters := s.letters(t.subject, y.run, y.after)
	for _, m := range letters[:len(letters)-1] {
		if err := b.link.send(&letter{msg: m}); err != nil { // the batch is never committed: the server drops it
			b.later(l, t)
			return
		}
	}
	err := b.link.ask(letters[len(letters)-1], b.opts.Wait, func(m *nats.Msg, err error) bool {
		b.stored(l, t, y, m, err)
		return false
	})
	if err != nil {
		b.later(l, t)
	}
}

// later lets the topic try again after a while. Caller holds the lane's lock.
func (b *Bus) later(l *lane, t *topic) {
	t.flying, t.asking = 0, false
	l.late[t.subject] = t
	t.retry = time.Now().Add(retryAfter)
}

// look asks the stream for the newest message of the topic. Caller holds l's lock.
func (b *Bus) look(l *lane, t *topic) {
	t.asking = true
	s, before := b.stream(t.subject), t.top
	epoch := s.now()
	err := s.last(t.subject, func(found newest, err error) {
		l.Lock()
		t.asking = false
		if err == nil {
			b.compare(s, epoch, before, found.stamp.Position)
			if !t.known || found.seq > t.seq { // else a newer one was heard meanwhile
				t.known, t.seq = false, 0
				t.learn(found.stamp, found.seq)
			}
			b.advance(l, t)
		} else {
			b.later(l, t)
		}
		l.Unlock()
		l.Drain(&b.table)
	})
	if err != nil {
		b.later(l, t)
	}
}

// compare looks at the newest position of a subject, and at what it and the epoch were for this node when it asked for it: the
// servers may have lost what was there, or another node may have noticed such a loss elsewhere.
func (b *Bus) compare(s *stream, epoch uint64, before, newest broker.Position) {
	if newest.Epoch == before.Epoch && newest.Offset < before.Offset {
		s.fellShort(newest.Epoch)
	}
	if newest.Epoch != epoch {
		s.doubt(epoch)
	}
	if newest.Epoch != s.now() {
		b.recheck(s)
	}
}

// stored takes the answer to a write.
func (b *Bus) stored(l *lane, t *topic, y *try, m *nats.Msg, err error) {
	l.Lock()
	over := t.try != y // it was heard from the stream before
	l.Unlock()
	if over {
		return
	}
	var a ack
	if err == nil && (json.Unmarshal(m.Data, &a) != nil || a.Seq == 0 && a.Error == nil) {
		err = errors.New("nats: the stream's answer cannot be read")
	}
	switch {
	case err == nil && a.Error == nil:
		b.accepted(l, t, y, a.Seq)
	case err == nil && (a.Error.ErrCode == errWrongLast || a.Error.ErrCode == errWrongLastToo):
		b.disbelieved(l, t, y)
	case err == nil && (a.Error.Code >= 429 || a.Error.ErrCode == errIncomplete), errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrReconnectBufExceeded):
		b.again(l, t, func() { t.known = false; b.later(l, t) }) // not stored by this try: no leader now, or no link
	case err == nil:
		b.refused(l, t, y.run, &streamError{a.Error.Description})
	case errors.Is(err, broker.ErrClosed):
		b.refused(l, t, y.run, err)
	default: // the link was lost or the answer is late
		b.refused(l, t, y.run, broker.ErrTimeout)
		b.gap("nobody knows whether a message was stored", matches(t.subject))
	}
}

// streamError is a refusal of the stream that trying again would not change.
type streamError struct{ text string }

func (e *streamError) Error() string { return "nats: the history stream refused: " + e.text }

// again makes the next try with the same messages, after change.
func (b *Bus) again(l *lane, t *topic, change func()) {
	l.Lock()
	t.flying = 0
	change()
	b.advance(l, t)
	l.Unlock()
	l.Drain(&b.table)
}

// refused ends the messages with err and goes on with the next.
func (b *Bus) refused(l *lane, t *topic, run []*publish, err error) {
	l.Lock()
	b.shift(t, len(run))
	t.known, t.try = false, nil
	l.Unlock()
	for _, p := range run {
		p.end(err)
	}
	if errors.Is(err, broker.ErrTimeout) {
		refusedTimeout.Add(len(run))
	} else {
		refusedError.Add(len(run))
	}
	b.again(l, t, func() {})
}

// accepted takes note of a run that is stored; its last message is at seq. The local subscribers get it before anything
// that waits behind it is sent.
func (b *Bus) accepted(l *lane, t *topic, y *try, seq uint64) {
	run := y.run
	l.Lock()
	if t.try != y {
		l.Unlock()
		return
	}
	t.try = nil
	t.learn(run[len(run)-1].stamp, seq)
	b.shift(t, len(run))
	l.Unlock()
	keptTotal.Add(len(run))
	b.stream(t.subject).see(seq)
	for _, p := range run {
		b.deliver(l, t, &broker.Message{Subject: p.subject, Data: p.data, Time: p.at, Position: p.stamp.Position}, p.done)
	}
	b.again(l, t, func() {})
}

// sweep looks at the topics that wait to try again, and ends what has waited for too long.
func (b *Bus) sweep(now time.Time) {
	for i := range b.lanes {
		l := &b.lanes[i]
		l.Lock()
		var over []*publish
		for subject, t := range l.late {
			over = append(over, b.overdue(t, now)...)
			if now.After(t.retry) || len(t.queue) == 0 {
				delete(l.late, subject)
				t.retry = time.Time{}
				b.advance(l, t)
			}
		}
		l.Unlock()
		l.Drain(&b.table)
		for _, p := range over {
			b.late(p)
		}
	}
}

// overdue takes the messages off the queue that have waited for too long; all of them when the bus is closed.
func (b *Bus) overdue(t *topic, now time.Time) []*publish {
	n := 0
	for n < len(t.queue) && (b.closed.Load() || now.After(t.queue[n].deadline)) {
		n++
	}
	if y := t.try; n > 0 && y != nil && y.refused && !y.lost {
		n = max(n, len(y.run))
		for _, p := range y.run {
			p.unsure = true
		}
	}
	over := append([]*publish(nil), t.queue[:n]...)
	if n > 0 {
		t.try = nil
	}
	b.shift(t, n)
	return over
}

// late answers a message that could not be stored in time.
func (b *Bus) late(p *publish) {
	switch {
	case b.closed.Load():
		refusedAway.Inc()
		p.end(broker.ErrClosed)
	case p.unsure:
		refusedTimeout.Inc()
		p.end(broker.ErrTimeout)
		b.gap("nobody knows whether a message was stored", matches(p.subject))
	default:
		refusedAway.Inc()
		p.end(errAway)
	}
}

// letters returns the messages that store a run behind the message at after: one, or an atomic batch.
func (s *stream) letters(subject string, run []*publish, after uint64) []*nats.Msg {
	letters := make([]*nats.Msg, len(run))
	batch := ""
	if len(run) > 1 {
		batch = s.link.node + "-" + strconv.FormatUint(s.batches.Add(1), 36)
	}
	for i, p := range run {
		h := p.stamp.header()
		if i == 0 {
			h["Nats-Expected-Last-Subject-Sequence"] = []string{strconv.FormatUint(after, 10)}
		}
		if batch != "" {
			h["Nats-Batch-Id"] = []string{batch}
			h["Nats-Batch-Sequence"] = []string{strconv.Itoa(i + 1)}
			if i == len(run)-1 {
				h["Nats-Batch-Commit"] = []string{"1"}
			}
		}
		letters[i] = &nats.Msg{Subject: s.prefix + subject, Header: h, Data: p.data}
	}
	return letters
}
