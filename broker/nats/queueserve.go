package nats

import (
	"fmt"
	"time"

	"gosper/broker"
	"gosper/broker/jobs"
)

// session is what the leader knows of one node, itself included. The leader's lock guards it.
type session struct {
	node    uint64
	far     bool // another node: an answer may be lost on its way
	seen    time.Time
	owners  map[uint64]uint64   // the node's number of an owner: the leader's
	working map[uint64]struct{} // requests that will be answered
	waiting map[uint64]func()   // reservations that wait: how to cancel them
	lent    map[uint64]lent     // by reservation, those that the node may not know of yet
	results map[uint64]reply    // answers to requests that changed something, those that the node may not know of yet
	answer  func(reply)         // gives an answer to the node; called without the lock
}

// lent names a lease.
type lent struct{ id, token uint64 }

// session returns what is known of a node. Caller holds mu.
func (l *leader) session(node uint64, now time.Time) *session {
	s := l.sessions[node]
	if s == nil {
		s = &session{node: node, far: node != l.queue.node, owners: make(map[uint64]uint64), working: make(map[uint64]struct{}),
			waiting: make(map[uint64]func()), lent: make(map[uint64]lent), results: make(map[uint64]reply)}
		s.answer = l.queue.answerer(node)
		l.sessions[node] = s
	}
	s.seen = now
	return s
}

// hello takes the sign of life of a node, which waits for no answer below low.
func (l *leader) hello(node, low uint64) {
	l.do(func(now time.Time) {
		s := l.session(node, now)
		for n := range s.results {
			if n < low {
				delete(s.results, n)
			}
		}
		for n := range s.lent {
			if n < low {
				delete(s.lent, n)
			}
		}
	})
}

// lost ends the sessions of nodes that gave no sign of life for so long.
func (l *leader) lost(patience time.Duration) {
	l.do(func(now time.Time) {
		for node, s := range l.sessions {
			if s.far && now.Sub(s.seen) > patience {
				l.part(node, now)
			}
		}
	})
}

// bye ends the session of a node.
func (l *leader) bye(node uint64) { l.do(func(now time.Time) { l.part(node, now) }) }

// part ends a session: what its owners had is free. Caller holds mu.
func (l *leader) part(node uint64, now time.Time) {
	s := l.sessions[node]
	if s == nil {
		return
	}
	delete(l.sessions, node)
	for _, owner := range s.owners {
		l.endOwner(owner, now)
	}
}

func (l *leader) endOwner(owner uint64, now time.Time) {
	if ended := l.room.EndOwner(owner); len(ended) > 0 {
		l.ended = append(l.ended, ended...)
		l.chore(now)
	}
}

// work is one request being served.
type work struct {
	*leader
	s *session
	r *request
}

// finish answers the request. Caller holds mu.
func (w *work) finish(a reply) {
	a.n, a.term = w.r.n, w.term
	delete(w.s.working, a.n)
	if w.s.far && w.r.changes() {
		w.s.results[a.n] = a
	}
	answer := w.s.answer
	w.outs = append(w.outs, func() { answer(a) })
}

func (w *work) fail(err error) { w.finish(reply{err: err}) }

// submit runs stage in its turn. Caller holds mu.
func (w *work) submit(now time.Time, stage func(o *op, now time.Time) error) {
	o := &op{fail: w.fail}
	o.stage = func(now time.Time) error { return stage(o, now) }
	w.leader.submit(o, now)
}

// after answers when all that is on its way is stored. Caller holds mu.
func (w *work) after(a reply) {
	if len(w.flying) == 0 {
		w.finish(a)
		return
	}
	last := w.flying[len(w.flying)-1]
	last.then = append(last.then, &op{stage: func(time.Time) error { w.finish(a); return nil }, fail: w.fail})
}

// changes reports whether doing the request twice is not the same as doing it once: it changes what is stored, or it ends
// the owner that a later request has begun anew.
func (r *request) changes() bool {
	switch r.verb {
	case verbPut, verbDelete, verbRelease, verbBury, verbKickJob, verbKick, verbSet, verbUnset, verbShift, verbEndOwner:
		return true
	}
	return false
}

// serve takes a request of a node. One that came before is answered again, or not at all while it is worked on.
func (l *leader) serve(node uint64, r *request) {
	l.do(func(now time.Time) {
		s := l.session(node, now)
		w := &work{l, s, r}
		_, working := s.working[r.n]
		result, done := s.results[r.n]
		switch {
		case working || s.waiting[r.n] != nil:
		case done:
			w.finish(result)
		case w.again():
		default:
			s.working[r.n] = struct{}{}
			w.begin(now)
		}
	})
}

// again answers a reservation once more with the job it got. Caller holds mu.
func (w *work) again() bool {
	had, ok := w.s.lent[w.r.n]
	if !ok {
		return false
	}
	lease, err := w.room.Lease(had.id, had.token)
	if err != nil {
		delete(w.s.lent, w.r.n)
		return false
	}
	w.tell(lease.Row.Job(lease))
	return true
}

// begin does what is asked. Caller holds mu.
func (w *work) begin(now time.Time) {
	r := w.r
	switch r.verb {
	case verbPut:
		w.put(now)
	case verbReserve:
		w.reserve(now)
	case verbCancel:
		if cancel := w.s.waiting[r.id]; cancel != nil {
			cancel()
		}
		w.finish(reply{})
	case verbLost:
		if lease, err := w.room.Lease(r.id, r.lease); err == nil {
			w.room.End(lease)
			w.ended = append(w.ended, lease)
			w.chore(now)
		}
		w.finish(reply{})
	case verbEndOwner:
		if owner, ok := w.s.owners[r.owner]; ok {
			delete(w.s.owners, r.owner)
			w.endOwner(owner, now)
		}
		w.finish(reply{})
	case verbDelete, verbRelease, verbBury, verbKickJob:
		w.submit(now, w.change)
	case verbKick:
		(&kick{work: w}).begin(now)
	case verbTouch:
		w.fail(w.room.Touch(r.id, r.lease, now))
	case verbPause:
		w.fail(w.room.Pause(r.tube(), r.wait, now))
	case verbStats:
		stats, err := w.room.Stats(r.tube(), now, w.options.Now())
		w.finish(reply{stats: stats, err: err})
	case verbTubes:
		w.finish(reply{names: w.room.Names()})
	case verbPeek:
		w.submit(now, w.peek)
	case verbPeekTube:
		w.peekTube()
	case verbList:
		w.list()
	default:
		w.beginTimer(now)
	}
}

// reserve gives a job now, or lets the reservation wait. Caller holds mu.
func (w *work) reserve(now time.Time) {
	r := w.r
	owner, ok := w.s.owners[r.owner]
	if !ok {
		w.owners++
		owner = w.owners
		w.s.owners[r.owner] = owner
	}
	res := broker.Reservation{Owner: owner, Tubes: r.tubes, ID: r.id, Wait: r.wait, Got: w.got}
	if err := jobs.CheckReservation(res); err != nil {
		w.fail(err)
		return
	}
	if r.id != 0 {
		w.submit(now, func(o *op, now time.Time) error {
			e, err := w.resting(o, r.id)
			if err == nil {
				w.room.Lent(res, &e.row, now)
			}
			return err
		})
		return
	}
	if cancel := w.room.Reserve(res, now); cancel != nil {
		w.s.waiting[r.n] = cancel
		delete(w.s.working, r.n)
	}
}

// got takes the outcome of a reservation. It is called without the lock.
func (w *work) got(job broker.Job, err error) {
	w.do(func(time.Time) {
		delete(w.s.waiting, w.r.n)
		switch {
		case err != nil:
			w.fail(err)
			return
		case w.s.far:
			w.s.lent[w.r.n] = lent{job.ID, job.Lease}
		}
		w.tell(job)
	})
}

// tell answers with a reserved job. When its body cannot be read the lease ends. Caller holds mu.
func (w *work) tell(job broker.Job) {
	w.fill(reply{jobs: []broker.Job{job}}, func(a reply) {
		if a.err != nil {
			delete(w.s.lent, w.r.n)
			if lease, err := w.room.Lease(job.ID, job.Lease); err == nil {
				w.room.End(lease)
				w.ended = append(w.ended, lease)
				w.chore(time.Now())
			}
		}
		w.finish(a)
	})
}

// resting returns a job that nobody has reserved; errHold when a change of it is on its way. Caller holds mu.
func (w *work) resting(o *op, id uint64) (*jobEntry, error) {
	e := w.rows[id]
	switch {
	case e == nil:
		return nil, jobs.NoJob(id)
	case e.flying != nil:
		o.hold = e.flying
		return nil, errHold
	case w.room.Leased(id) != nil:
		return nil, jobs.NoJob(id)
	}
	return e, nil
}

// peek shows a job. Caller holds mu.
func (w *work) peek(o *op, _ time.Time) error {
	e := w.rows[w.r.id]
	if e == nil {
		return jobs.NoJob(w.r.id)
	}
	if e.flying != nil {
		o.hold = e.flying
		return errHold
	}
	w.fill(reply{jobs: []broker.Job{e.row.Job(w.room.Leased(e.row.ID))}}, w.finish)
	return nil
}

// peekTube shows the next job of a state. Caller holds mu.
func (w *work) peekTube() {
	r := w.r
	t := w.room.Look(r.tube())
	if t == nil {
		w.fail(jobs.NoTube(r.tube()))
		return
	}
	if r.state == broker.JobReserved {
		for _, lease := range w.room.Reserved(t) {
			w.fill(reply{jobs: []broker.Job{lease.Row.Job(lease)}}, w.finish)
			return
		}
	} else if row, err := w.room.Next(t, r.state); err == nil && row != nil {
		w.fill(reply{jobs: []broker.Job{row.Job(nil)}}, w.finish)
		return
	}
	w.fail(fmt.Errorf("%w: tube %q has no %s job", broker.ErrNotFound, r.tube(), r.state))
}

// list shows the jobs of a tube's state that have the lowest ids. Caller holds mu.
func (w *work) list() {
	r := w.r
	t := w.room.Look(r.tube())
	if t == nil {
		w.finish(reply{})
		return
	}
	var a reply
	if r.state == broker.JobReserved {
		for _, lease := range w.room.Reserved(t) {
			if lease.Row.ID > r.id && len(a.jobs) < r.bound {
				a.jobs = append(a.jobs, lease.Row.Job(lease))
			}
		}
		w.fill(a, w.finish)
		return
	}
	var ids jobs.Sorted
	t.Each(r.state, func(k jobs.Key) {
		if k.B <= r.id || ids.Len() >= r.bound && k.B > ids.Last().B {
			return
		}
		ids.Add(jobs.Key{B: k.B})
		if ids.Len() > r.bound {
			ids.Remove(ids.Last())
		}
	})
	ids.Each(jobs.Key{}, func(k jobs.Key) bool {
		a.jobs = append(a.jobs, w.rows[k.B].row.Job(nil))
		return true
	})
	w.fill(a, w.finish)
}
