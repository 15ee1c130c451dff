package module

import (
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// Who is a member decides which room of the talk a connection is in, at once and on all connections. A change is written
// first; then the connections on this node are moved, before the change is answered, and the other nodes get a notice on
// the bus. Whoever moves a connection reads the record behind a lock of that connection, so the last one to move it has
// seen the newest record.

// familyOf returns the name of the family of an account in a world, "" for none. known is false when the account has no
// player there: then it may be one that another service keeps.
func (t *Tools) familyOf(ctx context.Context, world, account string) (name string, known bool, err error) {
	p, err := t.loadPlayer(ctx, world, account)
	if err != nil || p.revision == 0 || p.FamilyID == "" {
		return "", p.revision != 0, err
	}
	f, err := t.loadFamily(ctx, world, p.FamilyID)
	if errors.Is(err, broker.ErrNotFound) {
		return "", true, nil // it has ended since
	}
	if err != nil {
		return "", false, err
	}
	return f.Name, true, nil
}

// settleFamily gives who the family that it is a member of. The family of a player without an account here is what the
// nonce of a trusted service said.
func (t *Tools) settleFamily(ctx context.Context, who *Identity) error {
	if who.Account == "" || who.World == "" {
		return nil
	}
	family, known, err := t.familyOf(ctx, who.World, who.Account)
	if err == nil && known {
		who.Family = family
	}
	return err
}

// regroup moves all connections of accounts in a world, here and on other nodes, to the rooms of their families. It
// returns when those here have moved.
func (t *Tools) regroup(ctx context.Context, world string, accounts ...string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), roomPatience) // the change is written: its caller may have gone
	defer cancel()
	for _, account := range accounts {
		t.regroupHere(ctx, world, account)
	}
	content := encoded(regroupNotice{t.families.rooms.origin, world, accounts})
	t.bus.Publish(roomSubject(world), protocol.AppendPush(nil, roomRoute, content), broker.Keep{}, func(_ broker.Position, err error) {
		if err != nil {
			t.log.Error("other nodes were not told of members that changed", "world", world, "error", err)
		}
	})
}

// roomSubject is where nodes tell each other whose family has changed. No client can follow it.
func roomSubject(world string) string { return "rooms." + world }

const (
	roomRoute    = "/rooms/changed"
	roomPattern  = "rooms.*"
	roomPatience = 10 * time.Second // for moving the accounts of one change
)

// regroupNotice is the content of a notice.
type regroupNotice struct {
	Origin   string   `json:"origin"` // the table that has moved its connections already
	World    string   `json:"world"`
	Accounts []string `json:"accounts"`
}

// regroupHere moves the connections of an account on this node.
func (t *Tools) regroupHere(ctx context.Context, world, account string) {
	for _, s := range t.online.sessions(account) {
		if err := t.regroupSession(ctx, s, world, account); err != nil {
			familyMetrics.failed.Inc()
			t.log.Error("a connection was not moved to the room of its family and is closed", "session", s.ID(), "error", err)
			s.Close(protocol.CloseRestart) // it comes back and is put where it belongs
		}
	}
}

// regroupSession moves one connection, if it speaks as the account in the world.
func (t *Tools) regroupSession(ctx context.Context, s Session, world, account string) error {
	l := t.families.rooms.lock(s.ID())
	l.Lock()
	defer l.Unlock()
	who := *s.Who()
	if who.World != world || who.Account != account {
		return nil
	}
	before := who.Family
	if err := t.settleFamily(ctx, &who); err != nil {
		return err
	}
	if who.Family == before {
		return nil
	}
	familyMetrics.moves.Inc()
	s.SetIdentity(who)
	if before != "" {
		s.Unsubscribe(protocol.ChatSubject(world, before))
	}
	if who.Family == "" {
		return nil
	}
	_, _, err := s.Subscribe(ctx, protocol.ChatSubject(world, who.Family), broker.Position{})
	var refused *Fault
	if errors.As(err, &refused) || gone(s) {
		return nil // it has gone, or follows too much already: then it hears the family after its next login
	}
	return err
}

// rooms moves connections after what other nodes told.
type rooms struct {
	origin string
	seed   maphash.Seed
	locks  [256]sync.Mutex // of connections

	mu      sync.Mutex
	waiting map[room]bool // accounts to move
	all     bool          // something was missed: all accounts
	wake    chan struct{}
	stop    chan struct{}
	done    sync.WaitGroup
	end     func() // of the subscription
	once    sync.Once
}

// room is an account in a world.
type room struct{ world, account string }

func newSeed() maphash.Seed { return maphash.MakeSeed() }

func newRooms() *rooms {
	return &rooms{origin: newLoginID(), seed: newSeed(), waiting: make(map[room]bool), wake: make(chan struct{}, 1), stop: make(chan struct{}), end: func() {}}
}

// lock is held while the identity of a connection changes.
func (r *rooms) lock(session uint64) *sync.Mutex {
	return &r.locks[maphash.Comparable(r.seed, session)%uint64(len(r.locks))]
}

// followRooms begins to listen to other nodes.
func (t *Tools) followRooms() error {
	r := t.families.rooms
	subscription, err := t.bus.Subscribe(roomPattern, broker.Handler{Message: r.hear, Gap: func(string) { r.note(true) }})
	if err != nil {
		return err
	}
	r.end = subscription.Unsubscribe
	r.done.Go(func() { t.moveRooms(r) })
	return nil
}

// close ends what followRooms began. It may be called again.
func (r *rooms) close() {
	r.once.Do(func() {
		r.end()
		close(r.stop)
	})
	r.done.Wait()
}

// hear takes a notice. It does not block.
func (r *rooms) hear(m *broker.Message) {
	push, err := protocol.ParsePush(m.Data)
	var notice regroupNotice
	if err != nil || push.Route != roomRoute || json.Unmarshal(push.Content, &notice) != nil || notice.Origin == r.origin {
		return
	}
	changed := make([]room, len(notice.Accounts))
	for i, account := range notice.Accounts {
		changed[i] = room{notice.World, account}
	}
	r.note(false, changed...)
}

func (r *rooms) note(all bool, changed ...room) {
	r.mu.Lock()
	r.all = r.all || all
	for _, c := range changed {
		r.waiting[c] = true
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *rooms) take() (waiting map[room]bool, all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	waiting, all = r.waiting, r.all
	r.waiting, r.all = make(map[room]bool), false
	return waiting, all
}

// moveRooms moves connections until the table closes.
func (t *Tools) moveRooms(r *rooms) {
	for {
		select {
		case <-r.stop:
			return
		case <-r.wake:
		}
		waiting, all := r.take()
		if all {
			t.noteAll(waiting)
		}
		for place := range waiting {
			ctx, cancel := context.WithTimeout(context.Background(), roomPatience)
			t.regroupHere(ctx, place.world, place.account)
			cancel()
		}
	}
}

// noteAll adds every account with connections here, once changes elsewhere are heard again after a gap.
func (t *Tools) noteAll(waiting map[room]bool) {
	ctx, cancel := context.WithTimeout(context.Background(), roomPatience)
	defer cancel()
	heard := make(map[string]bool)
	for place := range t.online.places() {
		if !heard[place.world] {
			heard[place.world] = true
			t.heardAgain(ctx, roomSubject(place.world))
		}
	}
	for place := range t.online.places() { // who came meanwhile too
		waiting[place] = true
	}
}
