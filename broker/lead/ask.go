package lead

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"gosper/broker"
)

// Nodes ask over the bus, and ask again until they have an answer or their time is over: whoever leads by then answers.
// It answers a question once, however often it comes; a question that went to a leader which died is answered by the next, so
// what is asked for may be done twice, by two leaders.

const (
	askAgain    = 500 * time.Millisecond
	answersKept = time.Minute // for questions that come once more
	answersMost = 4096        // questions at a time; more are not heard, and asked again
)

// ErrNobody is returned when no leader has answered in time.
var ErrNobody = errors.New("no node that leads has answered in time")

// question travels to the leader.
type question struct {
	ID      string          `json:"id"`
	Node    string          `json:"node"` // who asks
	Verb    string          `json:"verb"`
	Content json.RawMessage `json:"content,omitempty"`
	Time    time.Duration   `json:"time"` // the asker waits no longer
}

// reply travels back.
type reply struct {
	ID      string          `json:"id"`
	Content json.RawMessage `json:"content,omitempty"`
	Error   string          `json:"error,omitempty"` // "": none

	fault error // of this node's bus
}

// Refusal is the error that the leader's Answer returned, as text.
type Refusal struct{ Text string }

// Error implements error.
func (r *Refusal) Error() string { return r.Text }

// asks is the traffic of questions of one seat.
type asks struct {
	seat *Seat
	subs []broker.Subscription

	mu      sync.Mutex
	waiting map[string]chan reply // own questions
	taken   map[string]*taken     // questions of others
	closed  bool
	work    sync.WaitGroup // answers in the making
}

// taken is a question that was heard.
type taken struct {
	at     time.Time
	answer []byte // nil: in the making
}

func openAsks(s *Seat) (*asks, error) {
	a := &asks{seat: s, waiting: make(map[string]chan reply), taken: make(map[string]*taken)}
	for subject, hear := range map[string]func(*broker.Message){a.questions(): a.hear, a.answers(s.o.Node): a.answered} {
		sub, err := s.o.Bus.Subscribe(subject, broker.Handler{Message: hear})
		if err != nil {
			a.close()
			return nil, err
		}
		a.subs = append(a.subs, sub)
	}
	return a, nil
}

// Subjects that no client can follow.
func (a *asks) questions() string          { return "nodes.lead." + a.seat.o.Name + ".ask" }
func (a *asks) answers(node string) string { return "nodes.lead." + a.seat.o.Name + ".answer." + node }

func (a *asks) close() {
	for _, sub := range a.subs {
		sub.Unsubscribe()
	}
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.work.Wait()
}

// Ask has the leader answer, this node or another. It waits for one until the context ends: then the error is ErrNobody, and what
// was asked for may be done all the same. What the leader's Answer refuses is a *Refusal.
// broker.ErrTooLarge: content is longer than what the bus carries. REQUIRES: the seat has a bus; content is JSON, or nil.
func (s *Seat) Ask(ctx context.Context, verb string, content []byte) ([]byte, error) {
	raw := make([]byte, 16)
	rand.Read(raw)
	q := question{ID: hex.EncodeToString(raw), Node: s.o.Node, Verb: verb, Content: content, Time: time.Minute}
	got := make(chan reply, 1)
	s.asks.mu.Lock()
	s.asks.waiting[q.ID] = got
	s.asks.mu.Unlock()
	defer func() {
		s.asks.mu.Lock()
		delete(s.asks.waiting, q.ID)
		s.asks.mu.Unlock()
	}()
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	for {
		if until, ok := ctx.Deadline(); ok {
			q.Time = max(time.Until(until), time.Millisecond)
		}
		data, err := json.Marshal(q)
		if err != nil {
			return nil, err
		}
		s.o.Bus.Publish(s.asks.questions(), data, broker.Keep{}, func(_ broker.Position, err error) {
			if errors.Is(err, broker.ErrTooLarge) {
				s.asks.take(reply{ID: q.ID, fault: err})
			}
		})
		select {
		case r := <-got:
			if r.fault != nil {
				return nil, r.fault
			}
			if r.Error != "" {
				return nil, &Refusal{r.Error}
			}
			return r.Content, nil
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (%w)", ErrNobody, ctx.Err())
		case <-s.ctx.Done():
			return nil, broker.ErrClosed
		}
	}
}

// answered takes the answer to an own question. It does not block.
func (a *asks) answered(m *broker.Message) {
	var r reply
	if json.Unmarshal(m.Data, &r) == nil {
		a.take(r)
	}
}

// take hands a reply to who waits for it.
func (a *asks) take(r reply) {
	a.mu.Lock()
	got := a.waiting[r.ID]
	delete(a.waiting, r.ID)
	a.mu.Unlock()
	if got != nil {
		got <- r
	}
}

// hear takes a question when this node leads. It does not block.
func (a *asks) hear(m *broker.Message) {
	var q question
	if a.seat.o.Answer == nil || !a.seat.Leading() || json.Unmarshal(m.Data, &q) != nil || q.ID == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.taken[q.ID]
	switch {
	case a.closed:
		return
	case known != nil && known.answer != nil:
		a.work.Go(func() { a.send(q.Node, known.answer) })
		return
	case known != nil:
		return
	}
	if a.forget(); len(a.taken) >= answersMost {
		return
	}
	t := &taken{at: time.Now()}
	a.taken[q.ID] = t
	a.work.Go(func() { a.answer(&q, t) })
}

// answer makes an answer and sends it.
func (a *asks) answer(q *question, t *taken) {
	ctx, cancel := context.WithTimeout(a.seat.ctx, q.Time)
	defer cancel()
	content, err := a.seat.o.Answer(ctx, q.Verb, q.Content)
	r := reply{ID: q.ID, Content: content}
	if err != nil {
		r = reply{ID: q.ID, Error: err.Error()}
	}
	data, err := json.Marshal(r)
	if err != nil {
		return // text always encodes
	}
	a.mu.Lock()
	t.answer = data
	a.mu.Unlock()
	a.send(q.Node, data)
}

func (a *asks) send(node string, data []byte) {
	a.seat.o.Bus.Publish(a.answers(node), data, broker.Keep{}, nil)
}

// forget drops old answers. REQUIRES: mu is held.
func (a *asks) forget() {
	if len(a.taken) < answersMost/2 {
		return
	}
	for id, t := range a.taken {
		if t.answer != nil && time.Since(t.at) > answersKept {
			delete(a.taken, id)
		}
	}
}
