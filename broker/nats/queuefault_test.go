package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/brokertest"
)

// mill lets nodes put and work off jobs, and notes what was answered.
type mill struct {
	t     *testing.T
	nodes []*Queue
	sick  int         // the node that a fault hits: what it is told may be late
	stop  atomic.Bool // nobody puts any more
	idle  atomic.Bool // nobody reserves any more
	work  sync.WaitGroup

	mu      sync.Mutex
	put     map[uint64]string // jobs whose put was answered
	ids     map[string]uint64 // job by body: put or seen
	seen    map[uint64]bool   // jobs that were reserved
	deleted map[uint64]int    // jobs whose delete was answered, with how many that were by then
	puts    [3]int            // answered at each node
}

const millTube = "mill"

func newMill(t *testing.T, nodes []*Queue) *mill {
	m := &mill{t: t, nodes: nodes, put: make(map[uint64]string), ids: make(map[string]uint64), seen: make(map[uint64]bool), deleted: make(map[uint64]int)}
	for i, q := range nodes {
		m.work.Go(func() { m.produce(i, q) })
		m.work.Go(func() { m.consume(i, q) })
	}
	return m
}

func (m *mill) produce(i int, q *Queue) {
	tick := time.NewTicker(time.Millisecond) // the machine is small: the fault matters here, not the load
	defer tick.Stop()
	for n := 0; !m.stop.Load(); n++ {
		body := fmt.Sprint("job ", i, " ", n)
		id, err := brokertest.Verbs{T: m.t, Q: q}.TryPut(millTube, body, broker.PutOptions{TTR: time.Minute})
		switch {
		case err == nil:
			m.mu.Lock()
			m.put[id] = body
			m.puts[i]++
			m.mu.Unlock()
			m.known(body, id)
		case errors.Is(err, broker.ErrClosed):
			return
		case !errors.Is(err, broker.ErrBusy) && !errors.Is(err, broker.ErrTimeout):
			m.t.Errorf("put: %v", err)
		}
		<-tick.C
	}
}

// known notes the job of a body; there must be one only, whatever was sent twice.
func (m *mill) known(body string, id uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if had, ok := m.ids[body]; ok && had != id {
		m.t.Errorf("%q is job %d and job %d", body, had, id)
	}
	m.ids[body] = id
}

func (m *mill) consume(i int, q *Queue) {
	v := brokertest.Verbs{T: m.t, Q: q}
	for !m.idle.Load() {
		m.mu.Lock()
		before := len(m.deleted)
		m.mu.Unlock()
		j, err := v.ReserveWait(1, 100*time.Millisecond, millTube)
		switch {
		case errors.Is(err, broker.ErrClosed):
			return
		case err != nil:
			continue
		}
		m.known(string(j.Body), j.ID)
		m.mu.Lock()
		m.seen[j.ID] = true
		if n, deleted := m.deleted[j.ID]; deleted && n <= before && i != m.sick { // else another node got it from the next leader
			m.t.Errorf("job %d came back", j.ID)
		}
		m.mu.Unlock()
		switch err := v.Delete(j.ID, j.Lease); {
		case err == nil:
			m.mu.Lock()
			m.deleted[j.ID] = len(m.deleted) + 1
			m.mu.Unlock()
		case errors.Is(err, broker.ErrClosed):
			return
		}
	}
}

// finish ends the work when all jobs whose put was answered have been reserved.
func (m *mill) finish() {
	m.t.Helper()
	m.stop.Store(true)
	defer m.work.Wait()
	defer m.idle.Store(true)
	elected(m.t, "all jobs whose put was answered were reserved", func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		for id := range m.put {
			if !m.seen[id] {
				return false
			}
		}
		return true
	})
}

func (m *mill) count(i int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.puts[i]
}

// Goal: when the node that leads goes away in the middle of work, another one leads within seconds; no put that was
// answered is lost or doubled, no job whose delete was answered comes back, and every timer fires once. Method: three
// nodes put and work off jobs while the leader closes, loses its link, or stands still as a stopped process does, and
// comes back when another one leads.
func TestQueueFailover(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), -1)
	for name, fault := range map[string]struct{ hit, heal func(*proxy, *Queue) }{
		"closed":  {func(_ *proxy, q *Queue) { q.Close() }, func(*proxy, *Queue) {}},
		"cut":     {func(p *proxy, _ *Queue) { p.set(false, true) }, func(p *proxy, _ *Queue) { p.set(false, false) }},
		"stopped": {func(p *proxy, _ *Queue) { p.set(true, false) }, func(p *proxy, _ *Queue) { p.set(false, false) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var proxies []*proxy
			var urls []string
			for range 3 {
				p := newProxy(t, s.Addr().String())
				proxies, urls = append(proxies, p), append(urls, p.url())
			}
			nodes := crewOf(t, hasty, 3, urls...)
			m := newMill(t, nodes)
			const timers = 60
			for i := range timers {
				err := nodes[i%3].schedule.Set(context.Background(), broker.Timer{Key: fmt.Sprint("timer ", i), Tube: millTube, Body: fmt.Append(nil, "timer ", i),
					Due: time.Now().Add(time.Duration(i) * 60 * time.Millisecond), Put: broker.PutOptions{TTR: time.Minute}})
				if err != nil {
					t.Fatal(err)
				}
			}
			eventually(t, "jobs are put", func() bool { return m.count(0) > 20 && m.count(1) > 20 && m.count(2) > 20 })
			old := nodes[0].leader()
			fault.hit(proxies[0], nodes[0])
			begin := time.Now()
			eventually(t, "another node leads", func() bool { return nodes[1].leader() != nil || nodes[2].leader() != nil })
			before := m.count(1)
			eventually(t, "jobs are put again", func() bool { return m.count(1) > before+20 })
			t.Logf("%d jobs; the others went on after %s", before, time.Since(begin))
			fault.heal(proxies[0], nodes[0])
			if name != "closed" {
				before = m.count(0)
				eventually(t, "the node that was away puts again", func() bool { return m.count(0) > before+20 })
				eventually(t, "the node that was away ends what it led", func() bool { return old == nil || nodes[0].leader() != old })
			}
			eventually(t, "all timers have fired", func() bool { return noTimers(nodes[1]) })
			m.finish()
			m.check(timers)
		})
	}
}

// noTimers reports whether the leader says that no timers are left.
func noTimers(q *Queue) bool {
	left, err := q.schedule.List(context.Background(), "", time.Time{}, 1)
	return err == nil && len(left) == 0
}

// check looks at what is left.
func (m *mill) check(timers int) {
	if _, err := m.nodes[1].Stats(millTube); !errors.Is(err, broker.ErrNotFound) {
		eventually(m.t, "the tube is empty", func() bool {
			j, err := brokertest.Verbs{T: m.t, Q: m.nodes[1]}.Reserve(7, millTube)
			if err == nil {
				m.known(string(j.Body), j.ID)
				if m.deleted[j.ID] > 0 {
					m.t.Errorf("job %d came back", j.ID)
				}
				_ = brokertest.Verbs{T: m.t, Q: m.nodes[1]}.Delete(j.ID, j.Lease) // it may be gone: then the tube is empty
			}
			_, gone := m.nodes[1].Stats(millTube)
			return errors.Is(gone, broker.ErrNotFound)
		})
	}
	fired := 0
	for body := range m.ids {
		if strings.HasPrefix(body, "timer ") {
			fired++
		}
	}
	if fired != timers {
		m.t.Errorf("%d of %d timers have fired", fired, timers)
	}
}

// Goal: a leader that stood still for longer than others wait for it writes nothing when it goes on, however much it had on
// its way. Method: the link of the leader stops, it is given more to write than it may have on its way, another node takes the
// lead, and the link goes on: the new leader's next changes are taken, and nothing else has come between.
func TestQueueFencing(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), -1)
	p := newProxy(t, s.Addr().String())
	space := newSpace()
	old := leads(t, queueWith(t, hasty(p.url()), brokertest.QueueLimits, space))
	next := queueWith(t, hasty(s.ClientURL()), brokertest.QueueLimits, space)
	brokertest.Verbs{T: t, Q: next}.Put("fence", "first", 0, 0)

	p.set(true, false)
	const puts = 400
	answers := make(chan error, puts)
	for i := range puts {
		old.Put("fence", fmt.Append(nil, "late ", i), broker.PutOptions{TTR: time.Minute}, func(_ uint64, err error) { answers <- err })
	}
	eventually(t, "the other node leads", func() bool { return next.leader() != nil })
	l := next.leader()
	p.set(false, false)
	for i := range 100 {
		brokertest.Verbs{T: t, Q: next}.Put("fence", fmt.Sprint("next ", i), 0, 0)
	}
	for range puts {
		select {
		case err := <-answers:
			if err != nil && !errors.Is(err, broker.ErrTimeout) && !errors.Is(err, broker.ErrBusy) {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Fatal("a put of the old leader was not answered")
		}
	}
	eventually(t, "the old leader ends", func() bool { return old.leader() == nil })
	if next.leader() != l {
		t.Fatal("the lead went to and fro: something was written that the new leader did not write")
	}
	found := make(map[string]int)
	all, err := next.ListJobs(context.Background(), "fence", broker.JobReady, 0, 10*puts)
	for _, j := range all {
		found[string(j.Body)]++
	}
	for body, n := range found {
		if n != 1 {
			t.Errorf("%d jobs are %q", n, body)
		}
	}
	if err != nil || found["first"] != 1 || len(found) < 101 {
		t.Errorf("%d jobs, %v", len(found), err)
	}
}

// Goal: the jobs that a node had reserved are free when the node is gone. Method: one node ends in an orderly way, the link
// of another is cut.
func TestQueueNodeGone(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), -1)
	p := newProxy(t, s.Addr().String())
	nodes := crew(t, 3, s.ClientURL(), s.ClientURL(), p.url())
	v := brokertest.Verbs{T: t, Q: nodes[0]}
	for i, gone := range nodes[1:] {
		body := fmt.Sprint("job ", i)
		v.Put("gone", body, 0, 0)
		j, err := brokertest.Verbs{T: t, Q: gone}.ReserveWait(1, patience, "gone")
		if err != nil || string(j.Body) != body {
			t.Fatal(string(j.Body), err)
		}
	}
	if err := nodes[1].Close(); err != nil {
		t.Error(err)
	}
	first, err := v.ReserveWait(1, patience, "gone")
	if err != nil || string(first.Body) != "job 0" || first.Reserves != 2 {
		t.Fatalf("%+v, %v", first, err)
	}
	p.set(false, true)
	eventually(t, "the leader ends the session", func() bool {
		if l := nodes[0].leader(); l != nil {
			l.lost(2 * beatEvery)
		}
		second, err := v.Reserve(1, "gone")
		return err == nil && string(second.Body) == "job 1"
	})
}

// Goal: the loss of the server that leads the stream costs no job that was answered, and work goes on without anybody's
// doing. Method: three servers with three replicas, a node at each; the stream's leader is shut down under work.
func TestQueueServerLost(t *testing.T) {
	t.Parallel()
	servers := cluster(t)
	nodes := crewOf(t, hasty, 3, replicated(servers)...)
	m := newMill(t, nodes)
	m.sick = -1
	all := func(before [3]int) func() bool {
		return func() bool {
			return m.count(0) > before[0]+20 && m.count(1) > before[1]+20 && m.count(2) > before[2]+20
		}
	}
	eventually(t, "jobs are put", all([3]int{}))
	stream := nodes[0].vault.config.Name
	for _, s := range servers {
		if s.JetStreamIsStreamLeader("$G", stream) {
			go halt(s) // the clients at it find another server meanwhile
			break      // another one that has led does not know yet
		}
	}
	begin := time.Now()
	before := [3]int{m.count(0), m.count(1), m.count(2)}
	elected(t, "all nodes put again", all(before))
	t.Logf("all nodes went on after %s", time.Since(begin))
	m.finish()
	m.check(0)
}
