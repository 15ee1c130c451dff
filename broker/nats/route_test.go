package nats

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"gosper/broker"
)

// routes are two servers of a cluster that reach each other through proxies. Those can hold up what goes over the routes
// of the clients' account, while what the servers send for their own goes on.
type routes struct {
	servers []*server.Server
	proxies []*proxy
}

func startRoutes(t *testing.T) *routes {
	t.Helper()
	var r routes
	ports := freePorts(t, 2)
	var fronts []net.Listener
	var addrs []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		fronts, addrs = append(fronts, l), append(addrs, l.Addr().String())
	}
	for i, front := range fronts {
		o := &server.Options{ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
		o.Cluster.Name, o.Cluster.Host, o.Cluster.Port = "test", "127.0.0.1", ports[i]
		o.Cluster.Advertise, o.Cluster.PinnedAccounts = addrs[i], []string{server.DEFAULT_GLOBAL_ACCOUNT}
		o.Routes = server.RoutesFromStr("nats://" + strings.Join(addrs, ",nats://"))
		r.proxies = append(r.proxies, proxyAt(t, front, fmt.Sprint("127.0.0.1:", ports[i]), `"route_account":"`+server.DEFAULT_GLOBAL_ACCOUNT+`"`))
		r.servers = append(r.servers, boot(t, o))
	}
	return &r
}

func (r *routes) hold(yes bool) {
	for _, p := range r.proxies {
		p.set(yes, false)
	}
}

func (r *routes) holds(text string) bool { return r.proxies[0].holds(text) || r.proxies[1].holds(text) }

// lead waits for the streams and returns a node at the server that leads the stream of long subjects, and one at the other.
func (r *routes) lead(t *testing.T) (near, far *Bus) {
	t.Helper()
	at := func(s *server.Server) *Bus { return with(t, Options{URL: s.ClientURL(), Wait: patience}) }
	near, far = at(r.servers[0]), at(r.servers[1])
	i := told(t, near)
	if i.Cluster == nil {
		t.Fatalf("%+v", i)
	}
	if i.Cluster.Leader == r.servers[1].Name() {
		near, far = far, near
	}
	return near, far
}

// Goal: between what the history says and what comes live there is no hole, however late the stream's leader hears that a
// node listens. Method: two servers; the routes of the clients' account stand still while a node at the one subscribes and
// asks for the newest position, and a node at the other, which leads, publishes on.
func TestJoinOverSlowRoute(t *testing.T) {
	r := startRoutes(t)
	near, far := r.lead(t)
	const subject = "slow.route"
	say := func(text string) broker.Position {
		t.Helper()
		at, err := publishWait(t, near, subject, text, keepTen)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	say("1")
	if err := (pair{near, far}).settle(); err != nil { // the routes are up
		t.Fatal(err)
	}
	r.hold(true)
	in := listen(t, far, subject)
	top := make(chan broker.Position, 1)
	var told atomic.Bool
	go func() {
		defer told.Store(true)
		h, err := far.History(context.Background(), subject, broker.Position{}, 0)
		if err != nil {
			t.Error(err)
		}
		top <- h.Top
	}()
	eventually(t, "the position, or what must come first", func() bool { return told.Load() || r.holds(long.prefix+long.door) })
	second := say("2")
	r.hold(false)
	at := <-top
	say("3")
	eventually(t, "the last message", func() bool { return in.has("3") })
	if at.Offset < second.Offset && !in.has("2") {
		t.Errorf("the newest position was said to be %v, and what came at %v was lost", at, second)
	}
}
