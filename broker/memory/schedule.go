package memory

import (
	"context"
	"fmt"
	"time"

	"gosper/broker"
	"gosper/broker/jobs"
)

// Schedule is a broker.Schedule in memory, with the queue that its timers go to.
type Schedule struct {
	queue *Queue // its lock guards the rest

	timers map[string]*timer
	bySeq  map[uint64]*timer
	order  jobs.Sorted // by due time in milliseconds and seq
	seq    uint64
}

type timer struct {
	broker.Timer
	place jobs.Key
}

var _ broker.Schedule = (*Schedule)(nil)

// NewSchedule returns an empty schedule for the queue, which has one at most.
func NewSchedule(q *Queue) *Schedule {
	s := &Schedule{queue: q, timers: make(map[string]*timer), bySeq: make(map[uint64]*timer)}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.timers = s
	return s
}

// do is Queue.do for calls with a context.
func (s *Schedule) do(ctx context.Context, fn func(now time.Time) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.queue.do(fn)
}

// Set implements broker.Schedule.
func (s *Schedule) Set(ctx context.Context, t broker.Timer) error {
	if err := jobs.CheckTimer(s.queue.options.MaxJob, t); err != nil {
		return err
	}
	t.Body = clone(t.Body)
	return s.do(ctx, func(time.Time) error {
		s.remove(t.Key)
		s.seq++
		s.add(t, s.seq)
		return nil
	})
}

func (s *Schedule) add(t broker.Timer, seq uint64) {
	ms := jobs.Millis(t.Due)
	t.Due = time.UnixMilli(ms)
	entry := &timer{t, jobs.Key{A: uint64(ms), B: seq}}
	s.timers[t.Key], s.bySeq[seq] = entry, entry
	s.order.Add(entry.place)
}

func (s *Schedule) remove(key string) bool {
	t := s.timers[key]
	if t == nil {
		return false
	}
	delete(s.timers, key)
	delete(s.bySeq, t.place.B)
	return s.order.Remove(t.place)
}

// Cancel implements broker.Schedule.
func (s *Schedule) Cancel(ctx context.Context, key string) error {
	return s.do(ctx, func(time.Time) error {
		if !s.remove(key) {
			return noTimer(key)
		}
		return nil
	})
}

func noTimer(key string) error { return fmt.Errorf("%w: timer %q", broker.ErrNotFound, key) }

// Get implements broker.Schedule.
func (s *Schedule) Get(ctx context.Context, key string) (t broker.Timer, err error) {
	err = s.do(ctx, func(time.Time) error {
		found := s.timers[key]
		if found == nil {
			return noTimer(key)
		}
		t = found.copy()
		return nil
	})
	return t, err
}

func (t *timer) copy() broker.Timer {
	c := t.Timer
	c.Body = clone(c.Body)
	return c
}

// Shift implements broker.Schedule.
func (s *Schedule) Shift(ctx context.Context, group string, after time.Time, d time.Duration) (int, error) {
	moved := 0
	err := s.do(ctx, func(time.Time) error {
		for _, t := range s.from(group, after, len(s.timers)) {
			s.remove(t.Key)
			t.Due = t.Due.Add(d)
			s.add(t.Timer, t.place.B)
			moved++
		}
		return nil
	})
	return moved, err
}

// from returns timers in order, those due later than after. Caller holds the lock.
func (s *Schedule) from(group string, after time.Time, limit int) (found []*timer) {
	s.order.Each(jobs.Key{A: uint64(max(after.UnixMilli()+1, 0))}, func(k jobs.Key) bool {
		if len(found) >= limit {
			return false
		}
		if t := s.bySeq[k.B]; group == "" || t.Group == group {
			found = append(found, t)
		}
		return true
	})
	return found
}

// List implements broker.Schedule.
func (s *Schedule) List(ctx context.Context, group string, after time.Time, limit int) (found []broker.Timer, err error) {
	err = s.do(ctx, func(time.Time) error {
		for _, t := range s.from(group, after, limit) {
			found = append(found, t.copy())
		}
		return nil
	})
	return found, err
}

// Pending implements broker.Schedule.
func (s *Schedule) Pending() int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return len(s.timers)
}

// Close does nothing: the schedule ends with its queue.
func (s *Schedule) Close() error { return nil }

// watchClock is how long the queue sleeps at most while a timer is pending: the clock may be set meanwhile.
const watchClock = time.Second

// sleep returns how long no timer is due. Caller holds the lock.
func (s *Schedule) sleep(wall time.Time) (time.Duration, bool) {
	first, ok := s.order.First()
	if !ok {
		return 0, false
	}
	return max(0, min(time.UnixMilli(int64(first.A)).Sub(wall), watchClock)), true
}

// fire makes jobs of the timers that are due. Caller holds the lock.
func (s *Schedule) fire(now, wall time.Time) {
	for first, ok := s.order.First(); ok && int64(first.A) <= wall.UnixMilli(); first, ok = s.order.First() {
		t := s.bySeq[first.B]
		s.remove(t.Key)
		t.Put.Delay = 0
		if _, exists := s.queue.unique[unique{t.Tube, t.Put.Unique}]; !exists {
			s.queue.add(t.Tube, t.Body, t.Put, now)
		}
	}
}
