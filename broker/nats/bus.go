package nats

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
	"gosper/broker/fanout"
)

// lanes is how many groups subjects fall into for delivery.
const lanes = 64

// noticeSubject carries the subjects of which messages may have been missed, one a line; `>` stands for all.
const noticeSubject = "_GOSPER.gap"

// Bus is the broker.Bus of the nodes that share NATS servers. See the package for its promise.
type Bus struct {
	// static after construction
	opts    Options
	link    *link
	streams [2]*stream // for subjects of one token, and of more
	seed    maphash.Seed

	table  fanout.Table
	lanes  [lanes]lane
	nodes  map[string]uint64 // owned by the dispatcher: the last number of each node, to tell copies
	closed atomic.Bool
	queued atomic.Int64 // bytes of what waits for the streams

	life   context.Context // ends with Close
	end    context.CancelFunc
	checks sync.WaitGroup // of the streams, after a reconnect
}

// lane is one group of subjects. The embedded Lane's lock guards the other fields.
type lane struct {
	fanout.Lane
	topics map[string]*topic
	late   map[string]*topic // those that wait to try again
}

var _ broker.Bus = (*Bus)(nil)

// Open connects to the servers, makes the streams when they are missing, waits until they have all their replicas, and
// returns the bus. Servers that cannot be reached within Options.StartWait are an error.
func Open(ctx context.Context, o Options) (*Bus, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	l, err := reach(ctx, o)
	if err != nil {
		return nil, err
	}
	b := &Bus{opts: o, link: l, seed: maphash.MakeSeed(), nodes: make(map[string]uint64)}
	b.life, b.end = context.WithCancel(context.Background())
	for i := range b.lanes {
		b.lanes[i].Init()
		b.lanes[i].topics, b.lanes[i].late = make(map[string]*topic), make(map[string]*topic)
	}
	b.streams = [2]*stream{newStream(l, o, short), newStream(l, o, long)}
	l.run(events{message: b.receive, back: b.back, dropped: b.dropped, sweep: b.sweep})
	if _, err := l.conn.ChanSubscribe(noticeSubject, l.in); err != nil {
		return nil, b.abandon(err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.StartWait)
	defer cancel()
	for _, s := range b.streams {
		if err := s.ensure(ctx); err != nil {
			return nil, b.abandon(err)
		}
	}
	return b, nil
}

func (b *Bus) abandon(err error) error {
	_ = b.Close() // err is what the caller can do something about
	return err
}

// Health says why the bus does not reach other nodes now; nil when it does.
func (b *Bus) Health() error {
	if b.link.away.Load() {
		return errAway
	}
	return nil
}

// reserved reports whether the first token of a subject belongs to NATS or to this package.
func reserved(subject string) bool { return subject[0] == '$' || subject[0] == '_' }

// Publish implements broker.Bus. A message with history is answered when the stream has it; broker.ErrTimeout means
// that nobody knows whether it does. One without is answered when local subscribers have it and the link has taken it.
func (b *Bus) Publish(subject string, data []byte, keep broker.Keep, done func(broker.Position, error)) {
	if err := b.publish(&publish{subject: subject, data: data, keep: keep, done: done}); err != nil && done != nil {
		done(broker.Position{}, err)
	}
}

// publish takes the message over. After an error done was not and will not be called by it.
func (b *Bus) publish(p *publish) error {
	if err := b.check(p); err != nil {
		return err
	}
	p.at = time.Now()
	p.deadline = p.at.Add(b.opts.Wait)
	l := b.lane(p.subject)
	l.Lock()
	err := b.enter(l, p)
	l.Unlock()
	l.Drain(&b.table)
	return err
}

func (b *Bus) check(p *publish) error {
	switch {
	case !broker.ValidSubject(p.subject) || reserved(p.subject):
		return broker.BadName("subject", p.subject)
	case len(p.data) > broker.MaxValue || int64(len(p.data)+maxStamp+maxRunHeader) > b.link.conn.MaxPayload():
		return broker.ErrTooLarge
	case b.closed.Load():
		return broker.ErrClosed
	}
	return nil
}

// enter puts p on its way: straight to the link, or behind what waits for the stream. Caller holds l's lock and drains
// the lane afterwards.
func (b *Bus) enter(l *lane, p *publish) error {
	t := l.topics[p.subject]
	if p.keep.Messages <= 0 && (t == nil || len(t.queue) == 0 && t.flying == 0) {
		return b.emit(l, p)
	}
	t = l.topic(p.subject)
	if len(t.queue) >= MaxQueue || !b.room(p) {
		refusedBusy.Inc()
		return broker.ErrBusy
	}
	t.queue = append(t.queue, p)
	b.advance(l, t)
	return nil
}

// room takes the bytes of p from MaxQueued; false when they are not there.
func (b *Bus) room(p *publish) bool {
	if b.queued.Add(p.size()) <= MaxQueued {
		return true
	}
	b.queued.Add(-p.size())
	return false
}

// emit sends a message without history. Caller holds l's lock.
func (b *Bus) emit(l *lane, p *publish) error {
	if l.Full() {
		refusedBusy.Inc()
		return broker.ErrBusy
	}
	one := &letter{msg: &nats.Msg{Subject: p.subject, Data: p.data}, stamp: &stamp{node: b.link.node, at: p.at}}
	if err := b.link.send(one); err != nil {
		refusedBusy.Inc()
		return err
	}
	l.PushData(p.subject, p.data, p.at, p.done)
	return nil
}

// receive takes what another node published, or the stream handed out. It runs on the dispatcher.
func (b *Bus) receive(m *nats.Msg) {
	if m.Subject == noticeSubject {
		b.noticed(string(m.Data))
		return
	}
	if reserved(m.Subject) {
		return // a pattern that starts with a wildcard sees what belongs to NATS
	}
	s, ok := readStamp(m.Header)
	seq := uint64(0)
	if ok && s.Offset > 0 {
		seq, ok = b.stream(m.Subject).published(m)
	}
	if !ok {
		strangersTotal.Inc()
		return
	}
	receivedTotal.Inc()
	if s.Offset > 0 {
		b.hear(m, s, seq)
		return
	}
	if !b.fresh(s) {
		return
	}
	l := b.lane(m.Subject)
	l.Lock()
	l.WaitRoom()
	l.PushData(m.Subject, m.Data, s.at, nil)
	l.Unlock()
	l.Drain(&b.table)
}

// fresh reports whether a message without history came for the first time. One that several patterns of this node match
// comes once for each, and the messages of one node come in the order of their numbers.
func (b *Bus) fresh(s stamp) bool {
	if s.n <= b.nodes[s.node] {
		return false
	}
	if len(b.nodes) >= maxStrangers {
		clear(b.nodes)
	}
	b.nodes[s.node] = s.n
	return true
}

// hear takes a message that the stream handed out. It runs on the dispatcher.
func (b *Bus) hear(m *nats.Msg, s stamp, seq uint64) {
	l := b.lane(m.Subject)
	l.Lock()
	t := l.topic(m.Subject)
	t.learn(s, seq)
	y := t.try
	if y != nil {
		y.hear(s, seq)
	}
	stored := y != nil && y.refused && y.seq > 0
	l.Unlock()
	if st := b.stream(m.Subject); s.Epoch != st.now() {
		b.recheck(st)
	}
	if stored {
		b.accepted(l, t, y, seq)
	}
	if s.node == b.link.node {
		return // delivered, and answered, when the stream's answer comes, which is right behind
	}
	b.deliver(l, t, &broker.Message{Subject: m.Subject, Data: m.Data, Time: s.at, Position: s.Position}, nil)
}

// deliver hands a message with history to the local subscribers, unless they have it. A hole before it is announced
// first. Only the dispatcher calls it, which keeps the order.
func (b *Bus) deliver(l *lane, t *topic, m *broker.Message, done func(broker.Position, error)) {
	l.Lock()
	isNew, hole := t.follow(m.Position)
	l.Unlock()
	if hole {
		b.gap("messages of the subject did not arrive", matches(m.Subject))
	}
	switch {
	case isNew:
		l.Lock()
		l.WaitRoom()
		l.PushMessage(m, done)
		l.Unlock()
		l.Drain(&b.table)
	case done != nil:
		done(m.Position, nil)
	}
}

// back runs when the link is up again: what was on its way may be lost, in both directions.
func (b *Bus) back() {
	for i := range b.lanes {
		l := &b.lanes[i]
		l.Lock()
		for _, t := range l.topics {
			t.listen()
			t.known = false
		}
		l.Unlock()
	}
	b.checks.Go(func() { // not here: this goroutine of the NATS client is needed for the next reconnect
		ctx, cancel := context.WithTimeout(b.life, b.opts.StartWait)
		defer cancel()
		for _, s := range b.streams {
			if err := s.ensure(ctx); err != nil && b.life.Err() == nil {
				b.opts.Log.Error("the history of the bus is not whole", "error", err)
			}
		}
		b.gap("the link to NATS was away", everyPattern)
		b.notify()
	})
}

// recheck looks at a stream whose epoch seems to be another one than this node believes. It does not wait.
func (b *Bus) recheck(s *stream) {
	if s.checking.Swap(true) {
		return
	}
	b.checks.Go(func() {
		defer s.checking.Store(false)
		ctx, cancel := context.WithTimeout(b.life, callTimeout)
		defer cancel()
		if err := s.ensure(ctx); err != nil && b.life.Err() == nil {
			b.opts.Log.Warn("the epoch of the history may be another one", "stream", s.name, "error", err)
		}
	})
}

// Subscribe implements broker.Bus.
func (b *Bus) Subscribe(pattern string, h broker.Handler) (broker.Subscription, error) {
	if b.closed.Load() {
		return nil, broker.ErrClosed
	}
	if !broker.ValidPattern(pattern) || reserved(pattern) {
		return nil, broker.BadName("pattern", pattern)
	}
	entry, err := b.table.Subscribe(pattern, h)
	if err != nil {
		return nil, err
	}
	if b.link.join(pattern) {
		b.forget(pattern)
	}
	return &subscription{bus: b, entry: entry, pattern: pattern}, nil
}

// forget drops what this node has heard of the subjects of a pattern: it did not listen to all of them until now.
func (b *Bus) forget(pattern string) {
	if !broker.Wild(pattern) {
		l := b.lane(pattern)
		l.Lock()
		if t := l.topics[pattern]; t != nil && !b.link.covers(pattern, pattern) {
			t.listen()
		}
		l.Unlock()
		return
	}
	for i := range b.lanes {
		l := &b.lanes[i]
		l.Lock()
		for subject, t := range l.topics {
			if broker.MatchSubject(pattern, subject) && !b.link.covers(pattern, subject) {
				t.listen()
			}
		}
		l.Unlock()
	}
}

// Close implements broker.Bus. Publishes under way are answered with broker.ErrClosed.
func (b *Bus) Close() error {
	if b.closed.Swap(true) {
		return nil
	}
	b.end()
	b.link.close()
	b.checks.Wait()
	b.sweep(time.Now())
	return nil
}

func (b *Bus) lane(subject string) *lane {
	return &b.lanes[maphash.String(b.seed, subject)%lanes]
}

// stream returns the stream that keeps the history of subject.
func (b *Bus) stream(subject string) *stream {
	if strings.Contains(subject, ".") {
		return b.streams[1]
	}
	return b.streams[0]
}
