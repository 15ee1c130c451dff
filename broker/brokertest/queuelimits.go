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
