package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"gosper/broker"
)

// consumer is one goroutine that takes jobs of a tube.
type consumer struct {
	runtime *Runtime
	tube    *Tube
	metrics *tubeMetrics
	owner   uint64
	taking  context.Context
	running context.Context
}

// run takes jobs until the runtime stops.
func (c *consumer) run() {
	defer c.runtime.queue.EndOwner(c.owner)
	for {
		job, err := c.reserve()
		switch {
		case err == nil:
			c.work(job)
		case c.taking.Err() != nil, errors.Is(err, broker.ErrClosed):
			return
		case errors.Is(err, broker.ErrNotFound), errors.Is(err, broker.ErrDeadlineSoon):
		default:
			c.runtime.log.Error("worker: no job can be had", "tube", c.tube.Name, "error", err)
			if !c.pause(time.Second) {
				return
			}
		}
	}
}

// pause waits, and reports false when the runtime stops.
func (c *consumer) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.taking.Done():
		return false
	}
}

// reserve waits for a job or the end.
func (c *consumer) reserve() (broker.Job, error) {
	if err := c.taking.Err(); err != nil {
		return broker.Job{}, err
	}
	type result struct {
		job broker.Job
		err error
	}
	got := make(chan result, 1)
	cancel := c.runtime.queue.Reserve(broker.Reservation{Owner: c.owner, Tubes: []string{c.tube.Name}, Wait: -1,
		Got: func(j broker.Job, err error) { got <- result{j, err} }})
	select {
	case r := <-got:
		return r.job, r.err
	case <-c.taking.Done():
		cancel()
		r := <-got // a job that came at the last moment is worked on
		return r.job, r.err
	}
}

// work runs one job and settles it.
func (c *consumer) work(job broker.Job) {
	c.metrics.running.Inc()
	defer c.metrics.running.Dec()
	begin := time.Now()
	c.metrics.wait.Update(begin.Sub(job.Created).Seconds())
	err := c.try(job)
	c.metrics.run.Update(time.Since(begin).Seconds())
	c.settle(job, err)
}

// try runs the function of a job once. Its lease is renewed while it runs within its time limit, so a long time limit needs
// no long lease.
func (c *consumer) try(job broker.Job) error {
	m, err := parse(job.Body)
	if err != nil {
		return Permanent(err)
	}
	if job.Timeouts >= c.tube.Attempts || job.Reserves > c.tube.Attempts {
		return Permanent(fmt.Errorf("given up after %d tries and %d time-outs", job.Reserves-1, job.Timeouts))
	}
	f, err := c.tube.Routes.find(m.Route)
	if err != nil {
		return Permanent(err)
	}
	ctx, cancel := context.WithTimeout(c.running, c.tube.Timeout)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- call(ctx, f, &Job{job, m}) }()
	renew := time.NewTicker(max(job.TTR/3, time.Millisecond))
	defer renew.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-renew.C:
			if ctx.Err() == nil && errors.Is(c.runtime.queue.Touch(job.ID, job.Lease), broker.ErrNotFound) {
				cancel() // the lease is lost: somebody else has the job
			}
		}
	}
}

// call runs a function and turns a panic into an error.
func call(ctx context.Context, f Function, j *Job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			panics.Inc()
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f(ctx, j)
}

// reasonMax bounds the reason of a buried job.
const reasonMax = 500

// settle tells the queue what became of a job. When that cannot be stored, the lease runs out and the job comes again.
func (c *consumer) settle(job broker.Job, err error) {
	q, result := c.runtime.queue, c.tube.judge(&job, err, c.running.Err() != nil)
	done := make(chan error, 1)
	answer := func(err error) { done <- err }
	switch result {
	case outcomeDone:
		q.Delete(job.ID, job.Lease, answer)
	case outcomeRetry:
		q.Release(job.ID, job.Lease, job.Priority, c.tube.backoff(job.Reserves-1), answer)
	case outcomeReturned:
		q.Release(job.ID, job.Lease, job.Priority, 0, answer)
	case outcomeBury:
		reason := err.Error()
		q.Bury(job.ID, job.Lease, job.Priority, reason[:min(len(reason), reasonMax)], answer)
	}
	c.metrics.results[result].Inc()
	if err != nil {
		c.runtime.log.Warn("worker: job failed", "tube", c.tube.Name, "job", job.ID, "try", job.Reserves, "then", result.String(), "error", err)
	}
	switch err := <-done; {
	case err == nil, errors.Is(err, broker.ErrClosed), errors.Is(err, broker.ErrBuried):
	case errors.Is(err, broker.ErrNotFound):
		c.runtime.log.Warn("worker: a job took longer than its lease, or was deleted", "tube", c.tube.Name, "job", job.ID)
	default:
		c.runtime.log.Error("worker: the end of a job was not stored; it will come again", "tube", c.tube.Name, "job", job.ID, "error", err)
	}
}
