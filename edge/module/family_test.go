package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/post"
	"gosper/protocol"
)

// invited sends an invitation and returns its key, which the push to the invited player tells.
func (p *peer) invited(by *peer) string {
	p.rig.t.Helper()
	before := len(p.keys())
	by.must("/family/invite", `{"gn_target":"`+p.identity().Name+`"}`, nil)
	p.await("an invitation", func([]string) bool { return len(p.keys()) > before })
	keys := p.keys()
	return keys[len(keys)-1]
}

// keys lists the keys of the invitations that the peer was told of.
func (p *peer) keys() (keys []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.got {
		if _, data, _ := strings.Cut(line, " "); strings.Contains(data, routeFamilyInvited) {
			push, err := protocol.ParsePush([]byte(data))
			var c familyInvited
			if err == nil && json.Unmarshal(push.Content, &c) == nil {
				keys = append(keys, c.Key)
			}
		}
	}
	return keys
}

// requested asks a family to be let in and returns the key of the mail to its officer.
func (p *peer) requested(officer *peer, name string) string {
	p.rig.t.Helper()
	p.must("/family/request", `{"name":"`+name+`"}`, nil)
	who := officer.identity()
	mails, err := p.rig.post.All(context.Background(), post.Box{World: who.World, UID: who.Account})
	if err != nil {
		p.rig.t.Fatal(err)
	}
	for _, m := range mails {
		if m.Kind == post.FamilyRequest && m.Fields["uid_target"] == p.identity().Account {
			return m.Key
		}
	}
	p.rig.t.Fatalf("no request among %+v", mails)
	return ""
}

func respond(key string, accept bool) string {
	return fmt.Sprintf(`{"key":%q,"accept":%v}`, key, accept)
}

// together runs calls at the same instant and returns their statuses.
func together(calls ...func() Reply) []protocol.Status {
	begin := make(chan struct{})
	statuses := make([]protocol.Status, len(calls))
	var wait sync.WaitGroup
	for i, call := range calls {
		wait.Go(func() {
			<-begin
			statuses[i] = call().Status
		})
	}
	close(begin)
	wait.Wait()
	return statuses
}

func good(statuses []protocol.Status) (n int) {
	for _, s := range statuses {
		if s == protocol.StatusOK {
			n++
		}
	}
	return n
}

// Goal: membership alone decides the room, at once, on all connections, on every node. Method: an account with three
// connections here and one on a second table with the same bus and store joins, is renamed with its family and removed;
// what the others say in between must reach exactly the members.
func TestFamilyRooms(t *testing.T) {
	r := newRig(t, nil)
	ann := r.play("0", "Ann", "foxes")
	ben := r.play("0", "Ben", "")
	two, elsewhere := r.connect(), r.connect()
	two.must("/session/resume", `{"token":"`+ben.token()+`"}`, nil)
	elsewhere.must("/session/resume", `{"token":"`+ben.token()+`"}`, nil)
	elsewhere.must("/user/enterWorld", `{"world":"1","name":"Ben"}`, nil)
	far := r.otherNode()
	far.must("/session/resume", `{"token":"`+ben.token()+`"}`, nil)

	ann.must("/chat/family", `{"text":"before"}`, nil)
	ben.must("/family/respond", respond(ben.invited(ann), true), nil)
	for _, p := range []*peer{ben, two} {
		if p.identity().Family != "foxes" || !slices.Contains(p.Subscriptions(), "chat.0.family.foxes") {
			t.Errorf("not in the room: %+v %v", p.identity(), p.Subscriptions())
		}
	}
	far.until(func() bool { return slices.Contains(far.Subscriptions(), "chat.0.family.foxes") })
	if elsewhere.identity().Family != "" || slices.Contains(elsewhere.Subscriptions(), "chat.0.family.foxes") {
		t.Error("a player of another world is in the room")
	}
	ann.must("/chat/family", `{"text":"inside"}`, nil)
	ann.must("/family/changeName", `{"name":"wolves"}`, nil)
	far.until(func() bool { return slices.Contains(far.Subscriptions(), "chat.0.family.wolves") })
	ben.must("/chat/family", `{"text":"howl"}`, nil)
	stale := ben.token()
	ann.must("/family/remove", `{"gn_target":"Ben"}`, nil)
	for _, p := range []*peer{ben, two} {
		if p.identity().Family != "" || len(p.Subscriptions()) != 2 {
			t.Errorf("removed, but %+v %v", p.identity(), p.Subscriptions())
		}
	}
	far.until(func() bool { return len(far.Subscriptions()) == 2 })
	ann.must("/chat/family", `{"text":"after"}`, nil)
	for name, p := range map[string]*peer{"ben": ben, "two": two, "far": far} {
		got := strings.Join(p.await("the removal", func(got []string) bool { return strings.Contains(strings.Join(got, " "), `"change":"removed"`) }), "\n")
		if strings.Contains(got, "before") || !strings.Contains(got, "inside") || !strings.Contains(got, "howl") || strings.Contains(got, `"text":"after"`) {
			t.Errorf("%s heard %s", name, got)
		}
	}
	// An old token and an old nonce do not help.
	if who, err := r.table.Authenticate(t.Context(), stale); err != nil || who.Family != "" {
		t.Errorf("by an old token: %+v %v", who, err)
	}
	late := r.connect()
	late.must("/session/resume", `{"token":"`+stale+`","positions":[{"subject":"chat.0.family.wolves","epoch":1,"offset":1}]}`, nil)
	if reply := late.call("/chat/history", `{"family":true}`); reply.Status != protocol.StatusMissing || slices.Contains(late.Subscriptions(), "chat.0.family.wolves") {
		t.Errorf("%+v %v", reply, late.Subscriptions())
	}
}

// otherNode opens a connection to a second table on the same engines.
func (r *rig) otherNode() *peer {
	r.t.Helper()
	other, err := New(Config{Options: r.table.tools.options, Store: r.store, Registry: r.reg, Bus: r.bus, Post: r.post,
		Secret: []byte("0123456789abcdef"), Log: slog.New(slog.DiscardHandler), Now: r.clock})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(other.Close)
	far := &rig{t: r.t, table: other, store: r.store, reg: r.reg, bus: r.bus, post: r.post, games: r.games, now: r.now, ids: 1000}
	return far.connect()
}

// until waits for a condition that no push tells of.
func (p *peer) until(ok func() bool) {
	p.rig.t.Helper()
	limit, tick := time.After(patience), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			p.rig.t.Fatalf("%+v %v", p.identity(), p.Subscriptions())
		}
	}
}

// Goal: of 100 clients that redeem one nonce at the same instant exactly one succeeds, and one member is there. Method:
// connections of the invited player and, for a request, of two officers.
func TestFamilyNonceRace(t *testing.T) {
	r := newRig(t, nil)
	ann, ben, cleo, dora := r.play("0", "Ann", "foxes"), r.play("0", "Ben", ""), r.play("0", "Cleo", "foxes"), r.play("0", "Dora", "")
	ann.must("/family/setRole", `{"gn_target":"Cleo","role":8}`, nil)
	race := func(key string, peers ...*peer) []protocol.Status {
		calls := make([]func() Reply, 100)
		for i := range calls {
			who := peers[i%len(peers)].identity()
			calls[i] = func() Reply {
				return r.do(&Call{Route: "/family/respond", Door: "http", Who: who, Content: []byte(respond(key, true))})
			}
		}
		return together(calls...)
	}
	if s := race(ben.invited(ann), ben); good(s) != 1 {
		t.Errorf("an invitation: %v", s)
	}
	if s := race(dora.requested(ann, "foxes"), ann, cleo); good(s) != 1 {
		t.Errorf("a request: %v", s)
	}
	f := r.familyNow("0", "foxes")
	if len(f.Members) != 4 {
		t.Errorf("members %+v", f.Members)
	}
	// The mails of the request have gone from both boxes.
	for _, p := range []*peer{ann, cleo, ben} {
		if mails, err := r.post.All(t.Context(), post.Box{World: "0", UID: p.identity().Account}); err != nil || len(mails) != 0 {
			t.Errorf("%+v %v", mails, err)
		}
	}
}

// Goal: no race leaves two owners, a family too full, a player in two families, or somebody in who was removed. Method:
// contending calls at the same instant, many times, records compared after each.
func TestFamilyRaces(t *testing.T) {
	for round := range 20 {
		r := newTown(t)
		r.setFamilies(func(g *FamilyGeneral) { g.Members.Max = 4 })
		ann, ben, cleo := r.play("0", "Ann", "foxes"), r.play("0", "Ben", "foxes"), r.play("0", "Cleo", "foxes")
		ann.must("/family/setRole", `{"gn_target":"Ben","role":8}`, nil)
		dora, emil, finn := r.play("0", "Dora", ""), r.play("0", "Emil", ""), r.play("0", "Finn", "owls")

		// Two for one place, and one of them is invited by another family too.
		toDora, toEmil, toDora2 := dora.invited(ann), emil.invited(ann), dora.invited(finn)
		joined := together(
			func() Reply { return dora.call("/family/respond", respond(toDora, true)) },
			func() Reply { return emil.call("/family/respond", respond(toEmil, true)) },
			func() Reply { return r.as(dora, "/family/respond", respond(toDora2, true)) })
		// Owner, admin and member change at once.
		together(
			func() Reply { return ann.call("/family/abdicate", `{"gn_target":"Cleo"}`) },
			func() Reply { return r.as(ann, "/family/abdicate", `{"gn_target":"Ben"}`) },
			func() Reply { return ben.call("/family/remove", `{"gn_target":"Cleo"}`) },
			func() Reply { return cleo.call("/family/leave", `{}`) })
		if n := good(joined); n < 1 || n > 2 { // one when Dora came first, and to the foxes
			t.Errorf("round %d: joined %v", round, joined)
		}
		// A founding of one name by two, and by one player twice.
		gail, hugo := r.play("0", "Gail", ""), r.play("0", "Hugo", "")
		founded := together(
			func() Reply { return gail.call("/family/create", `{"name":"bears"}`) },
			func() Reply { return hugo.call("/family/create", `{"name":"Bears"}`) },
			func() Reply { return r.as(hugo, "/family/create", `{"name":"lynxes"}`) })
		if n := good(founded); n < 1 || n > 2 {
			t.Errorf("round %d: founded %v", round, founded)
		}
		r.consistent(ann, ben, cleo, dora, emil, finn, gail, hugo)
	}
}

// as calls a function as a peer without its connection, so that both can call at once.
func (r *rig) as(p *peer, route, content string) Reply {
	return r.do(&Call{Route: route, Door: "http", Who: p.identity(), Content: []byte(content)})
}

// consistent checks that all records of families and players agree, and connections with them.
func (b *town) consistent(peers ...*peer) {
	b.t.Helper()
	records, err := b.store.List(context.Background(), familyPrefix, "", 100)
	if err != nil {
		b.t.Fatal(err)
	}
	family := map[string]*family{}
	for _, record := range records {
		f, err := readFamily(record)
		if err != nil {
			b.t.Fatal(err)
		}
		owners := 0
		for _, m := range f.Members {
			if m.Role == RoleOwner {
				owners++
			}
			if family[m.Account] != nil {
				b.t.Errorf("%s is in %s and %s", m.Account, f.Name, family[m.Account].Name)
			}
			family[m.Account] = f
		}
		if owners != 1 || len(f.Members) > b.table.tools.families.settings.Get().General.Members.Max {
			b.t.Errorf("%s: %+v", f.Name, f.Members)
		}
	}
	for _, p := range peers {
		id, name := "", ""
		if f := family[p.identity().Account]; f != nil {
			id, name = f.ID, f.Name
		}
		record, err := b.table.tools.loadPlayer(context.Background(), "0", p.identity().Account)
		if err != nil || record.FamilyID != id || p.identity().Family != name {
			b.t.Errorf("%s: member of %q, record %q, connection %q, %v", p.identity().Name, id, record.FamilyID, p.identity().Family, err)
		}
		if want := name != ""; slices.Contains(p.Subscriptions(), "chat.0.family."+name) != want {
			b.t.Errorf("%s follows %v", p.identity().Name, p.Subscriptions())
		}
	}
}

// Goal: who is removed while a request is answered, or in the middle of entering the world, does not stay in the room.
// Method: both at the same instant, many times.
func TestFamilyRemovedMeanwhile(t *testing.T) {
	r := newTown(t)
	r.setFamilies(func(g *FamilyGeneral) { g.Kicks, g.Invites = 1000, 1000 })
	ann, ben := r.play("0", "Ann", "foxes"), r.play("0", "Ben", "")
	for range 50 {
		ben.must("/family/respond", respond(ben.invited(ann), true), nil)
		again := r.connect()
		token := ben.token()
		together(
			func() Reply { return ann.call("/family/remove", `{"gn_target":"Ben"}`) },
			func() Reply { return again.call("/session/resume", `{"token":"`+token+`"}`) },
			func() Reply { return ben.call("/user/enterWorld", `{"world":"0"}`) })
		r.consistent(ann, ben, again)
		again.hangUp()
	}
}

// hurtStore refuses commits while it is hurt.
type hurtStore struct {
	broker.Store
	err atomic.Pointer[error]
}

func (s *hurtStore) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	if err := s.err.Load(); err != nil {
		return nil, *err
	}
	return s.Store.Commit(ctx, ops...)
}

// Goal: a busy engine or a full disk refuses with a clear status and changes nothing; what was refused can be done later,
// an invitation too. Method: a store that fails commits.
func TestFamilyFaults(t *testing.T) {
	var store *hurtStore
	r := newRigOn(t, nil, func(s broker.Store) broker.Store {
		store = &hurtStore{Store: s}
		return store
	})
	ann, ben := r.play("0", "Ann", "foxes"), r.play("0", "Ben", "")
	r.play("0", "Cleo", "foxes")
	key := ben.invited(ann)
	for _, hurt := range []error{broker.ErrBusy, broker.ErrDiskFull} {
		before := fmt.Sprintf("%+v", *r.familyNow("0", "foxes"))
		store.err.Store(&hurt)
		for _, call := range []struct {
			p              *peer
			route, content string
		}{
			{ben, "/family/respond", respond(key, true)}, {ben, "/family/create", `{"name":"owls"}`}, {ben, "/family/request", `{"name":"foxes"}`},
			{ann, "/family/invite", `{"gn_target":"Ben"}`}, {ann, "/family/remove", `{"gn_target":"Cleo"}`}, {ann, "/family/changeName", `{"name":"wolves"}`},
			{ann, "/family/notice", `{"msg":"x"}`}, {ann, "/family/abdicate", `{"gn_target":"Cleo"}`}, {ann, "/family/checkIn", `{}`},
		} {
			if reply := call.p.call(call.route, call.content); reply.Status != protocol.StatusBusy {
				t.Errorf("%v, %s: %d %s", hurt, call.route, reply.Status, reply.Message)
			}
		}
		store.err.Store(nil)
		if after := fmt.Sprintf("%+v", *r.familyNow("0", "foxes")); after != before {
			t.Errorf("%v: was %s, is %s", hurt, before, after)
		}
	}
	if n, err := r.reg.List(t.Context(), "nonce.", 100); err != nil || len(n) != 1 {
		t.Errorf("%d nonces, want that of the invitation: %v", len(n), err)
	}
	ben.must("/family/respond", respond(key, true), nil)
}

// Goal: an invitation that cannot be accepted now counts later. Method: a family too full, then with a place; one that
// ends meanwhile; one that is turned down.
func TestFamilyInvitationKept(t *testing.T) {
	r := newTown(t)
	r.setFamilies(func(g *FamilyGeneral) { g.Members.Max = 2 })
	ann, ben, cleo := r.play("0", "Ann", "foxes"), r.play("0", "Ben", ""), r.play("0", "Cleo", "")
	toBen, toCleo := ben.invited(ann), cleo.invited(ann)
	ben.must("/family/respond", respond(toBen, true), nil)
	if reply := cleo.call("/family/respond", respond(toCleo, true)); reply.Status != protocol.StatusTooMuch {
		t.Errorf("%d %s", reply.Status, reply.Message)
	}
	if reply := ben.call("/family/respond", respond(toCleo, true)); reply.Status != protocol.StatusRefused {
		t.Errorf("somebody else's invitation: %d %s", reply.Status, reply.Message)
	}
	ben.must("/family/leave", `{}`, nil)
	cleo.must("/family/respond", respond(toCleo, true), nil)
	cleo.must("/family/leave", `{}`, nil)
	turned := cleo.invited(ann)
	cleo.must("/family/respond", respond(turned, false), nil)
	if reply := cleo.call("/family/respond", respond(turned, true)); reply.Status != protocol.StatusInvalid || r.familyNow("0", "foxes").find(cleo.identity().Account) >= 0 {
		t.Errorf("turned down, then accepted: %d %s", reply.Status, reply.Message)
	}
	// A mail of a trusted service names player and family only.
	if err := r.table.RegisterNonce(t.Context(), "trusted", map[string]string{"type": "3", "uid_target": cleo.identity().Account, "name": "foxes"}, 0); err != nil {
		t.Fatal(err)
	}
	cleo.must("/family/respond", respond("trusted", true), nil)
	// A nonce of another kind is left alone.
	if err := r.table.RegisterNonce(t.Context(), "other", map[string]string{"type": "1", "items": "9:glider:1"}, 0); err != nil {
		t.Fatal(err)
	}
	if reply := cleo.call("/family/respond", respond("other", true)); reply.Status != protocol.StatusInvalid {
		t.Errorf("%d %s", reply.Status, reply.Message)
	}
	if _, err := r.table.RedeemNonce(t.Context(), "other"); err != nil {
		t.Error(err)
	}
}

// Goal: clients of the gate get the numbers they know. Method: each refusal by gate name, with the token of a player.
func TestFamilyGateCodes(t *testing.T) {
	r := newTown(t)
	r.setFamilies(func(g *FamilyGeneral) {
		g.Members.Max, g.Kicks, g.Notices, g.Requests, g.LeaveDays, g.PlayerLevel = 5, 1, 1, 1, 1, 1
	})
	ann, ben, cleo, dora := r.play("0", "Ann", "foxes"), r.play("0", "Ben", "foxes"), r.play("0", "Cleo", "foxes"), r.play("0", "Dora", "")
	r.play("0", "Finn", "owls")
	r.play("0", "Emil", "foxes")
	ann.must("/family/setRole", `{"gn_target":"Ben","role":8}`, nil)
	for _, test := range []struct {
		p             *peer
		name, content string
		want          protocol.Status
	}{
		{dora, "create_family", `"name":""`, 99}, {dora, "create_family", `"name":"a b"`, 99}, {dora, "create_family", `"name":"ab"`, 99},
		{ann, "create_family", `"name":"bears"`, 98}, {dora, "create_family", `"name":"FOXES"`, 96}, {dora, "create_family", `"name":"bears","icon":-1`, 94},
		{dora, "leave_family", ``, 99}, {ann, "leave_family", ``, 98},
		{dora, "remove_user_family", `"gn_target":"Ben"`, 99}, {cleo, "remove_user_family", `"gn_target":"Ben"`, 97}, {ben, "remove_user_family", `"gn_target":"Ann"`, 97},
		{ben, "remove_user_family", `"gn_target":"Ben"`, 96}, {ben, "remove_user_family", `"gn_target":"Nobody"`, 98}, {ben, "remove_user_family", `"gn_target":"Finn"`, 98},
		{dora, "invite_user_family", `"gn_target":"Ben"`, 99}, {cleo, "invite_user_family", `"gn_target":"Dora"`, 98}, {ben, "invite_user_family", `"gn_target":"Nobody"`, 93},
		{ben, "invite_user_family", `"gn_target":"Finn"`, 94},
		{ann, "request_join_family", `"name":"owls"`, 99}, {dora, "request_join_family", `"name":"bears"`, 98},
		{dora, "respond_family", `"key":"1"`, 99},
		{dora, "set_notice_family", `"msg":"x"`, 99}, {cleo, "set_notice_family", `"msg":"x"`, 98}, {ann, "set_notice_family", `"msg":"x"`, 0}, {ben, "set_notice_family", `"msg":"y"`, 97},
		{dora, "set_blackboard_family", `"msg":"x"`, 99}, {cleo, "set_blackboard_family", `"msg":"x"`, 98}, {ben, "set_blackboard_family", `"msg":"two\nlines"`, 0},
		{ben, "set_blackboard_family", `"msg":"\u0007"`, 96}, {ben, "set_blackboard_family", `"msg":"` + strings.Repeat("x", 1001) + `"`, 95},
		{ben, "set_icon_family", `"icon":-1`, 99}, {dora, "set_icon_family", `"icon":1`, 98}, {cleo, "set_icon_family", `"icon":1`, 97}, {ben, "set_icon_family", `"icon":0`, 96},
		{ben, "set_icon_family", `"icon":7`, 0},
		{ben, "set_role_family", `"gn_target":"Ben","role":0`, 99}, {dora, "set_role_family", `"gn_target":"Ben","role":0`, 98}, {ben, "set_role_family", `"gn_target":"Finn","role":0`, 97},
		{ben, "set_role_family", `"gn_target":"Cleo","role":8`, 96}, {ann, "set_role_family", `"gn_target":"Cleo","role":10`, 96}, {ben, "set_role_family", `"gn_target":"Cleo","role":5`, 95},
		{ben, "set_role_family", `"gn_target":"Cleo","role":0`, 94}, {ben, "set_role_family", `"gn_target":"Cleo","role":4`, 0},
		{ben, "change_name_family", `"name":"?"`, 99}, {dora, "change_name_family", `"name":"bears"`, 98}, {cleo, "change_name_family", `"name":"bears"`, 97}, {ben, "change_name_family", `"name":"owls"`, 95},
		{dora, "disband_family", ``, 99}, {cleo, "disband_family", ``, 98}, {ben, "cancel_disband_family", ``, 97}, {ben, "disband_family", ``, 0}, {ann, "disband_family", ``, 97},
		{dora, "cancel_disband_family", ``, 99}, {cleo, "cancel_disband_family", ``, 98}, {ann, "invite_user_family", `"gn_target":"Dora"`, 90}, {ann, "cancel_disband_family", ``, 0},
		{dora, "abdicate_family", `"gn_target":"Ben"`, 99}, {ann, "abdicate_family", `"gn_target":"Nobody"`, 98}, {ann, "abdicate_family", `"gn_target":"Finn"`, 96},
		{ben, "abdicate_family", `"gn_target":"Cleo"`, 95}, {ann, "abdicate_family", `"gn_target":"Ann"`, 94},
		{dora, "check_in_family", ``, 99}, {ben, "check_in_family", ``, 0}, {ben, "check_in_family", ``, 98},
		{dora, "get_all_family", ``, 99}, {dora, "search_family", `"name":"zebra"`, 99}, {dora, "get_random_family", `"number":-1`, 99}, {dora, "get_random_family", ``, 0},
		{ann, "remove_user_family", `"gn_target":"Emil"`, 0}, {ann, "remove_user_family", `"gn_target":"Ben"`, 94}, {cleo, "leave_family", ``, 0},
		{cleo, "request_join_family", `"name":"owls"`, 96}, {ann, "invite_user_family", `"gn_target":"Cleo"`, 96}, {cleo, "create_family", `"name":"bears"`, 93},
		{dora, "request_join_family", `"name":"owls"`, 0}, {dora, "request_join_family", `"name":"owls"`, 94},
	} {
		content := `{"token":"` + test.p.token() + `"`
		if test.content != "" {
			content += "," + test.content
		}
		if reply := r.gate(test.name, content+"}"); reply.Status != test.want {
			t.Errorf("%s %s %.60s: %d %s, want %d", test.p.identity().Name, test.name, test.content, reply.Status, reply.Message, test.want)
		}
	}
	r.setFamilies(func(g *FamilyGeneral) { g.PlayerLevel = 2 })
	for name, want := range map[string]protocol.Status{"create_family": 95, "request_join_family": 95} {
		if reply := r.gate(name, `{"token":"`+dora.token()+`","name":"owls"}`); reply.Status != want {
			t.Errorf("%s at a low level: %d %s", name, reply.Status, reply.Message)
		}
	}
}

// Goal: full mailboxes refuse letters and leave nothing behind. Method: a box filled to its limit.
func TestFamilyFullMailbox(t *testing.T) {
	r := newTown(t)
	ann, ben := r.play("0", "Ann", "foxes"), r.play("0", "Ben", "")
	fill := func(p *peer) {
		box := post.Box{World: "0", UID: p.identity().Account}
		for {
			if _, err := r.post.Send(t.Context(), box, post.Mail{Subject: "x"}); errors.Is(err, post.ErrFull) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(ben)
	if reply := r.gate("invite_user_family", `{"token":"`+ann.token()+`","gn_target":"Ben"}`); reply.Status != 92 {
		t.Errorf("%d %s", reply.Status, reply.Message)
	}
	fill(ann)
	if reply := r.gate("request_join_family", `{"token":"`+ben.token()+`","name":"foxes"}`); reply.Status != 97 {
		t.Errorf("%d %s", reply.Status, reply.Message)
	}
	f := r.familyNow("0", "foxes")
	if n, err := r.reg.List(t.Context(), "nonce.", 100); err != nil || len(n) != 0 || f.Today.Invites != 0 || len(f.News) != 0 {
		t.Errorf("%v nonces, %+v, %v", n, f, err)
	}
}
