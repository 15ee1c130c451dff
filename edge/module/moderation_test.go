package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// order mutes or bans for a while.
func (r *rig) order(kind SanctionKind, target Target, d time.Duration) Sanction {
	r.t.Helper()
	s := Sanction{Kind: kind, Target: target, Reason: "flood", By: "eve"}
	if d > 0 {
		s.Until = r.clock().Add(d)
	}
	s, err := r.table.Sanction(context.Background(), s)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// say says something as a line client does, and returns the status.
func (p *peer) say(family bool) protocol.Status {
	who := p.identity()
	done := make(chan protocol.Status, 1)
	p.rig.table.Say(&who, family, []byte("hello"), func(s protocol.Status) { done <- s })
	return <-done
}

// restarted is another node on the same engines, as after a restart.
func (r *rig) restarted() *Table {
	r.t.Helper()
	table, err := New(Config{Options: r.table.tools.options, Store: r.store, Registry: r.reg, Bus: r.bus, Games: r.games, Post: r.post,
		Secret: []byte("0123456789abcdef"), Log: slog.New(slog.DiscardHandler), Now: r.clock})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(table.Close)
	return table
}

// Goal: a mute holds at once, on every connection and door, after a restart and on other nodes, and ends by its time or
// when it is lifted. Method: a muted player by name, with a second connection, a second node and the clock.
func TestMute(t *testing.T) {
	r := newRig(t, nil)
	other := r.restarted() // a node of the same store, which hears of orders by it
	ann, ben := r.play("0", "Ann", ""), r.play("0", "Ben", "")
	s := r.order(Mute, Target{World: "0", Name: "ANN"}, time.Hour)
	if s.UID != ann.identity().Account {
		t.Fatalf("%+v is not for the account", s)
	}
	reply := ann.call("/chat/public", `{"text":"hello"}`)
	var data struct{ Data sanctionData }
	if err := json.Unmarshal(reply.Content, &data); err != nil || reply.Status != protocol.StatusRefused ||
		!strings.HasPrefix(reply.Message, "you are muted until ") || data.Data.Until != s.Until.UnixMilli() || data.Data.Reason != "flood" {
		t.Errorf("%d %s %s %v", reply.Status, reply.Message, reply.Content, err)
	}
	if status := ann.say(false); status != protocol.StatusRefused {
		t.Error("a line of the muted:", status)
	}
	if reply := ann.call("/mail/send", `{"gn_target":"Ben","subj":"x"}`); reply.Status != protocol.StatusRefused {
		t.Error("a mail of the muted:", reply.Status)
	}
	if ben.say(false) != protocol.StatusOK {
		t.Error("somebody else is muted too")
	}
	ann.await("the push", func(got []string) bool { return strings.Contains(strings.Join(got, ""), mutedRoute) })
	who := ann.identity()
	for _, table := range []*Table{other, r.restarted()} {
		if table.tools.muted(&who, r.clock()) == nil {
			t.Error("another node does not know of the mute")
		}
	}
	r.pass(time.Hour)
	if ann.say(false) != protocol.StatusOK {
		t.Error("the mute does not end")
	}
	r.order(Mute, Target{UID: who.Account}, 0)
	r.pass(1000 * time.Hour)
	if ann.say(false) != protocol.StatusRefused {
		t.Error("a mute for good ended")
	}
	if _, err := r.table.Lift(t.Context(), Mute, Target{World: "0", Name: "Ann"}, "eve"); err != nil || ann.say(false) != protocol.StatusOK {
		t.Error("the mute was not lifted:", err)
	}
	if other.tools.muted(&who, r.clock()) != nil {
		t.Error("another node does not know of the end")
	}
	if _, err := r.table.Lift(t.Context(), Mute, Target{World: "0", Name: "Ann"}, "eve"); !errors.Is(err, broker.ErrNotFound) {
		t.Error("a second end:", err)
	}
	if len(r.table.Sanctions(false)) != 0 || len(r.table.Sanctions(true)) != 1 {
		t.Error(r.table.Sanctions(true))
	}
}

// Goal: a ban ends every connection of the account and every way back, with a code that says not to come again, until it
// ends. Method: two connections, every way to log in, tokens and nonces of before; then the clock.
func TestBan(t *testing.T) {
	r := newRig(t, nil)
	ann := r.play("0", "Ann", "")
	var in struct{ Token, Session string }
	ann.must("/user/loginUnique", `{"unique_id":"device-0Ann"}`, &in)
	ann.must("/user/enterWorld", `{"world":"0"}`, nil)
	var nonce struct{ Token string }
	ann.must("/chat/token", `{}`, &nonce)
	second := r.connect()
	second.must("/session/resume", `{"token":"`+in.Session+`"}`, nil)
	r.order(Ban, Target{World: "0", Name: "Ann"}, time.Hour)
	for i, p := range []*peer{ann, second} {
		if p.closeCode() != protocol.CloseBanned || p.closeCode().Reconnect() {
			t.Errorf("connection %d was closed with %v", i, p.closeCode())
		}
	}
	for _, try := range [][2]string{
		{"/user/loginUnique", `{"unique_id":"device-0Ann"}`},
		{"/session/resume", `{"token":"` + in.Session + `"}`},
		{"/session/register", `{"nonce":"` + nonce.Token + `"}`},
	} {
		if reply := r.connect().call(try[0], try[1]); reply.Status != protocol.StatusRefused || !strings.HasPrefix(reply.Message, "you are banned until ") {
			t.Errorf("%s: %d %s", try[0], reply.Status, reply.Message)
		}
	}
	if reply := r.gate("login_unique", `{"unique_id":"device-0Ann"}`); reply.Status == protocol.StatusOK || reply.Status == 1 {
		t.Error("by the gate:", reply.Status, reply.Message)
	}
	if reply := r.gate("get_all_mail", `{"token":"`+in.Token+`"}`); reply.Status != protocol.StatusInvalidToken {
		t.Error("an older token by the gate:", reply.Status, reply.Message)
	}
	r.pass(time.Hour)
	p := r.connect()
	p.must("/user/loginUnique", `{"unique_id":"device-0Ann"}`, nil)
	p.must("/user/enterWorld", `{"world":"0"}`, nil)
}

// slowTold is a store whose watchers are slow: one has noted a sanction, and no more, when its writer goes on.
type slowTold struct {
	broker.Store
	noted func(*Sanction)
}

func (slowTold) Watch(context.Context, string, func(broker.Record)) error { return nil }

func (s slowTold) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	revision, err := s.Store.Put(ctx, key, value)
	if sanction, ok := readSanction(broker.Record{Key: key, Value: value, Revision: revision}); ok {
		s.noted(sanction)
	}
	return revision, err
}

// Goal: who is banned has no connection when the order is answered, however far the store's own word of it has come. Method: a store
// whose word is noted, and not carried out, before the order goes on.
func TestBanHoldsWhenAnswered(t *testing.T) {
	var r *rig
	r = newRigOn(t, nil, func(s broker.Store) broker.Store {
		return slowTold{s, func(s *Sanction) { r.table.tools.moderation.bans.take(s, r.clock()) }}
	})
	ann := r.play("0", "Ann", "")
	r.order(Ban, Target{UID: ann.identity().Account}, time.Hour)
	if ann.closeCode() != protocol.CloseBanned {
		t.Errorf("closed with %v", ann.closeCode())
	}
}

// Goal: a ban reaches players without an account here, by world and name. Method: a nonce of a service, then a ban: the
// connection ends at its next call, and no other comes in.
func TestBanByName(t *testing.T) {
	r := newRig(t, nil)
	enter := func() *peer {
		nonce := newNonce()
		if err := r.table.RegisterNonce(t.Context(), nonce, map[string]string{"world": "0", "gn": "Bot"}, time.Minute); err != nil {
			t.Fatal(err)
		}
		p := r.connect()
		p.call("/session/register", `{"nonce":"`+nonce+`"}`)
		return p
	}
	bot := enter()
	if s := r.order(Ban, Target{World: "0", Name: "Bot"}, 0); s.UID != "" {
		t.Errorf("%+v", s)
	}
	if bot.say(false) != protocol.StatusRefused {
		t.Error("a line of the banned was said")
	}
	if reply := bot.call("/chat/presence", `{}`); reply.Status != protocol.StatusRefused || bot.closeCode() != protocol.CloseBanned {
		t.Error(reply.Status, reply.Message, bot.closeCode())
	}
	if p := enter(); p.identity().Name != "" {
		t.Error("the banned came in again")
	}
	nobody := Identity{World: "1", Name: "Bot"}
	if r.table.tools.banned(&nobody) != nil {
		t.Error("the ban holds in another world")
	}
}

// Goal: wrong orders are refused with a word about what is wrong. Method: a table.
func TestOrdersAreChecked(t *testing.T) {
	r := newRig(t, nil)
	for _, test := range []struct {
		s    Sanction
		want string
	}{
		{Sanction{Kind: "kick", Target: Target{UID: "a"}}, "kind"},
		{Sanction{Kind: Mute}, "name the player"},
		{Sanction{Kind: Mute, Target: Target{World: "0"}}, "name the player"},
		{Sanction{Kind: Mute, Target: Target{UID: "../x"}}, "uid"},
		{Sanction{Kind: Mute, Target: Target{UID: "a"}, Until: r.clock()}, "ahead"},
		{Sanction{Kind: Mute, Target: Target{UID: "a"}, Until: r.clock().AddDate(200, 0, 0)}, "too far"},
		{Sanction{Kind: Mute, Target: Target{UID: "a"}, Reason: strings.Repeat("x", ReasonBytes+1)}, "200 bytes"},
		{Sanction{Kind: Mute, Target: Target{UID: "a"}, Reason: "two\nlines"}, "one line"},
		{Sanction{Kind: Mute, Target: Target{UID: "a"}, By: "\xff"}, "one line"},
		{Sanction{Kind: Mute, Target: Target{UID: "a"}, Reason: strings.Repeat("x", ReasonBytes)}, ""},
	} {
		_, err := r.table.Sanction(t.Context(), test.s)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%+v: %v, want %q", test.s, err, test.want)
		}
	}
}

// Goal: the number of records is bounded: the oldest that is over makes room, and none in force is dropped. Method: the
// most there may be, put into the list as the store would, one over; then two more orders.
func TestSanctionsAreBounded(t *testing.T) {
	r := newRig(t, nil)
	kind := &r.table.tools.moderation.mutes
	now := r.clock()
	for i := range SanctionsMost {
		s := &Sanction{Kind: Mute, Target: Target{UID: fmt.Sprint("u", i)}, Since: now, revision: 1}
		if i == 7 {
			s.Lifted = now
			if _, err := r.store.Create(t.Context(), s.key(), []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
		kind.all[s.key()] = s
	}
	r.order(Mute, Target{UID: "one-more"}, 0)
	r.order(Mute, Target{UID: "one-more"}, time.Hour) // in place of itself
	if _, err := r.table.Sanction(t.Context(), Sanction{Kind: Mute, Target: Target{UID: "too-many"}}); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Error(err)
	}
	if len(kind.all) != SanctionsMost {
		t.Error(len(kind.all))
	}
}

// Goal: a chat line pays nothing for moderation. Method: allocations of the check with many sanctions, none of them its own.
func TestModerationCostsNothing(t *testing.T) {
	r := newRig(t, nil)
	for i := range 100 {
		r.order(Mute, Target{UID: fmt.Sprint("u", i)}, 0)
		r.order(Ban, Target{World: "0", Name: fmt.Sprint("name ", i)}, 0)
	}
	who := Identity{Account: "somebody", World: "0", Name: "Somebody"}
	now := r.clock()
	if n := testing.AllocsPerRun(1000, func() {
		if r.table.tools.mayNotSay(&who, now) != nil {
			t.Error("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkMayNotSay(b *testing.B) {
	var l moderation
	l.mutes.all = map[string]*Sanction{}
	for i := range SanctionsMost {
		l.mutes.take(&Sanction{Kind: Mute, Target: Target{UID: fmt.Sprint("u", i)}, revision: 1}, time.Now())
		if i == 100 {
			break
		}
	}
	tools := &Tools{moderation: &l, now: time.Now}
	who, now := Identity{Account: "somebody", World: "0", Name: "Somebody"}, time.Now()
	for b.Loop() {
		tools.mayNotSay(&who, now)
	}
}

// Goal: a report carries what was said as the server knows it, and is bounded by player and day. Method: reports with the
// right place, a wrong one and none; then more than a day allows.
func TestReport(t *testing.T) {
	r := newRig(t, nil)
	ann, ben := r.play("0", "Ann", ""), r.play("0", "Ben", "")
	var at broker.Position
	ann.must("/chat/public", `{"text":"bad words"}`, &at)
	place := fmt.Sprintf(`,"epoch":%d,"offset":%d}`, at.Epoch, at.Offset)
	for _, test := range []struct {
		content string
		want    protocol.Status
	}{
		{`{"name":"ann","reason":"rude"` + place, protocol.StatusOK},
		{`{"gn_target":"Ann","reason":"rude"}`, protocol.StatusOK},
		{`{"name":"Ben","reason":"rude"` + place, protocol.StatusInvalid},
		{`{"name":"Ann","reason":"rude","epoch":1,"offset":99}`, protocol.StatusInvalid},
		{`{"name":"Ann","reason":" "}`, protocol.StatusMissing},
		{`{"name":"","reason":"rude"}`, protocol.StatusInvalid},
		{`{"name":"Ann","reason":"rude","family":true}`, protocol.StatusMissing},
		{`{"name":"Ann","reason":"` + strings.Repeat("x", ReasonBytes+1) + `"}`, protocol.StatusTooMuch},
	} {
		if reply := ben.call("/chat/report", test.content); reply.Status != test.want {
			t.Errorf("%.80s: %d %s, want %d", test.content, reply.Status, reply.Message, test.want)
		}
	}
	for range ReportsDay - 2 {
		ben.must("/chat/report", `{"name":"Ann","reason":"rude"}`, nil)
	}
	if reply := ben.call("/chat/report", `{"name":"Ann","reason":"rude"}`); reply.Status != protocol.StatusRefused {
		t.Error("one too many a day:", reply.Status)
	}
	list, err := r.table.Reports(t.Context(), "", 100)
	if err != nil || len(list) != ReportsDay || list[0].Said != "bad words" || list[0].About.UID != ann.identity().Account ||
		list[0].By.UID != ben.identity().Account || list[1].Said != "" {
		t.Fatalf("%+v %v", list, err)
	}
	next, err := r.table.Reports(t.Context(), list[0].ID, 1)
	if err != nil || len(next) != 1 || next[0].ID != list[1].ID {
		t.Error(next, err)
	}
	if err := r.table.CloseReport(t.Context(), list[0].ID); err != nil {
		t.Error(err)
	}
	if err := r.table.CloseReport(t.Context(), list[0].ID); !errors.Is(err, broker.ErrNotFound) {
		t.Error(err)
	}
	r.table.tools.moderation.reports.waiting.Store(ReportsMost)
	if reply := ann.call("/chat/report", `{"name":"Ben","reason":"rude"}`); reply.Status != protocol.StatusOK {
		t.Error("the shelf counts again before it refuses:", reply.Status, reply.Message)
	}
	r.pass(ReportAge + time.Hour)
	if err := r.table.tools.countReports(t.Context()); err != nil || r.table.tools.moderation.reports.waiting.Load() != 0 {
		t.Error("old reports stay:", err)
	}
}
