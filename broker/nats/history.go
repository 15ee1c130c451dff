package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
)

const (
	page       = 256 // messages of one question
	behindWait = 20 * time.Millisecond
)

// errBehind: a replica that answered has not got the newest messages yet.
var errBehind = errors.New("nats: a replica is behind")

// History implements broker.Bus. It asks the stream each time: first its leader for the newest message, then any replica
// for the others. While NATS is away it fails after Options.Wait.
func (b *Bus) History(ctx context.Context, subject string, since broker.Position, limit int) (broker.Recovery, error) {
	if !broker.ValidSubject(subject) || reserved(subject) {
		return broker.Recovery{}, broker.BadName("subject", subject)
	}
	ctx, cancel := context.WithTimeout(ctx, b.opts.Wait)
	defer cancel()
	for {
		if b.closed.Load() {
			return broker.Recovery{}, broker.ErrClosed
		}
		r, err := b.recover(ctx, subject, since, max(limit, 0))
		if err == nil {
			return r, nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
				return r, ctx.Err()
			}
			return r, fmt.Errorf("%w: history of %q: %w", broker.ErrTimeout, subject, err)
		case <-time.After(behindWait):
		}
	}
}

// recover is one try of History.
func (b *Bus) recover(ctx context.Context, subject string, since broker.Position, limit int) (broker.Recovery, error) {
	s := b.stream(subject)
	if err := s.settle(ctx); err != nil {
		return broker.Recovery{}, err
	}
	note := b.reading(subject)
	top, err := s.newest(ctx, subject)
	if err != nil {
		return broker.Recovery{}, err
	}
	note(top)
	r := broker.Recovery{Top: top.stamp.Position}
	fresh := since == broker.Position{}
	switch known := since.Epoch == r.Top.Epoch; {
	case known && since == r.Top:
		r.Recovered = true
		return r, nil
	case top.seq == 0:
		r.Recovered = fresh
		return r, nil
	case known && since.Offset < r.Top.Offset && since.Offset+1 >= top.stamp.first:
		found, whole, err := s.read(ctx, subject, since.Offset+1, limit, top)
		if err != nil {
			return r, err
		}
		if whole {
			r.Messages = found
			r.Recovered = since.Offset+uint64(len(found)) == r.Top.Offset
			return r, nil
		}
	}
	if limit > 0 {
		from := max(r.Top.Offset+1-min(r.Top.Offset, uint64(limit)), top.stamp.first)
		r.Messages, _, err = s.read(ctx, subject, from, limit, top)
	}
	r.Recovered = fresh
	return r, err
}

// reading begins to read the newest position of subject. What it returns takes note of that position: the first message
// that local subscribers hear must not lie behind a hole. Nothing is noted of a subject that holds no message: where its
// first one will come can change.
func (b *Bus) reading(subject string) (note func(newest)) {
	if !b.link.covers("", subject) {
		return func(newest) {}
	}
	l := b.lane(subject)
	l.Lock()
	defer l.Unlock()
	t := l.topic(subject)
	listens := t.listens
	return func(top newest) {
		l.Lock()
		defer l.Unlock()
		if top.seq > 0 && t.listens == listens && t.heard.Offset == 0 && t.read.Offset == 0 {
			t.read = top.stamp.Position
		}
	}
}

// newest is last for callers that wait.
func (s *stream) newest(ctx context.Context, subject string) (newest, error) {
	type answer struct {
		found newest
		err   error
	}
	done := make(chan answer, 1)
	if err := s.last(subject, func(found newest, err error) { done <- answer{found, err} }); err != nil {
		return newest{}, err
	}
	select {
	case a := <-done:
		return a.found, a.err
	case <-ctx.Done():
		return newest{}, ctx.Err()
	}
}

// read returns the messages of subject from the offset on, at most limit, without those that are too old. whole is
// false when the one at the offset is gone or too old, so that something is missing before the first.
func (s *stream) read(ctx context.Context, subject string, from uint64, limit int, top newest) (found []*broker.Message, whole bool, err error) {
	seq, err := s.find(ctx, from, top)
	if err != nil {
		return nil, false, err
	}
	whole = true
	next := from
	for len(found) < limit && next <= top.stamp.Offset {
		batch, err := s.page(ctx, subject, seq)
		if err != nil {
			return nil, false, err
		}
		before := next
		for _, m := range batch {
			seq = m.seq + 1
			if m.Offset < next || m.seq > top.seq || len(found) == limit {
				continue
			}
			whole = whole && m.Offset == next && m.Epoch == top.stamp.Epoch
			next = m.Offset + 1
			if age := top.stamp.age; age > 0 && time.Since(m.Time) > age {
				whole = false
				continue
			}
			found = append(found, m.Message)
		}
		if next == before && len(batch) == 0 {
			return nil, false, errBehind
		}
	}
	return found, whole, nil
}

// find returns a sequence from which the subject's messages must be read to see the one at offset.
func (s *stream) find(ctx context.Context, offset uint64, top newest) (uint64, error) {
	at := top
	for at.stamp.Offset > offset && at.stamp.anchor > 0 {
		body, err := json.Marshal(map[string]uint64{"seq": at.stamp.anchor})
		if err != nil {
			return 0, err
		}
		m, err := s.link.question(ctx, "$JS.API.STREAM.MSG.GET."+s.name, body)
		earlier, err := readStored(m, err)
		if errors.Is(err, broker.ErrNotFound) {
			return at.stamp.anchor, nil // gone, and all before it
		}
		if err != nil {
			return 0, err
		}
		at = earlier
	}
	if at.stamp.Offset > offset {
		return 1, nil
	}
	return at.seq, nil
}

// stored is a message with its sequence.
type stored struct {
	*broker.Message
	seq uint64
}

// page reads the next messages of subject, from the sequence on.
func (s *stream) page(ctx context.Context, subject string, seq uint64) ([]stored, error) {
	body, err := json.Marshal(map[string]any{"seq": seq, "next_by_subj": s.prefix + subject, "batch": page})
	if err != nil {
		return nil, err
	}
	answers, err := s.link.questions(ctx, "$JS.API.DIRECT.GET."+s.name, body, func(m *nats.Msg) bool { return m.Header.Get("Status") == "" })
	if err != nil {
		return nil, err
	}
	var found []stored
	for _, m := range answers {
		if m.Header.Get("Status") != "" {
			continue // 204: the end of the batch; 404: nothing there
		}
		st, ok := readStamp(m.Header)
		n, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("nats: a message of the history of %q is not ours", subject)
		}
		found = append(found, stored{&broker.Message{Subject: subject, Data: m.Data, Time: st.at, Position: st.Position}, n})
	}
	return found, nil
}
