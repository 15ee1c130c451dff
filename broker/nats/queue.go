package nats

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
	"gosper/broker/jobs"
)

const (
	maxCalls  = 32768            // calls of a node without an answer; above: broker.ErrBusy
	callWait  = 10 * time.Second // how long a call waits for a node that leads, a fail-over included
	shortWait = 3 * time.Second  // the same for the calls that have no context and no done
	resend    = 2 * time.Second  // a call without an answer is sent again after it; the leader knows it
)

// waits are those times of a Queue that a test without a fault has longer: there no call fails and no other node leads because
// the machine stood still.
type waits struct{ call, short, resend, lead, sure time.Duration }

var usualWaits = waits{callWait, shortWait, resend, leadWait, sureWait}

// Queue is the broker.Queue of the nodes that share NATS servers. One of them leads and holds all jobs (see leader);
// the others send their calls to it, and so does this one when it is not the one. A call that comes while nobody leads
// waits, and is sent to the next leader; one that was sent to a leader that went away is sent again with its number, by
// which the stream knows what was done already.
//
// Touch, Pause, Stats and Tubes wait for the leader's answer, shortWait at most.
type Queue struct {
	// static after construction
	opts     Options
	options  broker.QueueOptions
	prefix   string // of its subjects
	post     string // the subjects of nodes begin with it
	node     uint64
	waits    waits
	link     *link
	schedule *Schedule
	vault    *vault
	life     context.Context // ends with Close
	end      context.CancelFunc
	ended    sync.WaitGroup
	free     chan struct{} // nobody leads: this node may

	draining atomic.Bool
	pending  atomic.Int64 // timers, when last asked

	mu      sync.Mutex
	closed  bool                 // guarded by mu
	last    uint64               // guarded by mu: number of the last call
	calls   map[uint64]*asked    // guarded by mu: without an answer, by number
	unsent  []uint64             // guarded by mu: those to be sent, in order
	sending bool                 // guarded by mu: somebody is sending them
	came    map[uint64]time.Time // guarded by mu: leases that came lately
	lead    beat                 // guarded by mu: who leads, as far as this node knows
	heard   time.Time            // guarded by mu: when it was last heard of
	unsure  bool                 // guarded by mu: the stream must be asked who leads
	local   *leader              // guarded by mu: not nil while this node leads
	beating beat                 // guarded by mu: what this node tells the others; term 0: nothing
	told    time.Time            // guarded by mu: when it last told them anything
}

// asked is a call without an answer.
type asked struct {
	request
	answer func(reply)
	until  time.Time // zero: for ever
	sent   time.Time // zero: not yet
	queued bool      // it is among the unsent
	to     uint64    // the term of the leader it was sent to
	parts  reply     // of an answer that comes in several
}

var _ broker.Queue = (*Queue)(nil)

// ask sends a request to who leads. answer is called exactly once, with broker.ErrBusy when nobody took the request in
// time and broker.ErrTimeout when nobody knows whether it was done. It returns the number of the call, 0 when answer
// was called.
func (q *Queue) ask(r request, wait time.Duration, answer func(reply)) uint64 {
	c := &asked{request: r, answer: answer}
	if wait >= 0 {
		c.until = time.Now().Add(wait)
	}
	q.mu.Lock()
	var err error
	switch {
	case q.closed:
		err = broker.ErrClosed
	case len(q.calls) >= maxCalls:
		err = fmt.Errorf("%w: %d calls wait for their answers", broker.ErrBusy, maxCalls)
	}
	if err != nil {
		q.mu.Unlock()
		answer(reply{err: err})
		return 0
	}
	q.last++
	c.n, c.queued = q.last, true
	q.calls[c.n] = c
	q.unsent = append(q.unsent, c.n)
	q.mu.Unlock()
	q.send()
	return c.n
}

// send sends what is to be sent, in its order, whoever is called to do it.
func (q *Queue) send() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sending {
		return
	}
	q.sending = true
	for len(q.unsent) > 0 && q.lead.ready {
		c := q.calls[q.unsent[0]]
		q.unsent = q.unsent[1:]
		if c == nil {
			continue
		}
		if c.uncertain(q.lead) {
			delete(q.calls, c.n)
			q.mu.Unlock()
			c.answer(reply{err: broker.ErrTimeout})
			q.mu.Lock()
			continue
		}
		c.sent, c.to, c.queued = time.Now(), q.lead.term, false
		r, local, lead := c.request, q.local, q.lead
		if r.verb == verbReserve && r.wait > 0 {
			r.wait = max(time.Until(c.until)-q.waits.call, time.Millisecond)
		}
		q.mu.Unlock()
		switch {
		case lead.node != q.node:
			q.tell(lead.node, headRequest, r.fields)
		case local != nil:
			local.serve(q.node, &r)
		}
		q.mu.Lock()
	}
	q.sending = false
}

// uncertain reports whether the call was sent to another leader and must not be done twice.
func (c *asked) uncertain(lead beat) bool {
	return c.verb == verbKick && !c.sent.IsZero() && c.to != lead.term
}

// again sends every call once more, since another node leads or messages may have been lost. Caller holds mu and calls
// send afterwards.
func (q *Queue) again() {
	q.unsent = slices.Sorted(maps.Keys(q.calls))
	for _, c := range q.calls {
		c.queued = true
	}
}

// answered takes an answer of who leads. One of an older leader may come very late, when that one stood still: what it
// gave away is somebody else's by now.
func (q *Queue) answered(a reply) {
	q.mu.Lock()
	c := q.calls[a.n]
	if c == nil {
		lost := q.unwanted(a)
		q.mu.Unlock()
		for _, r := range lost {
			q.ask(r, q.waits.call, func(reply) {})
		}
		return
	}
	if a.term != c.to || !c.join(&a) {
		q.mu.Unlock()
		return
	}
	delete(q.calls, a.n)
	if c.verb == verbReserve && len(a.jobs) == 1 {
		q.came[a.jobs[0].Lease] = time.Now()
	}
	q.mu.Unlock()
	c.answer(a)
}

// join makes one answer of its parts, and reports whether a is the last. A part that does not follow is dropped: the call
// is sent again.
func (c *asked) join(a *reply) bool {
	if a.part == 0 {
		c.parts = reply{}
	}
	if a.part != c.parts.part {
		return false
	}
	if a.part == 0 && !a.more {
		return true
	}
	c.parts.part++
	c.parts.jobs, c.parts.timers, c.parts.names = append(c.parts.jobs, a.jobs...), append(c.parts.timers, a.timers...), append(c.parts.names, a.names...)
	a.jobs, a.timers, a.names = c.parts.jobs, c.parts.timers, c.parts.names
	return !a.more
}

// unwanted returns what gives back the jobs that came for nobody: to a reservation that was cancelled meanwhile. An
// answer that came twice is none. Caller holds mu.
func (q *Queue) unwanted(a reply) (lost []request) {
	for _, j := range a.jobs {
		if _, twice := q.came[j.Lease]; !twice && j.Lease != 0 && !q.closed {
			q.came[j.Lease] = time.Now()
			lost = append(lost, request{verb: verbLost, id: j.ID, lease: j.Lease})
		}
	}
	return lost
}

// sweep ends calls that have waited for too long and sends those again that got no answer.
func (q *Queue) sweep(now time.Time) {
	q.mu.Lock()
	var over []*asked
	for n, c := range q.calls {
		here := q.local != nil && c.to == q.local.term // nothing is lost on the way, and it may be done but not yet told
		switch {
		case !c.until.IsZero() && now.After(c.until):
			delete(q.calls, n)
			over = append(over, c)
		case !c.queued && !here && now.Sub(c.sent) > q.waits.resend:
			c.queued = true
			q.unsent = append(q.unsent, n)
		}
	}
	for token, at := range q.came {
		if now.Sub(at) > knownFor {
			delete(q.came, token)
		}
	}
	slices.Sort(q.unsent)
	q.mu.Unlock()
	for _, c := range over {
		c.answer(reply{err: c.late()})
	}
	q.send()
}

// late is the error of a call that waited for too long.
func (c *asked) late() error {
	switch {
	case c.verb == verbReserve && c.wait > 0:
		return fmt.Errorf("%w: no job came in time", broker.ErrNotFound)
	case c.sent.IsZero() || !c.changes():
		return fmt.Errorf("%w: no node leads the jobs now", broker.ErrBusy)
	}
	return broker.ErrTimeout
}

// low returns the number below which every call has its answer.
func (q *Queue) low() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	low := q.last + 1
	for n := range q.calls {
		low = min(low, n)
	}
	return low
}

// wait is ask for callers that wait.
func (q *Queue) await(ctx context.Context, r request, wait time.Duration) (reply, error) {
	if err := ctx.Err(); err != nil {
		return reply{}, err
	}
	got := make(chan reply, 1)
	n := q.ask(r, wait, func(a reply) { got <- a })
	select {
	case a := <-got:
		return a, a.err
	case <-ctx.Done():
		q.mu.Lock()
		delete(q.calls, n)
		q.mu.Unlock()
		return reply{}, ctx.Err()
	}
}

// now is await for callers that have no context.
func (q *Queue) now(r request) (reply, error) { return q.await(q.life, r, q.waits.short) }

// simple makes an answer of a done.
func simple(done func(error)) func(reply) { return func(a reply) { done(a.err) } }

// Put implements broker.Queue.
func (q *Queue) Put(tube string, body []byte, o broker.PutOptions, done func(uint64, error)) {
	err := jobs.CheckPut(q.options.MaxJob, tube, body, o)
	if err == nil && q.draining.Load() {
		err = broker.ErrDraining
	}
	if err != nil {
		done(0, err)
		return
	}
	r := request{verb: verbPut, tubes: []string{tube}, body: body, priority: o.Priority, delay: max(o.Delay, 0), ttr: max(o.TTR, 0), say: o.Unique}
	q.ask(r, q.waits.call, func(a reply) { done(a.id, a.err) })
}

// Reserve implements broker.Queue.
func (q *Queue) Reserve(res broker.Reservation) (cancel func()) {
	if err := jobs.CheckReservation(res); err != nil {
		res.Got(broker.Job{}, err)
		return func() {}
	}
	r := request{verb: verbReserve, owner: res.Owner, tubes: slices.Clone(res.Tubes), id: res.ID, wait: res.Wait}
	wait := time.Duration(-1)
	if res.ID != 0 {
		r.wait = 0
	}
	if r.wait >= 0 {
		wait = min(r.wait, math.MaxInt64/2) + q.waits.call
	}
	n := q.ask(r, wait, func(a reply) {
		if a.err != nil {
			res.Got(broker.Job{}, a.err)
			return
		}
		res.Got(a.jobs[0], nil)
	})
	return func() { q.cancel(func(c *asked) bool { return c.n == n }, n) }
}

// cancel ends the reservations that match.
func (q *Queue) cancel(match func(*asked) bool, tell ...uint64) {
	q.mu.Lock()
	var over []*asked
	for n, c := range q.calls {
		if c.verb == verbReserve && match(c) {
			delete(q.calls, n)
			over = append(over, c)
		}
	}
	q.mu.Unlock()
	if len(over) == 0 {
		return
	}
	for _, n := range tell {
		q.ask(request{verb: verbCancel, id: n}, q.waits.call, func(reply) {})
	}
	for _, c := range over {
		c.answer(reply{err: context.Canceled})
	}
}

// Delete implements broker.Queue.
func (q *Queue) Delete(id, lease uint64, done func(error)) {
	q.ask(request{verb: verbDelete, id: id, lease: lease}, q.waits.call, simple(done))
}

// Release implements broker.Queue.
func (q *Queue) Release(id, lease uint64, priority uint32, delay time.Duration, done func(error)) {
	q.ask(request{verb: verbRelease, id: id, lease: lease, priority: priority, delay: delay}, q.waits.call, simple(done))
}

// Bury implements broker.Queue.
func (q *Queue) Bury(id, lease uint64, priority uint32, reason string, done func(error)) {
	q.ask(request{verb: verbBury, id: id, lease: lease, priority: priority, say: reason}, q.waits.call, simple(done))
}

// KickJob implements broker.Queue.
func (q *Queue) KickJob(id uint64, done func(error)) {
	q.ask(request{verb: verbKickJob, id: id}, q.waits.call, simple(done))
}

// Kick implements broker.Queue. When the leader goes away under it, nobody knows how many jobs it has moved.
func (q *Queue) Kick(tube string, bound int, done func(int, error)) {
	q.ask(request{verb: verbKick, tubes: []string{tube}, bound: max(bound, 0)}, q.waits.call, func(a reply) { done(a.count, a.err) })
}

// Touch implements broker.Queue.
func (q *Queue) Touch(id, lease uint64) error {
	_, err := q.now(request{verb: verbTouch, id: id, lease: lease})
	return err
}

// EndOwner implements broker.Queue.
func (q *Queue) EndOwner(owner uint64) {
	q.cancel(func(c *asked) bool { return c.owner == owner })
	q.ask(request{verb: verbEndOwner, owner: owner}, 2*nodeWait, func(reply) {})
}

// oneJob returns the job of an answer.
func oneJob(a reply, err error) (broker.Job, error) {
	if err == nil && len(a.jobs) != 1 {
		err = errors.New("nats: an answer without a job")
	}
	if err != nil {
		return broker.Job{}, err
	}
	return a.jobs[0], nil
}

// Peek implements broker.Queue.
func (q *Queue) Peek(ctx context.Context, id uint64) (broker.Job, error) {
	return oneJob(q.await(ctx, request{verb: verbPeek, id: id}, q.waits.call))
}

// PeekTube implements broker.Queue.
func (q *Queue) PeekTube(ctx context.Context, tube string, state broker.JobState) (broker.Job, error) {
	return oneJob(q.await(ctx, request{verb: verbPeekTube, tubes: []string{tube}, state: state}, q.waits.call))
}

// ListJobs implements broker.Queue. The leader looks at every job of that state in the tube, some ten million a second.
func (q *Queue) ListJobs(ctx context.Context, tube string, state broker.JobState, after uint64, limit int) ([]broker.Job, error) {
	if err := ctx.Err(); err != nil || limit <= 0 {
		return nil, err
	}
	a, err := q.await(ctx, request{verb: verbList, tubes: []string{tube}, state: state, id: after, bound: limit}, q.waits.call)
	return a.jobs, err
}

// Pause implements broker.Queue. A pause does not outlive the leader.
func (q *Queue) Pause(tube string, d time.Duration) error {
	_, err := q.now(request{verb: verbPause, tubes: []string{tube}, wait: d})
	return err
}

// Stats implements broker.Queue.
func (q *Queue) Stats(tube string) (broker.TubeStats, error) {
	a, err := q.now(request{verb: verbStats, tubes: []string{tube}})
	return a.stats, err
}

// Tubes implements broker.Queue. It returns none while no node leads.
func (q *Queue) Tubes() []string {
	a, err := q.now(request{verb: verbTubes})
	if err != nil {
		return nil
	}
	return a.names
}

// Drain implements broker.Queue, for puts of this node.
func (q *Queue) Drain(on bool) { q.draining.Store(on) }

// Wake implements broker.Queue. Only the node that leads has something to look at.
func (q *Queue) Wake() {
	q.mu.Lock()
	l := q.local
	q.mu.Unlock()
	if l != nil {
		l.wake()
	}
}

// message returns a record for the stream, to be stored right behind the sequence.
func (q *Queue) message(subject string, r *record, behind uint64) *nats.Msg {
	h := nats.Header{"Nats-Expected-Last-Sequence": []string{fmt.Sprint(behind)}}
	if r.kind == recordGone || r.kind == recordShift && len(r.moved) == 0 {
		h["Nats-TTL"] = []string{goneFor.String()}
	}
	return &nats.Msg{Subject: q.prefix + subject, Header: h, Data: r.encode()}
}
