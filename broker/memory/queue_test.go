package memory_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gosper/broker"
	"gosper/broker/brokertest"
	"gosper/broker/memory"
)

// TestQueueTime lets hours pass in a bubble: leases end at their time and not before, touches prolong them, delays and
// pauses end to the millisecond, and the warning comes a second before the end of a lease.
func TestQueueTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := memory.NewQueue(broker.QueueOptions{})
		defer q.Close()
		v := brokertest.Verbs{T: t, Q: q}
		start := time.Now()
		at := func(what string, want time.Duration) {
			t.Helper()
			if got := time.Since(start); got != want {
				t.Errorf("%s after %s, want %s", what, got, want)
			}
		}
		id, _ := v.TryPut("a", "x", broker.PutOptions{TTR: 2 * time.Hour, Delay: time.Hour})
		got := make(chan error, 1)
		reserve := func(owner uint64) (job broker.Job, err error) {
			q.Reserve(broker.Reservation{Owner: owner, Tubes: []string{"a"}, Wait: -1, Got: func(j broker.Job, e error) { job = j; got <- e }})
			err = <-got
			return job, err
		}
		job, err := reserve(1)
		if err != nil || job.ID != id {
			t.Fatal(err)
		}
		at("the delayed job came", time.Hour)
		time.Sleep(time.Hour)
		if err := q.Touch(id, job.Lease); err != nil {
			t.Fatal(err)
		}
		if _, err := reserve(1); !errors.Is(err, broker.ErrDeadlineSoon) {
			t.Error(err)
		}
		at("the warning came", 4*time.Hour-time.Second)
		if again, err := reserve(2); err != nil || again.Timeouts != 1 {
			t.Error(again, err)
		}
		at("the job came again", 4*time.Hour)
		if err := v.Delete(id, job.Lease); !errors.Is(err, broker.ErrNotFound) {
			t.Error(err)
		}
		v.Put("a", "y", 0, 0)
		if err := q.Pause("a", 90*time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, err := reserve(3); err != nil {
			t.Error(err)
		}
		at("the pause ended", 5*time.Hour+30*time.Minute)
	})
}
