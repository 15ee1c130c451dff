package redis

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/redis/redistest"
)

const (
	// patience bounds the wait for a condition. It only costs time when a test fails.
	patience = 30 * time.Second
	// reconnectTime is how long it may take until all goes on after a fault has ended, on a machine at rest.
	reconnectTime = 5 * time.Second
	// restTalk is more than a crowd's talk takes on such a machine.
	restTalk = 100 * time.Millisecond
)

// crowd is a set of subscribers on one node, each of a subject of its own, with one pattern that matches them all.
type crowd struct {
	t    *testing.T
	bus  *Bus
	name string
	all  []*member
	wild *member
}

// member is one subscriber.
type member struct {
	subject string
	got     atomic.Int64
	gaps    atomic.Int64
}

const crowdSize = 200

func newCrowd(t *testing.T, r *Redis, name string) *crowd {
	t.Helper()
	c := &crowd{t: t, bus: r.Bus(), name: name}
	for i := range crowdSize {
		c.all = append(c.all, c.join(fmt.Sprintf("%s.%d", name, i)))
	}
	c.wild = c.join(name + ".>")
	return c
}

func (c *crowd) join(pattern string) *member {
	c.t.Helper()
	m := &member{subject: pattern}
	s, err := c.bus.Subscribe(pattern, broker.Handler{
		Message: func(*broker.Message) { m.got.Add(1) },
		Gap:     func(string) { m.gaps.Add(1) },
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(s.Unsubscribe)
	return m
}

// talk publishes to each member from a bus until one message of each was taken, waits until each member has heard it, and
// returns how long that took.
func (c *crowd) talk(from *Redis) time.Duration {
	c.t.Helper()
	begin := time.Now()
	before := make([]int64, len(c.all))
	for i, m := range c.all {
		before[i] = m.got.Load()
		say(c.t, from, m.subject, begin.Add(patience))
	}
	for i, m := range c.all {
		await(c.t, "a message at "+m.subject, func() bool { return m.got.Load() > before[i] })
	}
	return time.Since(begin)
}

// recovers waits until a fault's end has been noticed by all: the links are there, everybody was told of the gap, and messages
// come from each bus. The time for that is the promise of the package; a machine on which talk took longer before the fault
// has more of it, and the time in which the machine did other work does not count.
func (c *crowd) recovers(talk time.Duration, all ...*Redis) {
	c.t.Helper()
	most := time.Duration(float64(reconnectTime) * max(1, talk.Seconds()/restTalk.Seconds()))
	elsewhere := c.idle()
	begin := time.Now()
	c.told()
	for _, r := range all {
		await(c.t, "the links", func() bool { return r.Health() == nil })
	}
	for _, r := range all {
		c.talk(r)
	}
	took, late := time.Since(begin), elsewhere()
	c.t.Logf("all went on after %s; a talk took %s before, the machine was late by %s", took, talk, late)
	if took-late > most {
		c.t.Errorf("that may take %s", most)
	}
}

// idle watches how late this process gets its turn, by a clock that should tick every ten milliseconds, until the function it
// returns is called: that tells the sum.
func (c *crowd) idle() func() time.Duration {
	const every = 10 * time.Millisecond
	stop, sum := make(chan struct{}), make(chan time.Duration)
	go func() {
		var late time.Duration
		t := time.NewTimer(every)
		defer t.Stop()
		for last := time.Now(); ; last = time.Now() {
			t.Reset(every)
			select {
			case <-t.C:
				late += max(0, time.Since(last)-2*every)
			case <-stop:
				sum <- late
				return
			}
		}
	}()
	return func() time.Duration { close(stop); return <-sum }
}

// say publishes until it succeeds.
func say(t *testing.T, from *Redis, subject string, end time.Time) broker.Position {
	t.Helper()
	for {
		at, err := publish(t, from, subject)
		if err == nil {
			return at
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// publish waits for the answer.
func publish(t *testing.T, from *Redis, subject string) (broker.Position, error) {
	t.Helper()
	type answer struct {
		at  broker.Position
		err error
	}
	done := make(chan answer, 2)
	from.Bus().Publish(subject, []byte("x"), broker.Keep{Messages: 50}, func(at broker.Position, err error) { done <- answer{at, err} })
	select {
	case a := <-done:
		return a.at, a.err
	case <-time.After(patience):
		t.Fatal("a publish was never answered")
	}
	panic("not reached")
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("waited in vain: ", what)
		}
	}
}

// told waits until every subscriber was told of a gap.
func (c *crowd) told() {
	c.t.Helper()
	for _, m := range append(c.all, c.wild) {
		await(c.t, "the gap of "+m.subject, func() bool { return m.gaps.Load() > 0 })
	}
}

// Goal: after a fault everybody who may have missed something is told so, and all goes on within 5 s of its end.
// Method: two nodes, one of them with 200 subscribers and a pattern, on real servers of both kinds; the server is killed
// and started, stopped and continued, killed again and again, and connections swallow bytes.
func TestFaults(t *testing.T) {
	faults := []struct {
		name  string
		cause func(s *redistest.Server, p *proxy, c *crowd)
	}{
		{"Restart", func(s *redistest.Server, _ *proxy, _ *crowd) { s.Kill(); s.Run() }},
		{"Pause", func(s *redistest.Server, _ *proxy, c *crowd) {
			s.Pause()
			await(c.t, "the link to be given up", func() bool { return c.bus.Health() != nil })
			before := c.wild.got.Load()
			done := make(chan error, 2)
			joins, err := c.bus.Subscribe(c.name+".7", broker.Handler{Message: func(*broker.Message) { c.join(c.name + ".late") }})
			if err != nil {
				c.t.Fatal(err)
			}
			defer joins.Unsubscribe()
			c.bus.Publish(c.name+".7", []byte("here"), broker.Keep{}, func(_ broker.Position, err error) { done <- err })
			if err := <-done; err != nil || c.wild.got.Load() != before+1 {
				c.t.Errorf("a message without history: %v, %d were heard here", err, c.wild.got.Load()-before)
			}
			s.Resume()
		}},
		{"Flapping", func(s *redistest.Server, _ *proxy, c *crowd) {
			for range 3 {
				s.Kill()
				await(c.t, "the link to be lost", func() bool { return c.bus.Health() != nil })
				s.Run()
			}
		}},
		{"HalfOpen", func(_ *redistest.Server, p *proxy, c *crowd) {
			p.swallow()
			c.told()
		}},
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			p := newProxy(t, s.Addr())
			here, there := open(t, "redis://"+p.listener.Addr().String()), open(t, s.URL())
			c := newCrowd(t, here, "crowd")
			talk := max(c.talk(here), c.talk(there))
			f.cause(s, p, c)
			c.recovers(talk, there, here)
		})
	}
}

// Goal: a cluster's links are made again as that of a single server. Method: kill and start; the slots stay in the
// server's file, and it takes two seconds before it serves them again.
func TestClusterRestart(t *testing.T) {
	t.Parallel()
	s := redistest.StartCluster(t)
	here := open(t, s.URL())
	c := newCrowd(t, here, "crowd")
	talk := c.talk(here)
	s.Kill()
	await(t, "the links to be lost", func() bool { return here.Health() != nil })
	s.Run()
	await(t, "the cluster to be whole", func() bool {
		answer, err := s.Do("CLUSTER", "INFO")
		return err == nil && strings.Contains(answer, "cluster_state:ok")
	})
	c.recovers(talk, here)
}

// Goal: no offset is given twice in an epoch when the server comes back with less than it had. Method: a snapshot of
// the server's in the middle, kill, start; then the data is lost altogether.
func TestOlderData(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	r := open(t, s.URL())
	first := say(t, r, "talk", time.Now())
	if _, err := s.Do("SAVE"); err != nil {
		t.Fatal(err)
	}
	second := say(t, r, "talk", time.Now())
	if first.Epoch != second.Epoch || second.Offset != 2 {
		t.Fatalf("%v, then %v", first, second)
	}
	s.Kill()
	await(t, "the link to be lost", func() bool { return r.Health() != nil })
	s.Run()
	third := say(t, r, "talk", time.Now().Add(patience))
	if third.Epoch <= second.Epoch || third.Offset != 1 {
		t.Errorf("after the restart with older data came %v, before it %v", third, second)
	}
	rec, err := r.Bus().History(t.Context(), "talk", second, 10)
	if err != nil || rec.Recovered || rec.Top != third || len(rec.Messages) != 1 {
		t.Errorf("the old position: %+v, %v", rec, err)
	}
	if _, err := s.Do("FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	if fourth := say(t, r, "talk", time.Now()); fourth.Epoch <= third.Epoch || fourth.Offset != 1 {
		t.Errorf("after all data was lost came %v", fourth)
	}
}

// Goal: while Redis is away publishers never wait, what waits is bounded, and every message is answered once. Method:
// a stopped server, more messages than the queues take, then a server that goes on, then Close with a full queue.
func TestBounds(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	r := open(t, s.URL())
	s.Pause()
	const count = MaxQueue + 2*batchMessages + 1000
	flood := func() (answers, busy *atomic.Int64) {
		answers, busy = new(atomic.Int64), new(atomic.Int64)
		waits := 0
		for range count {
			begin := time.Now()
			r.Bus().Publish("flood", []byte("x"), broker.Keep{Messages: 5}, func(_ broker.Position, err error) {
				answers.Add(1)
				if errors.Is(err, broker.ErrBusy) {
					busy.Add(1)
				} else if err != nil && !errors.Is(err, broker.ErrTimeout) && !errors.Is(err, broker.ErrClosed) {
					t.Error(err)
				}
			})
			if time.Since(begin) > time.Second {
				waits++
			}
		}
		if waits > 2 { // a busy machine may let one stand still, but not all
			t.Errorf("%d of %d publishes took more than a second", waits, count)
		}
		return answers, busy
	}
	answers, busy := flood()
	if busy.Load() == 0 || busy.Load() > 1000+2*batchMessages {
		t.Errorf("%d of %d messages were refused", busy.Load(), count)
	}
	big := new(atomic.Int64)
	for i := range 2 * MaxQueueBytes / broker.MaxValue {
		r.Bus().Publish(fmt.Sprintf("big.%d", i), make([]byte, broker.MaxValue), broker.Keep{}, func(_ broker.Position, err error) {
			if errors.Is(err, broker.ErrBusy) {
				big.Add(1)
			}
		})
	}
	if got := r.Bus().queued.Load(); got > MaxQueueBytes || big.Load() == 0 {
		t.Errorf("%d bytes wait, %d big messages were refused", got, big.Load())
	}
	s.Resume()
	await(t, "all answers", func() bool { return answers.Load() == count })
	say(t, r, "flood", time.Now().Add(patience))
	s.Pause()
	await(t, "the link to be given up", func() bool { return r.Health() != nil })
	begin := time.Now()
	_, readErr := r.Bus().History(t.Context(), "flood", broker.Position{}, 1)
	setErr := r.Registry().Set(t.Context(), "key", nil, time.Minute)
	if took := time.Since(begin); !errors.Is(readErr, broker.ErrBusy) || !errors.Is(setErr, broker.ErrBusy) || took > CallPatience { // at once, and not when their own time is over
		t.Errorf("while Redis is known to be away: %v and %v after %s", readErr, setErr, took)
	}
	answers, _ = flood()
	r.Close()
	if answers.Load() != count || r.Bus().queued.Load() != 0 {
		t.Errorf("%d of %d were answered after Close, %d bytes wait", answers.Load(), count, r.Bus().queued.Load())
	}
}
