package game

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/memory"
	"gosper/grid"
)

// shore is a Log and a Store that several hosts share.
type shore struct {
	t     *testing.T
	log   broker.Log
	store broker.Store
}

func newShore(t *testing.T) *shore {
	store := memory.NewStore()
	t.Cleanup(func() { store.Close() })
	return &shore{t: t, log: memory.NewLog(), store: store}
}

// host starts a host of that name, with its own way to the log.
func (s *shore) host(node string, change ...func(*Config)) (*Host, *faultyLog) {
	s.t.Helper()
	log := &faultyLog{Log: s.log}
	c := Config{Log: log, Store: s.store, Budget: grid.NewBudget(1 << 30), Node: node, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, f := range change {
		f(&c)
	}
	h, err := NewHost(context.Background(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { h.Close() })
	return h, log
}

func (s *shore) record(id ID) Record {
	s.t.Helper()
	stored, err := s.store.Get(context.Background(), id.recordKey())
	if err != nil {
		s.t.Fatal(err)
	}
	return must[Record](s.t)(ParseRecord(stored))
}

func glider() Edit {
	found, _ := grid.FindTemplate("Glider")
	return Edit{Kind: Stamp, X: 10, Y: 10, Pattern: found.Pattern, Policy: Overwrite}
}

func createOn(t *testing.T, h *Host, relaxed bool) *Game {
	t.Helper()
	g, err := h.Create(context.Background(), CreateRequest{Name: "pond", User: "anna", UserName: "Anna", Colour: AnyColour,
		Grids: []GridSpec{{Width: 128, Height: 128}}, Interval: 20 * time.Millisecond, Relaxed: relaxed})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(30 * time.Second); !ok(); <-look.C {
		if time.Now().After(end) {
			t.Fatal("waited in vain: " + what)
		}
	}
}

// TestAdoptFences takes a game over while its owner is in the middle of an append: what the log had taken is there, what comes
// later is refused, the old owner drops its copy, and both agree that there is one owner.
func TestAdoptFences(t *testing.T) {
	ctx := context.Background()
	s := newShore(t)
	var lost sync.WaitGroup
	lost.Add(1)
	a, logA := s.host("a", func(c *Config) { c.Left = func(ID) { lost.Done() } })
	b, _ := s.host("b")
	g := createOn(t, a, false)
	must[Ack](t)(g.EditWait(ctx, "anna", 0, glider()))
	want := fingerprint(t, g)

	pause := logA.pause()
	answer := make(chan error, 1)
	g.Edit("anna", 0, []Edit{{Kind: Place, X: 99, Y: 99}}, func(_ Ack, err error) { answer <- err })
	<-pause.reached
	mustDo(t, b.Adopt(ctx, s.record(g.ID()), Passed{}))
	taken := must[*Game](t)(b.Game(g.ID()))
	if got := fingerprint(t, taken); got != want {
		t.Fatalf("taken over as\n%s\nwant\n%s", got, want)
	}
	must[Ack](t)(taken.EditWait(ctx, "anna", 0, Edit{Kind: Place, X: 50, Y: 50}))
	pause.end()
	wantErr(t, <-answer, broker.ErrFenced)
	lost.Wait()
	wantErr(t, errOf(a.Game(g.ID())), ErrNoGame)
	wantErr(t, errOf(g.EditWait(ctx, "anna", 0, glider())), ErrMoved)
	if err := a.Adopt(ctx, Record{ID: g.ID(), Revision: g.own.revision}, Passed{}); !errors.Is(err, broker.ErrConflict) {
		t.Fatalf("with an old record: %v", err)
	}
	if r := s.record(g.ID()); r.Node != "b" || r.Token != 2 {
		t.Fatalf("record %+v", r)
	}
}

// TestHand passes a running game to and fro and compares it with a machine that plays the log: every edit is there, generations
// go on from where they were, and requests that came in between are refused with ErrMoved or done, never both.
func TestHand(t *testing.T) {
	ctx := context.Background()
	s := newShore(t)
	hosts := map[string]*Host{}
	for _, name := range []string{"a", "b"} {
		hosts[name], _ = s.host(name)
	}
	g := createOn(t, hosts["a"], false)
	mustDo(t, g.Start(ctx, "anna"))
	from, to := "a", "b"
	edits := uint64(0)
	for round := range 6 {
		ack := must[Ack](t)(g.EditWait(ctx, "anna", 0, Edit{Kind: Place, X: int32(100 + round), Y: 100, Policy: Overwrite}))
		if edits++; ack.Seq != edits {
			t.Fatalf("edit %d has place %d", edits, ack.Seq)
		}
		before := g.Info()
		rec, at, err := hosts[from].Hand(ctx, g.ID(), to)
		mustDo(t, err)
		if at.Due.IsZero() {
			t.Fatal("a running game has no next tick")
		}
		wantErr(t, errOf(g.EditWait(ctx, "anna", 0, glider())), ErrMoved)
		mustDo(t, hosts[to].Adopt(ctx, rec, at))
		g = must[*Game](t)(hosts[to].Game(g.ID()))
		now := g.Info()
		if now.Epoch <= before.Epoch || now.Generation < before.Generation || now.State != Running {
			t.Fatalf("before %+v, now %+v", before, now)
		}
		until(t, "a tick", func() bool { return g.Info().Generation > now.Generation })
		from, to = to, from
	}
	mustDo(t, g.Pause(ctx, "anna"))
	want := fingerprint(t, g)
	rec, at, err := hosts[from].Hand(ctx, g.ID(), "")
	mustDo(t, err)
	if !at.Due.IsZero() {
		t.Fatal("a paused game has a next tick")
	}
	mustDo(t, hosts[from].Adopt(ctx, rec, at))
	if got := fingerprint(t, must[*Game](t)(hosts[from].Game(g.ID()))); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

// TestAdoptUnmade takes over a game whose maker died before its first entry: nobody was told of it, so it goes, and the maker,
// should it only have slept, is told that there is none.
func TestAdoptUnmade(t *testing.T) {
	ctx := context.Background()
	s := newShore(t)
	a, logA := s.host("a")
	b, _ := s.host("b")
	pause := logA.pause()
	made := make(chan error, 1)
	go func() {
		_, err := a.Create(ctx, CreateRequest{Name: "pond", User: "anna", UserName: "Anna", Colour: AnyColour, Grids: []GridSpec{{Width: 64, Height: 64}}})
		made <- err
	}()
	<-pause.reached
	records := must[[]broker.Record](t)(s.store.List(ctx, RecordPrefix, "", 10))
	rec := must[Record](t)(ParseRecord(records[0]))
	wantErr(t, b.Adopt(ctx, rec, Passed{}), ErrGone)
	pause.end()
	if err := <-made; err == nil {
		t.Fatal("a game was made that another node had removed")
	}
	if left := must[[]broker.Record](t)(s.store.List(ctx, RecordPrefix, "", 10)); len(left) != 0 {
		t.Fatalf("records %v", left)
	}
	if next := must[uint64](t)(s.log.Next(ctx, rec.ID.logName())); next != 1 {
		t.Fatalf("the log has %d entries", next-1)
	}
}

// TestAdoptTooLarge hands a game to a node without memory for it: its record names nobody then, and a larger node has it.
func TestAdoptTooLarge(t *testing.T) {
	ctx := context.Background()
	s := newShore(t)
	a, _ := s.host("a")
	small, _ := s.host("small", func(c *Config) { c.Budget = grid.NewBudget(100) })
	g := createOn(t, a, false)
	rec, _, err := a.Hand(ctx, g.ID(), "small")
	mustDo(t, err)
	wantErr(t, small.Adopt(ctx, rec, Passed{}), grid.ErrBudget)
	rec = s.record(g.ID())
	if rec.Node != "" {
		t.Fatalf("record %+v", rec)
	}
	mustDo(t, a.Adopt(ctx, rec, Passed{}))
}

// TestAway refuses edits while the store is away, at once, and lets ticks go on; a game of relaxed durability takes edits
// until its tail is full, and its log has them all afterwards, each once.
func TestAway(t *testing.T) {
	ctx := context.Background()
	s := newShore(t)
	a, logA := s.host("a", func(c *Config) {
		c.Limits = DefaultLimits()
		c.Limits.RelaxedBytes = 4 << 10
	})
	strict, relaxed := createOn(t, a, false), createOn(t, a, true)
	for _, g := range []*Game{strict, relaxed} {
		mustDo(t, g.Start(ctx, "anna"))
	}
	a.Away(true)
	logA.setFault(broker.ErrTimeout)
	wantErr(t, errOf(strict.EditWait(ctx, "anna", 0, glider())), ErrAway)
	wantErr(t, errOf(a.Create(ctx, CreateRequest{Name: "pond", User: "anna", UserName: "Anna", Grids: []GridSpec{{Width: 8, Height: 8}}})), ErrAway)
	wantErr(t, relaxed.Pause(ctx, "anna"), ErrAway)
	applied := uint64(0)
	for {
		ack, err := relaxed.EditWait(ctx, "anna", 0, Edit{Kind: Place, X: int32(applied % 128), Y: 7, Policy: Overwrite})
		if errors.Is(err, ErrLimit) {
			break
		}
		mustDo(t, err)
		if applied++; ack.Seq != applied {
			t.Fatalf("place %d of edit %d", ack.Seq, applied)
		}
	}
	if applied == 0 {
		t.Fatal("no edit was taken")
	}
	for _, g := range []*Game{strict, relaxed} {
		now := g.Info().Generation
		until(t, "a tick without a store", func() bool { return g.Info().Generation > now })
	}
	logA.setFault(nil)
	a.Away(false)
	mustDo(t, stubborn(t, func() error { return relaxed.Pause(ctx, "anna") }))
	mustDo(t, stubborn(t, func() error { return errOf(strict.EditWait(ctx, "anna", 0, glider())) }))
	want := fingerprint(t, relaxed)
	b, _ := s.host("b")
	mustDo(t, b.Adopt(ctx, s.record(relaxed.ID()), Passed{}))
	taken := must[*Game](t)(b.Game(relaxed.ID()))
	if got := fingerprint(t, taken); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
	if ack := must[Ack](t)(taken.EditWait(ctx, "anna", 0, glider())); ack.Seq != applied+1 {
		t.Fatalf("the log has %d edits, %d were answered", ack.Seq-1, applied)
	}
}

// stubborn tries until f is not refused because the store is away.
func stubborn(t *testing.T, f func() error) (err error) {
	t.Helper()
	until(t, "the store is back", func() bool { err = f(); return !errors.Is(err, ErrAway) })
	return err
}

// TestRelaxedTwice answers appends with an error although they arrived, so that entries are written twice: each counts once.
func TestRelaxedTwice(t *testing.T) {
	ctx := context.Background()
	s := newShore(t)
	a, logA := s.host("a")
	g := createOn(t, a, true)
	mustDo(t, g.Start(ctx, "anna"))
	logA.lie(5)
	for i := range 40 {
		must[Ack](t)(g.EditWait(ctx, "anna", 0, Edit{Kind: Place, X: int32(3 * i), Y: int32(i), Policy: Overwrite}))
	}
	mustDo(t, stubborn(t, func() error { return g.Pause(ctx, "anna") }))
	want := fingerprint(t, g)
	b, _ := s.host("b")
	mustDo(t, b.Adopt(ctx, s.record(g.ID()), Passed{}))
	if got := fingerprint(t, must[*Game](t)(b.Game(g.ID()))); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

// TestRelaxedFenced loses the tail of a game that another node took over: the copy is dropped, and says so.
func TestRelaxedFenced(t *testing.T) {
	ctx := context.Background()
	s := newShore(t)
	left := make(chan ID, 1)
	a, logA := s.host("a", func(c *Config) { c.Left = func(id ID) { left <- id } })
	b, _ := s.host("b")
	g := createOn(t, a, true)
	logA.setFault(broker.ErrTimeout)
	must[Ack](t)(g.EditWait(ctx, "anna", 0, glider()))
	mustDo(t, b.Adopt(ctx, s.record(g.ID()), Passed{}))
	if ack := must[Ack](t)(must[*Game](t)(b.Game(g.ID())).EditWait(ctx, "anna", 0, glider())); ack.Seq != 1 {
		t.Fatalf("place %d: the tail is in the log", ack.Seq)
	}
	logA.setFault(nil)
	if id := <-left; id != g.ID() {
		t.Fatalf("%v left", id)
	}
	wantErr(t, errOf(g.EditWait(ctx, "anna", 0, glider())), ErrMoved)
}
