package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"gosper/broker"
	"gosper/broker/jobs"
)

// Queue is a broker.Queue in memory: what a crash leaves of it is nothing. Every change is done before its call returns.
type Queue struct {
	options broker.QueueOptions

	mu       sync.Mutex
	room     *jobs.Room           // guarded by mu
	rows     map[uint64]*jobs.Row // guarded by mu: all jobs
	unique   map[unique]uint64    // guarded by mu
	last     uint64               // guarded by mu: last id given
	timers   *Schedule            // guarded by mu; nil without one
	draining bool                 // guarded by mu
	closed   bool                 // guarded by mu

	timer *time.Timer
	armed time.Time // guarded by mu: when the timer will fire; zero: it will not
}

type unique struct{ tube, text string }

var _ broker.Queue = (*Queue)(nil)

// NewQueue returns an empty queue.
func NewQueue(o broker.QueueOptions) *Queue {
	o = o.WithDefaults()
	q := &Queue{options: o, rows: make(map[uint64]*jobs.Row), unique: make(map[unique]uint64)}
	q.room = jobs.NewRoom(o)
	q.room.Load = func(id uint64) (*jobs.Row, error) { return q.rows[id], nil }
	q.timer = time.AfterFunc(time.Hour, q.Wake)
	q.timer.Stop()
	return q
}

// do runs fn with the lock and the time, then gives the answers that came up.
func (q *Queue) do(fn func(now time.Time) error) error {
	q.mu.Lock()
	err := broker.ErrClosed
	if !q.closed {
		now := time.Now()
		err = fn(now)
		q.arm(now)
	}
	calls := q.room.Calls()
	q.mu.Unlock()
	for _, c := range calls {
		c.Run()
	}
	return err
}

// arm sets the timer if something comes earlier than it. Caller holds mu.
func (q *Queue) arm(now time.Time) {
	wall := q.options.Now()
	d, ok := q.room.Sleep(now)
	if next, some := q.room.SleepDue(wall); some && (!ok || next < d) {
		d, ok = next, true
	}
	if q.timers != nil {
		if next, some := q.timers.sleep(wall); some && (!ok || next < d) {
			d, ok = next, true
		}
	}
	if at := now.Add(d); ok && (q.armed.IsZero() || at.Before(q.armed)) {
		q.armed = at
		q.timer.Reset(d)
	}
}

// Wake implements broker.Queue. The timer calls it.
func (q *Queue) Wake() {
	_ = q.do(func(now time.Time) error {
		q.armed = time.Time{}
		wall := q.options.Now()
		q.bringBack(q.room.Ring(now), now)
		for row, _ := q.room.Due(wall); row != nil; row, _ = q.room.Due(wall) {
			q.move(row, now, row.Wake)
		}
		if q.timers != nil {
			q.timers.fire(now, wall)
		}
		return nil
	})
}

// move takes a resting job through a change. Caller holds mu.
func (q *Queue) move(row *jobs.Row, now time.Time, change func()) {
	q.room.Leave(row)
	change()
	q.room.Enter(row, now)
}

// bringBack returns the jobs of ended leases. Caller holds mu.
func (q *Queue) bringBack(leases []*jobs.Lease, now time.Time) {
	for _, l := range leases {
		q.room.Return(l)
		q.room.Drop(l)
		q.room.Enter(l.Row, now)
	}
}

// Put implements broker.Queue.
func (q *Queue) Put(tube string, body []byte, o broker.PutOptions, done func(uint64, error)) {
	var id uint64
	err := jobs.CheckPut(q.options.MaxJob, tube, body, o)
	if err == nil {
		err = q.do(func(now time.Time) (err error) {
			id, err = q.put(tube, body, o, now)
			return err
		})
	}
	done(id, err)
}

func (q *Queue) put(tube string, body []byte, o broker.PutOptions, now time.Time) (uint64, error) {
	if q.draining {
		return 0, broker.ErrDraining
	}
	if id, ok := q.unique[unique{tube, o.Unique}]; ok {
		return id, fmt.Errorf("%w: job %d", broker.ErrExists, id)
	}
	if t := q.room.Look(tube); t != nil && t.Full(0) {
		return 0, fmt.Errorf("%w: tube %q", broker.ErrTubeFull, tube)
	}
	if err := q.room.Admit(tube); err != nil {
		return 0, err
	}
	return q.add(tube, body, o, now), nil
}

// add makes the job. Caller holds mu.
func (q *Queue) add(tube string, body []byte, o broker.PutOptions, now time.Time) uint64 {
	q.last++
	t := q.room.Tube(tube)
	row := jobs.NewRow(q.last, t, body, o, q.options.Now())
	q.rows[row.ID] = row
	if o.Unique != "" {
		q.unique[unique{tube, o.Unique}] = row.ID
	}
	t.Count(1, 0, 0)
	q.room.Enter(row, now)
	return row.ID
}

// Reserve implements broker.Queue.
func (q *Queue) Reserve(r broker.Reservation) (cancel func()) {
	var stop func()
	err := jobs.CheckReservation(r)
	if err == nil {
		err = q.do(func(now time.Time) (err error) {
			if r.ID == 0 {
				stop = q.room.Reserve(r, now)
				return nil
			}
			row, err := q.resting(r.ID)
			if err == nil {
				q.room.Lent(r, row, now)
			}
			return err
		})
	}
	if err != nil {
		r.Got(broker.Job{}, err)
	}
	return func() {
		if stop != nil {
			_ = q.do(func(time.Time) error { stop(); return nil })
		}
	}
}

// resting returns a job that nobody has reserved. Caller holds mu.
func (q *Queue) resting(id uint64) (*jobs.Row, error) {
	row := q.rows[id]
	if row == nil || q.room.Leased(id) != nil {
		return nil, jobs.NoJob(id)
	}
	return row, nil
}

// Delete implements broker.Queue.
func (q *Queue) Delete(id, lease uint64, done func(error)) {
	done(q.do(func(now time.Time) error {
		var row *jobs.Row
		if lease == 0 {
			var err error
			if row, err = q.resting(id); err != nil {
				return err
			}
			q.room.Leave(row)
		} else {
			l, err := q.room.Lease(id, lease)
			if err != nil {
				return err
			}
			row = l.Row
			q.room.Drop(l)
		}
		row.Tube.Count(0, 1, 0)
		delete(q.rows, id)
		delete(q.unique, unique{row.Tube.Name, row.Unique})
		return nil
	}))
}

// Release implements broker.Queue.
func (q *Queue) Release(id, lease uint64, priority uint32, delay time.Duration, done func(error)) {
	done(q.giveBack(id, lease, func(row *jobs.Row) error {
		row.Release(priority, delay, q.options.Now())
		if row.Limit(row.Tube.Limits) {
			return broker.ErrBuried
		}
		return nil
	}))
}

// Bury implements broker.Queue.
func (q *Queue) Bury(id, lease uint64, priority uint32, reason string, done func(error)) {
	done(q.giveBack(id, lease, func(row *jobs.Row) error {
		row.Bury(priority, reason)
		return nil
	}))
}

// giveBack ends a lease and lets change decide how the job rests.
func (q *Queue) giveBack(id, lease uint64, change func(*jobs.Row) error) error {
	return q.do(func(now time.Time) error {
		l, err := q.room.Lease(id, lease)
		if err != nil {
			return err
		}
		err = change(l.Row)
		q.room.Drop(l)
		q.room.Enter(l.Row, now)
		return err
	})
}

// Touch implements broker.Queue.
func (q *Queue) Touch(id, lease uint64) error {
	return q.do(func(now time.Time) error { return q.room.Touch(id, lease, now) })
}

// EndOwner implements broker.Queue.
func (q *Queue) EndOwner(owner uint64) {
	_ = q.do(func(now time.Time) error {
		q.bringBack(q.room.EndOwner(owner), now)
		return nil
	})
}

// KickJob implements broker.Queue.
func (q *Queue) KickJob(id uint64, done func(error)) {
	done(q.do(func(now time.Time) error {
		row, err := q.resting(id)
		if err != nil {
			return err
		}
		if row.State == broker.JobReady {
			return jobs.NoJob(id)
		}
		row.Tube.Count(0, 0, 1)
		q.move(row, now, row.Kick)
		return nil
	}))
}

// Kick implements broker.Queue.
func (q *Queue) Kick(tube string, bound int, done func(int, error)) {
	kicked := 0
	err := q.do(func(now time.Time) error {
		t := q.room.Look(tube)
		if t == nil {
			return nil
		}
		for state := t.Kickable(); kicked < bound; kicked++ {
			row, err := q.room.Next(t, state)
			if row == nil || err != nil {
				break
			}
			q.move(row, now, row.Kick)
		}
		t.Count(0, 0, kicked)
		return nil
	})
	done(kicked, err)
}

// Peek implements broker.Queue.
func (q *Queue) Peek(ctx context.Context, id uint64) (job broker.Job, err error) {
	if err := ctx.Err(); err != nil {
		return job, err
	}
	err = q.do(func(time.Time) error {
		row := q.rows[id]
		if row == nil {
			return jobs.NoJob(id)
		}
		job = row.Job(q.room.Leased(id))
		return nil
	})
	return job, err
}

// PeekTube implements broker.Queue.
func (q *Queue) PeekTube(ctx context.Context, tube string, state broker.JobState) (job broker.Job, err error) {
	if err := ctx.Err(); err != nil {
		return job, err
	}
	err = q.do(func(time.Time) error {
		t := q.room.Look(tube)
		if t == nil {
			return jobs.NoTube(tube)
		}
		if state == broker.JobReserved {
			for _, l := range q.room.Reserved(t) {
				job = l.Row.Job(l)
				return nil
			}
		} else if row, err := q.room.Next(t, state); row != nil || err != nil {
			job = row.Job(nil)
			return err
		}
		return fmt.Errorf("%w: tube %q has no %s job", broker.ErrNotFound, tube, state)
	})
	return job, err
}

// ListJobs implements broker.Queue.
func (q *Queue) ListJobs(ctx context.Context, tube string, state broker.JobState, after uint64, limit int) (found []broker.Job, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = q.do(func(time.Time) error {
		var ids jobs.Sorted
		for id, row := range q.rows {
			l := q.room.Leased(id)
			if id > after && row.Tube.Name == tube && (l == nil && row.State == state || l != nil && state == broker.JobReserved) {
				ids.Add(jobs.Key{B: id})
			}
		}
		ids.Each(jobs.Key{}, func(k jobs.Key) bool {
			if len(found) < limit {
				found = append(found, q.rows[k.B].Job(q.room.Leased(k.B)))
			}
			return len(found) < limit
		})
		return nil
	})
	return found, err
}

// Pause implements broker.Queue.
func (q *Queue) Pause(tube string, d time.Duration) error {
	return q.do(func(now time.Time) error { return q.room.Pause(tube, d, now) })
}

// Stats implements broker.Queue.
func (q *Queue) Stats(tube string) (s broker.TubeStats, err error) {
	err = q.do(func(now time.Time) (err error) {
		s, err = q.room.Stats(tube, now, q.options.Now())
		return err
	})
	return s, err
}

// Tubes implements broker.Queue.
func (q *Queue) Tubes() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.room.Names()
}

// Drain implements broker.Queue.
func (q *Queue) Drain(on bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.draining = on
}

// Close implements broker.Queue. Waiting reservations get broker.ErrClosed.
func (q *Queue) Close() error {
	_ = q.do(func(time.Time) error {
		q.room.Close()
		q.closed = true
		return nil
	})
	q.timer.Stop()
	return nil
}
