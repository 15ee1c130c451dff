package nats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/jobs"
)

// movedJobs are jobs in every state that rests, some changed since they were put, some large.
func movedJobs() (all []jobs.Moved) {
	long := time.UnixMilli(1_700_000_000_000)
	for i := range 600 {
		m := jobs.Moved{Job: broker.Job{ID: uint64(10 + 7*i), Tube: fmt.Sprint("tube", i%3), Body: bytes.Repeat([]byte{byte(i)}, i*20+1), State: broker.JobReady,
			Priority: uint32(i % 4), TTR: time.Minute, Created: long.Add(time.Duration(i) * time.Second)}}
		switch i % 5 {
		case 1:
			m.State, m.Delay, m.Due = broker.JobDelayed, time.Hour, long.Add(time.Hour) // overdue for years
		case 2:
			m.State, m.Reason, m.Buries, m.Reserves = broker.JobBuried, "it broke", 1, 3
		case 3:
			m.Reserves, m.Timeouts, m.Releases, m.Kicks = 4, 3, 2, 1
		case 4:
			m.Unique = textHash(fmt.Sprint("only ", i))
		}
		all = append(all, m)
	}
	return all
}

func exported(t *testing.T, q *Queue) (all []jobs.Moved) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), moveWait)
	defer cancel()
	for after := uint64(0); ; {
		page, err := q.Export(ctx, after, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		after = page[len(page)-1].ID
	}
}

// Goal: jobs of another engine are here what they were there, also for the next leader, and their unique texts count.
// Method: jobs in all states come in while the clock stands still, with a cache too small for their bodies; the queue
// ends and another one reads the stream; then the clock runs, and clients put and reserve.
func TestImport(t *testing.T) {
	t.Parallel()
	url, space := start(t, t.TempDir(), -1).ClientURL(), newSpace()
	frozen := broker.QueueOptions{Now: jobs.Frozen, Cache: 64 << 10}
	q := queueWith(t, Options{URL: url}, frozen, space)
	want := movedJobs()
	for _, part := range [][]jobs.Moved{want[:1], want[1:400], want[400:]} {
		if err := q.Import(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	same := func(q *Queue) {
		t.Helper()
		got := exported(t, q)
		if len(got) != len(want) {
			t.Fatalf("%d jobs, want %d", len(got), len(want))
		}
		for i := range got {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Fatalf("job %d is %+v, want %+v", i, got[i].Job, want[i].Job)
			}
		}
	}
	same(q)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = queueWith(t, Options{URL: url}, frozen, space)
	same(q)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}

	q = queueWith(t, Options{URL: url}, broker.QueueOptions{}, space)
	twice := make(chan error, 1)
	q.Put("tube1", nil, broker.PutOptions{Unique: "only 4"}, func(_ uint64, err error) { twice <- err })
	if err := <-twice; !errors.Is(err, broker.ErrExists) {
		t.Errorf("a text that a moved job has: %v", err)
	}
	got := make(chan broker.Job, 1)
	q.Reserve(broker.Reservation{Owner: 1, Tubes: []string{"tube1"}, Wait: -1, Got: func(j broker.Job, _ error) { got <- j }})
	j := <-got
	if j.Priority != 0 {
		t.Errorf("reserved %+v", j)
	}
	gone := make(chan error, 1)
	q.Delete(j.ID, j.Lease, func(err error) { gone <- err })
	if err := <-gone; err != nil {
		t.Error(err)
	}
	if left := exported(t, q); len(left) != len(want)-1 {
		t.Errorf("%d jobs are left", len(left))
	}
}

// Goal: only who leads takes jobs from elsewhere. Method: two queues of one space; the context ends.
func TestImportElsewhere(t *testing.T) {
	t.Parallel()
	url, space := start(t, t.TempDir(), -1).ClientURL(), newSpace()
	first := queueAt(t, url, space)
	exported(t, first) // it leads
	second := queueAt(t, url, space)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := second.Import(ctx, movedJobs()[:1]); !errors.Is(err, broker.ErrBusy) {
		t.Error(err)
	}
}
