package nats

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"gosper/broker"
)

func TestMain(m *testing.M) {
	if serveProcess() {
		return
	}
	ignored := []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushLoop"),
		// gnet starts these two for the life of the process.
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"),
	}
	goleak.VerifyTestMain(slowly{m, ignored}, ignored...)
}

const patience = 30 * time.Second

// slowly gives the servers of the last test time to end, of which goleak leaves less than half a second.
type slowly struct {
	m       *testing.M
	ignored []goleak.Option
}

func (s slowly) Run() int {
	code := s.m.Run()
	for end := time.Now().Add(patience); code == 0 && time.Now().Before(end) && goleak.Find(s.ignored...) != nil; {
	}
	return code
}

// start runs a real server in this process, on a free port or the given one, until the test ends.
func start(t testing.TB, dir string, port int) *server.Server {
	t.Helper()
	return boot(t, &server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true})
}

func boot(t testing.TB, o *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { halt(s) })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server does not start")
	}
	return s
}

func halt(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// cluster runs three servers that know each other.
func cluster(t testing.TB) []*server.Server {
	t.Helper()
	var all []*server.Server
	for _, o := range clusterOptions(t) {
		all = append(all, boot(t, o))
	}
	return all
}

func clusterOptions(t testing.TB) []*server.Options {
	t.Helper()
	ports := freePorts(t, 6)
	var routes []string
	for _, port := range ports[3:] {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	var all []*server.Options
	for i := range 3 {
		o := &server.Options{ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: ports[i], JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
		o.Cluster.Name, o.Cluster.Host, o.Cluster.Port = "test", "127.0.0.1", ports[3+i]
		o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
		all = append(all, o)
	}
	return all
}

// node opens a bus on url until the test ends. It is patient, as no call must fail without a fault.
func node(t testing.TB, url string) *Bus {
	t.Helper()
	return with(t, Options{URL: url, Wait: patience})
}

func with(t testing.TB, o Options) *Bus {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	fill(&o.StartWait, 2*patience)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	b, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// pair publishes at one node and subscribes at another, which is asked for the history too.
type pair struct{ from, to *Bus }

func (p pair) Publish(subject string, data []byte, keep broker.Keep, done func(broker.Position, error)) {
	p.from.Publish(subject, data, keep, done)
}

// Subscribe returns when the other node's messages arrive: a bus promises that for its own only.
func (p pair) Subscribe(pattern string, h broker.Handler) (broker.Subscription, error) {
	s, err := p.to.Subscribe(pattern, h)
	if err == nil {
		err = p.settle()
	}
	return s, err
}

// settle waits for a message of one node that the other asked for last.
func (p pair) settle() error {
	came := make(chan struct{})
	var once sync.Once
	s, err := p.to.Subscribe("settle."+p.to.link.node, broker.Handler{Message: func(*broker.Message) { once.Do(func() { close(came) }) }})
	if err != nil {
		return err
	}
	defer s.Unsubscribe()
	t := time.NewTicker(2 * time.Millisecond)
	defer t.Stop()
	end := time.After(patience)
	for {
		select {
		case <-came:
			return nil
		case <-end:
			return broker.ErrTimeout
		case <-t.C:
			p.from.Publish("settle."+p.to.link.node, nil, broker.Keep{}, nil)
		}
	}
}

func (p pair) History(ctx context.Context, subject string, since broker.Position, limit int) (broker.Recovery, error) {
	return p.to.History(ctx, subject, since, limit)
}

func (p pair) Close() error { return nil }

// eventually polls until ok, and fails the test when patience ends.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	poll(t, patience, what, ok)
}

// elected is eventually where servers elect a leader first: a round of theirs takes nine seconds, and may be in vain.
func elected(t testing.TB, what string, ok func() bool) {
	t.Helper()
	poll(t, 3*patience, what, ok)
}

func poll(t testing.TB, most time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(most); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("waited %s in vain: %s", most, what)
}

// bootPlain runs a server without JetStream.
func bootPlain(t testing.TB) *server.Server {
	t.Helper()
	return boot(t, &server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true})
}
