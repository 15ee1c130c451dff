package fanout

import (
	"slices"
	"time"

	"gosper/broker"
)

// topicOverhead is what a subject with history costs beside its messages.
const topicOverhead = 512

// Topic is one subject that keeps history.
//
// Offsets start above Base, which is 0 for a subject that was never dropped. When an idle subject is dropped, the
// engine remembers the highest offset it dropped as its floor and starts later subjects above it: no offset is ever
// given twice in one epoch, so an old position can only be answered with "not recovered", never with wrong messages.
type Topic struct {
	Subject string
	Base    uint64      // no message with this offset or below was ever kept here
	Top     uint64      // offset of the newest message; Base when there was none
	Keep    broker.Keep // of the last publish
	Used    time.Time   // last publish
	Ring    Ring

	// Of a durable engine, owned by its committer; memory engines leave them 0.
	ID     uint64 // name on disk
	Staged uint64 // offset given last; Top follows when it is durable
	First  uint64 // lowest offset that is on disk

	newer, older *Topic // Topics' list by use
}

// Since answers History from the ring.
func (t *Topic) Since(epoch uint64, since broker.Position, limit int, now time.Time) broker.Recovery {
	fresh := t.Ring.Fresh(t.Keep.Age, now)
	answer := broker.Recovery{Top: broker.Position{Epoch: epoch, Offset: t.Top}}
	first := t.Top - uint64(len(fresh)) + 1 // offset of fresh[0]
	switch {
	case since == broker.Position{}:
		answer.Recovered = true
		fresh = newest(fresh, limit)
	case since.Epoch != epoch || since.Offset > t.Top || since.Offset+1 < first:
		fresh = newest(fresh, limit)
	default:
		fresh = fresh[since.Offset+1-first:]
		answer.Recovered = len(fresh) <= max(limit, 0)
		fresh = fresh[:min(len(fresh), max(limit, 0))]
	}
	answer.Messages = slices.Clone(fresh)
	return answer
}

// Unknown answers History for a subject without history: its next message would follow floor.
func Unknown(epoch, floor uint64, since broker.Position) broker.Recovery {
	top := broker.Position{Epoch: epoch, Offset: floor}
	return broker.Recovery{Top: top, Recovered: since == broker.Position{} || since == top}
}

func newest(m []*broker.Message, limit int) []*broker.Message {
	return m[max(0, len(m)-max(limit, 0)):]
}

// Bytes returns what the topic costs in memory.
func (t *Topic) Bytes() int64 { return t.Ring.Bytes() + int64(len(t.Subject)) + topicOverhead }

// Idle reports whether nothing was published for longer than both idle and the age limit of its messages.
func (t *Topic) Idle(idle time.Duration, now time.Time) bool {
	return now.Sub(t.Used) > max(idle, t.Keep.Age)
}

// Topics is a map of topics with their order of use. The zero value is ready. It is not safe for concurrent use.
type Topics struct {
	byName         map[string]*Topic
	newest, oldest *Topic
}

// Get returns the topic or nil.
func (s *Topics) Get(subject string) *Topic { return s.byName[subject] }

// Len returns the number of topics.
func (s *Topics) Len() int { return len(s.byName) }

// Add enters a new topic as the one used last. REQUIRES: its subject is not there.
func (s *Topics) Add(t *Topic) {
	if s.byName == nil {
		s.byName = make(map[string]*Topic)
	}
	s.byName[t.Subject] = t
	s.link(t)
}

// Touch makes t the one used last.
func (s *Topics) Touch(t *Topic) {
	if s.newest == t {
		return
	}
	s.unlink(t)
	s.link(t)
}

// Remove takes t out.
func (s *Topics) Remove(t *Topic) {
	s.unlink(t)
	delete(s.byName, t.Subject)
}

// Oldest returns the topic whose use is longest ago, or nil.
func (s *Topics) Oldest() *Topic { return s.oldest }

func (s *Topics) link(t *Topic) {
	t.older, t.newer = s.newest, nil
	if s.newest != nil {
		s.newest.newer = t
	} else {
		s.oldest = t
	}
	s.newest = t
}

func (s *Topics) unlink(t *Topic) {
	if t.newer != nil {
		t.newer.older = t.older
	} else {
		s.newest = t.older
	}
	if t.older != nil {
		t.older.newer = t.newer
	} else {
		s.oldest = t.newer
	}
	t.older, t.newer = nil, nil
}
