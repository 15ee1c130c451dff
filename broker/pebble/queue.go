package pebble

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"gosper/broker"
	"gosper/broker/jobs"
)

// Queue is the broker.Queue of a DB. Changes of jobs go through the committer; reservations, touches and pauses only
// change memory. Memory holds the first jobs of every tube, leases, and who waits: see package jobs.
//
// The stages of a batch take jobs out of memory, its commit makes their new state durable, and only then, with the
// snapshot that readers see, do they come to rest there: nobody can reserve a job whose put a crash may take back.
type Queue struct {
	db      *DB
	options broker.QueueOptions

	mu       sync.Mutex
	room     *jobs.Room            // guarded by mu
	byID     map[uint32]*jobs.Tube // guarded by mu: the tubes that are on disk
	busy     map[uint64]struct{}   // guarded by mu: jobs that the batch under way changes
	cache    map[uint64]*jobs.Row  // guarded by mu: resting jobs in memory
	cached   int64                 // guarded by mu: bytes of their bodies
	ended    []*jobs.Lease         // guarded by mu: leases whose jobs the next chore brings back
	choring  bool                  // guarded by mu: a chore is on its way
	holdOff  time.Time             // guarded by mu: no chore for delays and timers before, since one has failed
	armed    time.Time             // guarded by mu: when the timer will fire; zero: it will not
	closed   bool                  // guarded by mu
	steps    uint64                // guarded by mu: keys and tombstones that refills went over
	refills  uint64                // guarded by mu
	timers   *Schedule             // its state is guarded by mu
	draining atomic.Bool
	timer    *time.Timer
	metrics  *metrics.Set

	// owned by the committer
	lastJob, reservedJob uint64
	lastTube             uint64
	batch                uint64             // number of the batch under way
	unique               map[string]uint64  // unique keys that the batch under way writes; 0: deletes
	puts                 map[*jobs.Tube]int // jobs it adds to tubes with a limit
	sweepAt              int
	key, value           []byte // buffers
}

var _ broker.Queue = (*Queue)(nil)

func newQueue(db *DB) *Queue {
	q := &Queue{
		db: db, options: db.opts.Jobs, byID: make(map[uint32]*jobs.Tube), busy: make(map[uint64]struct{}),
		cache: make(map[uint64]*jobs.Row), unique: make(map[string]uint64), puts: make(map[*jobs.Tube]int), batch: 1,
	}
	q.room = jobs.NewRoom(q.options)
	q.room.Load, q.room.Index, q.room.Left, q.room.Lending = q.load, q.index, q.uncache, q.lending
	q.room.Window = db.opts.window
	q.timers = newSchedule(q)
	q.timer = time.AfterFunc(time.Hour, q.Wake)
	q.timer.Stop()
	q.metrics = metrics.NewSet()
	q.metrics.RegisterMetricsWriter(func(w io.Writer) { jobs.WriteTubes(w, q.Tubes(), q.Stats) })
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
	run(calls)
	return err
}

func run(calls []jobs.Call) {
	for _, c := range calls {
		c.Run()
	}
}

// arm sets the timer if something comes earlier than it. What is due by the wall clock waits for the chore under way.
// Caller holds mu.
func (q *Queue) arm(now time.Time) {
	d, ok := q.room.Sleep(now)
	if !q.choring {
		if due, some := q.due(now); some && (!ok || due < d) {
			d, ok = due, true
		}
	}
	if at := now.Add(d); ok && (q.armed.IsZero() || at.Before(q.armed)) {
		q.armed = at
		q.timer.Reset(d)
	}
}

// due returns how long nothing is due by the wall clock. Caller holds mu.
func (q *Queue) due(now time.Time) (time.Duration, bool) {
	wall := q.options.Now()
	d, ok := q.room.SleepDue(wall)
	if next, some := q.timers.sleep(wall); some && (!ok || next < d) {
		d, ok = next, true
	}
	return max(d, q.holdOff.Sub(now)), ok
}

// Wake implements broker.Queue. The timer calls it.
func (q *Queue) Wake() {
	_ = q.do(func(now time.Time) error {
		q.armed = time.Time{}
		q.ended = append(q.ended, q.room.Ring(now)...)
		if d, ok := q.due(now); ok && d <= 0 || len(q.ended) > 0 {
			q.request(now)
		}
		return nil
	})
}

// retryChore is when a chore is tried again that found no room in the committer's queue.
const retryChore = 10 * time.Millisecond

// request sends a chore to the committer, if none is on its way. Caller holds mu.
func (q *Queue) request(now time.Time) {
	if q.choring {
		return
	}
	q.choring = true
	if err := q.db.committer.offer(&chore{queue: q}); err != nil {
		q.choring = false
		q.later(now)
	}
}

// later lets the timer look again soon. Caller holds mu.
func (q *Queue) later(now time.Time) {
	if !q.closed {
		q.armed = now.Add(retryChore)
		q.timer.Reset(retryChore)
	}
}

// enter brings a job to rest whose state is on disk. Until then it is busy, so that no window finds it; afterwards it is
// not, so that the window in whose part of the index it is does. Caller holds mu.
func (q *Queue) enter(row *jobs.Row, now time.Time) {
	delete(q.busy, row.ID)
	row.Tube.Moving--
	if size := int64(len(row.Body)) + rowBytes; q.cached+size <= q.options.Cache {
		q.cache[row.ID] = row
		q.cached += size
	}
	if !q.room.Enter(row, now) {
		q.uncache(row)
	}
}

// rowBytes is about what a job takes in memory beside its body.
const rowBytes = 256

// lending hears of every reservation. Caller holds mu.
func (q *Queue) lending(l *jobs.Lease) {
	reservesTotal.Inc()
	if l.Row.Reserves == 1 {
		since := time.UnixMilli(l.Row.Created + l.Row.Delay.Milliseconds())
		waitSeconds.Update(max(0, q.options.Now().Sub(since).Seconds()))
	}
}

func (q *Queue) uncache(row *jobs.Row) {
	if q.cache[row.ID] == row {
		delete(q.cache, row.ID)
		q.cached -= int64(len(row.Body)) + rowBytes
	}
}

// take takes a resting job out, for the batch under way. Caller holds mu.
func (q *Queue) take(row *jobs.Row) {
	q.room.Leave(row)
	q.hold(row)
}

// hold notes that the batch under way changes the job. Caller holds mu.
func (q *Queue) hold(row *jobs.Row) {
	q.busy[row.ID] = struct{}{}
	row.Tube.Batch = q.batch
	row.Tube.Moving++
}

// resting returns a job that nobody has reserved: errAgain when the batch under way changes it. Caller holds mu.
func (q *Queue) resting(id uint64) (*jobs.Row, error) {
	if _, ok := q.busy[id]; ok {
		return nil, errAgain
	}
	if q.room.Leased(id) != nil {
		return nil, jobs.NoJob(id)
	}
	return q.load(id)
}

// absorb makes the works of a batch take effect in memory. The committer calls it with mu held, together with the change
// of the readers' snapshot.
func (q *Queue) absorb(t *tx) {
	for i, w := range t.works {
		if e, ok := w.(effective); ok && t.errs[i] == nil {
			e.effect(t)
		}
	}
	q.arm(t.now)
}

// forget ends the batch: nothing is busy any more. It is called by the committer.
func (q *Queue) forget() {
	q.mu.Lock()
	clear(q.busy)
	clear(q.timers.busy)
	clear(q.timers.places)
	q.mu.Unlock()
	clear(q.unique)
	clear(q.puts)
	q.batch++
}

// answer gives the answers that a batch brought to reservations.
func (q *Queue) answer() {
	q.mu.Lock()
	calls := q.room.Calls()
	q.mu.Unlock()
	run(calls)
}

// close answers everybody who waits. Nothing changes after it.
func (q *Queue) close() {
	_ = q.do(func(time.Time) error {
		q.room.Close()
		q.closed = true
		timersPending.Add(-float64(q.timers.pending))
		return nil
	})
	q.timer.Stop()
	metrics.UnregisterSet(q.metrics, true)
}

// Reserve implements broker.Queue. The job comes from memory; only one that is asked for by its id takes the way of a write.
func (q *Queue) Reserve(r broker.Reservation) (cancel func()) {
	if err := jobs.CheckReservation(r); err != nil {
		r.Got(broker.Job{}, err)
		return func() {}
	}
	if r.ID != 0 {
		return q.reserveID(r)
	}
	var stop func()
	err := q.do(func(now time.Time) error {
		stop = q.room.Reserve(r, now)
		return nil
	})
	if err != nil {
		r.Got(broker.Job{}, err)
	}
	return func() {
		if stop != nil {
			_ = q.do(func(time.Time) error { stop(); return nil })
		}
	}
}

// Touch implements broker.Queue.
func (q *Queue) Touch(id, lease uint64) error {
	return q.do(func(now time.Time) error { return q.room.Touch(id, lease, now) })
}

// EndOwner implements broker.Queue. The jobs are ready again when a chore has noted how often they were reserved.
func (q *Queue) EndOwner(owner uint64) {
	_ = q.do(func(now time.Time) error {
		if ended := q.room.EndOwner(owner); len(ended) > 0 {
			q.ended = append(q.ended, ended...)
			q.request(now)
		}
		return nil
	})
}

// Pause implements broker.Queue. A pause does not outlive the process.
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
func (q *Queue) Drain(on bool) { q.draining.Store(on) }

// Close does nothing: the queue ends with its DB.
func (q *Queue) Close() error { return nil }

// tube returns the tube for a put of the batch under way, on disk. Caller holds mu.
func (q *Queue) tube(t *tx, name string) (*jobs.Tube, error) {
	tube := q.room.Look(name)
	if tube != nil && tube.ID != 0 {
		return tube, nil
	}
	q.sweep(t)
	if err := q.room.Admit(name); err != nil {
		return nil, err
	}
	tube = q.room.Tube(name)
	q.lastTube++
	tube.ID = uint32(q.lastTube)
	q.byID[tube.ID] = tube
	q.room.Open(tube)
	t.set(metaTube, number(q.lastTube))
	t.set(in(spaceTube, name), number(q.lastTube))
	return tube, nil
}

// sweepLeast is how many tubes may be on disk before the first look for those that are empty.
const sweepLeast = 1000

// sweep drops the rows of tubes that nobody uses, now and then. Caller holds mu.
func (q *Queue) sweep(t *tx) {
	if len(q.byID) < max(q.sweepAt, sweepLeast) && len(q.byID) < q.options.MaxTubes {
		return
	}
	for id, tube := range q.byID {
		if !tube.Live() && tube.Batch != q.batch {
			t.remove(in(spaceTube, tube.Name))
			delete(q.byID, id)
			q.room.Forget(tube)
		}
	}
	q.sweepAt = 2 * len(q.byID)
}

// begin reads what memory must know: the tubes, and how many jobs each has in each state. It is called before the
// committer runs.
func (q *Queue) begin() error {
	err := q.db.scan(spaceTube, func(key, value []byte) error {
		id, err := parseNumber(value)
		if err != nil || id == 0 || id > 1<<32-1 || !jobs.ValidTube(string(key[1:])) {
			return damaged("tube", key)
		}
		tube := q.room.Tube(string(key[1:]))
		tube.ID = uint32(id)
		q.byID[tube.ID] = tube
		q.room.Open(tube)
		return nil
	})
	if err != nil {
		return err
	}
	for _, state := range []broker.JobState{broker.JobReady, broker.JobDelayed, broker.JobBuried} {
		err := q.db.scan(indexSpace(state), func(key, _ []byte) error {
			id, place, err := parseIndex(state, key)
			if err != nil {
				return err
			}
			tube := q.byID[id]
			if tube == nil {
				return fmt.Errorf("a job of tube %d, which is not there: %w", id, damaged("index", key))
			}
			tube.Loaded(state, uint32(place.A))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return q.timers.begin()
}

// start looks for what is due, once readers have their snapshot and the committer runs.
func (q *Queue) start() {
	q.mu.Lock()
	for _, tube := range q.byID {
		q.room.Scheduled(tube)
	}
	q.mu.Unlock()
	metrics.RegisterSet(q.metrics)
	q.Wake()
}
