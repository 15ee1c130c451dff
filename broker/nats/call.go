package nats

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// call is a question that waits for its answer.
type call struct {
	deadline time.Time // moves on with each answer but the last
	patience time.Duration
	answer   func(*nats.Msg, error) bool // true: another answer follows
}

// ask sends a question that may take as long as patience. answer is called exactly once more than it returns true, on a goroutine of the link; not at all
// after an error, which is broker.ErrBusy.
func (l *link) ask(m *nats.Msg, patience time.Duration, answer func(*nats.Msg, error) bool) error {
	if l.away.Load() {
		return errAway
	}
	l.mu.Lock()
	l.last++
	number := l.last
	l.calls[number] = &call{time.Now().Add(patience), patience, answer}
	l.mu.Unlock()
	m.Reply = l.inbox + strconv.FormatUint(number, 36)
	if err := l.send(&letter{msg: m, call: number}); err != nil {
		l.mu.Lock()
		delete(l.calls, number)
		l.mu.Unlock()
		return err
	}
	return nil
}

// answer ends or goes on with a question.
func (l *link) answer(number uint64, m *nats.Msg, err error) {
	l.mu.Lock()
	c := l.calls[number]
	delete(l.calls, number)
	l.mu.Unlock()
	if c != nil && c.answer(m, err) {
		l.mu.Lock()
		c.deadline = time.Now().Add(c.patience)
		l.calls[number] = c
		l.mu.Unlock()
	}
}

// endCalls answers the questions that match with err.
func (l *link) endCalls(match func(*call) bool, err error) {
	l.mu.Lock()
	var over []*call
	for number, c := range l.calls {
		if match(c) {
			over = append(over, c)
			delete(l.calls, number)
		}
	}
	l.mu.Unlock()
	for _, c := range over {
		c.answer(nil, err)
	}
}

// question is ask for callers that wait: it returns one answer.
func (l *link) question(ctx context.Context, subject string, data []byte) (*nats.Msg, error) {
	return l.inquire(ctx, &nats.Msg{Subject: subject, Data: data})
}

// inquire is question with headers.
func (l *link) inquire(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	answers, err := l.gather(ctx, m, func(*nats.Msg) bool { return false })
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// questions is question with several answers: more says whether another one follows after m.
func (l *link) questions(ctx context.Context, subject string, data []byte, more func(m *nats.Msg) bool) ([]*nats.Msg, error) {
	return l.gather(ctx, &nats.Msg{Subject: subject, Data: data}, more)
}

func (l *link) gather(ctx context.Context, question *nats.Msg, more func(m *nats.Msg) bool) ([]*nats.Msg, error) {
	var answers []*nats.Msg
	done := make(chan error, 1)
	err := l.ask(question, callTimeout, func(m *nats.Msg, err error) bool {
		if err != nil {
			done <- err
			return false
		}
		answers = append(answers, m)
		if more(m) {
			return true
		}
		done <- nil
		return false
	})
	if err != nil {
		return nil, err
	}
	select {
	case err := <-done:
		return answers, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
