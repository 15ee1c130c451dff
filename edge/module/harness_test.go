package module

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/memory"
	"gosper/broker/post"
	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

// rig is a table on memory engines.
type rig struct {
	t     *testing.T
	table *Table
	store *memory.Store
	reg   *memory.Registry
	bus   broker.Bus
	games *game.Host
	watch func(game.ID, game.Stream) (game.Stream, error) // nil: that of games
	post  *post.Office

	mu  sync.Mutex
	now time.Time // what the table takes for the time
	ids uint64
}

// newRig starts a table whose options may be changed first. The rates are off unless the change sets them.
func newRig(t *testing.T, change func(*Options)) *rig { return newRigOn(t, change, nil) }

// newRigOn is newRig with a store that stands before the one in memory.
func newRigOn(t *testing.T, change func(*Options), before func(broker.Store) broker.Store) *rig {
	r := &rig{t: t, store: memory.NewStore(), reg: memory.NewRegistry(), bus: memory.NewBus(memory.BusOptions{}), now: time.Now()}
	if midnight := r.now.Truncate(24 * time.Hour).Add(24 * time.Hour); midnight.Sub(r.now) < time.Minute {
		r.now = midnight // no test has a day that ends in the middle
	}
	o := DefaultOptions()
	for _, rate := range []*Rate{&o.ReadRate, &o.WriteRate, &o.ChatRate, &o.AuthRate, &o.EditRate, &o.LookRate, &o.GuessRate} {
		*rate = Rate{}
	}
	o.Workers, o.Queue, o.PresenceBatch = 8, 64, time.Millisecond
	o.CallTimeout = patience // a hash of a password takes seconds on a busy machine
	if change != nil {
		change(&o)
	}
	log := memory.NewLog()
	var err error
	var store broker.Store = r.store
	if before != nil {
		store = before(r.store)
	}
	r.post, err = post.Open(post.Options{Root: t.TempDir(), Store: store, Now: r.clock,
		Delivered: func(box post.Box, m post.Mail) { r.table.MailDelivered(box, m) }})
	if err != nil {
		t.Fatal(err)
	}
	r.games, err = game.NewHost(t.Context(), game.Config{Log: log, Store: r.store, Budget: grid.NewBudget(64 << 20), Workers: 1,
		Limits: gameLimits(), Sink: NewGameSink(r.bus, nil), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.table, err = New(Config{Options: o, Store: store, Registry: r.reg, Bus: r.bus, Games: r.games, Post: r.post, Secret: []byte("0123456789abcdef"),
		Log: slog.New(slog.DiscardHandler), Now: r.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.table.Close()
		r.post.Close()
		r.games.Close()
		log.Close()
		r.bus.Close()
		r.reg.Close()
		r.store.Close()
	})
	return r
}

// gameLimits are limits that tests can meet.
func gameLimits() game.Limits {
	l := game.DefaultLimits()
	l.Games, l.GamesUser, l.GridsGame, l.UsersGame, l.GridSide = 6, 3, 2, 3, 4096
	l.EditsRequest, l.CellsRequest, l.StepGenerations = 10, 200, 20
	return l
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// pass lets time go on for the table; the engines have their own clock.
func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	r.now = r.now.Add(d)
	r.mu.Unlock()
}

// peer is a client with a connection: what the edge does with a session, without the network.
type peer struct {
	rig  *rig
	id   uint64
	code string

	mu      sync.Mutex
	who     Identity
	subs    map[string]broker.Subscription
	past    map[string]broker.Position // up to where got has the history of a subject
	watches map[watchName]game.Stream
	got     []string // pushes, as "subject data"
	closed  protocol.CloseCode
	wake    chan struct{}
}

// watchName names a grid of a game.
type watchName struct {
	game game.ID
	grid int
}

// connect opens a connection with a client code.
func (r *rig) connect() *peer {
	r.ids++
	return &peer{rig: r, id: r.ids, code: r.table.tools.codes.newClient(), subs: map[string]broker.Subscription{}, past: map[string]broker.Position{},
		watches: map[watchName]game.Stream{}, wake: make(chan struct{}, 1)}
}

func (p *peer) ID() uint64 { return p.id }

func (p *peer) Who() *Identity {
	who := p.identity()
	return &who
}

func (p *peer) SetIdentity(who Identity) {
	p.mu.Lock()
	before := p.who
	p.who = who
	p.mu.Unlock()
	if before.World != "" {
		p.rig.table.Left(p.id, before)
	}
	if who.World != "" {
		p.rig.table.Joined(p.id, who)
	}
}

// Subscribe follows first and reads the past then, so that nothing lies between the two.
func (p *peer) Subscribe(ctx context.Context, subject string, since broker.Position) (broker.Position, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := p.subs[subject] == nil
	if fresh {
		sub, err := p.rig.bus.Subscribe(subject, broker.Handler{Message: p.receive})
		if err != nil {
			return broker.Position{}, false, err
		}
		p.subs[subject] = sub
	}
	recovery, err := p.rig.bus.History(ctx, subject, since, 1000)
	if err != nil {
		if fresh {
			p.subs[subject].Unsubscribe()
			delete(p.subs, subject)
		}
		return broker.Position{}, false, err
	}
	if fresh && since != (broker.Position{}) && recovery.Recovered {
		for _, m := range recovery.Messages {
			p.got = append(p.got, m.Subject+" "+string(m.Data))
		}
		p.past[subject] = recovery.Top
	}
	return recovery.Top, recovery.Recovered, nil
}

// Watch and Unwatch note the streams of the peer, which have to be streams of a game.
func (p *peer) Watch(id game.ID, s game.Stream) error {
	if watch := p.rig.watch; watch != nil {
		if _, err := watch(id, s); err != nil {
			return err
		}
	} else {
		name, err := p.rig.games.Watch(id, s)
		if err != nil {
			return err
		}
		p.rig.games.Unwatch(id, name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watches[watchName{id, s.Grid}] = s
	return nil
}

func (p *peer) Unwatch(id game.ID, index int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.watches, watchName{id, index})
}

func (p *peer) receive(m *broker.Message) {
	p.mu.Lock()
	if past := p.past[m.Subject]; m.Position.Offset == 0 || m.Position.Epoch != past.Epoch || m.Position.Offset > past.Offset {
		p.got = append(p.got, m.Subject+" "+string(m.Data))
	}
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *peer) Unsubscribe(subject string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.subs[subject]; s != nil {
		s.Unsubscribe()
		delete(p.subs, subject)
	}
}

func (p *peer) Subscriptions() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for name := range p.subs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (p *peer) Close(code protocol.CloseCode) {
	p.mu.Lock()
	p.closed = code
	p.mu.Unlock()
	p.hangUp()
}

// hangUp ends the connection as the edge does: subscriptions first, then presence.
func (p *peer) hangUp() {
	for _, name := range p.Subscriptions() {
		p.Unsubscribe(name)
	}
	if p.identity().World != "" {
		p.rig.table.Left(p.id, p.identity())
	}
}

func (p *peer) identity() Identity {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.who
}

func (p *peer) closeCode() protocol.CloseCode {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// await waits until a push satisfies the condition, and returns all pushes so far.
func (p *peer) await(what string, ok func(got []string) bool) []string {
	p.rig.t.Helper()
	limit := time.After(patience)
	for {
		p.mu.Lock()
		got := slices.Clone(p.got)
		p.mu.Unlock()
		if ok(got) {
			return got
		}
		select {
		case <-p.wake:
		case <-limit:
			p.rig.t.Fatalf("%s: got only %q", what, got)
		}
	}
}

// call calls a function and returns the reply.
func (p *peer) call(route, content string) Reply {
	return p.rig.do(&Call{Route: route, Door: "ws", Remote: "192.0.2.1", ClientCode: p.code, Content: []byte(content), Who: p.identity(), Session: p})
}

// do runs a call and waits for its reply.
func (r *rig) do(c *Call) Reply {
	r.t.Helper()
	if c.Context == nil {
		c.Context = context.Background()
	}
	c.Received = time.Now()
	done := make(chan Reply, 2)
	r.table.Call(c, func(reply Reply) { done <- reply })
	select {
	case reply := <-done:
		if !json.Valid(reply.Content) {
			r.t.Fatalf("%s: content %q is not JSON", c.Route, reply.Content)
		}
		return reply
	case <-time.After(patience):
		r.t.Fatalf("%s: no reply", c.Route)
		return Reply{}
	}
}

// gate calls a function by its gate name, without a connection.
func (r *rig) gate(name, content string) Reply {
	return r.do(&Call{Route: name, Door: "gate", Remote: "192.0.2.1", Content: []byte(content)})
}

// must calls a function that has to succeed and decodes its content.
func (p *peer) must(route, content string, out any) {
	p.rig.t.Helper()
	reply := p.call(route, content)
	if reply.Status != protocol.StatusOK {
		p.rig.t.Fatalf("%s %s: status %d %s", route, content, reply.Status, reply.Message)
	}
	if out != nil {
		if err := json.Unmarshal(reply.Content, out); err != nil {
			p.rig.t.Fatal(err)
		}
	}
}

// play logs a guest in and enters a world.
func (r *rig) play(world, name, family string) *peer {
	r.t.Helper()
	p := r.connect()
	p.must("/user/loginUnique", `{"unique_id":"device-`+world+name+`"}`, nil)
	content, err := json.Marshal(map[string]string{"world": world, "name": name})
	if err != nil {
		r.t.Fatal(err)
	}
	p.must("/user/enterWorld", string(content), nil)
	if family != "" {
		r.join(p, family)
	}
	return p
}

// join makes the peer a member of a family, which it founds when there is none, and waits until its connections are there.
func (r *rig) join(p *peer, name string) {
	r.t.Helper()
	t, who := r.table.tools, p.identity()
	f, err := t.familyNamed(context.Background(), who.World, name)
	if err != nil {
		r.t.Fatal(err)
	}
	if f == nil {
		p.must("/family/create", `{"name":"`+name+`"}`, nil)
		return
	}
	if _, err := t.join(&Call{Context: context.Background(), Who: who}, who.World, f.ID, who.Account); err != nil {
		r.t.Fatal(err)
	}
}

// emails returns the outbox.
func (r *rig) emails() []Email {
	r.t.Helper()
	list, err := r.table.Outbox().List(context.Background(), "", 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// complete registers an account to the end.
func (r *rig) complete(username, password string) *peer {
	r.t.Helper()
	p := r.connect()
	p.must("/user/register", `{"username":"`+username+`","email":"`+username+`@example.com"}`, nil)
	emails := r.emails()
	p.must("/user/loginWithEmailCode", `{"emailCode":"`+emails[len(emails)-1].Code+`"}`, nil)
	p.must("/user/enterNewPassword", `{"password":"`+password+`"}`, nil)
	return p
}
