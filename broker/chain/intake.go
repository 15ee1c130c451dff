package chain

import (
	"errors"
	"time"

	"gosper/broker"
)

// WorkTube is where programs that have a queue client put work messages.
const WorkTube = "work"

// intakeOwner is the owner of the intake's leases; the numbers of connections and workers are others.
const intakeOwner = 1<<63 | 1<<62

// intake submits the jobs of WorkTube. A job goes when its chain is stored, or is buried with what is wrong with it.
func (e *runner) intake() {
	defer e.o.Queue.EndOwner(intakeOwner)
	for e.ctx.Err() == nil {
		job, err := e.reserve()
		switch {
		case err == nil:
			e.take(job)
		case errors.Is(err, broker.ErrNotFound), errors.Is(err, broker.ErrDeadlineSoon):
		default:
			_ = pause(e.ctx, time.Second) // the queue is closing or unwell; its owner tells of that
		}
	}
}

// reserve waits for a job or the end of the engine.
func (e *runner) reserve() (broker.Job, error) {
	type result struct {
		job broker.Job
		err error
	}
	got := make(chan result, 1)
	cancel := e.o.Queue.Reserve(broker.Reservation{Owner: intakeOwner, Tubes: []string{WorkTube}, Wait: -1,
		Got: func(j broker.Job, err error) { got <- result{j, err} }})
	select {
	case r := <-got:
		return r.job, r.err
	case <-e.ctx.Done():
		cancel()
		r := <-got // a job that came at the last moment goes back with its owner
		return r.job, r.err
	}
}

// take submits one job.
func (e *runner) take(job broker.Job) {
	w, err := ParseWork(job.Body, e.o.Limits)
	if err == nil {
		_, _, err = e.submit(e.ctx, w, "")
	}
	settled := make(chan error, 1)
	done := func(err error) { settled <- err }
	switch {
	case err == nil:
		e.o.Queue.Delete(job.ID, job.Lease, done)
	case errors.Is(err, ErrBadWork), errors.Is(err, ErrForeign), errors.Is(err, broker.ErrTooLarge):
		e.o.Queue.Bury(job.ID, job.Lease, job.Priority, err.Error(), done)
	default:
		e.o.Queue.Release(job.ID, job.Lease, job.Priority, time.Second, done)
	}
	if err := <-settled; err != nil && !errors.Is(err, broker.ErrBuried) && !errors.Is(err, broker.ErrNotFound) {
		e.o.Log.Warn("chain: a job of the work tube comes again", "job", job.ID, "error", err)
	}
}
