package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gosper/broker"
)

// QueueLimits are options that the engines under test must have: the suite runs into them.
var QueueLimits = broker.QueueOptions{Tubes: map[string]broker.TubeLimits{
	"limit.jobs":     {Jobs: 3},
	"limit.reserves": {Reserves: 2},
	"limit.timeouts": {Timeouts: 1},
}}

// RunQueue checks that open returns engines that keep the promises of broker.Queue. They are opened with QueueLimits. Cases
// named in except are left out: those whose order an engine of several nodes does not keep between them.
func RunQueue(t *testing.T, open func(t *testing.T) broker.Queue, except ...string) {
	cases := []struct {
		name string
		run  func(*testing.T, broker.Queue, string)
	}{
		{"PutReserveDelete", queueCycle},
		{"Order", queueOrder},
		{"Tubes", queueTubes},
		{"Waiting", queueWaiting},
		{"Cancel", queueCancel},
		{"Tokens", queueTokens},
		{"Release", queueRelease},
		{"Bury", queueBury},
		{"Kick", queueKick},
		{"Delay", queueDelay},
		{"Expiry", queueExpiry},
		{"DeadlineSoon", queueDeadlineSoon},
		{"EndOwner", queueEndOwner},
		{"ReserveByID", queueReserveID},
		{"Unique", queueUnique},
		{"Pause", queuePause},
		{"List", queueList},
		{"Stats", queueStats},
		{"Limits", queueLimits},
		{"Drain", queueDrain},
		{"Competition", queueCompetition},
		{"BadInput", queueBadInput},
	}
	for _, c := range cases {
		if slices.Contains(except, c.name) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t), unique("q"))
		})
	}
}

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

func queueCycle(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	v.empty(1, tube)
	before := time.Now().Add(-time.Second)
	id := v.Put(tube, "body", 7, 0)
	j := v.state(id, broker.JobReady)
	if j.ID != id || j.Tube != tube || string(j.Body) != "body" || j.Priority != 7 || j.TTR != time.Minute || j.Lease != 0 || j.Created.Before(before) {
		t.Fatalf("%+v", j)
	}
	j.Body[0] = 'X'
	r := v.next(1, "body", tube)
	if r.ID != id || r.State != broker.JobReserved || r.Lease == 0 || r.Reserves != 1 || time.Until(r.Due) > time.Minute {
		t.Fatalf("%+v", r)
	}
	v.state(id, broker.JobReserved)
	v.empty(2, tube)
	must(t, v.Delete(id, r.Lease))
	_, err := q.Peek(within(t), id)
	wants(t, err, broker.ErrNotFound)
	wants(t, v.Delete(id, r.Lease), broker.ErrNotFound)
	wants(t, v.Delete(id, 0), broker.ErrNotFound)
	other := v.Put(tube, "", 0, 0)
	if other <= id {
		t.Fatalf("id %d after %d", other, id)
	}
	must(t, v.Delete(other, 0))
	v.empty(1, tube)
	if slices.Contains(q.Tubes(), tube) {
		t.Error("an empty tube exists")
	}
}

// queueOrder puts jobs of random priorities: they come by priority, then in the order they were put.
func queueOrder(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	var want []string
	for i := range 300 {
		priority := uint32(i*7919%13) * 400
		body := fmt.Sprintf("%05d %03d", priority, i)
		v.Put(tube, body, priority, 0)
		want = append(want, body)
	}
	slices.Sort(want)
	for _, body := range want {
		j := v.next(1, body, tube)
		must(t, v.Delete(j.ID, j.Lease))
	}
	v.empty(1, tube)
}

func queueTubes(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	a, b := tube+"a", tube+"b"
	v.Put(b, "b5", 5, 0)
	v.Put(a, "a9", 9, 0)
	v.Put(a, "a1", 1, 0)
	v.Put(b, "b1", 1, 0)
	if names := q.Tubes(); !slices.Contains(names, a) || !slices.Contains(names, b) || !slices.IsSorted(names) {
		t.Errorf("tubes %v", names)
	}
	for _, body := range []string{"a1", "b1", "b5", "a9"} {
		v.next(1, body, a, b, a)
	}
	v.empty(1, a, b)
}

// queueWaiting lets two wait; jobs go to them in the order they came, also when they wait for several tubes.
func queueWaiting(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	got := make(chan string, 4)
	wait := func(name string, tubes ...string) {
		q.Reserve(broker.Reservation{Owner: 1, Tubes: tubes, Wait: -1, Got: func(j broker.Job, err error) {
			got <- fmt.Sprint(name, ":", string(j.Body), err)
		}})
	}
	wait("first", tube+"a", tube+"b")
	wait("second", tube+"b", tube+"a")
	if s, err := q.Stats(tube + "b"); err != nil || s.Waiting != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	v.Put(tube+"b", "1", 0, 0)
	v.Put(tube+"a", "2", 0, 0)
	for _, want := range []string{"first:1<nil>", "second:2<nil>"} {
		select {
		case s := <-got:
			if s != want {
				t.Errorf("got %s, want %s", s, want)
			}
		case <-within(t).Done():
			t.Fatal("nobody got the job")
		}
	}
	_, err := v.ReserveWait(1, 20*time.Millisecond, tube+"a")
	wants(t, err, broker.ErrNotFound)
	j, err := answer(t, func(done func(broker.Job, error)) {
		q.Reserve(broker.Reservation{Owner: 2, Tubes: []string{tube}, Wait: time.Minute, Got: done})
		v.Put(tube, "late", 0, 0)
	})
	if err != nil || string(j.Body) != "late" {
		t.Fatal(string(j.Body), err)
	}
}

func queueCancel(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	var cancel func()
	_, err := answer(t, func(done func(broker.Job, error)) {
		cancel = q.Reserve(broker.Reservation{Owner: 1, Tubes: []string{tube}, Wait: -1, Got: done})
		cancel()
	})
	wants(t, err, context.Canceled)
	cancel()
	v.Put(tube, "x", 0, 0)
	v.next(2, "x", tube)
	_, err = answer(t, func(done func(broker.Job, error)) {
		q.Reserve(broker.Reservation{Owner: 3, Tubes: []string{tube}, Wait: -1, Got: done})
		q.EndOwner(3)
	})
	wants(t, err, context.Canceled)
}

// queueTokens uses a lease that is over: whoever has the job now is not disturbed.
func queueTokens(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	id := v.Put(tube, "x", 0, 0)
	wants(t, v.Delete(id, 12345), broker.ErrNotFound)
	first := v.next(1, "x", tube)
	must(t, v.Release(id, first.Lease, 0, 0))
	second := v.next(2, "x", tube)
	if second.Lease <= first.Lease {
		t.Errorf("token %d after %d", second.Lease, first.Lease)
	}
	wants(t, v.Delete(id, first.Lease), broker.ErrNotFound)
	wants(t, v.Delete(id, 0), broker.ErrNotFound)
	wants(t, v.Release(id, first.Lease, 0, 0), broker.ErrNotFound)
	wants(t, v.Release(id, 0, 0, 0), broker.ErrNotFound)
	wants(t, v.Bury(id, first.Lease, 0, ""), broker.ErrNotFound)
	wants(t, v.Bury(id, 0, 0, ""), broker.ErrNotFound)
	wants(t, q.Touch(id, first.Lease), broker.ErrNotFound)
	wants(t, q.Touch(id, 0), broker.ErrNotFound)
	wants(t, v.KickJob(id), broker.ErrNotFound)
	must(t, q.Touch(id, second.Lease))
	must(t, v.Delete(id, second.Lease))
}

func queueRelease(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	a, b := v.Put(tube, "a", 5, 0), v.Put(tube, "b", 5, 0)
	j := v.next(1, "a", tube)
	must(t, v.Release(a, j.Lease, 9, 0))
	j = v.next(1, "b", tube)
	must(t, v.Release(b, j.Lease, 5, 0))
	v.next(1, "b", tube)
	j = v.next(1, "a", tube)
	if j.Releases != 1 || j.Reserves != 2 || j.Priority != 9 {
		t.Errorf("%+v", j)
	}
	releases := j.Releases
	inTime(t, 300*time.Millisecond, func(delay time.Duration) error {
		must(t, v.Release(a, j.Lease, 1, delay))
		releases++
		d, peekErr := q.Peek(within(t), a)
		left := time.Until(d.Due)
		var err error
		if j, err = v.ReserveWait(1, patience, tube); err != nil || j.ID != a || j.Priority != 1 || j.Releases != releases {
			t.Fatal(j, err)
		}
		if peekErr != nil || d.State != broker.JobDelayed || d.Delay != delay || left > delay+time.Millisecond {
			return fmt.Errorf("%+v, %w", d, peekErr)
		}
		return nil
	})
}

func queueBury(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	id := v.Put(tube, "a", 5, 0)
	j := v.next(1, "a", tube)
	must(t, v.Bury(id, j.Lease, 3, "it would not open"))
	b := v.state(id, broker.JobBuried)
	if b.Reason != "it would not open" || b.Buries != 1 || b.Priority != 3 || b.Reserves != 1 {
		t.Errorf("%+v", b)
	}
	v.empty(1, tube)
	if p, err := q.PeekTube(within(t), tube, broker.JobBuried); err != nil || p.ID != id {
		t.Error(p, err)
	}
	must(t, v.KickJob(id))
	wants(t, v.KickJob(id), broker.ErrNotFound)
	if r := v.state(id, broker.JobReady); r.Kicks != 1 || r.Reason != "" {
		t.Errorf("%+v", r)
	}
	j = v.next(1, "a", tube)
	must(t, v.Bury(id, j.Lease, 3, strings.Repeat("x", 5000)))
	must(t, v.Delete(id, 0))
	wants(t, v.KickJob(id), broker.ErrNotFound)
}

// queueKick kicks buried jobs first, and delayed ones only when none is buried.
func queueKick(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	if n := v.Kick(tube, 10); n != 0 {
		t.Fatal(n)
	}
	var ids []uint64
	for i := range 5 {
		ids = append(ids, v.Put(tube, fmt.Sprint("b", i), 0, 0))
		j := v.next(1, fmt.Sprint("b", i), tube)
		must(t, v.Bury(j.ID, j.Lease, 0, ""))
	}
	soon, later := v.Put(tube, "soon", 1, time.Hour), v.Put(tube, "later", 1, 2*time.Hour)
	if n := v.Kick(tube, 3); n != 3 {
		t.Errorf("kicked %d", n)
	}
	for i, id := range ids {
		want := broker.JobReady
		if i >= 3 {
			want = broker.JobBuried
		}
		v.state(id, want)
	}
	if n := v.Kick(tube, 100); n != 2 {
		t.Errorf("kicked %d", n)
	}
	v.state(later, broker.JobDelayed)
	if n := v.Kick(tube, 1); n != 1 {
		t.Errorf("kicked %d", n)
	}
	v.state(soon, broker.JobReady)
	v.state(later, broker.JobDelayed)
	must(t, v.KickJob(later))
	for i := range 5 {
		v.next(1, fmt.Sprint("b", i), tube)
	}
	v.next(1, "soon", tube)
	v.next(1, "later", tube)
}

func queueDelay(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	far := v.Put(tube, "far", 0, 100*365*24*time.Hour)
	inTime(t, 300*time.Millisecond, func(delay time.Duration) error {
		start := time.Now()
		ids := []uint64{v.Put(tube, "second", 0, 2*delay), v.Put(tube, "first", 9, delay)}
		tooEarly, err := v.Reserve(1, tube)
		if !errors.Is(err, broker.ErrNotFound) {
			q.EndOwner(1)
			for _, id := range ids {
				eventually(t, "the job can be deleted", func() bool { return v.Delete(id, 0) == nil })
			}
			return fmt.Errorf("reserved %+v, %w", tooEarly, err)
		}
		for i, want := range []string{"first", "second"} {
			j, err := v.ReserveWait(1, patience, tube)
			if err != nil || string(j.Body) != want {
				t.Fatal(string(j.Body), err)
			}
			if early := time.Duration(i+1)*delay - time.Since(start); early > 0 {
				t.Errorf("%s came %s early", want, early)
			}
		}
		return nil
	})
	v.state(far, broker.JobDelayed)
	must(t, v.Delete(far, 0))
}

func queueExpiry(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	id, err := v.TryPut(tube, "x", broker.PutOptions{TTR: time.Nanosecond}) // counts as a second
	must(t, err)
	first := v.next(1, "x", tube)
	if first.TTR != time.Second {
		t.Errorf("time to run is %s", first.TTR)
	}
	second, err := v.ReserveWait(2, patience, tube)
	if err != nil || second.ID != id || second.Timeouts != 1 || second.Reserves != 2 || time.Now().Before(first.Due) {
		t.Fatalf("%+v, %v", second, err)
	}
	wants(t, v.Delete(id, first.Lease), broker.ErrNotFound)
	for err = v.Delete(id, second.Lease); err != nil && time.Now().After(second.Due); err = v.Delete(id, second.Lease) {
		second, err = v.ReserveWait(2, patience, tube) // the machine took longer than the second
		must(t, err)
	}
	must(t, err)
}

func queueDeadlineSoon(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	_, err := v.TryPut(tube, "x", broker.PutOptions{TTR: 2 * time.Second})
	must(t, err)
	var j broker.Job
	for { // again when the machine took longer than the second before the end
		j, err = v.ReserveWait(1, patience, tube)
		must(t, err)
		_, waited := v.ReserveWait(1, -1, tube+"other")
		_, asked := v.Reserve(1, tube+"other")
		if time.Now().After(j.Due) {
			continue
		}
		wants(t, waited, broker.ErrDeadlineSoon)
		wants(t, asked, broker.ErrDeadlineSoon)
		break
	}
	v.empty(2, tube+"other")
	if err := v.Delete(j.ID, j.Lease); !time.Now().After(j.Due) {
		must(t, err)
	}
	v.empty(1, tube+"other")
}

func queueEndOwner(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	a := v.Put(tube, "a", 0, 0)
	v.Put(tube, "b", 0, 0)
	lost := v.next(1, "a", tube)
	v.next(2, "b", tube)
	q.EndOwner(1)
	j, err := v.ReserveWait(3, patience, tube)
	if err != nil || j.ID != a || j.Reserves != 2 || j.Timeouts != 0 {
		t.Fatalf("%+v, %v", j, err)
	}
	wants(t, v.Delete(a, lost.Lease), broker.ErrNotFound)
	v.empty(3, tube)
	q.EndOwner(99)
}

func queueReserveID(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	ready, delayed, buried := v.Put(tube, "r", 0, 0), v.Put(tube, "d", 0, time.Hour), v.Put(tube, "b", 0, 0)
	b, err := v.ReserveID(1, buried)
	must(t, err)
	must(t, v.Bury(buried, b.Lease, 0, "why"))
	for _, id := range []uint64{ready, delayed, buried} {
		j, err := v.ReserveID(1, id)
		if err != nil || j.ID != id || j.State != broker.JobReserved {
			t.Fatalf("%+v, %v", j, err)
		}
		_, err = v.ReserveID(2, id)
		wants(t, err, broker.ErrNotFound)
	}
	v.empty(1, tube)
	q.EndOwner(1)
	for _, body := range []string{"r", "d", "b"} {
		j, err := v.ReserveWait(2, patience, tube)
		if err != nil || string(j.Body) != body {
			t.Fatalf("%+v, %v", j, err)
		}
	}
	_, err = v.ReserveID(1, 1<<60)
	wants(t, err, broker.ErrNotFound)
}

func queueUnique(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	put := func(tube string) (uint64, error) {
		return v.TryPut(tube, "x", broker.PutOptions{Unique: "order 1", TTR: time.Minute})
	}
	first, err := put(tube)
	must(t, err)
	again, err := put(tube)
	wants(t, err, broker.ErrExists)
	if again != first {
		t.Errorf("job %d, want %d", again, first)
	}
	other, err := put(tube + "2")
	if err != nil || other == first {
		t.Fatal(other, err)
	}
	j := v.next(1, "x", tube)
	if again, err = put(tube); again != first || !errors.Is(err, broker.ErrExists) {
		t.Fatal(again, err)
	}
	must(t, v.Bury(j.ID, j.Lease, 0, ""))
	if again, err = put(tube); again != first || !errors.Is(err, broker.ErrExists) {
		t.Fatal(again, err)
	}
	must(t, v.Delete(first, 0))
	next, err := put(tube)
	if err != nil || next == first {
		t.Fatal(next, err)
	}
	var mu sync.Mutex
	made := 0
	race(20, func(int) {
		id, err := v.TryPut(tube, "x", broker.PutOptions{Unique: "order 2"})
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			made++
		} else if !errors.Is(err, broker.ErrExists) || id == 0 {
			t.Error(id, err)
		}
	})
	if made != 1 {
		t.Errorf("%d of 20 equal jobs were made", made)
	}
}

func queuePause(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	wants(t, q.Pause(tube, time.Second), broker.ErrNotFound)
	v.Put(tube, "x", 0, 0)
	inTime(t, 400*time.Millisecond, func(pause time.Duration) error {
		start := time.Now()
		must(t, q.Pause(tube, pause))
		early, earlyErr := v.Reserve(1, tube)
		if earlyErr == nil {
			must(t, v.Release(early.ID, early.Lease, 0, 0))
			return fmt.Errorf("reserved %+v in a tube that pauses", early)
		}
		s, err := q.Stats(tube)
		if err != nil || s.PausedFor != pause || s.PauseLeft <= 0 {
			return fmt.Errorf("%+v, %w", s, err)
		}
		j, err := v.ReserveWait(1, patience, tube)
		if err != nil || time.Since(start) < pause-time.Millisecond {
			t.Fatal(err, time.Since(start))
		}
		must(t, v.Release(j.ID, j.Lease, 0, 0))
		return nil
	})
	must(t, q.Pause(tube, time.Hour))
	_, err := answer(t, func(done func(broker.Job, error)) {
		q.Reserve(broker.Reservation{Owner: 1, Tubes: []string{tube}, Wait: -1, Got: done})
		must(t, q.Pause(tube, 0))
	})
	must(t, err)
}

func queueList(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	states := []broker.JobState{broker.JobReady, broker.JobReserved, broker.JobDelayed, broker.JobBuried}
	want := make(map[broker.JobState][]uint64)
	for i := range 24 {
		s := states[i%4]
		delay := time.Duration(0)
		if s == broker.JobDelayed {
			delay = time.Hour - time.Duration(i)*time.Minute
		}
		id := v.Put(tube, fmt.Sprint(i), uint32(100-i), delay)
		want[s] = append(want[s], id)
		if s == broker.JobReserved || s == broker.JobBuried {
			j, err := v.ReserveID(1, id)
			must(t, err)
			if s == broker.JobBuried {
				must(t, v.Bury(id, j.Lease, 0, ""))
			}
		}
	}
	ids := func(s broker.JobState, after uint64, limit int) (ids []uint64) {
		found, err := q.ListJobs(within(t), tube, s, after, limit)
		must(t, err)
		for _, j := range found {
			if j.State != s || j.Tube != tube {
				t.Errorf("%+v", j)
			}
			ids = append(ids, j.ID)
		}
		return ids
	}
	for _, s := range states {
		if got := ids(s, 0, 100); !slices.Equal(got, want[s]) {
			t.Errorf("%s: %v, want %v", s, got, want[s])
		}
		if got := ids(s, want[s][1], 2); !slices.Equal(got, want[s][2:4]) {
			t.Errorf("%s: %v, want %v", s, got, want[s][2:4])
		}
		if got := ids(s, 0, 0); len(got) != 0 {
			t.Errorf("%s: %v", s, got)
		}
		p, err := q.PeekTube(within(t), tube, s)
		must(t, err)
		next := want[s][0]
		if s == broker.JobReady || s == broker.JobDelayed {
			next = want[s][5] // the most urgent, the soonest
		}
		if p.ID != next {
			t.Errorf("the next %s job is %d, want %d", s, p.ID, next)
		}
	}
	_, err := q.PeekTube(within(t), tube+"none", broker.JobReady)
	wants(t, err, broker.ErrNotFound)
}

func queueStats(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	_, err := q.Stats(tube)
	wants(t, err, broker.ErrNotFound)
	v.Put(tube, "urgent", 1023, 0)
	v.Put(tube, "ready", 1024, 0)
	v.Put(tube, "delayed", 0, time.Hour)
	a, b := v.Put(tube, "a", 0, 0), v.Put(tube, "b", 1, 0)
	ja, jb := v.next(1, "a", tube), v.next(1, "b", tube)
	must(t, v.Bury(a, ja.Lease, 0, ""))
	s, err := q.Stats(tube)
	must(t, err)
	s.Oldest = 0
	if want := (broker.TubeStats{Tube: tube, Urgent: 1, Ready: 2, Reserved: 1, Delayed: 1, Buried: 1, Puts: 5}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	must(t, v.Delete(b, jb.Lease))
	v.Kick(tube, 1)
	if s, err = q.Stats(tube); err != nil || s.Deletes != 1 || s.Kicks != 1 || s.Ready != 3 || s.Urgent != 2 || s.Reserved != 0 || s.Oldest < 0 || s.Oldest > patience {
		t.Errorf("%+v, %v", s, err)
	}
}

// queueLimits runs into the limits of QueueLimits.
func queueLimits(t *testing.T, q broker.Queue, _ string) {
	v := Verbs{t, q}
	for range 3 {
		v.Put("limit.jobs", "x", 0, 0)
	}
	_, err := v.TryPut("limit.jobs", "x", broker.PutOptions{})
	wants(t, err, broker.ErrTubeFull)
	j := v.next(1, "x", "limit.jobs")
	must(t, v.Delete(j.ID, j.Lease))
	v.Put("limit.jobs", "x", 0, 0)

	id := v.Put("limit.reserves", "x", 0, 0)
	j = v.next(1, "x", "limit.reserves")
	must(t, v.Release(id, j.Lease, 0, 0))
	j = v.next(1, "x", "limit.reserves")
	wants(t, v.Release(id, j.Lease, 0, 0), broker.ErrBuried)
	if b := v.state(id, broker.JobBuried); !strings.Contains(b.Reason, "reserved 2 times") {
		t.Errorf("%+v", b)
	}
	must(t, v.KickJob(id))
	v.next(5, "x", "limit.reserves")
	q.EndOwner(5)
	eventually(t, "the job is buried again", func() bool {
		j, err := q.Peek(within(t), id)
		return err == nil && j.State == broker.JobBuried
	})

	id, err = v.TryPut("limit.timeouts", "x", broker.PutOptions{TTR: time.Second})
	must(t, err)
	v.next(1, "x", "limit.timeouts")
	eventually(t, "the job is buried", func() bool {
		j, err := q.Peek(within(t), id)
		return err == nil && j.State == broker.JobBuried && strings.Contains(j.Reason, "timed out 1 times")
	})
}

func queueDrain(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	v.Put(tube, "x", 0, 0)
	q.Drain(true)
	_, err := v.TryPut(tube, "y", broker.PutOptions{})
	wants(t, err, broker.ErrDraining)
	j := v.next(1, "x", tube)
	must(t, v.Delete(j.ID, j.Lease))
	q.Drain(false)
	v.Put(tube, "y", 0, 0)
}

// queueCompetition lets producers and consumers work at once: every job is deleted exactly once.
func queueCompetition(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	const producers, consumers, each = 4, 8, 100
	var mu sync.Mutex
	done := make(map[uint64]int)
	var work sync.WaitGroup
	for c := range consumers {
		work.Go(func() {
			for i := 0; ; i++ {
				j, err := v.ReserveWait(uint64(c+1), -1, tube)
				if err != nil || string(j.Body) == "stop" {
					return
				}
				if (c+i)%10 == 0 {
					err = v.Release(j.ID, j.Lease, j.Priority, 0)
				} else if err = v.Delete(j.ID, j.Lease); err == nil {
					mu.Lock()
					done[j.ID]++
					mu.Unlock()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	race(producers, func(p int) {
		for i := range each {
			v.Put(tube, fmt.Sprint(p, i), uint32(i%3), 0)
		}
	})
	eventually(t, "all jobs are done", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(done) == producers*each
	})
	for range consumers {
		v.Put(tube, "stop", 9, 0)
	}
	work.Wait()
	for id, n := range done {
		if n != 1 {
			t.Errorf("job %d was deleted %d times", id, n)
		}
	}
}

func queueBadInput(t *testing.T, q broker.Queue, tube string) {
	v := Verbs{t, q}
	for _, bad := range []string{"", "a\nb", "\xff", strings.Repeat("x", broker.MaxTube+1)} {
		_, err := v.TryPut(bad, "x", broker.PutOptions{})
		wants(t, err, broker.ErrBadName)
		_, err = v.Reserve(1, tube, bad)
		wants(t, err, broker.ErrBadName)
		wants(t, q.Pause(bad, 1), broker.ErrNotFound)
	}
	_, err := v.Reserve(1)
	wants(t, err, broker.ErrBadName)
	_, err = v.TryPut(tube, "x", broker.PutOptions{Unique: strings.Repeat("x", broker.MaxUnique+1)})
	wants(t, err, broker.ErrBadName)
	_, err = v.TryPut(tube, strings.Repeat("x", 65536), broker.PutOptions{})
	wants(t, err, broker.ErrTooBig)
	id, err := v.TryPut(tube, strings.Repeat("x", 65535), broker.PutOptions{Delay: -time.Second, TTR: -time.Second})
	must(t, err)
	if j := v.state(id, broker.JobReady); j.TTR != time.Second || j.Delay != 0 {
		t.Errorf("%+v", j)
	}
	if n := v.Kick(tube, -5); n != 0 {
		t.Errorf("kicked %d", n)
	}
	wants(t, v.Delete(0, 0), broker.ErrNotFound)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = q.Peek(ended, id)
	wants(t, err, context.Canceled)
	_, err = q.ListJobs(ended, tube, broker.JobReady, 0, 1)
	wants(t, err, context.Canceled)
}
