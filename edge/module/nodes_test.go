package module

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/memory"
	"gosper/protocol"
)

// another starts one more table on the engines of a rig, as another node that shares them has it. It is for connections.
func (r *rig) another() *rig {
	r.t.Helper()
	o := r.table.tools.options
	bus := broker.Split{Shared: r.bus, Own: memory.NewBus(memory.BusOptions{}), Token: protocol.PresenceToken}
	table, err := New(Config{Options: o, Store: r.store, Registry: r.reg, Bus: bus, Games: r.games, Post: r.post, Secret: []byte("0123456789abcdef"),
		Together: true, Log: slog.New(slog.DiscardHandler), Now: r.clock})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		table.Close()
		bus.Own.Close()
	})
	return &rig{t: r.t, table: table, store: r.store, reg: r.reg, bus: bus, games: r.games, post: r.post, now: r.now, ids: r.ids + 1000}
}

// people is what /chat/presence says.
func people(p *peer) string {
	var out presenceOut
	p.must("/chat/presence", `{}`, &out)
	return fmt.Sprint(out.Count, out.Names)
}

// Goal: nodes on one bus know who is with the others, at once when they come, and after a node has said goodbye or gone
// silent no longer. Method: tables on shared engines; one ends, one is made silent by its clock.
func TestPresenceOfNodes(t *testing.T) {
	base := newRig(t, nil)
	a, b := base.another(), base.another()
	ann := a.play("0", "Ann", "")
	ann.must("/chat/presence", `{"watch":true}`, nil)
	soon(t, "Ann is known", func() bool { return b.table.tools.presence.present("0", "Ann") })
	ben := b.play("0", "Ben", "")
	ann.await("Ben joins", func(got []string) bool {
		return strings.Contains(strings.Join(got, "\n"), `"joined":["Ben"],"count":2`)
	})
	c := base.another() // it asks who is there
	soon(t, "Ben is known", func() bool {
		return a.table.tools.presence.present("0", "Ben") && c.table.tools.presence.present("0", "Ben") && c.table.tools.presence.present("0", "Ann")
	})
	cleo := c.play("0", "Cleo", "")
	ann.await("Cleo joins", func(got []string) bool {
		return strings.Contains(strings.Join(got, "\n"), `"joined":["Cleo"],"count":3`)
	})
	soon(t, "Cleo is known", func() bool {
		return a.table.tools.presence.present("0", "Cleo") && b.table.tools.presence.present("0", "Cleo")
	})
	for _, p := range []*peer{ann, ben, cleo} {
		if got := people(p); got != "3 [Ann Ben Cleo]" {
			t.Errorf("%s sees %s", p.identity().Name, got)
		}
	}
	if !a.table.tools.presence.present("0", "Cleo") || a.table.tools.presence.present("1", "Cleo") {
		t.Error("a name of another node is not present")
	}
	c.table.Close()
	ann.await("Cleo leaves", func(got []string) bool { return strings.Contains(strings.Join(got, "\n"), `"left":["Cleo"],"count":2`) })
	silent := b.table.tools.presence
	silent.mu.Lock()
	silent.nodes.timer.Stop()
	silent.mu.Unlock()
	presence := a.table.tools.presence
	presence.mu.Lock()
	for origin := range presence.nodes.heard {
		presence.nodes.heard[origin] = time.Now().Add(-2 * nodeSilence)
	}
	presence.mu.Unlock()
	presence.repeat()
	ann.await("Ben leaves", func(got []string) bool { return strings.Contains(strings.Join(got, "\n"), `"left":["Ben"],"count":1`) })
	if got := people(ann); got != "1 [Ann]" {
		t.Errorf("alone Ann sees %s", got)
	}
	silent.repeat()
	soon(t, "Ben is back after the silence", func() bool { return people(ann) == "2 [Ann Ben]" })
	ben.hangUp()
	soon(t, "Ben has gone", func() bool { return people(ann) == "1 [Ann]" })
}

// Goal: who has heard that somebody came finds the name in the next answer, and who heard that somebody went does not.
// Method: names come and go at one node; a page at another asks in the instant of each push.
func TestPresenceIsNeverBehind(t *testing.T) {
	base := newRig(t, nil)
	a, b := base.another(), base.another()
	ann := a.play("0", "Ann", "")
	ann.must("/chat/presence", `{"watch":true}`, nil)
	for n := range 50 {
		name := fmt.Sprintf("Ben%d", n)
		guest := b.play("0", name, "")
		ann.await(name+" joins", func(got []string) bool { return strings.Contains(strings.Join(got, "\n"), name+`"],"count":2`) })
		if got := people(ann); got != "2 [Ann "+name+"]" {
			t.Fatalf("after %s was told: %s", name, got)
		}
		guest.hangUp()
		ann.await(name+" leaves", func(got []string) bool {
			return strings.Contains(strings.Join(got, "\n"), `"left":["`+name+`"],"count":1`)
		})
		if got := people(ann); got != "1 [Ann]" {
			t.Fatalf("after %s was told to be gone: %s", name, got)
		}
	}
}

// patience bounds the wait for a condition. It only costs time when a test fails.
const patience = time.Minute

// soon polls until ok.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("waited in vain: ", what)
		}
	}
}

// Goal: a login on one node ends the connections of the older login on another, and no others; after a gap of the bus too.
// Method: an account with connections at two tables on shared engines logs in again.
func TestSingleLoginOfNodes(t *testing.T) {
	base := newRig(t, nil)
	a, b := base.another(), base.another()
	old, other := a.play("0", "Ann", ""), a.play("0", "Ben", "")
	fresh := b.play("0", "Ann", "")
	if fresh.identity().Account != old.identity().Account {
		t.Fatal("the device has two accounts")
	}
	soon(t, "the older login is closed", func() bool { return old.closeCode() == protocol.CloseReplaced })
	if other.closeCode() != 0 || fresh.closeCode() != 0 {
		t.Errorf("closed with %d and %d", other.closeCode(), fresh.closeCode())
	}
	b.table.tools.together = false // its telling is lost
	newest := b.play("0", "Ann", "")
	b.table.tools.together = true
	stale := a.connect()
	stale.who = fresh.identity()
	a.table.tools.online.attach(stale.who.Account, stale)
	a.table.tools.checkLogins(t.Context())
	if stale.closeCode() != protocol.CloseReplaced || other.closeCode() != 0 || newest.closeCode() != 0 {
		t.Errorf("after a gap: closed with %d, %d and %d", stale.closeCode(), other.closeCode(), newest.closeCode())
	}
}

// Goal: of two logins at two nodes at once the one that was written last stays, alone, whichever is heard of last; a world token that
// counts stays over a gap of the bus. Method: a login at one node while that at another is written and not yet told; then a gap.
func TestLoginsOfNodesAtOnce(t *testing.T) {
	store := &afterLogin{}
	base := newRigOn(t, nil, func(s broker.Store) broker.Store {
		store.Store = s
		return store
	})
	b := base.another()
	base.table.tools.together = true // it tells; what it hears is not asked for
	late, fresh, tab := base.connect(), b.connect(), b.connect()
	login := func() {
		var out loggedInOut
		fresh.must("/user/loginUnique", `{"unique_id":"device"}`, &out)
		tab.must("/session/resume", fmt.Sprintf(`{"token":%q}`, out.Session), nil)
	}
	store.written.Store(&login)
	if reply := late.call("/user/loginUnique", `{"unique_id":"device"}`); reply.Status != protocol.StatusExpired || late.closeCode() != protocol.CloseReplaced {
		t.Errorf("the older login: %d %s, closed with %v", reply.Status, reply.Message, late.closeCode())
	}
	account := fresh.identity().Account
	b.table.tools.endReplaced(t.Context(), account, "older", b.table.tools.withLogin(account)) // as what was told just now
	if fresh.closeCode() != 0 || tab.closeCode() != 0 {
		t.Errorf("the newer login is closed with %v and %v", fresh.closeCode(), tab.closeCode())
	}
	token, err := b.table.IssueToken(t.Context(), account, true)
	if err != nil {
		t.Fatal(err)
	}
	world := b.connect()
	world.must("/session/resume", fmt.Sprintf(`{"token":%q}`, token), nil)
	b.table.tools.checkLogins(t.Context())
	if world.closeCode() != 0 || fresh.closeCode() != 0 {
		t.Errorf("after a gap: a world token is closed with %v, its login with %v", world.closeCode(), fresh.closeCode())
	}
}
