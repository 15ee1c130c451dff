package module

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gosper/broker"
	"gosper/broker/post"
	"gosper/protocol"
)

// friendsOf reads a list as the store has it.
func (p *peer) friendsOf() map[string]bool {
	p.rig.t.Helper()
	list, err := p.rig.table.tools.loadFriends(context.Background(), p.identity().World, p.identity().Account)
	if err != nil {
		p.rig.t.Fatal(err)
	}
	set := make(map[string]bool)
	for _, f := range list.Friends {
		if set[f.UID] {
			p.rig.t.Errorf("%s has a friend twice", p.identity().Name)
		}
		set[f.UID] = true
	}
	return set
}

// requests lists the keys of the requests in a mailbox.
func (p *peer) requests() (keys []string) {
	p.rig.t.Helper()
	mails, err := p.rig.post.All(context.Background(), post.Box{World: "0", UID: p.identity().Account})
	if err != nil {
		p.rig.t.Fatal(err)
	}
	for _, m := range mails {
		if m.Kind == post.FriendRequest {
			keys = append(keys, m.Key)
		}
	}
	return keys
}

// Goal: both sides of a friendship always agree, whatever happens at the same time. Method: five players who ask, accept,
// remove and send gifts at random and at once, round after round; the lists are compared after each.
func TestFriendRaces(t *testing.T) {
	seed := rand.Uint64()
	r := newRig(t, func(o *Options) { o.Workers, o.Queue = 32, 256 })
	var players []*peer
	for i := range 5 {
		players = append(players, r.play("0", fmt.Sprint("Player", i), ""))
	}
	for round := range 20 {
		var all sync.WaitGroup
		for i, p := range players {
			dice := rand.New(rand.NewPCG(seed, uint64(round*len(players)+i)))
			keys := p.requests()
			all.Go(func() {
				for range 4 {
					other := players[dice.IntN(len(players))].identity().Name
					switch dice.IntN(5) {
					case 0, 1:
						p.call("/friend/request", `{"gn_target":"`+other+`"}`)
					case 2:
						p.call("/friend/remove", `{"gn_target":"`+other+`"}`)
					case 3:
						p.call("/gift/friends", `{}`)
					default:
						for _, key := range keys {
							p.call("/friend/respond", `{"key":"`+key+`"}`)
						}
					}
				}
			})
		}
		all.Wait()
		r.pass(friendAsk)
		lists := make([]map[string]bool, len(players))
		for i, p := range players {
			lists[i] = p.friendsOf()
		}
		for i, a := range players {
			for k, b := range players {
				if lists[i][b.identity().Account] != lists[k][a.identity().Account] {
					t.Fatalf("seed %d, round %d: %s and %s do not agree", seed, round, a.identity().Name, b.identity().Name)
				}
			}
		}
	}
}

// Goal: a request is accepted once; two players who ask each other become friends once. Method: 100 answers at once to
// one request, then an answer to the other's.
func TestFriendAcceptedOnce(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Workers, o.Queue = 32, 256 })
	ann, ben := r.play("0", "Ann", ""), r.play("0", "Ben", "")
	ann.must("/friend/request", `{"gn_target":"Ben"}`, nil)
	ben.must("/friend/request", `{"gn_target":"Ann"}`, nil)
	key := ben.requests()[0]
	var all sync.WaitGroup
	replies := make(chan protocol.Status, 100)
	for range cap(replies) {
		all.Go(func() { replies <- ben.call("/friend/respond", `{"key":"`+key+`"}`).Status })
	}
	all.Wait()
	close(replies)
	yes := 0
	for status := range replies {
		if status == protocol.StatusOK {
			yes++
		}
	}
	if yes != 1 || len(ann.friendsOf()) != 1 || len(ben.friendsOf()) != 1 {
		t.Errorf("%d answers succeeded; %v %v", yes, ann.friendsOf(), ben.friendsOf())
	}
	if reply := ann.call("/friend/respond", `{"key":"`+ann.requests()[0]+`"}`); reply.Message != faultFriends.Message || len(ann.friendsOf()) != 1 {
		t.Error(reply.Status, reply.Message, ann.friendsOf())
	}
}

// afterFriends is a store that calls a function after the next list of friends was read.
type afterFriends struct {
	broker.Store
	next atomic.Pointer[func()]
}

func (s *afterFriends) Get(ctx context.Context, key string) (broker.Record, error) {
	record, err := s.Store.Get(ctx, key)
	if strings.HasPrefix(key, friendKey("0", "")) {
		if next := s.next.Swap(nil); next != nil {
			(*next)()
		}
	}
	return record, err
}

// Goal: who removes a friend at the moment in which the other accepts leaves no friendship on one side. Method: the answer comes between
// the two lists that a removal reads.
func TestFriendRemovedWhileAccepted(t *testing.T) {
	store := &afterFriends{}
	r := newRigOn(t, nil, func(s broker.Store) broker.Store {
		store.Store = s
		return store
	})
	ann, ben := r.play("0", "Ann", ""), r.play("0", "Ben", "")
	ben.must("/friend/request", `{"gn_target":"Ann"}`, nil)
	key := ann.requests()[0]
	accept := func() { ann.must("/friend/respond", `{"key":"`+key+`"}`, nil) }
	store.next.Store(&accept)
	ben.must("/friend/remove", `{"gn_target":"Ann"}`, nil)
	if len(ann.friendsOf()) != 0 || len(ben.friendsOf()) != 0 {
		t.Errorf("after the removal: %v and %v", ann.friendsOf(), ben.friendsOf())
	}
}

// Goal: a crash leaves no friendship on one side. Method: the store is cut off at each write of an answer and of a
// removal, done or not.
func TestFriendSurvivesCrash(t *testing.T) {
	for _, done := range []bool{false, true} {
		for at := int64(1); at <= 4; at++ {
			r, store := cutRig(t)
			ann, ben := r.play("0", "Ann", ""), r.play("0", "Ben", "")
			ann.must("/friend/request", `{"gn_target":"Ben"}`, nil)
			key := ben.requests()[0]
			for _, call := range [][2]string{{"/friend/respond", `{"key":"` + key + `"}`}, {"/friend/remove", `{"gn_target":"Ann"}`}} {
				store.done = done
				store.left.Store(at)
				ben.call(call[0], call[1])
				store.left.Store(1 << 40)
				if len(ann.friendsOf()) != len(ben.friendsOf()) {
					t.Errorf("%s cut at %d, done %v: %v and %v", call[0], at, done, ann.friendsOf(), ben.friendsOf())
				}
				ben.call(call[0], call[1])
				if len(ann.friendsOf()) != len(ben.friendsOf()) {
					t.Errorf("%s after a cut at %d, done %v: %v and %v", call[0], at, done, ann.friendsOf(), ben.friendsOf())
				}
			}
		}
	}
}

// Goal: the cap holds on both sides. Method: a list that is full in the store, asked from either side.
func TestFriendCap(t *testing.T) {
	r := newRig(t, nil)
	ann, ben := r.play("0", "Ann", ""), r.play("0", "Ben", "")
	tools := r.table.tools
	ann.must("/friend/request", `{"gn_target":"Ben"}`, nil)
	list, err := tools.loadFriends(t.Context(), "0", ann.identity().Account)
	if err != nil {
		t.Fatal(err)
	}
	for i := range tools.social.friends.Get().Most {
		list.Friends = append(list.Friends, friend{UID: fmt.Sprint("other", i)})
	}
	op, err := list.op()
	if err == nil {
		_, err = r.store.Commit(t.Context(), op)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, try := range []struct {
		p              *peer
		route, content string
	}{
		{ben, "/friend/respond", `{"key":"` + ben.requests()[0] + `"}`},
		{ben, "/friend/request", `{"gn_target":"Ann"}`},
		{ann, "/friend/request", `{"gn_target":"Ben"}`},
	} {
		if reply := try.p.call(try.route, try.content); reply.Status != protocol.StatusTooMuch {
			t.Errorf("%s as %s: %d %s", try.route, try.p.identity().Name, reply.Status, reply.Message)
		}
	}
	list, err = tools.loadFriends(t.Context(), "0", ann.identity().Account)
	if err != nil {
		t.Fatal(err)
	}
	list.Friends = list.Friends[1:]
	if op, err = list.op(); err == nil {
		_, err = r.store.Commit(t.Context(), op)
	}
	if err != nil {
		t.Fatal(err)
	}
	ben.must("/friend/respond", `{"key":"`+ben.requests()[0]+`"}`, nil) // the refusal did not use the request up
}
