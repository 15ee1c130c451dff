package pebble

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"gosper/broker"
	"gosper/broker/jobs"
)

// errAgain is the answer of a stage that must see what the batch under way does: it is the first of the next batch.
var errAgain = errors.New("staged in the next batch")

// effective is a work that changes what the queue keeps in memory. effect runs after the commit, with the queue's lock.
type effective interface{ effect(t *tx) }

// put is one Put on its way.
type put struct {
	queue    *Queue
	tube     string
	body     []byte
	options  broker.PutOptions
	done     func(uint64, error)
	answered atomic.Bool
	row      *jobs.Row // set by stage
	id       uint64    // set by stage: the job, or the one that has the unique text
}

// Put implements broker.Queue. A full queue of writes is answered with broker.ErrBusy.
func (q *Queue) Put(tube string, body []byte, o broker.PutOptions, done func(uint64, error)) {
	err := jobs.CheckPut(q.options.MaxJob, tube, body, o)
	if err == nil && q.draining.Load() {
		err = broker.ErrDraining
	}
	w := &put{queue: q, tube: tube, body: body, options: o, done: done}
	if err == nil {
		err = q.db.committer.offer(w)
	}
	if err != nil {
		w.answer(err)
	}
}

func (w *put) size() (int, bool) { return len(w.body) + len(w.tube) + 96, false }

func (w *put) stage(t *tx) (err error) {
	w.row, w.id, err = w.queue.stagePut(t, w.tube, w.body, w.options, false)
	return err
}

func (w *put) effect(t *tx) { w.queue.added(w.row, t.now) }
func (w *put) apply(*tx)    { w.answer(nil) }

func (w *put) answer(err error) {
	if w.answered.Swap(true) {
		return
	}
	if err != nil && !errors.Is(err, broker.ErrExists) {
		w.done(0, err)
		return
	}
	w.done(w.id, err)
}

func (w *put) refuse(err error) { w.answer(err) }

// stagePut stages a new job. With force it is taken whatever the tube's limits are.
func (q *Queue) stagePut(t *tx, name string, body []byte, o broker.PutOptions, force bool) (*jobs.Row, uint64, error) {
	t.queued = true
	q.mu.Lock()
	defer q.mu.Unlock()
	tube, err := q.tube(t, name)
	if err != nil {
		return nil, 0, err
	}
	if o.Unique != "" {
		o.Unique = uniqueText(tube.ID, o.Unique)
		if id, err := q.holder(o.Unique); id != 0 || err != nil {
			return nil, id, err
		}
	}
	if !force && tube.Full(q.puts[tube]) {
		return nil, 0, fmt.Errorf("%w: tube %q", broker.ErrTubeFull, name)
	}
	t.sync = true
	row := jobs.NewRow(q.nextID(t), tube, body, o, q.options.Now())
	q.hold(row)
	q.value = appendJob(q.value[:0], row)
	t.set(q.jobKey(spaceJob, row.ID), q.value)
	t.set(q.indexKey(row), nil)
	if o.Unique != "" {
		q.unique[o.Unique] = row.ID
		t.set(in(spaceUnique, o.Unique), number(row.ID))
	}
	if tube.Limits.Jobs > 0 {
		q.puts[tube]++
	}
	return row, row.ID, nil
}

// holder returns the job that has the unique text, with ErrExists; 0 when there is none.
func (q *Queue) holder(unique string) (uint64, error) {
	id, staged := q.unique[unique]
	if !staged {
		value, closer, err := q.db.pebble.Get(in(spaceUnique, unique))
		if errors.Is(err, pebble.ErrNotFound) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		defer closer.Close()
		if id, err = parseNumber(value); err != nil {
			return 0, damaged("unique text", in(spaceUnique, unique))
		}
	}
	if id == 0 {
		return 0, nil
	}
	return id, fmt.Errorf("%w: job %d", broker.ErrExists, id)
}

// idBlock is how many ids are reserved on disk at once. A restart skips the rest of a block, so no id is given twice.
const idBlock = 1 << 16

func (q *Queue) nextID(t *tx) uint64 {
	if q.lastJob+1 >= q.reservedJob {
		q.reservedJob = q.lastJob + 1 + idBlock
		t.set(metaJob, number(q.reservedJob))
	}
	q.lastJob++
	return q.lastJob
}

// added brings a new job to rest. Caller holds mu.
func (q *Queue) added(row *jobs.Row, now time.Time) {
	putsTotal.Inc()
	row.Tube.Count(1, 0, 0)
	q.enter(row, now)
}

// rewrite stages the new state of a job, whose old index key the caller has removed.
func (q *Queue) rewrite(t *tx, row *jobs.Row) {
	t.set(q.indexKey(row), nil)
	q.value = appendChange(q.value[:0], row)
	t.set(q.jobKey(spaceChange, row.ID), q.value)
}

// erase stages the end of a job.
func (q *Queue) erase(t *tx, row *jobs.Row) {
	t.remove(q.indexKey(row))
	t.remove(q.jobKey(spaceJob, row.ID))
	if row.Changed {
		t.remove(q.jobKey(spaceChange, row.ID))
	}
	if row.Unique != "" {
		q.unique[row.Unique] = 0
		t.remove(in(spaceUnique, row.Unique))
	}
}

// change is a Delete, Release, Bury or KickJob on its way.
type change struct {
	queue     *Queue
	id, lease uint64
	check     func(*jobs.Row) error // refuses the work; may be nil
	alter     func(*jobs.Row) error // gives the job its new state; nil deletes it. An error is only told
	done      func(error)
	answered  atomic.Bool

	row    *jobs.Row
	held   *jobs.Lease
	result error
}

func (q *Queue) change(w *change) {
	w.queue = q
	if err := q.db.committer.offer(w); err != nil {
		w.answer(err)
	}
}

// Delete implements broker.Queue.
func (q *Queue) Delete(id, lease uint64, done func(error)) {
	q.change(&change{id: id, lease: lease, done: done})
}

// Release implements broker.Queue.
func (q *Queue) Release(id, lease uint64, priority uint32, delay time.Duration, done func(error)) {
	q.change(&change{id: id, lease: lease, done: done, check: leased(lease), alter: func(row *jobs.Row) error {
		releasesTotal.Inc()
		row.Release(priority, delay, q.options.Now())
		if row.Limit(row.Tube.Limits) {
			buriesTotal.Inc()
			return broker.ErrBuried
		}
		return nil
	}})
}

// Bury implements broker.Queue.
func (q *Queue) Bury(id, lease uint64, priority uint32, reason string, done func(error)) {
	q.change(&change{id: id, lease: lease, done: done, check: leased(lease), alter: func(row *jobs.Row) error {
		buriesTotal.Inc()
		row.Bury(priority, reason)
		return nil
	}})
}

// leased refuses callers without a lease.
func leased(lease uint64) func(*jobs.Row) error {
	return func(row *jobs.Row) error {
		if lease == 0 {
			return jobs.NoJob(row.ID)
		}
		return nil
	}
}

// KickJob implements broker.Queue.
func (q *Queue) KickJob(id uint64, done func(error)) {
	q.change(&change{id: id, done: done, check: func(row *jobs.Row) error {
		if row.State == broker.JobReady {
			return jobs.NoJob(id)
		}
		return nil
	}, alter: func(row *jobs.Row) error {
		kicksTotal.Inc()
		row.Tube.Count(0, 0, 1)
		row.Kick()
		return nil
	}})
}

// size says that it frees space: a worker can finish its jobs when the disk is nearly full.
func (w *change) size() (int, bool) { return 128, true }

func (w *change) stage(t *tx) error {
	q := w.queue
	t.queued = true
	q.mu.Lock()
	defer q.mu.Unlock()
	row, held, err := w.find()
	if err == nil && w.check != nil {
		err = w.check(row)
	}
	if err != nil {
		return err
	}
	w.row, w.held = row, held
	if held != nil {
		q.room.End(held)
		q.hold(row)
	} else {
		q.take(row)
	}
	t.sync = true
	if w.alter == nil {
		q.erase(t, row)
		return nil
	}
	t.remove(q.indexKey(row))
	w.result = w.alter(row)
	q.rewrite(t, row)
	return nil
}

// find returns the job and, if it is reserved, its lease. Caller holds the queue's lock.
func (w *change) find() (*jobs.Row, *jobs.Lease, error) {
	if w.lease != 0 {
		l, err := w.queue.room.Lease(w.id, w.lease)
		if err != nil {
			return nil, nil, err
		}
		return l.Row, l, nil
	}
	row, err := w.queue.resting(w.id)
	return row, nil, err
}

func (w *change) effect(t *tx) {
	q := w.queue
	if w.held != nil {
		q.room.Drop(w.held)
		runSeconds.Update(t.now.Sub(w.held.Taken).Seconds())
	}
	if w.alter != nil {
		q.enter(w.row, t.now)
		return
	}
	deletesTotal.Inc()
	w.row.Tube.Moving--
	w.row.Tube.Count(0, 1, 0)
}

func (w *change) apply(*tx) { w.answer(w.result) }

func (w *change) answer(err error) {
	if !w.answered.Swap(true) {
		w.done(err)
	}
}

func (w *change) refuse(err error) { w.answer(err) }
