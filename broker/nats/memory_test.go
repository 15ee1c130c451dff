package nats

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gosper/broker"
)

// Goal: a server that keeps the history in memory has lost it when it comes back, and says so by a new epoch. Method: stop
// it and start it with its folder.
func TestMemoryServerRestarts(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), freePorts(t, 1)[0]
	s := start(t, dir, port)
	b := node(t, s.ClientURL())
	in := listen(t, b, "mem.ory")
	first, err := publishWait(t, b, "mem.ory", "1", keepTen)
	if err != nil {
		t.Fatal(err)
	}
	halt(s)
	start(t, dir, port)
	eventually(t, "a gap", func() bool { return in.gaps.Load() > 0 })
	second, err := publishWait(t, b, "mem.ory", "2", keepTen)
	if err != nil {
		t.Fatal(err)
	}
	if second.Epoch == first.Epoch || second.Offset != 1 {
		t.Errorf("behind %v, which is lost, came %v", first, second)
	}
	r, err := b.History(context.Background(), "mem.ory", first, 10)
	if err != nil || r.Recovered || len(r.Messages) != 1 || r.Top != second {
		t.Errorf("history behind a lost message: %+v, %v", r, err)
	}
}

// Goal: who publishes as soon as the link is back, before this node has looked at what the server still holds, begins no position a
// second time. Method: as above, without a rest.
func TestMemoryServerRestartsAtOnce(t *testing.T) {
	t.Parallel()
	dir, port := t.TempDir(), freePorts(t, 1)[0]
	s := start(t, dir, port)
	b := node(t, s.ClientURL())
	first, err := publishWait(t, b, "mem.ory", "1", keepTen)
	if err != nil {
		t.Fatal(err)
	}
	halt(s)
	start(t, dir, port)
	second, err := publishWait(t, b, "mem.ory", "2", keepTen)
	for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); { // the link may not be back yet
		second, err = publishWait(t, b, "mem.ory", "2", keepTen)
	}
	if err != nil || second.Epoch == first.Epoch {
		t.Errorf("behind %v, which is lost, came %v, %v", first, second, err)
	}
}

// restartable is a cluster whose servers come back at their ports with their folders.
type restartable struct {
	t       *testing.T
	options []*server.Options
	servers []*server.Server
}

func newRestartable(t *testing.T) *restartable {
	c := &restartable{t: t, options: clusterOptions(t)}
	for _, o := range c.options {
		c.servers = append(c.servers, boot(t, o.Clone()))
	}
	return c
}

func (c *restartable) url(history string) string {
	var addrs []string
	for _, s := range c.servers {
		addrs = append(addrs, s.Addr().String())
	}
	return "nats://" + strings.Join(addrs, ",") + "?replicas=3&history=" + history
}

// again starts server i, which was halted.
func (c *restartable) again(i int) { c.servers[i] = boot(c.t, c.options[i].Clone()) }

// Goal: a history in memory with three replicas survives that each server starts again, one after the other, and no
// position means two messages when all of them did. Method: restart one by one, waiting for the health check that operators
// wait for; then all at once; a node that was there and a node that was not.
func TestMemoryClusterRestarts(t *testing.T) {
	c := newRestartable(t)
	b := with(t, Options{URL: c.url(HistoryMemory)})
	const subject = "mem.ory"
	say := func(text string) broker.Position { t.Helper(); return insist(t, b, subject, text) }
	first := say("1")
	for i, s := range c.servers {
		halt(s)
		c.again(i)
		elected(t, "the server to be well", func() bool { return c.servers[i].Healthz(&server.HealthzOptions{}).Status == "ok" })
	}
	r := past(t, b, subject, broker.Position{}, 10)
	if len(r.Messages) != 1 || r.Messages[0].Position != first {
		t.Fatalf("after one restart of each: %+v", r)
	}
	second := say("2")
	if second.Epoch != first.Epoch || second.Offset <= first.Offset { // one more message when an answer was lost
		t.Errorf("after one restart of each: %v behind %v", second, first)
	}
	in := listen(t, b, subject)
	for _, s := range c.servers {
		halt(s)
	}
	for i := range c.servers {
		c.again(i)
	}
	fresh := with(t, Options{URL: c.url(HistoryMemory)})
	if r = past(t, fresh, subject, second, 10); r.Recovered || r.Top.Epoch == second.Epoch {
		t.Errorf("a node that has seen nothing took the lost history for whole: %+v", r)
	}
	eventually(t, "a gap", func() bool { return in.gaps.Load() > 0 })
	listen(t, fresh, subject)
	if third := say("3"); third.Epoch == second.Epoch {
		t.Errorf("behind %v, which is lost, came %v", second, third)
	}
	// Both may have begun an epoch, one behind the other; who hears of the later one takes it over.
	eventually(t, "one epoch", func() bool {
		for _, n := range []*Bus{b, fresh} {
			_, _ = publishWait(t, n, subject, "4", keepTen) // it may be refused while servers come back
		}
		return b.streams[1].now() == fresh.streams[1].now()
	})
}

// Goal: a loss that nobody's link shows is noticed by who publishes next, and other nodes take over the new epoch. Method:
// the stream is replaced by an empty one of the same name and epoch while two nodes are linked.
func TestSilentLoss(t *testing.T) {
	s := start(t, t.TempDir(), -1)
	b, other := node(t, s.ClientURL()), node(t, s.ClientURL())
	in := listen(t, other, "si.lent")
	if err := (pair{b, other}).settle(); err != nil {
		t.Fatal(err)
	}
	var last broker.Position
	for i := range 3 {
		at, err := publishWait(t, b, "si.lent", fmt.Sprint(i), keepTen)
		if err != nil {
			t.Fatal(err)
		}
		last = at
	}
	eventually(t, "the messages at the other node", func() bool { return in.has("2") })
	epoch := last.Epoch
	st := b.streams[1]
	for _, verb := range []string{"DELETE", "CREATE"} {
		eventually(t, "the answer to "+verb, func() bool { // which is the same for the second time
			var err error
			if verb == "DELETE" {
				_, err = st.api(context.Background(), "$JS.API.STREAM.DELETE."+st.name, nil)
			} else {
				_, err = st.change(context.Background(), verb, HistoryMemory, epoch)
			}
			return err == nil
		})
	}
	at, err := publishWait(t, b, "si.lent", "new", keepTen)
	if err != nil || at.Epoch == epoch || at.Offset != 1 {
		t.Fatalf("behind %v, which is lost, came %v, %v", last, at, err)
	}
	eventually(t, "the message at the other node", func() bool { return in.has("new") && in.gaps.Load() > 0 })
	eventually(t, "the epoch at the other node", func() bool { return other.streams[1].now() == at.Epoch })
	back, err := publishWait(t, other, "si.lent", "newer", keepTen)
	if err != nil || back != (broker.Position{Epoch: at.Epoch, Offset: 2}) {
		t.Errorf("behind %v the other node stored %v, %v", at, back, err)
	}
}

// Goal: no loss is seen where there is none. Method: two nodes begin many subjects together, so that each hears messages of the
// other while it asks for the newest one; all are of one epoch.
func TestNoLoss(t *testing.T) {
	s := start(t, t.TempDir(), -1)
	nodes := []*Bus{node(t, s.ClientURL()), node(t, s.ClientURL())}
	for _, b := range nodes {
		listen(t, b, "no.>")
	}
	if err := (pair{nodes[0], nodes[1]}).settle(); err != nil {
		t.Fatal(err)
	}
	epoch := nodes[0].streams[1].now()
	const subjects, each = 200, 5
	var answers sync.WaitGroup
	for i := range subjects {
		for range each {
			for _, b := range nodes {
				answers.Add(1)
				b.Publish(fmt.Sprint("no.", i), nil, keepTen, func(at broker.Position, err error) {
					if err != nil || at.Epoch != epoch {
						t.Errorf("subject %d: %v, %v in epoch %d", i, at, err, epoch)
					}
					answers.Done()
				})
			}
		}
	}
	answers.Wait()
}

// Goal: a stream that was made in files stays there with all it holds when the history is asked for in memory, and the log
// says so. Method: one node after the other.
func TestHistoryStays(t *testing.T) {
	s := start(t, t.TempDir(), -1)
	before := with(t, Options{URL: s.ClientURL(), History: HistoryFile, Wait: patience})
	first, err := publishWait(t, before, "sta.ys", "1", keepTen)
	if err != nil {
		t.Fatal(err)
	}
	var log safeLog
	b := with(t, Options{URL: s.ClientURL(), Wait: patience, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if text := log.String(); strings.Count(text, "GOSPER_BUS asked=memory kept=file") != 1 || b.streams[1].run() != 1 {
		t.Errorf("the log says %q, and a run may be %d long", text, b.streams[1].run())
	}
	second, err := publishWait(t, b, "sta.ys", "2", keepTen)
	if err != nil || second != (broker.Position{Epoch: first.Epoch, Offset: 2}) {
		t.Errorf("behind %v came %v, %v", first, second, err)
	}
	if i := told(t, b); i.Config.Storage != HistoryFile {
		t.Errorf("the stream is in %q", i.Config.Storage)
	}
}

// told asks for what the servers say of the stream of long subjects until they answer.
func told(t *testing.T, b *Bus) (i *info) {
	t.Helper()
	eventually(t, "the servers tell of the stream", func() (ok bool) {
		var err error
		i, err = b.streams[1].info(context.Background())
		return err == nil && i.Error == nil
	})
	return i
}

// safeLog is a log that may be read while it is written.
type safeLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *safeLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Goal: servers without room for the history in memory are named as the reason, with what to do. Method: a server that
// gives little.
func TestNoMemory(t *testing.T) {
	t.Parallel()
	s := boot(t, &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, JetStreamMaxMemory: 1 << 20, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	opensNot(t, Options{URL: s.ClientURL(), StartWait: time.Second}, "max_memory_store must leave 64 MiB")
	with(t, Options{URL: s.ClientURL(), History: HistoryFile})
}
