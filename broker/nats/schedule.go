package nats

import (
	"context"
	"time"

	"gosper/broker"
	"gosper/broker/jobs"
)

// Schedule is the broker.Schedule of the nodes that share NATS servers: its timers are with the jobs of the Queue, at the
// node that leads. A timer that is due is replaced by its job in one write, so it fires once whatever happens.
type Schedule struct{ queue *Queue }

var _ broker.Schedule = (*Schedule)(nil)

// Set implements broker.Schedule.
func (s *Schedule) Set(ctx context.Context, t broker.Timer) error {
	if err := jobs.CheckTimer(s.queue.options.MaxJob, t); err != nil {
		return err
	}
	_, err := s.queue.await(ctx, request{verb: verbSet, key: t.Key, group: t.Group, due: dueTime(t.Due), tubes: []string{t.Tube},
		body: append([]byte{}, t.Body...), priority: t.Put.Priority, ttr: max(t.Put.TTR, 0), say: t.Put.Unique}, s.queue.waits.call)
	return err
}

// dueTime brings a time into what a message can hold, in milliseconds rounded up. All that is before 1970 is due.
func dueTime(t time.Time) time.Time { return time.UnixMilli(max(jobs.Millis(t), 1)) }

// Cancel implements broker.Schedule.
func (s *Schedule) Cancel(ctx context.Context, key string) error {
	if !broker.ValidKey(key) {
		return broker.BadName("timer", key)
	}
	_, err := s.queue.await(ctx, request{verb: verbUnset, key: key}, s.queue.waits.call)
	return err
}

// Get implements broker.Schedule.
func (s *Schedule) Get(ctx context.Context, key string) (broker.Timer, error) {
	a, err := s.queue.await(ctx, request{verb: verbGet, key: key}, s.queue.waits.call)
	if err == nil && len(a.timers) != 1 {
		err = noTimer(key)
	}
	if err != nil {
		return broker.Timer{}, err
	}
	return own(a.timers)[0], nil
}

// own gives timers their own bodies: those of a leader in this process belong to it.
func own(timers []broker.Timer) []broker.Timer {
	for i := range timers {
		timers[i].Body = append([]byte{}, timers[i].Body...)
	}
	return timers
}

// Shift implements broker.Schedule. The times of all shifted timers of a group are in one write, so there may be 40,000 of
// them; above: broker.ErrTooLarge.
func (s *Schedule) Shift(ctx context.Context, group string, after time.Time, d time.Duration) (int, error) {
	if !broker.ValidKey(group) {
		return 0, broker.BadName("group", group)
	}
	a, err := s.queue.await(ctx, request{verb: verbShift, group: group, due: dueTime(after), wait: d}, s.queue.waits.call)
	return a.count, err
}

// List implements broker.Schedule.
func (s *Schedule) List(ctx context.Context, group string, after time.Time, limit int) ([]broker.Timer, error) {
	if err := ctx.Err(); err != nil || limit <= 0 {
		return nil, err
	}
	a, err := s.queue.await(ctx, request{verb: verbTimers, group: group, due: dueTime(after), bound: limit}, s.queue.waits.call)
	return own(a.timers), err
}

// Pending implements broker.Schedule. While no node leads it returns what it did before.
func (s *Schedule) Pending() int {
	if a, err := s.queue.now(request{verb: verbPending}); err == nil {
		s.queue.pending.Store(int64(a.count))
	}
	return int(s.queue.pending.Load())
}

// Close does nothing: the schedule ends with its queue.
func (s *Schedule) Close() error { return nil }
