package module

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/post"
	"gosper/protocol"
)

// Goal: items are read in one spelling within their limits, and refused with a word about what is wrong. Method: a table.
func TestParseItems(t *testing.T) {
	many := strings.Repeat("3:1:1,", ItemsMost) + "3:1:1"
	kinds := make([]string, ItemsMost+1)
	for i := range kinds {
		kinds[i] = fmt.Sprintf("3:%d:1", i)
	}
	for _, test := range []struct{ text, want, wrong string }{
		{"3:1:5", "3:1:5", ""},
		{"0:0:1,4:999999999:1000000000", "0:0:1,4:999999999:1000000000", ""},
		{"9:Gosper Glider Gun:2", "9:gosper glider gun:2", ""},
		{many, fmt.Sprintf("3:1:%d", ItemsMost+1), ""},
		{strings.Join(kinds[:ItemsMost], ","), strings.Join(kinds[:ItemsMost], ","), ""},
		{strings.Join(kinds, ","), "", "at most 16 items"},
		{"3:1:1000000000,3:1:1", "", "at most 1000000000 of one item"},
		{"3:1:1000000001", "", "at most"}, {"3:1:10000000000", "", "qty"}, {"3:1:0", "", "qty"}, {"3:1:-1", "", "qty"}, {"3:1:01", "", "qty"},
		{"3:1:", "", "qty"}, {"3:1", "", "gid:iid:qty"}, {"", "", "bytes"}, {",", "", "gid:iid:qty"}, {"3:1:1,", "", "gid:iid:qty"},
		{"5:1:1", "", "gid"}, {"-1:1:1", "", "gid"}, {"03:1:1", "", "gid"}, {"3:x:1", "", "iid"}, {"3:1000000000:1", "", "iid"}, {"3::1", "", "iid"},
		{"9::1", "", "name"}, {"9: glider:1", "", "name"}, {"9:" + strings.Repeat("x", ItemNameMost+1) + ":1", "", "name"},
		{"9:a\x00b:1", "", "name"}, {"9:\xff:1", "", "name"}, {"3:1:1:1", "", "qty"}, {strings.Repeat("3:1:1,", 200) + "3:1:1", "", "bytes"},
	} {
		items, err := ParseItems(test.text)
		switch {
		case test.wrong == "" && (err != nil || itemsText(items) != test.want):
			t.Errorf("%.60q: %q, %v, want %q", test.text, itemsText(items), err, test.want)
		case test.wrong != "" && (!errors.Is(err, errItems) || !strings.Contains(err.Error(), test.wrong)):
			t.Errorf("%.60q: %v, want a word about %q", test.text, err, test.wrong)
		}
	}
}

// FuzzParseItems asks: what is read keeps the limits, and its text is read as the same.
func FuzzParseItems(f *testing.F) {
	for _, seed := range []string{"3:1:5", "9:glider:1,9:Glider:2", "0:0:1,", "9:a:b:1", "3:1:99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		items, err := ParseItems(text)
		if err != nil {
			return
		}
		for i := range items {
			if items[i].Count < 1 || items[i].Count > ItemCountMost {
				t.Fatalf("%q: count %d", text, items[i].Count)
			}
			if back, ok := itemOf(items[i].key(), items[i].Count); !ok || back != items[i] {
				t.Fatalf("%q: key %q is read as %+v", text, items[i].key(), back)
			}
		}
		again, err := ParseItems(itemsText(items))
		if len(items) > ItemsMost || err != nil || itemsText(again) != itemsText(items) {
			t.Fatalf("%q: %q, then %q, %v", text, itemsText(items), itemsText(again), err)
		}
	})
}

// have tells what a player has of something.
func (p *peer) have(key string) (count int64) {
	p.rig.t.Helper()
	inv, err := p.rig.table.tools.loadInventory(context.Background(), p.identity().World, p.identity().Account)
	if err != nil {
		p.rig.t.Fatal(err)
	}
	return inv.Items[key]
}

// mailTo sends a gift from outside to a player and opens its door for services.
func (r *rig) mailTo(p *peer, items string) string {
	r.t.Helper()
	box := post.Box{World: p.identity().World, UID: p.identity().Account}
	m := post.Mail{Kind: post.Gift, From: "SYSTEM", Subject: "SYSTEM_REWARD", Items: items}
	var err error
	if m.Key, err = r.post.Send(context.Background(), box, m); err != nil {
		r.t.Fatal(err)
	}
	if err := r.table.RegisterMail(context.Background(), box, &m); err != nil {
		r.t.Fatal(err)
	}
	return m.Key
}

// Goal: a gift is accepted once, whoever asks and by whatever door. Method: 100 calls at the same instant, every fourth as
// a service that redeems the nonce; exactly one succeeds, and the items come exactly when that was a player.
func TestGiftAcceptedOnce(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Workers, o.Queue = 32, 256 })
	p := r.play("0", "Ann", "")
	for round := range 10 {
		key, before := r.mailTo(p, "3:7:5"), p.have("3:7")
		var players, services atomic.Int32
		var start, all sync.WaitGroup
		start.Add(1)
		for i := range 100 {
			all.Go(func() {
				start.Wait()
				if i%4 == 0 {
					if _, err := r.table.RedeemNonce(context.Background(), key); err == nil {
						services.Add(1)
					} else if !errors.Is(err, broker.ErrNotFound) {
						t.Error(err)
					}
					return
				}
				switch reply := p.call("/mail/acceptGift", `{"key":"`+key+`"}`); reply.Status {
				case protocol.StatusOK:
					players.Add(1)
				case protocol.StatusInvalid:
				default:
					t.Error(reply.Status, reply.Message)
				}
			})
		}
		start.Done()
		all.Wait()
		if players.Load()+services.Load() != 1 {
			t.Fatalf("round %d: %d players and %d services succeeded", round, players.Load(), services.Load())
		}
		if got := p.have("3:7") - before; got != 5*int64(players.Load()) {
			t.Fatalf("round %d: %d items came", round, got)
		}
	}
}

// cutStore is a store that a crash cuts off: from a write on nothing gets through. The write itself is done or not.
type cutStore struct {
	broker.Store
	left atomic.Int64 // writes until the crash; negative: it has happened
	done bool         // the write at the crash is done, but its answer does not come
}

var errCut = errors.New("the power is off")

// cut counts a write and says whether it gets through and whether its answer does.
func (s *cutStore) cut() (through, answered bool) {
	switch left := s.left.Add(-1); {
	case left > 0:
		return true, true
	case left == 0:
		return s.done, false
	}
	return false, false
}

func (s *cutStore) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	through, answered := s.cut()
	if !through {
		return nil, errCut
	}
	revisions, err := s.Store.Commit(ctx, ops...)
	if !answered {
		return nil, errCut
	}
	return revisions, err
}

func (s *cutStore) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	return one(s.Commit(ctx, broker.OpPut(key, value)))
}

func (s *cutStore) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	return one(s.Commit(ctx, broker.OpCreate(key, value)))
}

func (s *cutStore) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return one(s.Commit(ctx, broker.OpUpdate(key, value, revision)))
}

func (s *cutStore) Delete(ctx context.Context, key string, revision uint64) error {
	_, err := s.Commit(ctx, broker.OpDelete(key, revision))
	return err
}

func one(revisions []uint64, err error) (uint64, error) {
	if err != nil {
		return 0, err
	}
	return revisions[0], nil
}

// cutRig is a rig with such a store that lets everything through for now.
func cutRig(t *testing.T) (*rig, *cutStore) {
	s := &cutStore{}
	r := newRigOn(t, nil, func(below broker.Store) broker.Store {
		s.Store = below
		s.left.Store(1 << 40)
		return s
	})
	return r, s
}

// Goal: no crash loses or doubles a gift, whatever step it comes at. Method: a store that is cut off at the n-th write of
// an acceptance, done or not; then the power comes back and the player tries again; there must be one gift's worth of
// items in the end.
func TestGiftSurvivesCrash(t *testing.T) {
	for _, done := range []bool{false, true} {
		for at := int64(1); at <= 6; at++ {
			r, store := cutRig(t)
			p := r.play("0", "Ann", "")
			key := r.mailTo(p, "3:7:5")
			store.done = done
			store.left.Store(at)
			first := p.call("/mail/acceptGift", `{"key":"`+key+`"}`)
			store.left.Store(1 << 40)
			second := p.call("/mail/acceptGift", `{"key":"`+key+`"}`)
			if p.have("3:7") != 5 {
				t.Errorf("cut at %d, done %v: %d items; %d %s, then %d %s", at, done, p.have("3:7"), first.Status, first.Message, second.Status, second.Message)
			}
		}
	}
}

// Goal: a gift out of one's own leaves and arrives together, at any crash. Method: as above for the sending; what the two
// players have together never changes.
func TestSentGiftSurvivesCrash(t *testing.T) {
	for _, done := range []bool{false, true} {
		for at := int64(1); at <= 6; at++ {
			r, store := cutRig(t)
			ann, ben := r.play("0", "Ann", ""), r.play("0", "Ben", "")
			total := ann.have("9:glider") + ben.have("9:glider")
			store.done = done
			store.left.Store(at)
			ann.call("/mail/send", `{"gn_target":"Ben","subj":"x","items":"9:glider:2"}`)
			store.left.Store(1 << 40)
			ben.must("/mail/acceptGifts", `{}`, nil)
			if got := ann.have("9:glider") + ben.have("9:glider"); got != total {
				t.Errorf("cut at %d, done %v: %d gliders, there were %d", at, done, got, total)
			}
		}
	}
}

// Goal: a pattern is never lost on its way to a grid. Method: a crash at every write of a placement; a while after it the
// player either has the pattern or it lies on the grid; and both only when the crash came between the two.
func TestPlacedGiftSurvivesCrash(t *testing.T) {
	for _, done := range []bool{false, true} {
		for at := int64(1); at <= 3; at++ {
			r, store := cutRig(t)
			p := r.play("0", "Ann", "")
			var made struct{ Game struct{ ID string } }
			p.must("/game/create", `{"name":"pond","grids":[{"width":64,"height":64}]}`, &made)
			before := p.have("9:block")
			store.done = done
			store.left.Store(at)
			reply := p.call("/gift/place", `{"game":"`+made.Game.ID+`","x":3,"y":3,"pattern":"block"}`)
			store.left.Store(1 << 40)
			r.table.tools.social.placing = map[string]bool{} // as after a restart
			r.pass(2 * placingPatience)
			var look struct{ Cells int64 }
			p.must("/game/pattern", `{"game":"`+made.Game.ID+`"}`, &look)
			laid, has := look.Cells/4, p.have("9:block")
			if laid+has < before || laid+has > before+1 {
				t.Errorf("cut at %d, done %v: %d laid, %d left of %d; %d %s", at, done, laid, has, before, reply.Status, reply.Message)
			}
			if laid+has > before && (at != 2 || done) {
				t.Errorf("cut at %d, done %v: a pattern more than there was", at, done)
			}
		}
	}
}

// Goal: a pattern that a slow game has not laid when its caller gives up is settled all the same. Method: a call whose
// context has ended.
func TestPlacingSettlesWithoutCaller(t *testing.T) {
	r := newRig(t, nil)
	p := r.play("0", "Ann", "")
	var made struct{ Game struct{ ID string } }
	p.must("/game/create", `{"name":"pond","grids":[{"width":64,"height":64}]}`, &made)
	ctx, cancel := context.WithCancel(context.Background())
	c := &Call{Context: ctx, Who: p.identity()}
	in := &placeGiftIn{Pattern: "block"}
	in.Game, in.X, in.Y = made.Game.ID, 3, 3
	before := p.have("9:block")
	note, err := r.table.tools.takePattern(ctx, &c.Who, "block")
	if err != nil || p.have("9:block") != before-1 {
		t.Fatal(err, p.have("9:block"))
	}
	cancel()
	if _, err := r.table.tools.finishPlacing(&c.Who, &note, "block", laid{err: errors.New("refused")}); err == nil || p.have("9:block") != before {
		t.Error(err, p.have("9:block"))
	}
	if _, err := placeGift(r.table.tools, c, in); !errors.Is(err, context.Canceled) || p.have("9:block") != before {
		t.Error(err, p.have("9:block"))
	}
}

// Goal: what is taken for gifts from the config folder is checked. Method: a table of settings.
func TestGiftSettings(t *testing.T) {
	for _, test := range []struct {
		change func(*GiftSettings)
		wrong  string
	}{
		{func(*GiftSettings) {}, ""},
		{func(s *GiftSettings) { s.Starter, s.Daily = "", "" }, ""},
		{func(s *GiftSettings) { s.Patterns = map[string]string{"castle": "3o$obo$3o!"}; s.Daily = "9:castle:1" }, ""},
		{func(s *GiftSettings) { s.Daily = "9:castle:1" }, `no pattern "castle"`},
		{func(s *GiftSettings) { s.Daily = "3:1" }, "daily"},
		{func(s *GiftSettings) { s.SendDay = -1 }, "send_day"},
		{func(s *GiftSettings) { s.Patterns = map[string]string{"Castle": "o!"} }, "small letters"},
		{func(s *GiftSettings) { s.Patterns = map[string]string{"castle": "o$$%"} }, "castle"},
	} {
		s := DefaultGiftSettings()
		test.change(&s)
		err := s.complete()
		if test.wrong == "" && err != nil || test.wrong != "" && (err == nil || !strings.Contains(err.Error(), test.wrong)) {
			t.Errorf("%+v: %v, want %q", s, err, test.wrong)
		}
	}
}

// Goal: every connection of the receiver hears of a mail, with the count. Method: two connections of one account.
func TestNewMailPush(t *testing.T) {
	r := newRig(t, nil)
	ann, ben := r.play("0", "Ann", ""), r.play("0", "Ben", "")
	var nonce struct{ Token string }
	ann.must("/chat/token", `{}`, &nonce)
	second := r.connect()
	second.must("/session/register", `{"nonce":"`+nonce.Token+`"}`, nil)
	ben.must("/mail/send", `{"gn_target":"Ann","subj":"hello"}`, nil)
	for _, p := range []*peer{ann, second} {
		p.await("a push", func(got []string) bool {
			for _, push := range got {
				if _, data, ok := strings.Cut(push, "user."+ann.identity().Account+" "); ok {
					var m struct {
						Route   string
						Content newMailPush
					}
					if json.Unmarshal([]byte(data), &m) != nil || m.Route != newMailRoute || m.Content.From != "Ben" || m.Content.Count == nil ||
						*m.Content.Count != (mailCount{1, 50}) {
						t.Errorf("got %s", data)
					}
					return true
				}
			}
			return false
		})
	}
}

// Goal: a full mailbox refuses, and what one sends is not lost. Method: gifts until it is full, then one more.
func TestFullMailbox(t *testing.T) {
	r := newRig(t, nil)
	ann, ben := r.play("0", "Ann", ""), r.play("0", "Ben", "")
	for range post.DefaultBoxLimit {
		r.mailTo(ann, "3:1:1")
	}
	before := ben.have("9:glider")
	reply := ben.call("/mail/send", `{"gn_target":"Ann","subj":"x","items":"9:glider:1"}`)
	if reply.Status != protocol.StatusTooMuch || ben.have("9:glider") != before {
		t.Errorf("%d %s, %d left of %d", reply.Status, reply.Message, ben.have("9:glider"), before)
	}
	if reply := ben.call("/friend/request", `{"gn_target":"Ann"}`); reply.Status != protocol.StatusTooMuch {
		t.Error(reply.Status, reply.Message)
	}
	ann.must("/mail/acceptGifts", `{}`, nil)
	ann.must("/mail/deleteRead", `{}`, nil)
	if reply := ben.call("/friend/request", `{"gn_target":"Ann"}`); reply.Status != protocol.StatusOK {
		t.Error("after a full mailbox:", reply.Status, reply.Message)
	}
}

// Goal: marks of accepted mails go when their mails have gone, and not before. Method: two gifts accepted, one of them
// deleted; a sweep before and after the time.
func TestRedeemedSweep(t *testing.T) {
	r := newRig(t, nil)
	p := r.play("0", "Ann", "")
	kept, gone := r.mailTo(p, "3:1:1"), r.mailTo(p, "3:1:1")
	for _, key := range []string{kept, gone} {
		p.must("/mail/acceptGift", `{"key":"`+key+`"}`, nil)
	}
	p.must("/mail/delete", `{"key":"`+gone+`"}`, nil)
	for _, step := range []struct {
		pass time.Duration
		want int
	}{{0, 2}, {redeemedAge + time.Second, 1}} {
		r.pass(step.pass)
		r.table.tools.sweepRedeemed(t.Context())
		marks, err := r.store.List(t.Context(), redeemedPrefix, "", 10)
		if err != nil || len(marks) != step.want {
			t.Errorf("after %v: %d marks, want %d, %v", step.pass, len(marks), step.want, err)
		}
	}
	if marks, _ := r.store.List(t.Context(), redeemedPrefix, "", 10); len(marks) != 1 || !bytes.HasSuffix([]byte(marks[0].Key), []byte(kept)) {
		t.Error("the wrong mark was dropped")
	}
}
