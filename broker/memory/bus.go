package memory

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"gosper/broker"
	"gosper/broker/fanout"
)

// lanes is how many groups subjects fall into. Subjects of different lanes are published in parallel.
const lanes = 64

// BusOptions bounds what a Bus keeps. The zero value of each field means its default.
type BusOptions struct {
	MaxBytes  int64         // memory of all histories; the subjects used longest ago give way. Default 64 MiB
	IdleAfter time.Duration // a subject that nobody published to for so long loses its history. Default 1 h
}

func (o BusOptions) withDefaults() BusOptions {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 64 << 20
	}
	if o.IdleAfter <= 0 {
		o.IdleAfter = time.Hour
	}
	return o
}

// Bus is the broker.Bus of one process. Publish calls the handlers on the publisher's goroutine unless another
// publisher is already handing out messages of the same lane; then it only queues. Its promise is that of memory:
// everything ends with the process, and the random epoch says so to clients that come back.
type Bus struct {
	// static after construction
	opts  BusOptions
	seed  maphash.Seed
	epoch uint64

	table  fanout.Table
	lanes  [lanes]lane
	bytes  atomic.Int64 // of all topics
	hand   atomic.Uint32
	closed atomic.Bool
}

// lane is one group of subjects. The embedded Lane's lock guards the other fields.
type lane struct {
	fanout.Lane
	topics fanout.Topics
	floor  uint64 // highest offset of a dropped topic: later topics start above it
}

var _ broker.Bus = (*Bus)(nil)

// NewBus returns a bus with a new random epoch.
func NewBus(o BusOptions) *Bus {
	b := &Bus{opts: o.withDefaults(), seed: maphash.MakeSeed(), epoch: NewEpoch()}
	for i := range b.lanes {
		b.lanes[i].Init()
	}
	return b
}

// NewEpoch returns a random epoch. It fits in 53 bits, because browsers read it as a JSON number.
func NewEpoch() uint64 { return rand.Uint64N(1<<53-1) + 1 }

// Publish implements broker.Bus. It allocates nothing when nobody listens, and one Message otherwise.
func (b *Bus) Publish(subject string, data []byte, keep broker.Keep, done func(broker.Position, error)) {
	if err := b.publish(subject, data, keep, done); err != nil && done != nil {
		done(broker.Position{}, err)
	}
}

// publish queues the message and drains the lane. After an error done was not taken over.
func (b *Bus) publish(subject string, data []byte, keep broker.Keep, done func(broker.Position, error)) error {
	switch {
	case !broker.ValidSubject(subject):
		return broker.BadName("subject", subject)
	case len(data) > broker.MaxValue:
		return broker.ErrTooLarge
	case b.closed.Load():
		return broker.ErrClosed
	}
	now := time.Now()
	l := b.lane(subject)
	l.Lock()
	if l.Full() {
		l.Unlock()
		return broker.ErrBusy
	}
	if keep.Messages > 0 {
		m := &broker.Message{Subject: subject, Data: data, Time: now}
		b.keep(l, m, keep)
		l.PushMessage(m, done)
	} else {
		l.PushData(subject, data, now, done)
	}
	l.Unlock()
	l.Drain(&b.table)
	if keep.Messages > 0 {
		b.tidy(now)
	}
	return nil
}

// keep gives m its position and stores it. Caller holds l's lock.
func (b *Bus) keep(l *lane, m *broker.Message, keep broker.Keep) {
	b.dropIdle(l, m.Time)
	t := l.topics.Get(m.Subject)
	if t == nil {
		t = &fanout.Topic{Subject: m.Subject, Base: l.floor, Top: l.floor}
		l.topics.Add(t)
		b.bytes.Add(t.Bytes())
	}
	before := t.Bytes()
	t.Top++
	m.Position = broker.Position{Epoch: b.epoch, Offset: t.Top}
	t.Keep, t.Used = keep, m.Time
	t.Ring.Push(m)
	for n := t.Ring.Excess(keep, m.Time); n > 0; n-- {
		t.Ring.DropOldest()
	}
	l.topics.Touch(t)
	b.bytes.Add(t.Bytes() - before)
}

// dropIdle forgets the lane's oldest topic when its time has come: each publish clears up after at most one earlier
// subject, so no goroutine is needed to do it. Caller holds l's lock.
func (b *Bus) dropIdle(l *lane, now time.Time) {
	if t := l.topics.Oldest(); t != nil && t.Idle(b.opts.IdleAfter, now) {
		b.drop(l, t)
	}
}

// drop forgets t. Caller holds l's lock.
func (b *Bus) drop(l *lane, t *fanout.Topic) {
	l.floor = max(l.floor, t.Top)
	l.topics.Remove(t)
	b.bytes.Add(-t.Bytes())
}

// tidy visits one lane in turn for idle topics, and more of them as long as the histories exceed their bound. It only
// takes locks that are free, so it never waits. What was published now may be all that its lane has: in the first round it
// is spared.
func (b *Bus) tidy(now time.Time) {
	for n := range 2 * lanes {
		l := &b.lanes[b.hand.Add(1)%lanes]
		if l.TryLock() {
			if t := l.topics.Oldest(); t != nil && b.bytes.Load() > b.opts.MaxBytes && (t.Used.Before(now) || n >= lanes) {
				b.drop(l, t)
			} else {
				b.dropIdle(l, now)
			}
			l.Unlock()
		}
		if b.bytes.Load() <= b.opts.MaxBytes {
			return
		}
	}
}

// Subscribe implements broker.Bus.
func (b *Bus) Subscribe(pattern string, h broker.Handler) (broker.Subscription, error) {
	if b.closed.Load() {
		return nil, broker.ErrClosed
	}
	return b.table.Subscribe(pattern, h)
}

// History implements broker.Bus.
func (b *Bus) History(ctx context.Context, subject string, since broker.Position, limit int) (broker.Recovery, error) {
	if !broker.ValidSubject(subject) {
		return broker.Recovery{}, broker.BadName("subject", subject)
	}
	if b.closed.Load() {
		return broker.Recovery{}, broker.ErrClosed
	}
	now := time.Now()
	l := b.lane(subject)
	l.Lock()
	defer l.Unlock()
	t := l.topics.Get(subject)
	if t != nil && t.Idle(b.opts.IdleAfter, now) {
		b.drop(l, t)
		t = nil
	}
	if t == nil {
		return fanout.Unknown(b.epoch, l.floor, since), nil
	}
	return t.Since(b.epoch, since, limit, now), nil
}

// Close ends the bus: later calls get broker.ErrClosed. Messages under way are still handed out.
func (b *Bus) Close() error {
	b.closed.Store(true)
	return nil
}

func (b *Bus) lane(subject string) *lane {
	return &b.lanes[maphash.String(b.seed, subject)%lanes]
}
