package nats

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"gosper/broker"
)

// listener counts what a subscription is told.
type listener struct {
	mu   sync.Mutex
	got  []*broker.Message
	gaps atomic.Int32
}

func listen(t *testing.T, b *Bus, pattern string) *listener {
	t.Helper()
	in := new(listener)
	s, err := b.Subscribe(pattern, broker.Handler{
		Message: func(m *broker.Message) {
			in.mu.Lock()
			in.got = append(in.got, m)
			in.mu.Unlock()
		},
		Gap: func(string) { in.gaps.Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Unsubscribe)
	return in
}

func (in *listener) has(text string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, m := range in.got {
		if string(m.Data) == text {
			return true
		}
	}
	return false
}

// publishWait waits for the answer, and fails the test when Publish itself blocks.
func publishWait(t *testing.T, b *Bus, subject, text string, keep broker.Keep) (broker.Position, error) {
	t.Helper()
	type answer struct {
		at  broker.Position
		err error
	}
	done := make(chan answer, 2)
	begin := time.Now()
	b.Publish(subject, []byte(text), keep, func(at broker.Position, err error) { done <- answer{at, err} })
	if took := time.Since(begin); took > writeTimeout { // what a write may wait for a socket that is full
		t.Errorf("Publish blocked for %s", took)
	}
	select {
	case a := <-done:
		return a.at, a.err
	case <-time.After(patience):
		t.Fatal("a publish was not answered")
		return broker.Position{}, nil
	}
}

var keepTen = broker.Keep{Messages: 10}

// insist publishes until it is answered that the message is stored, which a node with a short wait may not hear at once.
func insist(t *testing.T, b *Bus, subject, text string) (at broker.Position) {
	t.Helper()
	elected(t, "the answer to "+text, func() (ok bool) {
		var err error
		at, err = publishWait(t, b, subject, text, keepTen)
		return err == nil
	})
	return at
}

// past asks for the history until it comes: servers may be about to elect.
func past(t *testing.T, b *Bus, subject string, since broker.Position, limit int) (r broker.Recovery) {
	t.Helper()
	elected(t, "the history", func() (ok bool) {
		var err error
		r, err = b.History(context.Background(), subject, since, limit)
		return err == nil
	})
	return r
}

// Goal: whatever happens to the link of one node, its publishers are not blocked, its local subscribers go on, it is back
// within 5 s, and every subscription that may have missed something is told, at other nodes too. Method: a node behind a
// proxy that cuts the link, stops it as SIGSTOP stops a server, or flaps; another node beside it.
func TestLinkFaults(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), -1)
	for name, fault := range map[string]func(p *proxy, during func()){
		"cut":     func(p *proxy, during func()) { p.set(false, true); during() },
		"stopped": func(p *proxy, during func()) { p.set(true, false); during() },
		"flapping": func(p *proxy, during func()) {
			for range 5 {
				p.set(false, true)
				p.set(false, false)
			}
			p.set(false, true)
			during()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, s.Addr().String())
			far, near := with(t, Options{URL: p.url(), Wait: time.Second}), node(t, s.ClientURL())
			kept, plain := name+".kept", name+".plain"
			farKept, farPlain := listen(t, far, kept), listen(t, far, plain)
			nearKept, nearPlain := listen(t, near, name+".>"), listen(t, near, plain)
			begin := time.Now()
			if err := (pair{far, near}).settle(); err != nil {
				t.Fatal(err)
			}
			insist(t, far, kept, "before")
			eventually(t, "the first message", func() bool { return nearKept.has("before") })
			// The promise is 5 s. A machine on which this took longer than 100 ms has more.
			most := time.Duration(5 * float64(time.Second) * max(1, time.Since(begin).Seconds()/0.1))

			fault(p, func() {
				if _, err := publishWait(t, far, plain, "local", broker.Keep{}); err != nil {
					t.Errorf("a message without history: %v", err)
				}
				eventually(t, "the local subscriber", func() bool { return farPlain.has("local") })
				if _, err := publishWait(t, far, kept, "lost", keepTen); !errors.Is(err, broker.ErrBusy) && !errors.Is(err, broker.ErrTimeout) {
					t.Errorf("a message with history: %v", err)
				}
				if _, err := publishWait(t, near, kept, "meanwhile", keepTen); err != nil {
					t.Error(err)
				}
				eventually(t, "the loss of the link", func() bool { return far.Health() != nil })
			})
			if _, err := far.History(context.Background(), kept, broker.Position{}, 1); err == nil {
				t.Error("the history was read without a link")
			}
			p.set(false, false)
			var took time.Duration
			last := time.Now()
			eventually(t, "the link", func() bool {
				now := time.Now()
				took += min(now.Sub(last), 20*time.Millisecond) // it looks every 2 ms: what is much longer is the machine's
				last = now
				return far.Health() == nil
			})
			if took > most {
				t.Errorf("the link came back after %s, and may take %s", took, most)
			}
			eventually(t, "gaps at the node", func() bool { return farKept.gaps.Load() > 0 && farPlain.gaps.Load() > 0 })
			eventually(t, "gaps at the other node", func() bool { return nearPlain.gaps.Load() > 0 })
			insist(t, far, kept, "after")
			eventually(t, "a message after", func() bool { return nearKept.has("after") && farKept.has("after") })
			if r := past(t, far, kept, broker.Position{}, 10); len(r.Messages) < 3 || string(r.Messages[0].Data) != "before" {
				t.Errorf("history %+v", r)
			}
		})
	}
}

// Goal: a server that keeps the history in files and comes back goes on with it; one that comes back with less, or with
// nothing, gives new epochs, so that no old position is mistaken. Method: stop the server, start it with its folder, an older copy of it, and
// an empty one, on the same port.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	dir, old := t.TempDir(), t.TempDir()
	port := freePorts(t, 1)[0]
	s := start(t, dir, port)
	b := node(t, s.ClientURL()+"?history=file")
	in := listen(t, b, "re.start")
	say := func(text string) broker.Position {
		t.Helper()
		at, err := publishWait(t, b, "re.start", text, keepTen)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	restart := func(dir string) {
		t.Helper()
		gaps := in.gaps.Load()
		halt(s)
		s = start(t, dir, port)
		eventually(t, "a gap", func() bool { return in.gaps.Load() > gaps })
	}
	first := say("1")
	halt(s)
	if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	restart(dir)
	second := say("2")
	if second != (broker.Position{Epoch: first.Epoch, Offset: 2}) {
		t.Errorf("after a restart: %v behind %v", second, first)
	}
	restart(old)
	third := say("3")
	if third.Epoch == second.Epoch {
		t.Errorf("a server that had lost a message went on at %v", third)
	}
	r, err := b.History(context.Background(), "re.start", second, 10)
	if err != nil || r.Recovered || r.Top != third {
		t.Errorf("history behind a lost message: %+v, %v", r, err)
	}
	restart(t.TempDir())
	fourth := say("4")
	if fourth.Epoch == third.Epoch || fourth.Offset != 1 {
		t.Errorf("a server that had lost everything went on at %v", fourth)
	}
	if !in.has("4") {
		t.Error("the local subscriber has not got the last message")
	}
}

// Goal: a cluster that loses a server goes on, and has every message that was answered, once and in order. Method: two
// nodes publish without pause; the leader of the stream, to which one of them is linked, is stopped.
func TestClusterLosesLeader(t *testing.T) {
	servers := cluster(t)
	leader, follower := byLeader(t, servers)
	urls := leader.ClientURL() + "," + follower.ClientURL() + "?replicas=3"
	a, b := with(t, Options{URL: urls}), with(t, Options{URL: follower.ClientURL() + "?replicas=3"})
	keep := broker.Keep{Messages: 2000}
	answered := make(map[string]broker.Position)
	var mu sync.Mutex
	var after atomic.Int32 // answers since the server was stopped
	var stopped atomic.Bool
	end := make(chan struct{})
	var work sync.WaitGroup
	for name, n := range map[string]*Bus{"a": a, "b": b} {
		work.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-end:
					return
				default:
				}
				text := fmt.Sprint(name, i)
				at, err := publishWait(t, n, "to.all", text, keep)
				if err != nil {
					continue // with ErrTimeout it may be there all the same, under its own text
				}
				mu.Lock()
				answered[text] = at
				mu.Unlock()
				if stopped.Load() {
					after.Add(1)
				}
			}
		})
	}
	eventually(t, "some answers", func() bool { mu.Lock(); defer mu.Unlock(); return len(answered) >= 50 })
	halt(leader)
	begin := time.Now()
	stopped.Store(true)
	elected(t, "answers by the others", func() bool { return after.Load() >= 50 && a.Health() == nil })
	took := time.Since(begin).Round(time.Millisecond)
	close(end)
	work.Wait()
	t.Logf("50 answers %s after the leader's stop, of %d", took, len(answered))
	r := past(t, b, "to.all", broker.Position{}, 2000)
	found := make(map[string]broker.Position)
	for i, m := range r.Messages {
		if i > 0 && m.Offset != r.Messages[i-1].Offset+1 {
			t.Errorf("%v comes after %v", m.Position, r.Messages[i-1].Position)
		}
		if _, twice := found[string(m.Data)]; twice {
			t.Errorf("%q is there twice", m.Data)
		}
		found[string(m.Data)] = m.Position
	}
	for text, at := range answered {
		if found[text] != at && at.Offset >= r.Messages[0].Offset {
			t.Errorf("%q was answered at %v and is at %v", text, at, found[text])
		}
	}
}

// byLeader returns the leader of the stream of long subjects and another server, the first node's streams being made.
func byLeader(t *testing.T, servers []*server.Server) (leader, follower *server.Server) {
	t.Helper()
	b := node(t, servers[0].ClientURL()+"?replicas=3")
	eventually(t, "a leader", func() bool {
		i := told(t, b)
		for _, s := range servers {
			if i.Cluster != nil && s.Name() == i.Cluster.Leader {
				leader = s
			} else {
				follower = s
			}
		}
		return leader != nil
	})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return leader, follower
}

// Goal: nothing grows without end and nobody waits while a server is stopped. Method: publish more than each queue takes,
// to one subject with history and to many without.
func TestBounds(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), -1)
	p := newProxy(t, s.Addr().String())
	b := with(t, Options{URL: p.url(), Wait: time.Second})
	p.set(true, false)
	var busy, answers atomic.Int32
	done := func(_ broker.Position, err error) {
		answers.Add(1)
		if errors.Is(err, broker.ErrBusy) {
			busy.Add(1)
		}
	}
	begin := time.Now()
	big := make([]byte, 1<<19)
	const count = 2 * MaxOutBytes / (1 << 19)
	for range count { // first: there is no room on the way to the link only for as long as it is not known to be lost
		b.Publish("c.d", big, broker.Keep{}, done)
	}
	if busy.Load() == 0 {
		t.Errorf("none of %d large messages were refused", count)
	}
	eventually(t, "the answers of those without history", func() bool { return answers.Load() == count })
	busy.Store(0)
	answers.Store(0)
	const many = 2 * MaxQueued / (1 << 19)
	for i := range many {
		b.Publish(fmt.Sprint("many.", i), big, keepTen, done)
	}
	if busy.Load() < many/2 {
		t.Errorf("%d of %d large messages with history were refused at once", busy.Load(), many)
	}
	eventually(t, "the answers of those", func() bool { return answers.Load() == many && b.queued.Load() == 0 })
	busy.Store(0)
	answers.Store(0)
	for range MaxQueue + 100 {
		b.Publish("a.b", nil, keepTen, done)
	}
	if busy.Load() < 100 {
		t.Errorf("%d of %d messages were refused at once", busy.Load(), MaxQueue+100)
	}
	if took := time.Since(begin); took > patience {
		t.Errorf("all that took %s", took)
	}
	eventually(t, "all answers", func() bool { return answers.Load() == MaxQueue+100 })
	p.set(false, true)
	p.set(false, false)
	eventually(t, "the bus to go on", func() bool {
		_, err := publishWait(t, b, "a.b", "x", keepTen)
		return err == nil
	})
}

// Goal: any NATS client can follow the chat, and none can speak in it by accident. Method: a plain client beside a node.
func TestStrangers(t *testing.T) {
	s := start(t, t.TempDir(), -1)
	b := node(t, s.ClientURL())
	in := listen(t, b, "chat.>")
	conn, err := nats.Connect(s.ClientURL(), nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	follower, err := conn.SubscribeSync("chat.>")
	if err != nil || conn.Flush() != nil {
		t.Fatal(err)
	}
	for _, keep := range []broker.Keep{{}, keepTen} {
		if _, err := publishWait(t, b, "chat.0.public", "hello", keep); err != nil {
			t.Fatal(err)
		}
		m, err := follower.NextMsg(patience)
		if err != nil || m.Subject != "chat.0.public" || string(m.Data) != "hello" {
			t.Fatalf("the follower got %v, %v", m, err)
		}
	}
	before := strangersTotal.Get()
	if err := conn.Publish("chat.0.public", []byte("psst")); err != nil || conn.Flush() != nil {
		t.Fatal(err)
	}
	eventually(t, "the stranger to be noticed", func() bool { return strangersTotal.Get() > before })
	if in.has("psst") {
		t.Error("a stranger was heard")
	}
	for _, subject := range []string{"$JS.API.STREAM.DELETE.GOSPER_BUS", "_INBOX.x", "_GOSPER.gap"} {
		if _, err := publishWait(t, b, subject, "", broker.Keep{}); !errors.Is(err, broker.ErrBadName) {
			t.Errorf("%s: %v", subject, err)
		}
		if _, err := b.Subscribe(subject, broker.Handler{}); !errors.Is(err, broker.ErrBadName) {
			t.Errorf("%s: %v", subject, err)
		}
	}
}
