package brokertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gosper/broker"
)

// Scheduler is an engine under test: a schedule and the queue its timers go to.
type Scheduler struct {
	broker.Schedule
	Queue broker.Queue
}

// RunSchedule checks that open returns engines that keep the promises of broker.Schedule.
func RunSchedule(t *testing.T, open func(t *testing.T) Scheduler) {
	cases := []struct {
		name string
		run  func(*testing.T, Scheduler, string)
	}{
		{"Fire", scheduleFire},
		{"Order", scheduleOrder},
		{"Replace", scheduleReplace},
		{"Cancel", scheduleCancel},
		{"Shift", scheduleShift},
		{"List", scheduleList},
		{"Unique", scheduleUnique},
		{"Storm", scheduleStorm},
		{"BadInput", scheduleBadInput},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, open(t), unique("t"))
		})
	}
}

// set sets a timer of a tube; its body is its key.
func set(t *testing.T, s Scheduler, tube, key string, due time.Time) {
	t.Helper()
	must(t, s.Set(within(t), broker.Timer{Key: key, Group: tube, Due: due, Tube: tube, Body: []byte(key), Put: broker.PutOptions{TTR: time.Minute}}))
}

// fires waits for the next job of the tube.
func fires(t *testing.T, s Scheduler, tube, want string) broker.Job {
	t.Helper()
	v := Verbs{t, s.Queue}
	j, err := v.ReserveWait(1, patience, tube)
	if err != nil || string(j.Body) != want {
		t.Fatalf("got %q, %v; want %q", j.Body, err, want)
	}
	must(t, v.Delete(j.ID, j.Lease))
	return j
}

func scheduleFire(t *testing.T, s Scheduler, tube string) {
	ctx := within(t)
	due := time.Now().Add(time.Hour)
	body := []byte("done")
	timer := broker.Timer{Key: tube + "k", Due: due, Tube: tube, Body: body, Put: broker.PutOptions{Priority: 7, TTR: 30 * time.Second, Delay: time.Hour}}
	must(t, s.Set(ctx, timer))
	body[0] = 'X'
	got, err := s.Get(ctx, tube+"k")
	if err != nil || string(got.Body) != "done" || got.Tube != tube || got.Due.Before(due) || got.Due.Sub(due) > time.Millisecond || got.Put.Priority != 7 {
		t.Fatalf("%+v, %v", got, err)
	}
	if s.Pending() != 1 {
		t.Errorf("%d pending", s.Pending())
	}
	timer.Due, timer.Body = time.Now().Add(300*time.Millisecond), []byte("done")
	must(t, s.Set(ctx, timer))
	j := fires(t, s, tube, "done")
	if time.Now().Before(timer.Due) || j.Priority != 7 || j.TTR != 30*time.Second || j.Delay != 0 {
		t.Errorf("%+v", j)
	}
	_, err = s.Get(ctx, tube+"k")
	wants(t, err, broker.ErrNotFound)
	Verbs{t, s.Queue}.empty(1, tube)
	if s.Pending() != 0 {
		t.Errorf("%d pending", s.Pending())
	}
	set(t, s, tube, tube+"past", time.Time{})
	fires(t, s, tube, tube+"past")
}

// scheduleOrder sets timers in another order than they are due, some at the same time.
func scheduleOrder(t *testing.T, s Scheduler, tube string) {
	start := time.Now()
	base := tube
	for margin := 100 * time.Millisecond; !time.Now().Before(start); margin *= 3 { // again when the machine was too slow
		tube = base + margin.String() // what fired already went elsewhere
		start = time.Now().Add(margin).Truncate(time.Millisecond)
		for _, i := range []int{7, 3, 9, 0, 5, 1, 8, 2, 6, 4} {
			set(t, s, tube, fmt.Sprint(i, "a"), start.Add(time.Duration(i)*3*time.Millisecond))
			set(t, s, tube, fmt.Sprint(i, "b"), start.Add(time.Duration(i)*3*time.Millisecond))
		}
	}
	for i := range 10 {
		fires(t, s, tube, fmt.Sprint(i, "a"))
		fires(t, s, tube, fmt.Sprint(i, "b"))
	}
}

func scheduleReplace(t *testing.T, s Scheduler, tube string) {
	ctx := within(t)
	key := tube + "k"
	set(t, s, tube, key, time.Now().Add(time.Hour))
	for _, d := range []time.Duration{2 * time.Hour, 20 * time.Millisecond} {
		must(t, s.Set(ctx, broker.Timer{Key: key, Due: time.Now().Add(d), Tube: tube, Body: []byte("new"), Put: broker.PutOptions{TTR: time.Minute}}))
		if n := s.Pending(); n != 1 && d > time.Hour {
			t.Errorf("%d pending", n)
		}
	}
	fires(t, s, tube, "new")
	set(t, s, tube, key, time.Now().Add(10*time.Millisecond))
	set(t, s, tube, key, time.Now().Add(time.Hour))
	set(t, s, tube, key+"2", time.Now().Add(30*time.Millisecond))
	if j, err := (Verbs{t, s.Queue}).ReserveWait(1, patience, tube); err != nil || string(j.Body) != key && string(j.Body) != key+"2" {
		t.Fatal(string(j.Body), err)
	}
}

func scheduleCancel(t *testing.T, s Scheduler, tube string) {
	ctx := within(t)
	wants(t, s.Cancel(ctx, tube), broker.ErrNotFound)
	set(t, s, tube, tube+"1", time.Now().Add(patience))
	set(t, s, tube, tube+"2", time.Now().Add(20*time.Millisecond))
	must(t, s.Cancel(ctx, tube+"1"))
	wants(t, s.Cancel(ctx, tube+"1"), broker.ErrNotFound)
	_, err := s.Get(ctx, tube+"1")
	wants(t, err, broker.ErrNotFound)
	fires(t, s, tube, tube+"2")
	wants(t, s.Cancel(ctx, tube+"2"), broker.ErrNotFound)
	// Of a cancel and a timer exactly one wins.
	fired := 0
	for i := range 50 {
		set(t, s, tube, tube, time.Now().Add(time.Duration(i%4)*time.Millisecond))
		err := s.Cancel(ctx, tube)
		if errors.Is(err, broker.ErrNotFound) {
			fired++
			fires(t, s, tube, tube)
		} else {
			must(t, err)
		}
	}
	Verbs{t, s.Queue}.empty(1, tube)
	t.Logf("%d of 50 fired", fired)
}

func scheduleShift(t *testing.T, s Scheduler, tube string) {
	ctx := within(t)
	base := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	for i := range 5 {
		set(t, s, tube, fmt.Sprint(tube, i), base.Add(time.Duration(i)*time.Minute))
	}
	must(t, s.Set(ctx, broker.Timer{Key: tube + "other", Group: tube + "0", Due: base.Add(time.Minute), Tube: tube}))
	n, err := s.Shift(ctx, tube, base.Add(time.Minute), -30*time.Second)
	if err != nil || n != 3 {
		t.Fatal(n, err)
	}
	for i, want := range []time.Duration{0, 60, 90, 150, 210} {
		got, err := s.Get(ctx, fmt.Sprint(tube, i))
		if err != nil || !got.Due.Equal(base.Add(want*time.Second)) || string(got.Body) != fmt.Sprint(tube, i) {
			t.Errorf("timer %d is due %s, %v", i, got.Due.Sub(base), err)
		}
	}
	if got, err := s.Get(ctx, tube+"other"); err != nil || !got.Due.Equal(base.Add(time.Minute)) {
		t.Errorf("%+v, %v", got, err)
	}
	n, err = s.Shift(ctx, tube, time.Time{}, 0)
	if err != nil || n != 5 || s.Pending() != 6 {
		t.Fatal(n, err, s.Pending())
	}
	n, err = s.Shift(ctx, tube+"none", time.Time{}, time.Hour)
	if err != nil || n != 0 {
		t.Fatal(n, err)
	}
	if _, err := s.Shift(ctx, tube, time.Time{}, -2*time.Hour); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		fires(t, s, tube, fmt.Sprint(tube, i))
	}
}

func scheduleList(t *testing.T, s Scheduler, tube string) {
	base := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	for _, i := range []int{4, 1, 3, 0, 2} {
		set(t, s, tube, fmt.Sprint(tube, i), base.Add(time.Duration(i)*time.Minute))
		set(t, s, tube+"x", fmt.Sprint(tube, "x", i), base.Add(time.Duration(i)*time.Minute))
	}
	list := func(group string, after time.Time, limit int) string {
		found, err := s.List(within(t), group, after, limit)
		must(t, err)
		var all []string
		for _, r := range found {
			if group != "" && r.Group != group {
				t.Errorf("%+v", r)
			}
			all = append(all, strings.TrimPrefix(r.Key, tube))
		}
		return strings.Join(all, " ")
	}
	for _, c := range []struct{ got, want string }{
		{list(tube, time.Time{}, 100), "0 1 2 3 4"},
		{list(tube, time.Time{}, 2), "0 1"},
		{list(tube, base.Add(time.Minute), 2), "2 3"},
		{list(tube, base.Add(time.Hour), 2), ""},
		{list("", base.Add(3*time.Minute), 2), "4 x4"},
		{list("", time.Time{}, 3), "0 x0 1"},
		{list(tube, time.Time{}, 0), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// scheduleUnique fires a timer whose job is there already: that is enough.
func scheduleUnique(t *testing.T, s Scheduler, tube string) {
	v := Verbs{t, s.Queue}
	_, err := v.TryPut(tube, "first", broker.PutOptions{Unique: "u", TTR: time.Minute})
	must(t, err)
	must(t, s.Set(within(t), broker.Timer{Key: tube, Due: time.Now(), Tube: tube, Body: []byte("second"), Put: broker.PutOptions{Unique: "u"}}))
	eventually(t, "the timer is gone", func() bool { return s.Pending() == 0 })
	fires(t, s, tube, "first")
	v.empty(1, tube)
}

// scheduleStorm lets many timers come due while others are set, shifted and cancelled: each fires once or was cancelled.
func scheduleStorm(t *testing.T, s Scheduler, tube string) {
	const workers, each = 8, 40
	var mu sync.Mutex
	cancelled := make(map[string]bool)
	race(workers, func(w int) {
		for i := range each {
			key := fmt.Sprintf("%s/%d/%d", tube, w, i)
			set(t, s, tube, key, time.Now().Add(time.Duration(i%7)*time.Millisecond))
			var err error
			switch i % 4 {
			case 0:
				if err = s.Cancel(within(t), key); err == nil {
					mu.Lock()
					cancelled[key] = true
					mu.Unlock()
				}
			case 1:
				_, err = s.Shift(within(t), tube, time.Time{}, time.Millisecond)
			}
			if err != nil && !errors.Is(err, broker.ErrNotFound) {
				t.Error(err)
			}
		}
	})
	fired := make(map[string]bool)
	v := Verbs{t, s.Queue}
	for len(fired)+len(cancelled) < workers*each {
		j, err := v.ReserveWait(1, patience, tube)
		if err != nil {
			t.Fatalf("%d fired, %d cancelled of %d: %v", len(fired), len(cancelled), workers*each, err)
		}
		if key := string(j.Body); fired[key] || cancelled[key] {
			t.Fatalf("%s fired twice, or was cancelled", key)
		}
		fired[string(j.Body)] = true
	}
	v.empty(1, tube)
	if s.Pending() != 0 {
		t.Errorf("%d pending", s.Pending())
	}
}

func scheduleBadInput(t *testing.T, s Scheduler, tube string) {
	ctx := within(t)
	for _, bad := range []broker.Timer{
		{Key: "", Tube: tube}, {Key: "a\nb", Tube: tube}, {Key: tube, Tube: ""}, {Key: tube, Tube: tube, Group: "\xff"},
		{Key: tube, Tube: strings.Repeat("x", broker.MaxTube+1)}, {Key: strings.Repeat("x", broker.MaxSubject+1), Tube: tube},
	} {
		wants(t, s.Set(ctx, bad), broker.ErrBadName)
	}
	wants(t, s.Set(ctx, broker.Timer{Key: tube, Tube: tube, Body: make([]byte, 65536)}), broker.ErrTooBig)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	wants(t, s.Set(ended, broker.Timer{Key: tube, Tube: tube}), context.Canceled)
	_, err := s.List(ended, "", time.Time{}, 1)
	wants(t, err, context.Canceled)
	if s.Pending() != 0 {
		t.Errorf("%d pending", s.Pending())
	}
}
