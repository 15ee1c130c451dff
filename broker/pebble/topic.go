package pebble

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"gosper/broker"
	"gosper/broker/fanout"
)

// A subject's history is the same on disk and in its ring, except between the staging of a batch and its commit. All
// functions here are called by the committer, which alone changes topics; it takes the lock of the bus when it changes
// what readers look at.

// open returns the topic of a subject for a publish, from memory, from disk or new.
func (b *Bus) open(t *tx, subject string, keep broker.Keep) (*fanout.Topic, error) {
	topic, err := b.load(subject)
	if err != nil {
		return nil, err
	}
	if topic == nil {
		topic = b.create(t, subject)
	}
	if topic.Keep != keep {
		b.mu.Lock()
		topic.Keep = keep
		b.mu.Unlock()
		t.set(in(spaceTopic, subject), topicRecord{topic.ID, topic.Base, keep}.encode())
	}
	return topic, nil
}

// create makes a new topic. Its record is written by the caller, since its Keep is not known yet.
func (b *Bus) create(t *tx, subject string) *fanout.Topic {
	b.lastTopic++
	t.set(metaTopic, number(b.lastTopic))
	topic := &fanout.Topic{
		Subject: subject, ID: b.lastTopic, Used: t.now,
		Base: b.floor, Top: b.floor, Staged: b.floor, First: b.floor + 1,
	}
	b.enter(topic)
	return topic
}

// load returns the topic of a subject from memory or disk; nil when it keeps no history.
func (b *Bus) load(subject string) (*fanout.Topic, error) {
	if topic := b.topics.Get(subject); topic != nil {
		return topic, nil
	}
	key := in(spaceTopic, subject)
	value, closer, err := b.db.pebble.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read history of %q: %w", subject, err)
	}
	record, err := parseTopic(key, value)
	closer.Close()
	if err != nil {
		return nil, err
	}
	topic := &fanout.Topic{Subject: subject, ID: record.id, Base: record.base, Keep: record.keep, Top: record.base}
	if err := b.read(topic); err != nil {
		return nil, fmt.Errorf("read history of %q: %w", subject, err)
	}
	b.enter(topic)
	return topic, nil
}

// read fills the ring of a topic from disk.
func (b *Bus) read(topic *fanout.Topic) error {
	it, err := b.messages(topic.ID)
	if err != nil {
		return err
	}
	defer it.Close()
	topic.First = topic.Base + 1
	for ok := it.First(); ok; ok = it.Next() {
		m, err := parseMessage(topic.Subject, b.epoch, it.Key(), it.Value())
		if err != nil {
			return err
		}
		if topic.Ring.Len() == 0 {
			topic.First = m.Offset
		} else if m.Offset != topic.Top+1 {
			return damaged("message before", it.Key())
		}
		topic.Ring.Push(m)
		topic.Top, topic.Used = m.Offset, m.Time
	}
	topic.Staged = topic.Top
	return it.Error()
}

// messages iterates over the history of one subject.
func (b *Bus) messages(id uint64) (*pebble.Iterator, error) {
	return b.db.pebble.NewIter(&pebble.IterOptions{LowerBound: messageKey(id, 0), UpperBound: messageKey(id+1, 0)})
}

// enter puts a topic into memory.
func (b *Bus) enter(topic *fanout.Topic) {
	b.mu.Lock()
	b.topics.Add(topic)
	b.mu.Unlock()
	b.account(topic.Bytes())
}

// trim stages the removal of what keep no longer allows. Each key is deleted once, by itself: that costs thirty bytes
// of log a message, and leaves no range tombstones that every read would have to sort.
func (b *Bus) trim(t *tx, topic *fanout.Topic, keep broker.Keep) {
	aged := topic.Ring.Len() - len(topic.Ring.Fresh(keep.Age, t.now))
	first := topic.Top + 1 - uint64(topic.Ring.Len()) + uint64(aged) // lowest offset young enough
	if over := topic.Staged + 1 - min(topic.Staged, uint64(keep.Messages)); over > first {
		first = over
	}
	for ; topic.First < min(first, topic.Staged); topic.First++ {
		t.remove(messageKey(topic.ID, topic.First))
	}
}

// append shows a committed message to readers.
func (b *Bus) append(topic *fanout.Topic, m *broker.Message) {
	before := topic.Bytes()
	b.mu.Lock()
	topic.Ring.Push(m)
	topic.Top, topic.Used = m.Offset, m.Time
	for topic.Ring.Len() > 1 && topic.Top+1-uint64(topic.Ring.Len()) < topic.First {
		topic.Ring.DropOldest()
	}
	b.topics.Touch(topic)
	b.mu.Unlock()
	b.account(topic.Bytes() - before)
}

// bound lets go of the loaded histories that were not published to for longest, as far as memory demands it. They stay
// on disk.
func (b *Bus) bound() {
	for b.bytes > b.db.opts.HistoryMemory && b.topics.Len() > 1 {
		b.forget(b.topics.Oldest())
	}
}

func (b *Bus) forget(topic *fanout.Topic) {
	b.mu.Lock()
	b.topics.Remove(topic)
	b.mu.Unlock()
	b.account(-topic.Bytes())
}

func (b *Bus) account(bytes int64) {
	b.bytes += bytes
	historyBytes.Add(float64(bytes))
}

const (
	sweepEvery = time.Minute
	sweepMost  = 256 // subjects looked at in one sweep
)

// janitor drops the histories of idle subjects, a few every minute.
type janitor struct {
	bus   *Bus
	timer *time.Timer
	from  string // owned by the committer: subject to go on after
}

// start arms the timer.
func (j *janitor) start() { j.timer = time.AfterFunc(sweepEvery, j.request) }

func (j *janitor) request() {
	_ = j.bus.db.committer.offer(&sweep{janitor: j}) // refused: the next minute will do
	if !j.bus.db.closed.Load() {
		j.timer.Reset(sweepEvery)
	}
}

// sweep is one round of the janitor.
type sweep struct{ janitor *janitor }

func (w *sweep) size() (int, bool) { return 64, true }
func (w *sweep) apply(*tx)         {}
func (w *sweep) answer(error)      {}
func (w *sweep) refuse(error)      {}

// stage looks at the next subjects and drops the idle ones. It needs no fsync: what comes back is dropped again.
func (w *sweep) stage(t *tx) error {
	b := w.janitor.bus
	it, err := b.db.pebble.NewIter(&pebble.IterOptions{
		LowerBound: append(in(spaceTopic, w.janitor.from), 0), UpperBound: []byte{spaceTopic + 1},
	})
	if err != nil {
		return err
	}
	defer it.Close()
	w.janitor.from = ""
	seen := 0
	for ok := it.First(); ok; ok = it.Next() {
		subject := string(it.Key()[1:])
		if seen++; seen > sweepMost {
			break
		}
		if err := b.dropIdle(t, subject); err != nil {
			return err
		}
		w.janitor.from = subject
	}
	if seen <= sweepMost {
		w.janitor.from = ""
	}
	return it.Error()
}

// dropIdle stages the end of a subject if it is idle. A subject that was only loaded to look at it is forgotten again.
func (b *Bus) dropIdle(t *tx, subject string) error {
	wasLoaded := b.topics.Get(subject) != nil
	topic, err := b.load(subject)
	if err != nil || topic == nil {
		return err
	}
	if topic.Staged > topic.Top || !topic.Idle(b.db.opts.HistoryIdle, t.now) {
		if !wasLoaded {
			b.forget(topic)
		}
		return nil
	}
	t.remove(in(spaceTopic, subject))
	t.removeRange(messageKey(topic.ID, 0), messageKey(topic.ID+1, 0))
	if topic.Top > b.floor {
		t.set(metaFloor, number(topic.Top))
	}
	b.mu.Lock()
	b.floor = max(b.floor, topic.Top)
	b.mu.Unlock()
	b.forget(topic)
	return nil
}
