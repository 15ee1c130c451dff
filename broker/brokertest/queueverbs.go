package brokertest

import (
	"errors"
	"testing"
	"time"

	"gosper/broker"
)

// answer waits for a done of any kind.
func answer[T any](t *testing.T, start func(done func(T, error))) (T, error) {
	t.Helper()
	type reply struct {
		value T
		err   error
	}
	done := make(chan reply, 2)
	start(func(v T, err error) { done <- reply{v, err} })
	select {
	case r := <-done:
		return r.value, r.err
	case <-within(t).Done():
		t.Fatal("no answer came")
		panic("not reached")
	}
}

// simple makes a done without a value one with.
func simple(start func(done func(error))) func(func(struct{}, error)) {
	return func(done func(struct{}, error)) { start(func(err error) { done(struct{}{}, err) }) }
}

// Verbs are the calls of a Queue that wait for their answers: what tests want.
type Verbs struct {
	T *testing.T
	Q broker.Queue
}

// Put puts a job with the default TTR.
func (v Verbs) Put(tube, body string, priority uint32, delay time.Duration) uint64 {
	v.T.Helper()
	id, err := v.TryPut(tube, body, broker.PutOptions{Priority: priority, Delay: delay, TTR: time.Minute})
	must(v.T, err)
	return id
}

// TryPut is Put with all options and the error.
func (v Verbs) TryPut(tube, body string, o broker.PutOptions) (uint64, error) {
	v.T.Helper()
	return answer(v.T, func(done func(uint64, error)) { v.Q.Put(tube, []byte(body), o, done) })
}

// Reserve reserves without waiting.
func (v Verbs) Reserve(owner uint64, tubes ...string) (broker.Job, error) {
	v.T.Helper()
	return v.ReserveWait(owner, 0, tubes...)
}

// ReserveWait reserves with a time to wait.
func (v Verbs) ReserveWait(owner uint64, wait time.Duration, tubes ...string) (broker.Job, error) {
	v.T.Helper()
	return answer(v.T, func(done func(broker.Job, error)) {
		v.Q.Reserve(broker.Reservation{Owner: owner, Tubes: tubes, Wait: wait, Got: done})
	})
}

// ReserveID reserves a certain job.
func (v Verbs) ReserveID(owner, id uint64) (broker.Job, error) {
	v.T.Helper()
	return answer(v.T, func(done func(broker.Job, error)) {
		v.Q.Reserve(broker.Reservation{Owner: owner, ID: id, Got: done})
	})
}

// Delete deletes a job.
func (v Verbs) Delete(id, lease uint64) error {
	v.T.Helper()
	_, err := answer(v.T, simple(func(done func(error)) { v.Q.Delete(id, lease, done) }))
	return err
}

// Release gives a job back.
func (v Verbs) Release(id, lease uint64, priority uint32, delay time.Duration) error {
	v.T.Helper()
	_, err := answer(v.T, simple(func(done func(error)) { v.Q.Release(id, lease, priority, delay, done) }))
	return err
}

// Bury buries a job.
func (v Verbs) Bury(id, lease uint64, priority uint32, reason string) error {
	v.T.Helper()
	_, err := answer(v.T, simple(func(done func(error)) { v.Q.Bury(id, lease, priority, reason, done) }))
	return err
}

// KickJob kicks one job.
func (v Verbs) KickJob(id uint64) error {
	v.T.Helper()
	_, err := answer(v.T, simple(func(done func(error)) { v.Q.KickJob(id, done) }))
	return err
}

// Kick kicks jobs of a tube.
func (v Verbs) Kick(tube string, bound int) int {
	v.T.Helper()
	n, err := answer(v.T, func(done func(int, error)) { v.Q.Kick(tube, bound, done) })
	must(v.T, err)
	return n
}

// next reserves a job, which must be there, and fails unless it has the body.
func (v Verbs) next(owner uint64, body string, tubes ...string) broker.Job {
	v.T.Helper()
	j, err := v.Reserve(owner, tubes...)
	if err != nil || string(j.Body) != body {
		v.T.Fatalf("reserved %q, %v; want %q", j.Body, err, body)
	}
	return j
}

// empty fails unless no job of the tubes is ready.
func (v Verbs) empty(owner uint64, tubes ...string) {
	v.T.Helper()
	j, err := v.Reserve(owner, tubes...)
	if !errors.Is(err, broker.ErrNotFound) {
		v.T.Fatalf("reserved %+v, %v", j, err)
	}
}

// state fails unless the job is in that state.
func (v Verbs) state(id uint64, want broker.JobState) broker.Job {
	v.T.Helper()
	j, err := v.Q.Peek(within(v.T), id)
	if err != nil || j.State != want {
		v.T.Fatalf("job %d is %s, %v; want %s", id, j.State, err, want)
	}
	return j
}
