package nats

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/nats-io/nats.go"

	"gosper/broker"
	"gosper/broker/jobs"
)

const (
	maxFlying  = 256  // changes on their way to the stream
	maxStep    = 64   // changes of one step at most, above maxFlying
	leap       = 512  // sequences a new leader takes at once: more than any leader can have on its way
	maxWaiting = 8192 // requests that wait for room among the changes; above: broker.ErrBusy

	goneFor     = 2 * time.Minute // how long the word stays that something is gone: longer than any request is sent again
	rowBytes    = 320             // about what a job takes in the leader's memory beside its body
	tokensATerm = 36              // bits of the leases of one leader
)

var (
	errHold  = errors.New("a change before this one must be stored first")
	errLater = errors.New("everything before must be stored first")
)

// leader is the queue and the schedule while this node leads: the only one that writes their stream. A change takes what
// it concerns out of memory, goes to the stream, and comes to rest in memory when the stream has it; only then is it
// answered. Every message is written with the sequence it must follow, many of them at once, so nothing is written by
// a leader that was replaced: whoever takes the lead first takes more sequences than a leader can have on its way.
//
// A leader ends when a single write fails; its memory is worth nothing then, and who leads next reads the stream.
type leader struct {
	// static after construction
	queue   *Queue
	options broker.QueueOptions
	term    uint64
	metrics *metrics.Set
	over    chan struct{} // closed when it does not lead any more
	sure    time.Time     // owned by Queue.run: when the stream last said that it leads

	mu       sync.Mutex
	room     *jobs.Room
	rows     map[uint64]*jobEntry // all jobs
	unique   map[unique]*jobEntry
	timers   *timetable
	adding   map[*jobs.Tube]int // puts on their way to tubes
	cached   int64              // bytes of bodies in memory
	next     uint64             // the sequence of the next message
	marked   uint64             // the sequence of the newest mark
	flying   []*write           // in the order of their sequences
	waiting  []*op
	sessions map[uint64]*session // by node
	owners   uint64              // the last number given to an owner
	ended    []*jobs.Lease       // leases whose jobs are to be brought back
	choring  bool                // a chore is on its way
	walk     []place             // of the Export under way
	outs     []func()            // answers to be given without the lock
	dead     bool
	timer    *time.Timer
	armed    time.Time // when the timer will fire; zero: it will not
}

type unique struct {
	tube *jobs.Tube
	text string
}

// jobEntry is a job.
type jobEntry struct {
	row    jobs.Row
	slot   uint64
	size   int    // of the body, which may be in the stream only
	by     origin // who put it
	stated bool   // the stream has a state of it
	flying *write // the change of it that is on its way, or nil
}

// write is a message on its way to the stream.
type write struct {
	seq    uint64
	stored bool
	effect func(now time.Time) // may be nil
	then   []*op               // what waits for it
}

// op is one request that may write.
type op struct {
	stage func(now time.Time) error // errHold, with hold set: again after that write
	hold  *write
	fail  func(error)
}

func newLeader(q *Queue, term uint64) *leader {
	l := &leader{queue: q, options: q.options, term: term, over: make(chan struct{}), rows: make(map[uint64]*jobEntry), unique: make(map[unique]*jobEntry),
		adding: make(map[*jobs.Tube]int), sessions: make(map[uint64]*session)}
	l.room = jobs.NewRoom(l.options)
	l.room.StartTokens(term << tokensATerm)
	l.room.Load = func(id uint64) (*jobs.Row, error) {
		if e := l.rows[id]; e != nil {
			return &e.row, nil
		}
		return nil, jobs.NoJob(id)
	}
	l.room.Lending = l.lending
	l.room.Left = func(row *jobs.Row) { l.uncache(l.rows[row.ID]) }
	l.timers = newTimetable()
	l.metrics = metrics.NewSet()
	l.metrics.RegisterMetricsWriter(l.writeMetrics)
	l.timer = time.AfterFunc(time.Hour, l.wake)
	l.timer.Stop()
	return l
}

// do runs fn with the lock, then what has room now, then gives the answers that came up. It does nothing when this node
// does not lead any more: who asked asks the next leader.
func (l *leader) do(fn func(now time.Time)) {
	l.mu.Lock()
	if !l.dead {
		now := time.Now()
		fn(now)
		l.pump(now)
		l.arm(now)
	}
	calls, outs := l.room.Calls(), l.outs
	l.outs = nil
	dead := l.dead
	l.mu.Unlock()
	if dead {
		return
	}
	for _, c := range calls {
		c.Run()
	}
	for _, out := range outs {
		out()
	}
}

// resign ends this leader. Caller holds mu.
func (l *leader) resign(why string, args ...any) {
	if l.dead {
		return
	}
	l.dead = true
	l.timer.Stop()
	l.countTimers()
	l.queue.opts.Log.Warn("this node does not lead the jobs any more", "why", fmt.Sprintf(why, args...))
	close(l.over)
}

// submit runs an op when it has its turn. Caller holds mu.
func (l *leader) submit(o *op, now time.Time) {
	if len(l.waiting) == 0 && !l.full() && l.run(o, now) {
		return
	}
	if len(l.waiting) >= maxWaiting {
		o.fail(fmt.Errorf("%w: %d requests wait", broker.ErrBusy, len(l.waiting)))
		return
	}
	l.waiting = append(l.waiting, o)
}

func (l *leader) full() bool { return len(l.flying) >= maxFlying || l.queue.crowded() }

// run stages an op; false when all changes that are on their way must be stored first. Caller holds mu.
func (l *leader) run(o *op, now time.Time) bool {
	switch err := o.stage(now); {
	case errors.Is(err, errLater):
		return false
	case errors.Is(err, errHold):
		o.hold.then = append(o.hold.then, o)
	case err != nil:
		o.fail(err)
	}
	return true
}

// pump runs what waits and has room now. Caller holds mu.
func (l *leader) pump(now time.Time) {
	for len(l.waiting) > 0 && !l.full() && !l.dead {
		if !l.run(l.waiting[0], now) {
			return
		}
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
	}
}

// publish sends a record to the stream. effect runs when it is stored. Caller holds mu.
func (l *leader) publish(subject string, r *record, effect func(now time.Time)) *write {
	w := &write{seq: l.next, effect: effect}
	if l.dead {
		return w
	}
	if len(l.flying) >= leap {
		l.resign("%d changes are on their way", len(l.flying))
		return w
	}
	l.next++
	l.flying = append(l.flying, w)
	m := l.queue.message(subject, r, w.seq-1)
	err := l.queue.link.ask(m, l.queue.opts.Wait, func(m *nats.Msg, err error) bool {
		l.do(func(now time.Time) { l.acked(w, m, err, now) })
		return false
	})
	if err != nil {
		l.resign("a change could not be sent: %v", err)
	}
	return w
}

// acked takes the stream's answer. Caller holds mu.
func (l *leader) acked(w *write, m *nats.Msg, err error, now time.Time) {
	seq, err := l.queue.vault.stored(m, err)
	if err != nil || seq != w.seq {
		l.resign("change %d was not stored: %v", w.seq, err)
		return
	}
	w.stored = true
	for len(l.flying) > 0 && l.flying[0].stored && !l.dead {
		first := l.flying[0]
		l.flying[0] = nil
		l.flying = l.flying[1:]
		if first.effect != nil {
			first.effect(now)
		}
		for _, o := range first.then {
			if l.full() || !l.run(o, now) {
				l.waiting = append(l.waiting, o)
			}
		}
	}
}

// hold notes that a change of the job is on its way. Caller holds mu.
func (l *leader) hold(e *jobEntry, w *write) {
	e.flying = w
	e.row.Tube.Moving++
}

// rest brings a job to rest whose state is stored. Caller holds mu.
func (l *leader) rest(e *jobEntry, now time.Time) {
	e.flying = nil
	e.row.Tube.Moving--
	l.cache(e)
	l.room.Enter(&e.row, now)
}

// cache drops the body of a job that has no room in memory. Caller holds mu.
func (l *leader) cache(e *jobEntry) {
	if e.row.Body == nil || e.size == 0 {
		return
	}
	if l.cached+int64(e.size) > l.options.Cache {
		e.row.Body = nil
		return
	}
	l.cached += int64(e.size)
}

// uncache takes a job's body out of the count, on its way out of rest. Caller holds mu.
func (l *leader) uncache(e *jobEntry) {
	if e.row.Body != nil {
		l.cached -= int64(e.size)
	}
}

// state sends how a job stands now and brings it to rest there; then runs before it is found by others. Caller holds mu.
func (l *leader) state(e *jobEntry, by origin, then func(now time.Time)) {
	e.stated = true
	w := l.publish(rowSubject('s', e.slot), stateRecord(e.slot, by, &e.row), func(now time.Time) {
		if then != nil {
			then(now)
		}
		l.rest(e, now)
	})
	l.hold(e, w)
}

// arm sets the timer if something comes earlier than it. Caller holds mu.
func (l *leader) arm(now time.Time) {
	if l.dead {
		return
	}
	d, ok := l.room.Sleep(now)
	if next, some := l.sleep(); some && (!ok || next < d) {
		d, ok = next, true
	}
	if at := now.Add(d); ok && (l.armed.IsZero() || at.Before(l.armed)) {
		l.armed = at
		l.timer.Reset(d)
	}
}

// sleep returns how long nothing is due by the wall clock. A chore under way looks again when it is done. Caller holds mu.
func (l *leader) sleep() (time.Duration, bool) {
	wall := l.options.Now()
	d, ok := l.room.SleepDue(wall)
	if l.choring {
		return d, ok
	}
	if next, some := l.timers.sleep(wall); some && (!ok || next < d) {
		d, ok = next, true
	}
	return d, ok
}

// wake looks at the clocks. The timer calls it.
func (l *leader) wake() {
	l.do(func(now time.Time) {
		l.armed = time.Time{}
		wall := l.options.Now()
		l.ended = append(l.ended, l.room.Ring(now)...)
		l.ready(now, wall)
		if _, due := l.timers.due(wall); due || len(l.ended) > 0 {
			l.chore(now)
		}
	})
}

// maxReady is how many delayed jobs are made ready with the lock held once.
const maxReady = 1024

// ready makes delayed jobs ready that are due. Nothing is written: whoever reads their due time knows. Caller holds mu.
func (l *leader) ready(now, wall time.Time) {
	for range maxReady {
		row, err := l.room.Due(wall)
		if row == nil || err != nil {
			return
		}
		l.room.Leave(row)
		row.Wake()
		l.cache(l.rows[row.ID])
		l.room.Enter(row, now)
	}
}

// chore starts the work that time and lost owners make, if it is not under way. Caller holds mu.
func (l *leader) chore(now time.Time) {
	if l.choring {
		return
	}
	l.choring = true
	l.submit(&op{stage: l.work, fail: func(error) { l.choring = false }}, now)
}

// work brings back the jobs of ended leases and fires timers that are due. Caller holds mu.
func (l *leader) work(now time.Time) error {
	l.choring = false
	n := min(len(l.ended), maxStep)
	for _, lease := range l.ended[:n] {
		l.bringBack(lease)
	}
	l.ended = append(l.ended[:0], l.ended[n:]...)
	wall := l.options.Now()
	for ; n < maxStep; n++ {
		t, due := l.timers.due(wall)
		if !due {
			return nil
		}
		l.fire(t, wall)
	}
	l.chore(now)
	return nil
}

// bringBack makes the job of an ended lease ready, or buries it when a limit is reached. Caller holds mu.
func (l *leader) bringBack(lease *jobs.Lease) {
	e := l.rows[lease.Row.ID]
	l.room.Return(lease)
	if lease.Expired {
		jobs.TimeoutsTotal.Inc()
	}
	if e.row.State == broker.JobBuried {
		jobs.BuriesTotal.Inc()
	}
	l.state(e, origin{}, func(time.Time) { l.room.Drop(lease) })
}

// lending hears of every reservation. Caller holds mu.
func (l *leader) lending(lease *jobs.Lease) {
	jobs.ReservesTotal.Inc()
	if lease.Row.Reserves == 1 {
		since := time.UnixMilli(lease.Row.Created + lease.Row.Delay.Milliseconds())
		jobs.WaitSeconds.Update(max(0, l.options.Now().Sub(since).Seconds()))
	}
}

// writeMetrics writes what is counted by tube.
func (l *leader) writeMetrics(w io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, wall := time.Now(), l.options.Now()
	jobs.WriteTubes(w, l.room.Names(), func(tube string) (broker.TubeStats, error) { return l.room.Stats(tube, now, wall) })
}
