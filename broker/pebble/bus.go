package pebble

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker"
	"gosper/broker/fanout"
)

// lanes is how many groups subjects fall into for delivery.
const lanes = 64

// Bus is the broker.Bus of a DB. A message with history is committed before it is delivered and answered, so positions
// survive every crash; one without goes straight to the subscribers, on the publisher's goroutine, and never touches the
// disk.
type Bus struct {
	db    *DB
	seed  maphash.Seed
	table fanout.Table
	lanes [lanes]lane

	mu     sync.RWMutex
	epoch  uint64        // static after Open
	floor  uint64        // guarded by mu: highest offset of a dropped subject
	topics fanout.Topics // guarded by mu: loaded subjects; their staging fields belong to the committer
	bytes  int64         // of loaded topics; owned by the committer

	lastTopic uint64 // owned by the committer: last id given
	janitor   janitor
}

// lane is one group of subjects, with the subjects of which messages are on their way through the committer: until
// those are delivered, messages without history take the same way, or they would overtake.
type lane struct {
	fanout.Lane
	pending map[string]int // guarded by the lane's lock
}

var _ broker.Bus = (*Bus)(nil)

func newBus(db *DB) *Bus {
	b := &Bus{db: db, seed: maphash.MakeSeed()}
	b.janitor.bus = b
	for i := range b.lanes {
		b.lanes[i].Init()
		b.lanes[i].pending = make(map[string]int)
	}
	return b
}

// Publish implements broker.Bus. A full queue is answered with broker.ErrBusy.
func (b *Bus) Publish(subject string, data []byte, keep broker.Keep, done func(broker.Position, error)) {
	if err := b.publish(subject, data, keep, done); err != nil && done != nil {
		done(broker.Position{}, err)
	}
}

// publish takes the message over. After an error done was not and will not be called by it.
func (b *Bus) publish(subject string, data []byte, keep broker.Keep, done func(broker.Position, error)) error {
	switch {
	case !broker.ValidSubject(subject):
		return broker.BadName("subject", subject)
	case len(data) > broker.MaxValue:
		return broker.ErrTooLarge
	case b.db.closed.Load():
		return broker.ErrClosed
	}
	l := b.lane(subject)
	l.Lock()
	if keep.Messages <= 0 && l.pending[subject] == 0 {
		return b.direct(l, subject, data, done)
	}
	l.pending[subject]++
	l.Unlock()
	w := &publish{bus: b, subject: subject, data: data, keep: keep, done: done}
	if err := b.db.committer.offer(w); err != nil {
		b.arrived(subject)
		return err
	}
	return nil
}

// direct delivers a message without history. Caller holds l's lock; it is released.
func (b *Bus) direct(l *lane, subject string, data []byte, done func(broker.Position, error)) error {
	if l.Full() {
		l.Unlock()
		refusedBusy.Inc()
		return broker.ErrBusy
	}
	l.PushData(subject, data, time.Now(), done)
	l.Unlock()
	l.Drain(&b.table)
	return nil
}

// arrived counts out a message that has left the committer's pipeline.
func (b *Bus) arrived(subject string) {
	l := b.lane(subject)
	l.Lock()
	defer l.Unlock()
	l.leave(subject)
}

// leave counts one message out. Caller holds the lock.
func (l *lane) leave(subject string) {
	if l.pending[subject]--; l.pending[subject] <= 0 {
		delete(l.pending, subject)
	}
}

// deliver hands a committed message to its lane. It is called by the courier, which waits when a lane is full.
func (b *Bus) deliver(w *publish) {
	l := b.lane(w.subject)
	l.Lock()
	l.WaitRoom()
	l.PushMessage(w.message, w.delivered)
	l.leave(w.subject)
	l.Unlock()
	l.Drain(&b.table)
}

// publish is one message on its way through the committer.
type publish struct {
	bus     *Bus
	subject string
	data    []byte
	keep    broker.Keep
	done    func(broker.Position, error)

	answered atomic.Bool
	topic    *fanout.Topic   // set by stage; nil without history
	message  *broker.Message // set by stage
}

func (w *publish) size() (int, bool) {
	if w.keep.Messages <= 0 {
		return 0, false
	}
	return len(w.data) + len(w.subject) + 48, false
}

func (w *publish) stage(t *tx) error {
	w.message = &broker.Message{Subject: w.subject, Data: w.data, Time: t.now}
	if w.keep.Messages <= 0 {
		return nil
	}
	topic, err := w.bus.open(t, w.subject, w.keep)
	if err != nil {
		return err
	}
	t.sync = true
	topic.Staged++
	w.topic, w.message.Position = topic, broker.Position{Epoch: w.bus.epoch, Offset: topic.Staged}
	t.set(messageKey(topic.ID, topic.Staged), appendMessage(nil, w.message))
	w.bus.trim(t, topic, w.keep)
	return nil
}

func (w *publish) apply(t *tx) {
	if w.topic != nil {
		w.bus.append(w.topic, w.message)
	}
	t.posts = append(t.posts, w)
}

// delivered is called by the lane after the subscribers were.
func (w *publish) delivered(at broker.Position, err error) {
	if !w.answered.Swap(true) && w.done != nil {
		w.done(at, err)
	}
}

func (w *publish) answer(err error) { w.delivered(broker.Position{}, err) }

func (w *publish) refuse(err error) {
	w.bus.arrived(w.subject)
	w.answer(err)
}

// Subscribe implements broker.Bus.
func (b *Bus) Subscribe(pattern string, h broker.Handler) (broker.Subscription, error) {
	if b.db.closed.Load() {
		return nil, broker.ErrClosed
	}
	return b.table.Subscribe(pattern, h)
}

// History implements broker.Bus. A subject that is loaded is answered from memory, others are read on the committer,
// so that no message can be committed in between.
func (b *Bus) History(ctx context.Context, subject string, since broker.Position, limit int) (broker.Recovery, error) {
	if !broker.ValidSubject(subject) {
		return broker.Recovery{}, broker.BadName("subject", subject)
	}
	if b.db.closed.Load() {
		return broker.Recovery{}, broker.ErrClosed
	}
	if answer, ok := b.loaded(subject, since, limit); ok {
		return answer, ctx.Err()
	}
	w := &lookup{call: newCall(), bus: b, subject: subject, since: since, limit: limit}
	if err := b.db.committer.do(ctx, w, &w.call); err != nil {
		return broker.Recovery{}, err
	}
	return w.result, nil
}

func (b *Bus) loaded(subject string, since broker.Position, limit int) (broker.Recovery, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	t := b.topics.Get(subject)
	if t == nil {
		return broker.Recovery{}, false
	}
	return t.Since(b.epoch, since, limit, time.Now()), true
}

// lookup is a History whose subject must be read from disk. It writes nothing.
type lookup struct {
	call
	bus     *Bus
	subject string
	since   broker.Position
	limit   int
	result  broker.Recovery
}

func (w *lookup) size() (int, bool) { return 0, false }

func (w *lookup) stage(t *tx) error {
	topic, err := w.bus.load(w.subject)
	if err != nil {
		return err
	}
	if topic == nil {
		w.result = fanout.Unknown(w.bus.epoch, w.bus.floor, w.since)
	} else {
		w.result = topic.Since(w.bus.epoch, w.since, w.limit, t.now)
	}
	return nil
}

func (w *lookup) apply(*tx) { w.answer(nil) }

// Close does nothing: the bus ends with its DB.
func (b *Bus) Close() error { return nil }

func (b *Bus) lane(subject string) *lane {
	return &b.lanes[maphash.String(b.seed, subject)%lanes]
}
