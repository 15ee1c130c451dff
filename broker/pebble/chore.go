package pebble

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"gosper/broker"
	"gosper/broker/jobs"
)

// choreMost is how many jobs one chore moves, so that it does not hold up the batch it is in.
const choreMost = 1024

// chore is the work that time and lost owners make: it brings back the jobs of ended leases, makes delayed jobs ready and
// fires timers. There is one on its way at most.
type chore struct {
	queue  *Queue
	held   []*jobs.Lease
	woken  []*jobs.Row
	fired  []firing
	failed bool // something could not be read
	more   bool // there is work for another one
}

func (w *chore) size() (int, bool) { return 64, true }
func (w *chore) answer(error)      {}
func (w *chore) apply(*tx)         {}

// stage needs no fsync but for timers: a job that came back or whose delay has ended does so again after a crash. One
// that a timer made must not be made twice.
func (w *chore) stage(t *tx) error {
	q := w.queue
	t.queued = true
	q.mu.Lock()
	n := min(len(q.ended), choreMost)
	w.held = append(w.held, q.ended[:n]...)
	q.ended = append(q.ended[:0], q.ended[n:]...)
	w.more = len(q.ended) > 0
	for _, l := range w.held {
		q.hold(l.Row)
		t.remove(q.indexKey(l.Row))
		q.room.Return(l)
		if l.Expired {
			timeoutsTotal.Inc()
		}
		if l.Row.State == broker.JobBuried {
			buriesTotal.Inc()
		}
		q.rewrite(t, l.Row)
	}
	wall := q.options.Now()
	err := w.wake(t, wall)
	q.mu.Unlock()
	if err == nil {
		err = w.fire(t, wall)
	}
	if err != nil {
		q.db.background(err) // the rest is done; this is tried again
		w.failed = true
	}
	return nil
}

// wake stages delayed jobs that are due. Caller holds the queue's lock.
func (w *chore) wake(t *tx, wall time.Time) error {
	q := w.queue
	for {
		row, err := q.room.Due(wall)
		if row == nil || err != nil {
			return err
		}
		if len(w.woken) >= choreMost {
			w.more = true
			return nil
		}
		q.take(row)
		t.remove(q.indexKey(row))
		row.Wake()
		q.rewrite(t, row)
		w.woken = append(w.woken, row)
	}
}

func (w *chore) effect(t *tx) {
	q := w.queue
	for _, l := range w.held {
		q.room.Drop(l)
		q.enter(l.Row, t.now)
	}
	for _, row := range w.woken {
		q.enter(row, t.now)
	}
	for _, f := range w.fired {
		q.timers.count(-1)
		firedTotal.Inc()
		lateSeconds.Update(max(0, q.options.Now().Sub(time.UnixMilli(int64(f.due))).Seconds()))
		if f.row != nil {
			q.added(f.row, t.now)
		}
	}
	q.choring = false
	if w.failed {
		q.holdOff = t.now.Add(time.Second)
	}
	if w.more || len(q.ended) > 0 {
		q.request(t.now)
	}
}

// refuse comes before the stage has taken anything, or when the log is broken.
func (w *chore) refuse(error) {
	q := w.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ended = append(q.ended, w.held...)
	q.choring = false
	q.later(time.Now())
}

// claim is a Reserve of one job on its way.
type claim struct {
	queue       *Queue
	reservation broker.Reservation
	answered    atomic.Bool
}

// reserveID reserves a certain job. It writes nothing, but takes its turn among those who change jobs.
func (q *Queue) reserveID(r broker.Reservation) (cancel func()) {
	w := &claim{queue: q, reservation: r}
	if err := q.db.committer.offer(w); err != nil {
		w.answer(err)
	}
	return func() { w.answer(context.Canceled) }
}

func (w *claim) size() (int, bool) { return 0, true }

func (w *claim) stage(t *tx) error {
	q := w.queue
	t.queued = true
	q.mu.Lock()
	defer q.mu.Unlock()
	row, err := q.resting(w.reservation.ID)
	if err != nil {
		return err
	}
	r := w.reservation
	r.Got = w.got
	q.room.Lent(r, row, t.now)
	return nil
}

func (w *claim) apply(*tx)        {}
func (w *claim) refuse(err error) { w.answer(err) }
func (w *claim) answer(err error) { w.got(broker.Job{}, err) }

// got gives the job to the caller. If he has given up meanwhile, it goes back.
func (w *claim) got(j broker.Job, err error) {
	if !w.answered.Swap(true) {
		w.reservation.Got(j, err)
		return
	}
	if err != nil {
		return
	}
	_ = w.queue.do(func(now time.Time) error {
		l, err := w.queue.room.Lease(j.ID, j.Lease)
		if err == nil {
			w.queue.room.End(l)
			w.queue.ended = append(w.queue.ended, l)
			w.queue.request(now)
		}
		return err
	})
}

// kick is a Kick on its way: of many jobs in several batches.
type kick struct {
	queue    *Queue
	name     string
	left     int
	state    broker.JobState // 0: the first batch decides
	kicked   int             // by earlier batches
	done     func(int, error)
	answered atomic.Bool
	rows     []*jobs.Row
}

// Kick implements broker.Queue.
func (q *Queue) Kick(tube string, bound int, done func(int, error)) {
	w := &kick{queue: q, name: tube, left: bound, done: done}
	if err := q.db.committer.offer(w); err != nil {
		w.answer(err)
	}
}

func (w *kick) size() (int, bool) { return 128 * max(1, min(w.left, choreMost)), true }

func (w *kick) stage(t *tx) error {
	q := w.queue
	t.queued = true
	q.mu.Lock()
	defer q.mu.Unlock()
	tube := q.room.Look(w.name)
	if tube == nil {
		return nil
	}
	if tube.Batch == q.batch {
		return errAgain
	}
	if w.state == 0 {
		w.state = tube.Kickable()
	}
	for len(w.rows) < min(w.left, choreMost) {
		row, err := q.room.Next(tube, w.state)
		if err != nil && len(w.rows) == 0 {
			return err
		}
		if row == nil || err != nil {
			break
		}
		t.sync = true
		q.take(row)
		t.remove(q.indexKey(row))
		row.Kick()
		q.rewrite(t, row)
		w.rows = append(w.rows, row)
	}
	kicksTotal.Add(len(w.rows))
	tube.Count(0, 0, len(w.rows))
	return nil
}

func (w *kick) effect(t *tx) {
	for _, row := range w.rows {
		w.queue.enter(row, t.now)
	}
}

// apply answers, or goes on when this batch was full.
func (w *kick) apply(*tx) {
	w.kicked += len(w.rows)
	w.left -= len(w.rows)
	if len(w.rows) < choreMost || w.left <= 0 {
		w.answer(nil)
		return
	}
	next := &kick{queue: w.queue, name: w.name, left: w.left, state: w.state, kicked: w.kicked, done: w.done}
	if w.answered.Load() {
		return // the watchdog has answered
	}
	if err := w.queue.db.committer.offer(next); err != nil {
		w.answer(nil)
	}
}

func (w *kick) answer(err error) {
	if w.answered.Swap(true) {
		return
	}
	if errors.Is(err, broker.ErrTimeout) || w.kicked == 0 {
		w.done(w.kicked, err)
		return
	}
	w.done(w.kicked, nil) // what earlier batches did is done
}

func (w *kick) refuse(err error) { w.answer(err) }
