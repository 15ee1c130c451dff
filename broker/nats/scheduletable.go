package nats

import (
	"fmt"
	"time"

	"gosper/broker"
	"gosper/broker/jobs"
)

// timetable holds all timers. The leader's lock guards it.
type timetable struct {
	keys   map[string]*timer
	slots  map[uint64]*timer
	seqs   map[uint64]*timer // by the second part of their place
	order  jobs.Sorted       // by due time in milliseconds and the sequence of their message
	groups map[string]*timerGroup
	moving int // timers with a change on its way
	told   int // how many of them the metrics know
}

// timerGroup is the timers of one group.
type timerGroup struct {
	order   jobs.Sorted
	moving  int  // timers with a change on its way
	shifted bool // the stream has a list of due times
}

// timer is one timer. While a change of it is on its way it has no place in the order.
type timer struct {
	broker.Timer
	slot   uint64
	place  jobs.Key
	by     origin
	moved  bool // its due time is not the one in its message
	flying *write
}

func newTimetable() *timetable {
	return &timetable{keys: make(map[string]*timer), slots: make(map[uint64]*timer), seqs: make(map[uint64]*timer), groups: make(map[string]*timerGroup)}
}

func (tt *timetable) len() int { return len(tt.keys) }

// group returns the timers of a group, "" for none: nil.
func (tt *timetable) group(name string) *timerGroup {
	if name == "" {
		return nil
	}
	g := tt.groups[name]
	if g == nil {
		g = new(timerGroup)
		tt.groups[name] = g
	}
	return g
}

// enter gives a timer its place.
func (tt *timetable) enter(t *timer) {
	tt.keys[t.Key], tt.slots[t.slot], tt.seqs[t.place.B] = t, t, t
	tt.order.Add(t.place)
	if g := tt.group(t.Group); g != nil {
		g.order.Add(t.place)
	}
}

// leave takes a timer out of the order.
func (tt *timetable) leave(t *timer) {
	delete(tt.seqs, t.place.B)
	tt.order.Remove(t.place)
	if g := tt.group(t.Group); g != nil {
		g.order.Remove(t.place)
	}
}

// forget drops a timer that has left.
func (tt *timetable) forget(t *timer) {
	delete(tt.keys, t.Key)
	delete(tt.slots, t.slot)
}

// hold notes that a change of the timer is on its way.
func (tt *timetable) hold(t *timer, w *write) {
	t.flying = w
	tt.moving++
	if g := tt.group(t.Group); g != nil {
		g.moving++
	}
}

// free ends it.
func (tt *timetable) free(t *timer) {
	t.flying = nil
	tt.moving--
	if g := tt.group(t.Group); g != nil {
		g.moving--
	}
}

// due returns the first timer if its time has come.
func (tt *timetable) due(wall time.Time) (*timer, bool) {
	k, ok := tt.order.First()
	if !ok || int64(k.A) > wall.UnixMilli() {
		return nil, false
	}
	return tt.seqs[k.B], true
}

// watchClock is how long the leader sleeps at most while a timer is pending: the clock may be set meanwhile.
const watchClock = time.Second

// sleep returns how long no timer is due.
func (tt *timetable) sleep(wall time.Time) (time.Duration, bool) {
	k, ok := tt.order.First()
	if !ok {
		return 0, false
	}
	return max(0, min(time.UnixMilli(int64(k.A)).Sub(wall), watchClock)), true
}

// from returns timers in order, those due later than after, at most limit; group "" means all.
func (tt *timetable) from(name string, after time.Time, limit int) (found []*timer) {
	order := &tt.order
	if name != "" {
		g := tt.groups[name]
		if g == nil {
			return nil
		}
		order = &g.order
	}
	order.Each(jobs.Key{A: uint64(max(after.UnixMilli()+1, 0))}, func(k jobs.Key) bool {
		if len(found) < limit {
			found = append(found, tt.seqs[k.B])
		}
		return len(found) < limit
	})
	return found
}

func noTimer(key string) error { return fmt.Errorf("%w: timer %q", broker.ErrNotFound, key) }
