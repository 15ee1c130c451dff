package pebble

import (
	"context"
	"fmt"
	"time"

	"gosper/broker"
	"gosper/broker/jobs"
)

// Peek implements broker.Queue.
func (q *Queue) Peek(ctx context.Context, id uint64) (job broker.Job, err error) {
	if err := ctx.Err(); err != nil {
		return job, err
	}
	err = q.do(func(time.Time) (err error) {
		job, err = q.peek(id)
		return err
	})
	return job, err
}

// peek returns a job, reserved or not. Caller holds mu.
func (q *Queue) peek(id uint64) (broker.Job, error) {
	if l := q.room.Leased(id); l != nil {
		return l.Row.Job(l), nil
	}
	row, err := q.load(id)
	if err != nil {
		return broker.Job{}, err
	}
	return row.Job(nil), nil
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
		} else if row, err := q.room.Next(t, state); err != nil {
			return err
		} else if row != nil {
			job = row.Job(nil)
			return nil
		}
		return fmt.Errorf("%w: tube %q has no %s job", broker.ErrNotFound, tube, state)
	})
	return job, err
}

// ListJobs implements broker.Queue. It reads the index of the tube's state, some ten million jobs a second.
func (q *Queue) ListJobs(ctx context.Context, tube string, state broker.JobState, after uint64, limit int) ([]broker.Job, error) {
	if err := ctx.Err(); err != nil || limit <= 0 {
		return nil, err
	}
	list := listing{queue: q, after: after, limit: limit, leased: make(map[uint64]bool)}
	var snap *snapshot
	err := q.do(func(time.Time) error {
		t := q.room.Look(tube)
		if t == nil {
			return nil
		}
		for _, l := range q.room.Reserved(t) {
			if state == broker.JobReserved && l.Row.ID > after && len(list.jobs) < limit {
				list.jobs = append(list.jobs, l.Row.Job(l))
			}
			list.leased[l.Row.ID] = true
		}
		if state != broker.JobReserved && t.ID != 0 {
			snap = q.db.view.acquire()
			list.tube = t.ID
		}
		return nil
	})
	if snap == nil || err != nil {
		return list.jobs, err
	}
	defer snap.release()
	return list.jobs, list.read(ctx, snap, state)
}

// listing collects the jobs with the lowest ids above after.
type listing struct {
	queue  *Queue
	tube   uint32
	after  uint64
	limit  int
	leased map[uint64]bool
	jobs   []broker.Job
}

// read collects the ids first, since the index has another order. It goes on without the queue's lock.
func (l *listing) read(ctx context.Context, snap *snapshot, state broker.JobState) error {
	var ids jobs.Sorted
	highest := ^uint64(0)
	n := 0
	_, _, err := scanIndex(snap, state, l.tube, jobs.Key{}, func(k jobs.Key) bool {
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return false
		}
		if k.B <= l.after || k.B > highest || l.leased[k.B] {
			return true
		}
		ids.Add(jobs.Key{B: k.B})
		if ids.Len() > l.limit {
			last := ids.Last()
			ids.Remove(last)
			highest = last.B
		}
		return true
	})
	if err == nil {
		err = ctx.Err()
	}
	ids.Each(jobs.Key{}, func(k jobs.Key) bool {
		if err == nil {
			err = l.add(snap, k.B)
		}
		return err == nil
	})
	return err
}

func (l *listing) add(snap *snapshot, id uint64) error {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	row, err := l.queue.read(snap, id)
	if err == nil {
		l.jobs = append(l.jobs, row.Job(nil))
	}
	return err
}
