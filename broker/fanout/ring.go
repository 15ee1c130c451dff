package fanout

import (
	"sort"
	"time"

	"gosper/broker"
)

// messageOverhead is what one kept message costs beside its bytes: the Message, its slot and allocator rounding.
const messageOverhead = 128

// Ring holds the newest messages of one subject, oldest first, with offsets that grow by one. The zero value is empty.
// It is not safe for concurrent use.
type Ring struct {
	kept  []*broker.Message // kept[head:] are live
	head  int
	bytes int64
}

// Len returns the number of messages.
func (r *Ring) Len() int { return len(r.kept) - r.head }

// Bytes returns what the messages cost in memory.
func (r *Ring) Bytes() int64 { return r.bytes }

// Push adds the newest message.
func (r *Ring) Push(m *broker.Message) {
	if r.head > 32 && r.head >= len(r.kept)/2 {
		r.kept = append(r.kept[:0], r.live()...)
		clear(r.kept[len(r.kept):cap(r.kept)])
		r.head = 0
	}
	r.kept = append(r.kept, m)
	r.bytes += cost(m)
}

// DropOldest removes the oldest message. REQUIRES: Len() > 0.
func (r *Ring) DropOldest() {
	r.bytes -= cost(r.kept[r.head])
	r.kept[r.head] = nil
	r.head++
}

// Excess returns how many of the oldest messages keep no longer allows at the time now. The newest message is never
// counted: it carries the subject's position, and readers skip it by its age.
func (r *Ring) Excess(keep broker.Keep, now time.Time) int {
	n := max(r.Len()-keep.Messages, r.stale(keep.Age, now))
	return max(0, min(n, r.Len()-1))
}

// Fresh returns the messages that are not older than age (0: all). The slice is only valid until the next change.
func (r *Ring) Fresh(age time.Duration, now time.Time) []*broker.Message {
	return r.live()[r.stale(age, now):]
}

func (r *Ring) live() []*broker.Message { return r.kept[r.head:] }

// stale counts the messages older than age. Nearly always there are none or few, so the first is looked at first.
func (r *Ring) stale(age time.Duration, now time.Time) int {
	live := r.live()
	if age <= 0 || len(live) == 0 || now.Sub(live[0].Time) <= age {
		return 0
	}
	return sort.Search(len(live), func(i int) bool { return now.Sub(live[i].Time) <= age })
}

func cost(m *broker.Message) int64 {
	return int64(len(m.Data)) + messageOverhead
}
