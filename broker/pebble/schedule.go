package pebble

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"gosper/broker"
	"gosper/broker/jobs"
)

// Schedule is the broker.Schedule of a DB. Memory holds the next few thousand timers by their due time and what the batch
// under way changes; all else is on disk, so a million timers cost no more memory than a thousand.
type Schedule struct {
	queue *Queue // its lock guards the rest

	window  jobs.Window           // by due time in milliseconds and seq
	pending int                   // timers there are
	busy    map[string]struct{}   // keys that the batch under way changes
	places  map[jobs.Key]struct{} // places it takes timers from

	lastSeq, reservedSeq uint64 // owned by the committer
}

var _ broker.Schedule = (*Schedule)(nil)

func newSchedule(q *Queue) *Schedule {
	s := &Schedule{queue: q, busy: make(map[string]struct{}), places: make(map[jobs.Key]struct{})}
	s.window = jobs.NewWindow(s.index, cmp.Or(q.db.opts.window, jobs.WindowMost))
	return s
}

// begin counts the timers. It is called before the committer runs.
func (s *Schedule) begin() error {
	err := s.queue.db.scan(spaceDue, func(key, _ []byte) error {
		_, err := parsePlace(key)
		s.pending++
		return err
	})
	timersPending.Add(float64(s.pending))
	return err
}

// index is the source of the window.
func (s *Schedule) index(from jobs.Key, limit int, add func(jobs.Key)) (next jobs.Key, more bool, err error) {
	snap := s.queue.db.view.acquire()
	if snap == nil {
		return from, false, broker.ErrClosed
	}
	defer snap.release()
	it, err := snap.NewIter(&pebble.IterOptions{LowerBound: placeOf(from), UpperBound: []byte{spaceDue + 1}})
	if err != nil {
		return from, false, err
	}
	defer it.Close()
	next = from
	for ok := it.First(); ok; ok = it.Next() {
		if limit--; limit < 0 {
			return next, true, nil
		}
		k, err := parsePlace(it.Key())
		if err != nil {
			return next, false, err
		}
		if _, busy := s.places[k]; !busy {
			add(k)
		}
		next = k.Next()
	}
	return next, false, it.Error()
}

// sleep returns how long no timer is due. Caller holds the lock.
func (s *Schedule) sleep(wall time.Time) (time.Duration, bool) {
	k, ok, err := s.window.First()
	if err != nil {
		return watchClock, true
	}
	if !ok {
		return 0, false
	}
	return max(0, min(time.UnixMilli(int64(k.A)).Sub(wall), watchClock)), true
}

// watchClock is how long the queue sleeps at most while a timer is pending: the clock may be set meanwhile.
const watchClock = time.Second

// write runs a rule on the committer, again in the next batch if it must see what this one does; then changes memory.
func (s *Schedule) write(ctx context.Context, bytes int, frees bool, run func(*tx) error, then func()) error {
	w := &timerWork{task: task{call: newCall(), bytes: bytes, frees: frees, run: run}, then: then}
	return s.queue.db.committer.do(ctx, w, &w.call)
}

// timerWork is a change of timers on its way.
type timerWork struct {
	task
	then func()
}

func (w *timerWork) stage(t *tx) error {
	t.queued = true
	return w.run(t)
}

func (w *timerWork) effect(*tx) { w.then() }

// Set implements broker.Schedule.
func (s *Schedule) Set(ctx context.Context, t broker.Timer) error {
	if err := jobs.CheckTimer(s.queue.options.MaxJob, t); err != nil {
		return err
	}
	row := timerRow{Timer: t}
	row.Body = clone(t.Body)
	row.due = uint64(jobs.Millis(t.Due))
	added := 1
	return s.write(ctx, len(t.Body)+len(t.Key)*2+len(t.Group)+128, false, func(t *tx) error {
		old, err := s.take(t, row.Key)
		if err != nil && !errors.Is(err, broker.ErrNotFound) {
			return err
		}
		if old != nil {
			added = 0
		}
		row.seq = s.nextSeq(t)
		s.store(t, &row)
		return nil
	}, func() {
		s.count(added)
		s.rest(&row)
	})
}

// rest brings a timer to its place that is on disk now. Caller holds the lock.
func (s *Schedule) rest(row *timerRow) {
	delete(s.places, row.place())
	s.window.Add(row.place())
}

// Cancel implements broker.Schedule.
func (s *Schedule) Cancel(ctx context.Context, key string) error {
	if !broker.ValidKey(key) {
		return broker.BadName("timer", key)
	}
	return s.write(ctx, 64, true, func(t *tx) error {
		_, err := s.take(t, key)
		return err
	}, func() { s.count(-1) })
}

// count notes new and ended timers. Caller holds the lock.
func (s *Schedule) count(by int) {
	s.pending += by
	timersPending.Add(float64(by))
}

// take stages the end of a timer and returns it, or ErrNotFound.
func (s *Schedule) take(t *tx, key string) (*timerRow, error) {
	if err := s.claim(key); err != nil {
		return nil, err
	}
	row, err := readTimer(s.queue.db.pebble, key)
	if err != nil {
		return nil, err
	}
	s.remove(t, row)
	return row, nil
}

// claim is errAgain when the batch under way changes the timer already.
func (s *Schedule) claim(key string) error {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	if _, ok := s.busy[key]; ok {
		return errAgain
	}
	return nil
}

// remove stages the end of a timer as it is on disk.
func (s *Schedule) remove(t *tx, row *timerRow) {
	s.queue.mu.Lock()
	s.busy[row.Key] = struct{}{}
	s.places[row.place()] = struct{}{}
	s.window.Remove(row.place())
	s.queue.mu.Unlock()
	t.sync = true
	t.remove(placeOf(row.place()))
	t.remove(in(spaceTimer, row.Key))
	if row.Group != "" {
		t.remove(groupKey(row.Group, row.place()))
	}
}

// store stages a timer.
func (s *Schedule) store(t *tx, row *timerRow) {
	s.queue.mu.Lock()
	s.busy[row.Key] = struct{}{}
	s.queue.mu.Unlock()
	t.sync = true
	t.set(placeOf(row.place()), []byte(row.Key))
	t.set(in(spaceTimer, row.Key), row.encode())
	if row.Group != "" {
		t.set(groupKey(row.Group, row.place()), []byte(row.Key))
	}
}

// nextSeq returns a number for the order among timers of one millisecond.
func (s *Schedule) nextSeq(t *tx) uint64 {
	if s.lastSeq+1 >= s.reservedSeq {
		s.reservedSeq = s.lastSeq + 1 + idBlock
		t.set(metaTimer, number(s.reservedSeq))
	}
	s.lastSeq++
	return s.lastSeq
}

// Shift implements broker.Schedule. All of the group is in one batch, so it should not have many thousands of timers.
func (s *Schedule) Shift(ctx context.Context, group string, after time.Time, d time.Duration) (int, error) {
	if !broker.ValidKey(group) {
		return 0, broker.BadName("group", group)
	}
	var moved []*timerRow
	err := s.write(ctx, 1024, true, func(t *tx) error {
		s.queue.mu.Lock()
		again := len(s.busy) > 0
		s.queue.mu.Unlock()
		if again {
			return errAgain
		}
		rows, err := timersOf(ctx, s.queue.db.pebble, group, after, 1<<31)
		if err != nil {
			return err
		}
		for _, row := range rows {
			s.remove(t, row)
		}
		for _, row := range rows {
			row.due = uint64(jobs.Millis(row.Due.Add(d)))
			s.store(t, row)
		}
		moved = rows
		return nil
	}, func() {
		for _, row := range moved {
			s.rest(row)
		}
	})
	if err != nil {
		return 0, err
	}
	return len(moved), nil
}

// read runs fn with the present view.
func (s *Schedule) read(ctx context.Context, fn func(*snapshot) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	snap := s.queue.db.view.acquire()
	if snap == nil {
		return broker.ErrClosed
	}
	defer snap.release()
	return fn(snap)
}

// Get implements broker.Schedule.
func (s *Schedule) Get(ctx context.Context, key string) (t broker.Timer, err error) {
	err = s.read(ctx, func(snap *snapshot) error {
		row, err := readTimer(snap, key)
		if err == nil {
			t = row.Timer
		}
		return err
	})
	return t, err
}

// List implements broker.Schedule.
func (s *Schedule) List(ctx context.Context, group string, after time.Time, limit int) (found []broker.Timer, err error) {
	err = s.read(ctx, func(snap *snapshot) error {
		rows, err := timersOf(ctx, snap, group, after, limit)
		for _, row := range rows {
			found = append(found, row.Timer)
		}
		return err
	})
	return found, err
}

// timersOf returns timers in order, those due later than after; group "" means all.
func timersOf(ctx context.Context, from pebble.Reader, group string, later time.Time, limit int) (found []*timerRow, err error) {
	start := jobs.Key{A: uint64(max(later.UnixMilli()+1, 0))}
	bounds := &pebble.IterOptions{LowerBound: placeOf(start), UpperBound: []byte{spaceDue + 1}}
	if group != "" {
		bounds = &pebble.IterOptions{LowerBound: groupKey(group, start), UpperBound: after(groupPrefix(group))}
	}
	it, err := from.NewIter(bounds)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for ok := it.First(); ok && len(found) < limit; ok = it.Next() {
		row, err := readTimer(from, string(it.Value()))
		if err == nil && len(found)%1024 == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		found = append(found, row)
	}
	return found, it.Error()
}

// Pending implements broker.Schedule.
func (s *Schedule) Pending() int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.pending
}

// Close does nothing: the schedule ends with its DB.
func (s *Schedule) Close() error { return nil }

// fire stages timers that are due: each row goes and its job comes in this one batch.
func (w *chore) fire(t *tx, wall time.Time) error {
	s := w.queue.timers
	for bytes := 0; ; {
		s.queue.mu.Lock()
		k, ok, err := s.window.First()
		s.queue.mu.Unlock()
		if err != nil || !ok || int64(k.A) > wall.UnixMilli() {
			return err
		}
		if len(w.fired) >= choreMost || bytes > maxBatchBytes {
			w.more = true
			return nil
		}
		key, err := readPlace(s.queue.db.pebble, k)
		if err != nil {
			return err
		}
		row, err := readTimer(s.queue.db.pebble, key)
		if err != nil {
			return err
		}
		row.Put.Delay = 0
		job, _, err := s.queue.stagePut(t, row.Tube, row.Body, row.Put, true)
		if err != nil && !errors.Is(err, broker.ErrExists) {
			return fmt.Errorf("timer %q: %w", key, err)
		}
		s.remove(t, row)
		bytes += len(row.Body)
		w.fired = append(w.fired, firing{job, row.due})
	}
}

// firing is a timer that was fired. row is nil when the job was there already.
type firing struct {
	row *jobs.Row
	due uint64
}
