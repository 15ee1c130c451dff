package brokertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
		again := func(j broker.Job, err error) error {
			q.EndOwner(1)
			for _, id := range ids {
				eventually(t, "the job can be deleted", func() bool { return v.Delete(id, 0) == nil })
			}
			return fmt.Errorf("reserved %+v, %w", j, err)
		}
		if tooEarly, err := v.Reserve(1, tube); !errors.Is(err, broker.ErrNotFound) {
			return again(tooEarly, err)
		}
		for i, want := range []string{"first", "second"} {
			j, err := v.ReserveWait(1, patience, tube)
			must(t, err)
			if string(j.Body) != want { // both were due before anybody waited: the second is more urgent
				return again(j, err)
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
		_, waited := v.ReserveWait(1, patience, tube+"other") // not for ever: the job may be lost by now
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
