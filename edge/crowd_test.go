package edge_test

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"gosper/edge"
	"gosper/edge/module"
)

// The connections of one address are bounded on every way in: N stay served, N+1 is closed at once and counted, another
// address comes in, and a place that was given back can be taken. Straight, behind a balancer, and by adoption.
func TestConnectionsOfAnAddress(t *testing.T) {
	crowd := func(t *testing.T, s *server, open func() *client) {
		hits, refused := `gosper_limit_hits_total{limit="address_connections"}`, `gosper_connections_refused_total{reason="address_connections"}`
		hitsBefore, refusedBefore := counter(t, hits), counter(t, refused)
		var inside []*client
		for range 3 {
			inside = append(inside, open())
		}
		wait(t, "three sessions", func() bool { return s.Sessions() == 3 })
		if extra := open(); extra != nil {
			if _, err := extra.Read(make([]byte, 1)); err == nil {
				t.Error("one too many came in")
			}
		}
		if counter(t, hits) != hitsBefore+1 || counter(t, refused) != refusedBefore+1 {
			t.Error("not counted")
		}
		inside[0].Close()
		wait(t, "the end of one", func() bool { return s.Sessions() == 2 })
		open()
		wait(t, "its place taken", func() bool { return s.Sessions() == 3 })
	}
	limit := func(c *edge.Config) { c.Limits.AddressConnections = 3 }
	t.Run("straight", func(t *testing.T) {
		s := start(t, limit)
		crowd(t, s, func() *client {
			c, err := net.Dial("tcp", s.Addr("line").String())
			if errors.Is(err, syscall.ECONNRESET) {
				return nil // refused before the call of connect was over
			}
			if err != nil {
				t.Fatal(err)
			}
			return newClient(t, c)
		})
	})
	t.Run("adopted", func(t *testing.T) {
		s := start(t, limit)
		crowd(t, s, func() *client {
			c := dial(t, s.web.Addr())
			c.send("\n")
			return c
		})
	})
	t.Run("behind a balancer", func(t *testing.T) {
		s := start(t, func(c *edge.Config) {
			limit(c)
			c.Listeners[0].ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		})
		from := func(address string) *client {
			c := s.line(t)
			c.send("PROXY TCP4 " + address + " 10.0.0.1 40000 9000\r\n")
			return c
		}
		crowd(t, s, func() *client { return from("203.0.113.9") })
		from("203.0.113.10")
		wait(t, "another address", func() bool { return s.Sessions() == 4 })
	})
}

// A session that is logged in without being in a world says so when it goes, even when the login came too late.
func TestLeftWithoutWorld(t *testing.T) {
	s := start(t, nil)
	c := s.player(t, "w/ann/")
	session := s.mod.session(t)
	session.SetIdentity(module.Identity{Account: "ann", LoggedIn: true})
	wait(t, "the world left", func() bool { return s.mod.left.Load() == 1 })
	c.Close()
	wait(t, "the account left", func() bool { return s.mod.left.Load() == 2 })
	session.SetIdentity(module.Identity{Account: "bob", LoggedIn: true})
	wait(t, "the late account left", func() bool { return s.mod.left.Load() == 3 })
}

// session returns the one session that has registered.
func (f *fakeModule) session(t *testing.T) module.Session {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sessions {
		return s
	}
	t.Fatal("no session")
	return nil
}
