package nats

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

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

// leads waits until the queue leads.
func leads(t testing.TB, q *Queue) *Queue {
	t.Helper()
	eventually(t, "the node leads", func() bool { return q.leader() != nil })
	return q
}

// crew opens n queues of a new space. The first one leads.
func crew(t testing.TB, n int, urls ...string) (all []*Queue) {
	t.Helper()
	space := newSpace()
	for i := range n {
		all = append(all, queueAt(t, urls[i%len(urls)], space))
		leads(t, all[0])
	}
	return all
}

// split is several nodes that seem to be one: jobs are put at one, reserved at another and ended at a third.
type split struct {
	broker.Queue // where jobs are reserved
	put, end     broker.Queue
}

func (s split) Put(tube string, body []byte, o broker.PutOptions, done func(uint64, error)) {
	s.put.Put(tube, body, o, done)
}
func (s split) Drain(on bool)                             { s.put.Drain(on) }
func (s split) Delete(id, lease uint64, done func(error)) { s.end.Delete(id, lease, done) }
func (s split) Release(id, lease uint64, priority uint32, delay time.Duration, done func(error)) {
	s.end.Release(id, lease, priority, delay, done)
}
func (s split) Bury(id, lease uint64, priority uint32, reason string, done func(error)) {
	s.end.Bury(id, lease, priority, reason, done)
}

// Goal: the queue keeps every promise of its seam. Method: the conformance suite at the node that leads, at one that does
// not, and with three nodes that share the work; with one server, and with three.
func TestQueueSuite(t *testing.T) {
	t.Parallel()
	url := start(t, t.TempDir(), -1).ClientURL()
	t.Run("leader", func(t *testing.T) {
		t.Parallel()
		brokertest.RunQueue(t, func(t *testing.T) broker.Queue { return queueAt(t, url, newSpace()) })
	})
	t.Run("three nodes", func(t *testing.T) {
		t.Parallel()
		brokertest.RunQueue(t, func(t *testing.T) broker.Queue {
			all := crew(t, 3, url)
			return split{Queue: all[0], put: all[1], end: all[2]}
		}, "Cancel", "Waiting", "EndOwner", "Pause")
	})
}

func TestQueueSuiteCluster(t *testing.T) {
	t.Parallel()
	urls := replicated(cluster(t))
	brokertest.RunQueue(t, func(t *testing.T) broker.Queue { return crew(t, 2, urls...)[1] })
}

// replicated returns the URLs of servers for streams with three replicas.
func replicated(servers []*server.Server) (urls []string) {
	for _, s := range servers {
		urls = append(urls, s.ClientURL()+"?replicas=3")
	}
	return urls
}

// Goal: the schedule keeps every promise of its seam. Method: the conformance suite at the node that leads, and at one
// that does not, with three servers.
func TestScheduleSuite(t *testing.T) {
	t.Parallel()
	url := start(t, t.TempDir(), -1).ClientURL()
	t.Run("leader", func(t *testing.T) {
		t.Parallel()
		brokertest.RunSchedule(t, func(t *testing.T) brokertest.Scheduler { return scheduler(queueAt(t, url, newSpace())) })
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		urls := replicated(cluster(t))
		brokertest.RunSchedule(t, func(t *testing.T) brokertest.Scheduler { return scheduler(crew(t, 2, urls...)[1]) })
	})
}

func scheduler(q *Queue) brokertest.Scheduler {
	return brokertest.Scheduler{Schedule: q.schedule, Queue: q}
}
