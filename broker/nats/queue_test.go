package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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

// patientWaits are those of a queue in a test without a fault.
var patientWaits = waits{call: 50 * time.Second, short: patience, resend: 10 * time.Second, lead: 10 * time.Second, sure: patience}

// hasty are the options of a node that leads when another one is away, as nodes do.
func hasty(url string) Options { return Options{URL: url, Wait: 5 * time.Second, waits: usualWaits} }

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
	fill(&o.Wait, patience)
	fill(&o.waits, patientWaits)
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
func crew(t testing.TB, n int, urls ...string) []*Queue {
	t.Helper()
	return crewOf(t, func(url string) Options { return Options{URL: url} }, n, urls...)
}

func crewOf(t testing.TB, options func(url string) Options, n int, urls ...string) (all []*Queue) {
	t.Helper()
	space := newSpace()
	for i := range n {
		all = append(all, queueWith(t, options(urls[i%len(urls)]), brokertest.QueueLimits, space))
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
		brokertest.RunQueue(t, func(t *testing.T) broker.Queue { return leads(t, queueAt(t, url, newSpace())) })
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
		brokertest.RunSchedule(t, func(t *testing.T) brokertest.Scheduler { return scheduler(leads(t, queueAt(t, url, newSpace()))) })
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

// look describes all that a queue and its schedule hold.
func look(t *testing.T, q *Queue, tubes ...string) (all []string) {
	t.Helper()
	ctx := context.Background()
	for _, tube := range tubes {
		for _, state := range []broker.JobState{broker.JobReady, broker.JobReserved, broker.JobDelayed, broker.JobBuried} {
			found, err := q.ListJobs(ctx, tube, state, 0, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, j := range found {
				j.Lease = 0
				all = append(all, fmt.Sprintf("%+v", j))
			}
		}
	}
	found, err := q.schedule.List(ctx, "", time.Time{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, timer := range found {
		all = append(all, fmt.Sprintf("%+v", timer))
	}
	return append(all, fmt.Sprint(q.schedule.Pending(), q.Tubes()))
}

// Goal: a new leader knows all that the old one did: jobs in every state with their counters, unique texts, and timers that
// were set anew, shifted and cancelled. Method: compare what both tell; bodies come from the stream at one of them.
func TestQueueReload(t *testing.T) {
	t.Parallel()
	url := start(t, t.TempDir(), -1).ClientURL()
	space := newSpace()
	old := leads(t, queueAt(t, url, space))
	someOfAll(t, old)
	next := queueWith(t, Options{URL: url}, broker.QueueOptions{Cache: 1}, space)
	want := look(t, old, "a", "b")
	if got := look(t, next, "a", "b"); !slices.Equal(got, want) {
		t.Errorf("another node tells\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	leads(t, next)
	if got := look(t, next, "a", "b"); !slices.Equal(got, want) {
		t.Errorf("the next leader tells\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	v := brokertest.Verbs{T: t, Q: next}
	if _, err := v.TryPut("a", "twice", broker.PutOptions{Unique: "only"}); !errors.Is(err, broker.ErrExists) {
		t.Error(err)
	}
	j, err := v.Reserve(1, "a")
	if err != nil || string(j.Body) != "released" || j.Reserves != 2 || j.Releases != 1 {
		t.Errorf("%+v, %v", j, err)
	}
}

// someOfAll leaves jobs in all states in the tubes a and b, and timers.
func someOfAll(t *testing.T, q *Queue) {
	t.Helper()
	ctx := context.Background()
	v := brokertest.Verbs{T: t, Q: q}
	reserve := func(body string, priority uint32) broker.Job {
		t.Helper()
		v.Put("a", body, priority, 0)
		j, err := v.Reserve(1, "a")
		if err != nil || string(j.Body) != body {
			t.Fatal(string(j.Body), err)
		}
		return j
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	j := reserve("buried", 1)
	must(v.Bury(j.ID, j.Lease, 7, "it does not work"))
	j = reserve("deleted", 1)
	must(v.Delete(j.ID, j.Lease))
	j = reserve("changed, then deleted", 1)
	must(v.Bury(j.ID, j.Lease, 1, ""))
	must(v.Delete(j.ID, 0))
	j = reserve("released", 1)
	must(v.Release(j.ID, j.Lease, 2, 0))
	v.Put("a", "ready", 9, 0)
	v.Put("a", "delayed", 0, time.Hour)
	must(v.KickJob(v.Put("b", "kicked", 3, time.Hour)))
	if _, err := v.TryPut("a", "unique", broker.PutOptions{Unique: "only", Priority: 3}); err != nil {
		t.Fatal(err)
	}
	base := time.Now().Add(time.Hour)
	for i := range 8 {
		must(q.schedule.Set(ctx, broker.Timer{Key: fmt.Sprint("timer ", i), Group: fmt.Sprint("group ", i%2), Due: base.Add(time.Duration(i) * time.Minute),
			Tube: "b", Body: []byte("now"), Put: broker.PutOptions{Unique: fmt.Sprint(i), Priority: 5}}))
	}
	for _, d := range []time.Duration{time.Minute, -time.Second} {
		if n, err := q.schedule.Shift(ctx, "group 0", base.Add(time.Minute), d); err != nil || n != 3 {
			t.Fatal(n, err)
		}
	}
	must(q.schedule.Cancel(ctx, "timer 1"))
	must(q.schedule.Cancel(ctx, "timer 2"))
	must(q.schedule.Set(ctx, broker.Timer{Key: "timer 4", Group: "group 1", Due: base, Tube: "b"}))
	must(q.schedule.Set(ctx, broker.Timer{Key: "timer 6", Group: "group 0", Due: base.Add(time.Second), Tube: "b"}))
}
