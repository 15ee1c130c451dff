package game

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gosper/broker"
	"gosper/grid"
)

var ctx = context.Background()

// Goal: a game's life, call by call. Method: two users, edits, steps, hand-over, end.
func TestGameLife(t *testing.T) {
	r := newRecorder()
	w := newWorld(t, func(w *world) { w.sink = r })
	g := w.create(CreateRequest{Colour: 0x112233, User: "anna", UserName: "Anna", Grids: []GridSpec{
		{Width: 64, Height: 64, Mode: Owners}, {Width: 321, Height: 321, Topology: grid.Plane, Mode: Blended},
	}})
	bob := must[User](t)(g.Join(ctx, "bob", "Bob", 0x112233))
	if bob.Number != 1 || bob.Colour == 0x112233 || bob.Colour >= AnyColour {
		t.Fatalf("the second user is %+v", bob)
	}
	again := must[User](t)(g.Join(ctx, "bob", "Bobby", 0x445566))
	if again.Colour != bob.Colour || again.Number != 1 || again.Name != "Bobby" {
		t.Fatalf("joined again as %+v", again)
	}
	ack := must[Ack](t)(g.EditWait(ctx, "bob", 0, Edit{Kind: Place, X: 1, Y: 1}, Edit{Kind: Place, X: 2, Y: 1}, Edit{Kind: Place, X: 3, Y: 1}))
	if ack.Seq != 3 || ack.Generation != 0 || ack.Changed != 3 {
		t.Fatalf("%+v", ack)
	}
	if n := must[uint64](t)(g.Step(ctx, "anna", 3)); n != 3 {
		t.Fatalf("generation %d", n)
	}
	stats := must[[]GridStats](t)(g.Stats(ctx))
	if stats[0].Population != 3 || stats[0].Owners["bob"] != 3 || stats[0].Generation != 3 || stats[1].Generation != 3 {
		t.Fatalf("%+v", stats)
	}
	wantErr(t, g.Stop(ctx, "bob"), ErrNotOwner)
	mustDo(t, g.Leave(ctx, "anna"))
	if n := r.waitNotice(t, func(n *Notice) bool { return n.Kind == NoticeOwner }); n.Info.Owner != "bob" || n.Previous != "anna" {
		t.Fatalf("the game passed to %q from %q", n.Info.Owner, n.Previous)
	}
	wantErr(t, g.Leave(ctx, "anna"), ErrNotMember)
	mustDo(t, g.Stop(ctx, "bob"))
	_, err := g.EditWait(ctx, "bob", 0, Edit{Kind: Place})
	wantErr(t, err, ErrStopped)
	mustDo(t, g.Start(ctx, "bob"))
	mustDo(t, g.Leave(ctx, "bob"))
	r.waitNotice(t, func(n *Notice) bool { return n.Kind == NoticeEnd })
	_, err = w.h.Game(g.ID())
	wantErr(t, err, ErrNoGame)
	wantErr(t, g.Start(ctx, "bob"), ErrGone)
	w.restart()
	if n := len(w.h.List(0, 10)); n != 0 {
		t.Fatalf("%d games came back", n)
	}
}

// holdingSink holds up a worker that tells of users.
type holdingSink struct{ resume chan struct{} }

func (s holdingSink) Frame(*Frame) {}

func (s holdingSink) Notice(n *Notice) {
	if n.Kind == NoticeUsers {
		<-s.resume
	}
}

// Goal: whoever ended a game, or left it last, does not find it any more. Method: a worker that stands still between the event and
// its end.
func TestEndedGameIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := holdingSink{make(chan struct{})}
		w := newWorld(t, func(w *world) { w.sink = sink })
		g := w.create(CreateRequest{})
		left := make(chan error, 1)
		go func() { left <- g.Leave(ctx, "anna") }()
		synctest.Wait()
		if len(left) > 0 {
			t.Error("it was answered before the game had gone")
		}
		close(sink.resume)
		mustDo(t, <-left)
		wantErr(t, errOf(w.h.Game(g.ID())), ErrNoGame)
	})
}

// Goal: a persistent game stays without users, and whoever comes next owns it. Method: leave, restart, join.
func TestPersistentGameStays(t *testing.T) {
	w := newWorld(t)
	g := w.create(CreateRequest{Persistent: true})
	id := g.ID()
	must[Ack](t)(g.EditWait(ctx, "anna", 0, Edit{Kind: Place, X: 5, Y: 6}))
	mustDo(t, g.Leave(ctx, "anna"))
	w.restart()
	g = w.game(id)
	if info := g.Info(); info.Owner != "" || info.Present() != 0 || len(info.Users) != 1 {
		t.Fatalf("%+v", info)
	}
	must[User](t)(g.Join(ctx, "carl", "Carl", AnyColour))
	if info := g.Info(); info.Owner != "carl" {
		t.Fatalf("owner %q", info.Owner)
	}
	if p := must[*grid.Pattern](t)(g.Export(ctx, 0)); p.Population() != 1 || p.Cells[0].X != 5 || p.Cells[0].Y != 6 {
		t.Fatalf("cells %v", p.Cells)
	}
	mustDo(t, g.End(ctx, "carl"))
}

// Goal: what nobody may do is refused with an error that says so. Method: a table.
func TestRefusals(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.limits.CellsRequest, w.limits.EditsRequest, w.limits.StepGenerations, w.limits.UsersGame = 10, 3, 5, 3
	})
	g := w.create(CreateRequest{Grids: []GridSpec{{Width: 20, Height: 20, Topology: grid.Plane, Mode: Owners, Owners: 2}}})
	must[User](t)(g.Join(ctx, "bob", "Bob", AnyColour))
	must[Ack](t)(g.EditWait(ctx, "bob", 0, Edit{Kind: Place, X: 3, Y: 3}))
	edit := func(user string, index int, e ...Edit) error {
		_, err := g.EditWait(ctx, user, index, e...)
		return err
	}
	block := &grid.Pattern{Width: 2, Height: 2, Cells: []grid.Cell{{X: 0, Y: 0, State: 1}, {X: 1, Y: 1, State: 1}}}
	many := &grid.Pattern{Width: 11, Height: 1}
	for x := range int32(11) {
		many.Cells = append(many.Cells, grid.Cell{X: x, State: 1})
	}
	for name, c := range map[string]struct{ got, want error }{
		"not a member":          {edit("eve", 0, Edit{Kind: Place}), ErrNotMember},
		"no grid":               {edit("bob", 1, Edit{Kind: Place}), ErrNoGrid},
		"grid below zero":       {edit("bob", -1, Edit{Kind: Place}), ErrNoGrid},
		"no edits":              {edit("bob", 0), ErrInvalid},
		"too many edits":        {edit("bob", 0, Edit{}, Edit{}, Edit{}, Edit{}), ErrLimit},
		"too many cells":        {edit("bob", 0, Edit{Kind: Stamp, Pattern: many}), ErrLimit},
		"outside":               {edit("bob", 0, Edit{Kind: Place, X: 20, Y: 0}), grid.ErrOutside},
		"far outside":           {edit("bob", 0, Edit{Kind: Place, X: -1 << 31, Y: 1<<31 - 1}), grid.ErrOutside},
		"on a live cell":        {edit("anna", 0, Edit{Kind: Place, X: 3, Y: 3}), grid.ErrOccupied},
		"template on live cell": {edit("anna", 0, Edit{Kind: Stamp, Pattern: block, X: 2, Y: 2}), grid.ErrOccupied},
		"template over edge":    {edit("anna", 0, Edit{Kind: Stamp, Pattern: block, X: 19, Y: 19}), grid.ErrOutside},
		"wrap on a plane":       {edit("anna", 0, Edit{Kind: Stamp, Pattern: block, X: 19, Y: 19, Wrap: true}), grid.ErrOutside},
		"kill what is dead":     {edit("anna", 0, Edit{Kind: Kill, X: 4, Y: 4}), grid.ErrDead},
		"erase outside":         {edit("anna", 0, Edit{Kind: Erase, X: 10, Y: 10, Width: 11, Height: 1}), grid.ErrOutside},
		"erase backwards":       {edit("anna", 0, Edit{Kind: Erase, X: 10, Y: 10, Width: -1, Height: 1}), ErrInvalid},
		"no pattern":            {edit("anna", 0, Edit{Kind: Stamp}), ErrInvalid},
		"unknown kind":          {edit("anna", 0, Edit{Kind: 99}), ErrInvalid},
		"unknown policy":        {edit("anna", 0, Edit{Policy: 9}), ErrInvalid},
		"bad orientation":       {edit("anna", 0, Edit{Orientation: 9}), ErrInvalid},
		"clear by an edit":      {edit("anna", 0, Edit{Kind: Clear}), ErrNotOwner},
		"full":                  {errOf(g.Join(ctx, "carl", "Carl", AnyColour)), ErrFull},
		"bad name":              {errOf(g.Join(ctx, "carl", " ", AnyColour)), ErrInvalid},
		"no user":               {errOf(g.Join(ctx, "", "Carl", AnyColour)), ErrInvalid},
		"bad colour":            {errOf(g.Join(ctx, "carl", "Carl", AnyColour+1)), ErrColour},
		"start by a stranger":   {g.Start(ctx, "eve"), ErrNotMember},
		"remove by a user":      {g.Remove(ctx, "bob", "anna"), ErrNotOwner},
		"remove a stranger":     {g.Remove(ctx, "anna", "eve"), ErrNotMember},
		"end by a user":         {g.End(ctx, "bob"), ErrNotOwner},
		"configure by a user":   {g.Configure(ctx, "bob", Settings{}), ErrNotOwner},
		"interval 0":            {g.Configure(ctx, "anna", Settings{Interval: new(time.Duration)}), ErrInvalid},
		"step too far":          {errOf(g.Step(ctx, "anna", 6)), ErrLimit},
		"step nowhere":          {errOf(g.Step(ctx, "anna", 0)), ErrInvalid},
		"step by a stranger":    {errOf(g.Step(ctx, "eve", 1)), ErrNotMember},
		"rewind by a user":      {g.Rewind(ctx, "bob", 0), ErrNotOwner},
		"rewind to the future":  {g.Rewind(ctx, "anna", 1), ErrHistory},
		"look at the future":    {errOf(g.Look(ctx, 0, 1)), ErrHistory},
		"export of no grid":     {errOf(g.Export(ctx, 7)), ErrNoGrid},
		"import by a user":      {errOf(g.Import(ctx, "bob", 0, block, 0, 0)), ErrNotOwner},
		"watch no game":         {errOf(w.h.Watch(1, Stream{})), ErrNoGame},
		"watch no grid":         {errOf(w.h.Watch(g.ID(), Stream{Grid: 1})), ErrNoGrid},
		"watch no mode":         {errOf(w.h.Watch(g.ID(), Stream{Mode: 9})), ErrInvalid},
		"view of nothing":       {errOf(w.h.Watch(g.ID(), Stream{Mode: 2, View: grid.Rect{X: 20, Y: 0, Width: 5, Height: 5}})), ErrInvalid},
	} {
		if !errors.Is(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	mustDo(t, g.Start(ctx, "bob"))
	wantErr(t, errOf(g.Step(ctx, "bob", 1)), ErrRunning)
	mustDo(t, g.Leave(ctx, "bob"))
	wantErr(t, edit("bob", 0, Edit{Kind: Place}), ErrNotMember)
	if bob := must[User](t)(g.Join(ctx, "bob", "Bob", AnyColour)); bob.Number != 1 {
		t.Errorf("came back as %+v", bob)
	}
}

func errOf[T any](_ T, err error) error { return err }

// Goal: no game is made beyond a limit or the memory, and the error says how much is needed. Method: a table.
func TestCreateRefusals(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.budget = grid.NewBudget(100_000)
		w.limits.GamesUser, w.limits.GridsGame, w.limits.GridSide = 2, 2, 1000
	})
	good := CreateRequest{Name: "g", User: "u", UserName: "U", Colour: AnyColour, Grids: []GridSpec{{Width: 10, Height: 10}}}
	for name, c := range map[string]struct {
		change func(*CreateRequest)
		want   error
	}{
		"no grid":        {func(r *CreateRequest) { r.Grids = nil }, ErrInvalid},
		"too many grids": {func(r *CreateRequest) { r.Grids = make([]GridSpec, 3) }, ErrLimit},
		"no width":       {func(r *CreateRequest) { r.Grids = []GridSpec{{Height: 1}} }, grid.ErrOptions},
		"negative":       {func(r *CreateRequest) { r.Grids = []GridSpec{{Width: -5, Height: 1}} }, grid.ErrOptions},
		"too wide":       {func(r *CreateRequest) { r.Grids = []GridSpec{{Width: 1001, Height: 1}} }, ErrLimit},
		"B0":             {func(r *CreateRequest) { r.Grids = []GridSpec{{Width: 5, Height: 5, Rule: grid.Rule{Birth: 1}}} }, grid.ErrOptions},
		"bad mode":       {func(r *CreateRequest) { r.Grids = []GridSpec{{Width: 5, Height: 5, Mode: 9}} }, ErrInvalid},
		"bad topology":   {func(r *CreateRequest) { r.Grids = []GridSpec{{Width: 5, Height: 5, Topology: 9}} }, grid.ErrOptions},
		"short interval": {func(r *CreateRequest) { r.Interval = 9 * time.Millisecond }, ErrInvalid},
		"long interval":  {func(r *CreateRequest) { r.Interval = 10_000 * time.Second }, ErrInvalid},
		"no name":        {func(r *CreateRequest) { r.Name = "" }, ErrInvalid},
		"no user":        {func(r *CreateRequest) { r.User = "" }, ErrInvalid},
		"memory":         {func(r *CreateRequest) { r.Grids = []GridSpec{{Width: 900, Height: 900}} }, grid.ErrBudget},
		"memory of two":  {func(r *CreateRequest) { r.Grids = []GridSpec{{Width: 400, Height: 400}, {Width: 400, Height: 400}} }, grid.ErrBudget},
	} {
		r := good
		c.change(&r)
		g, err := w.h.Create(ctx, r)
		if g != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		var short *grid.BudgetError
		if errors.As(err, &short) && (short.Needed <= short.Available || short.Available != 100_000) {
			t.Errorf("%s: %+v", name, short)
		}
	}
	if w.budget.Used() != 0 {
		t.Errorf("refused games hold %d bytes", w.budget.Used())
	}
	for range 2 {
		must[*Game](t)(w.h.Create(ctx, good))
	}
	_, err := w.h.Create(ctx, good)
	wantErr(t, err, ErrLimit)
	good.User = "v"
	must[*Game](t)(w.h.Create(ctx, good))
	if games := w.h.List(0, 10); len(games) != 3 || games[0].ID > games[1].ID {
		t.Errorf("%v", games)
	}
	if games := w.h.List(w.h.List(0, 1)[0].ID, 1); len(games) != 1 {
		t.Errorf("%v", games)
	}
}

// Goal: 100 users who draw at the same cell at once see one order: one wins, the rest is told that a live cell is in the
// way, and the log says the same. Method: 100 goroutines, then a restart.
func TestSameCellAtOnce(t *testing.T) {
	w := newWorld(t)
	g := w.create(CreateRequest{Grids: []GridSpec{{Width: 64, Height: 64, Mode: Owners, Owners: 128}}})
	names := make([]string, 100)
	for i := range names {
		names[i] = "user" + string(rune('a'+i/10)) + string(rune('a'+i%10))
		must[User](t)(g.Join(ctx, names[i], names[i], AnyColour))
	}
	type answer struct {
		user string
		ack  Ack
		err  error
	}
	answers := make(chan answer, len(names))
	for _, n := range names {
		go g.Edit(n, 0, []Edit{{Kind: Place, X: 7, Y: 7}}, func(a Ack, err error) { answers <- answer{n, a, err} })
	}
	winner := ""
	seqs := map[uint64]bool{}
	for range names {
		a := <-answers
		if a.err != nil || seqs[a.ack.Seq] || a.ack.Generation != 0 {
			t.Fatalf("%+v", a)
		}
		seqs[a.ack.Seq] = true
		switch {
		case a.ack.Seq == 1:
			winner = a.user
			mustDo(t, a.ack.Err())
		case !errors.Is(a.ack.Err(), grid.ErrOccupied):
			t.Fatalf("%+v", a)
		}
	}
	before := fingerprint(t, g)
	w.crash()
	g = w.game(g.ID())
	if after := fingerprint(t, g); after != before {
		t.Fatalf("%s, after a crash %s", before, after)
	}
	if stats := must[[]GridStats](t)(g.Stats(ctx)); stats[0].Owners[winner] != 1 {
		t.Fatalf("%q won, the grid says %v", winner, stats[0].Owners)
	}
}

// Goal: on a full disk edits are refused clearly, nothing is half done, ticks go on, and edits work again afterwards.
// Method: a log that refuses for a while.
func TestDiskFull(t *testing.T) {
	r := newRecorder()
	w := newWorld(t, func(w *world) { w.sink = r })
	log := w.log
	g := w.create(CreateRequest{Interval: 10 * time.Millisecond})
	s := must[Stream](t)(w.h.Watch(g.ID(), Stream{}))
	must[Ack](t)(g.EditWait(ctx, "anna", 0, Edit{Kind: Place, X: 1, Y: 1}, Edit{Kind: Place, X: 2, Y: 1}, Edit{Kind: Place, X: 3, Y: 1}))
	mustDo(t, g.Start(ctx, "anna"))
	log.setFault(broker.ErrDiskFull)
	_, err := g.EditWait(ctx, "anna", 0, Edit{Kind: Place, X: 60, Y: 60})
	wantErr(t, err, broker.ErrDiskFull)
	_, err = w.h.Create(ctx, CreateRequest{Name: "g", User: "u", UserName: "U", Grids: []GridSpec{{Width: 5, Height: 5}}})
	wantErr(t, err, broker.ErrDiskFull)
	at := g.Info().Generation
	r.wait(t, s, func(f []*Frame) bool { return len(f) > 0 && f[len(f)-1].Generation > at+3 })
	if stats := must[[]GridStats](t)(g.Stats(ctx)); stats[0].Population != 3 {
		t.Fatalf("%+v", stats)
	}
	log.setFault(nil)
	must[Ack](t)(g.EditWait(ctx, "anna", 0, Edit{Kind: Place, X: 60, Y: 60, Policy: Skip}))
	mustDo(t, g.Pause(ctx, "anna"))
	before := fingerprint(t, g)
	w.crash()
	if after := fingerprint(t, w.game(g.ID())); after != before {
		t.Fatalf("%s, after a crash %s", before, after)
	}
}

// Goal: one game's storm does not keep others waiting: between two turns of it every other game gets its turn. Method: one
// worker, held up while a storm gathers in one game; when the others come to their turn, the storm has had one batch.
func TestStormDoesNotDelayOthers(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.limits.EditsUser, w.limits.EditsGame = 1<<20, 1<<20
	})
	w.h.Close()
	h := must[*Host](t)(NewHost(ctx, Config{Log: w.log, Store: w.store, Limits: w.limits, Workers: 1}))
	w.h = h
	stormy, calm := w.create(CreateRequest{}), w.create(CreateRequest{})
	started, open := make(chan struct{}), make(chan struct{})
	calm.post(func() { close(started); <-open })
	<-started
	const requests = 40
	applied, all := 0, make(chan struct{})
	edits := make([]Edit, 1000)
	for i := range edits {
		edits[i] = Edit{Kind: Place, X: int32(i % 128), Y: int32(i / 128), Policy: Overwrite}
	}
	for range requests {
		stormy.Edit("anna", 0, edits, func(_ Ack, err error) {
			if err != nil {
				t.Error(err)
			}
			if applied++; applied == requests {
				close(all)
			}
		})
	}
	seen := make(chan int, 1)
	calm.post(func() { seen <- applied })
	close(open)
	if n := <-seen; n > batchCost/len(edits)+1 {
		t.Errorf("%d of %d requests of a storm came first", n, requests)
	}
	<-all
}

// Goal: a full mailbox refuses more edits at once, and takes them again when it is empty. Method: a log that does not
// answer, and a limit of 10.
func TestBacklog(t *testing.T) {
	w := newWorld(t, func(w *world) { w.limits.Backlog, w.limits.CommitWait = 10, time.Minute })
	g := w.create(CreateRequest{})
	w.log.hang()
	answers := make(chan error, 20)
	for i := range int32(15) {
		g.Edit("anna", 0, []Edit{{Kind: Place, X: i}}, func(_ Ack, err error) { answers <- err })
	}
	for range 5 {
		wantErr(t, <-answers, ErrBusy)
	}
	w.log.answer()
	for range 10 {
		mustDo(t, <-answers)
	}
	must[Ack](t)(g.EditWait(ctx, "anna", 0, Edit{Kind: Place, X: 50}))
}

// Goal: whoever was answered may ask again at once, although the mailbox had no more room. Method: an edit that is asked for by the
// answer to the one before, with room for one; a refused one between them.
func TestBacklogOfTheAnswered(t *testing.T) {
	w := newWorld(t, func(w *world) { w.limits.Backlog = 1 })
	g := w.create(CreateRequest{})
	answers := make(chan error, 3)
	ask := func(user string, then func()) {
		g.Edit(user, 0, []Edit{{Kind: Place, Policy: Overwrite}}, func(_ Ack, err error) {
			answers <- err
			then()
		})
	}
	ask("anna", func() { ask("bob", func() { ask("anna", func() {}) }) })
	for _, want := range []error{nil, ErrNotMember, nil} {
		if err := <-answers; !errors.Is(err, want) {
			t.Errorf("answered %v, want %v", err, want)
		}
	}
}

// Goal: a rewind that the disk refuses leaves the game as it is. Method: a log that refuses writes, then works again.
func TestRewindOnFullDisk(t *testing.T) {
	w := newWorld(t)
	g := w.create(CreateRequest{})
	must[Ack](t)(g.EditWait(ctx, "anna", 0, Edit{Kind: Stamp, Pattern: block(), X: 5, Y: 5}))
	must[uint64](t)(g.Step(ctx, "anna", 10))
	must[Ack](t)(g.EditWait(ctx, "anna", 0, Edit{Kind: Stamp, Pattern: block(), X: 50, Y: 5}))
	before := fingerprint(t, g)
	w.log.setFault(broker.ErrDiskFull)
	wantErr(t, g.Rewind(ctx, "anna", 5), broker.ErrDiskFull)
	w.log.setFault(nil)
	if after := fingerprint(t, g); after != before {
		t.Fatalf("%s, after a refused rewind %s", before, after)
	}
	mustDo(t, g.Rewind(ctx, "anna", 5))
	if stats := must[[]GridStats](t)(g.Stats(ctx)); stats[0].Generation != 5 || stats[0].Population != 4 {
		t.Fatalf("%+v", stats)
	}
	story := must[[]Event](t)(g.Events(ctx, 0, 100))
	kinds := ""
	for _, e := range story {
		kinds += e.Kind + " "
	}
	if kinds != "create edit rewind " {
		t.Errorf("the story is %q", kinds)
	}
}
