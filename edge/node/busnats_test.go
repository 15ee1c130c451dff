package node

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"gosper/broker/redis/redistest"
	"gosper/protocol"
)

// natsServer runs a real nats-server in this process until the test ends. Port 0 is one that nobody else takes while the server is away.
func natsServer(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	if port == 0 {
		addr, err := net.ResolveTCPAddr("tcp", freeAddrs(t, 1)[0])
		if err != nil {
			t.Fatal(err)
		}
		port = addr.Port
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { stopNATS(s) })
	if !s.ReadyForConnections(patience) {
		t.Fatal("nats-server does not start")
	}
	return s
}

func stopNATS(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// Goal: two nodes on NATS are one world. Method: the conversation of TestTwoNodesTalk with two processes, first with nonces
// at the node that made them, then with the registry in Redis, where those of one node are good at the other.
func TestTwoNodesTalkOnNATS(t *testing.T) {
	t.Run("own registries", func(t *testing.T) {
		env := []string{"GOSPER_BUS=" + natsServer(t, t.TempDir(), 0).ClientURL(), "GOSPER_SECRET=a secret that both nodes know"}
		a, b := launch(t, t.TempDir(), nil, env...), launch(t, t.TempDir(), nil, env...)
		twoNodesTalk(t, a, b, b)
	})
	t.Run("shared registry", func(t *testing.T) {
		env := []string{"GOSPER_BUS=" + natsServer(t, t.TempDir(), 0).ClientURL(), "GOSPER_REGISTRY=" + redistest.Start(t).URL(),
			"GOSPER_SECRET=a secret that both nodes know"}
		a, b := launch(t, t.TempDir(), nil, env...), launch(t, t.TempDir(), nil, env...)
		twoNodesTalk(t, a, b, a)
	})
}

// Goal: as TestBusAway, with NATS; what the server has in files is still there, and what it had in memory is gone with a new epoch.
// Method: stop the server, start it again with its folder.
func TestNATSAway(t *testing.T) {
	for history, kept := range map[string]bool{"file": true, "memory": false} {
		t.Run(history, func(t *testing.T) { natsAway(t, history, kept) })
	}
}

func natsAway(t *testing.T, history string, kept bool) {
	dir := t.TempDir()
	s := natsServer(t, dir, 0)
	port := s.Addr().(*net.TCPAddr).Port
	p := launch(t, t.TempDir(), nil, "GOSPER_BUS="+s.ClientURL()+"?history="+history)
	page := p.websocket()
	page.call("/session/register", fmt.Sprintf(`{"nonce":%q}`, p.nonce("0", "Ann", "")), nil)
	say := func(text string) protocol.Position {
		pushes := page.call("/chat/public", fmt.Sprintf(`{"text":%q}`, text), nil)
		own := func(e protocol.Envelope) bool { return strings.Contains(string(e.Content), `"`+text+`"`) }
		for !slices.ContainsFunc(pushes, own) {
			pushes = append(pushes, page.envelope())
		}
		return pushes[slices.IndexFunc(pushes, own)].Position
	}
	one := say("one")
	stopNATS(s)
	p.ready(http.StatusServiceUnavailable)
	page.call("/user/clientCode", `{}`, nil)
	natsServer(t, dir, port)
	p.ready(http.StatusOK)
	if !kept {
		page.await("/session/gap") // what is said before it may be in the gap
	}
	two := say("two")
	if want := map[bool]uint64{true: 2, false: 1}[kept]; two.Offset != want || two.Epoch == one.Epoch != kept {
		t.Errorf("the messages before and after the restart are at %+v and %+v", one, two)
	}
}

// Goal: what cannot be is said before the node starts. Method: a table of addresses.
func TestBusOptions(t *testing.T) {
	for _, c := range []struct{ bus, registry, want string }{
		{"nats://a:1,b:2?replicas=3", "redis://c:3", ""},
		{"tls://a:1", "", ""},
		{"redis://a:1", "", ""},
		{"", "", ""},
		{"nats://a:1?replicas=9", "", "bus: nats: replicas"},
		{"nats://a:1", "http://b", "registry: "},
		{"redis://a:1", "redis://b:1", "registry: it goes with a bus in NATS"},
		{"http://a:1", "", "bus: "},
	} {
		o := DefaultOptions()
		o.Bus, o.Registry = c.bus, c.registry
		if err := o.checkBus(); (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("bus %q, registry %q: %v, want %q", c.bus, c.registry, err, c.want)
		}
	}
}
