package nats

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/brokertest"
)

// spaces counts the spaces of tests: jobs of one test are not seen by another.
var spaces atomic.Uint64

func newSpace() string { return fmt.Sprint("T", spaces.Add(1)) }

// queueAt opens a queue of a space until the test ends.
func queueAt(t testing.TB, url, space string) *Queue {
	t.Helper()
	return queueWith(t, Options{URL: url}, brokertest.QueueLimits, space)
}

func queueWith(t testing.TB, o Options, rules broker.QueueOptions, space string) *Queue {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	o.StartWait = time.Minute
	q, err := openQueue(context.Background(), o, rules, space)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

// Goal: the queue and the schedule keep every promise of their seams. Method: the conformance suites at one server, with
// the node that leads and with one that does not.
func TestQueueSuite(t *testing.T) {
	t.Parallel()
	url := start(t, t.TempDir(), -1).ClientURL()
	t.Run("queue", func(t *testing.T) {
		brokertest.RunQueue(t, func(t *testing.T) broker.Queue { return queueAt(t, url, newSpace()) })
	})
	t.Run("schedule", func(t *testing.T) {
		brokertest.RunSchedule(t, func(t *testing.T) brokertest.Scheduler {
			q := queueAt(t, url, newSpace())
			return brokertest.Scheduler{Schedule: q.schedule, Queue: q}
		})
	})
}
