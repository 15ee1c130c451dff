package game

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"gosper/broker/memory"
	"gosper/broker/pebble"
	"gosper/grid"
)

// player of random things on one game; every check compares the game with itself after its log was played again.
type chaos struct {
	*rapid.T
	t    *testing.T
	w    *world
	id   ID
	past map[uint64]string // cells by generation, as they were when it ended
}

// cells is fingerprint without users and settings.
func (c *chaos) cells(g *Game) string {
	s := ""
	for i := range g.Info().Grids {
		p := must[*grid.Pattern](c.t)(g.Export(ctx, i))
		s += fmt.Sprintf("%d %v %s\n", p.Generation, g.marks(c.t, i, p), grid.AppendRuns(nil, p))
	}
	return s
}

func (c *chaos) user() string {
	return rapid.SampledFrom([]string{"anna", "bob", "carl", "dora"}).Draw(c.T, "user")
}

func (c *chaos) randomEdit() Edit {
	at := rapid.Int32Range(-3, 70)
	e := Edit{X: at.Draw(c.T, "x"), Y: at.Draw(c.T, "y"), Policy: Policy(rapid.IntRange(0, 2).Draw(c.T, "policy")), Wrap: rapid.Bool().Draw(c.T, "wrap")}
	e.Kind = rapid.SampledFrom([]EditKind{Place, Place, Kill, Erase, Stamp, Stamp, Wipe}).Draw(c.T, "kind")
	switch e.Kind {
	case Erase:
		e.Width, e.Height = rapid.Int32Range(0, 40).Draw(c.T, "w"), rapid.Int32Range(0, 40).Draw(c.T, "h")
	case Stamp, Wipe:
		seed := rapid.Uint64().Draw(c.T, "soup")
		e.Pattern = soup(rand.New(rand.NewPCG(seed, 1)), 1+int(seed%30), 1+int(seed/30%30), 0.3)
		e.Orientation = grid.Orientation(rapid.IntRange(0, 7).Draw(c.T, "orientation"))
	}
	return e
}

// act does one random thing. Refusals are fine; they must be the same when the log is played again.
func (c *chaos) act() {
	g := c.w.game(c.id)
	switch rapid.IntRange(0, 11).Draw(c.T, "action") {
	case 0:
		_, _ = g.Join(ctx, c.user(), "Name", Colour(rapid.IntRange(0, 3).Draw(c.T, "colour")))
	case 1:
		_ = g.Leave(ctx, c.user())
	case 2:
		_, _ = g.Recolour(ctx, c.user(), Colour(rapid.IntRange(0, 5).Draw(c.T, "colour")))
	case 3:
		d := time.Duration(rapid.IntRange(1, 5).Draw(c.T, "interval")) * time.Hour
		_ = g.Configure(ctx, c.user(), Settings{Interval: &d})
	case 4:
		c.rewind(g)
		return
	case 5:
		p := soup(rand.New(rand.NewPCG(rapid.Uint64().Draw(c.T, "import"), 2)), 30, 30, 0.4)
		_, _ = g.Import(ctx, c.user(), rapid.IntRange(0, 2).Draw(c.T, "grid"), p, 3, 3)
	case 6, 7:
		_, _ = g.Step(ctx, c.user(), rapid.IntRange(1, 12).Draw(c.T, "steps"))
	default:
		var edits []Edit
		for range rapid.IntRange(1, 5).Draw(c.T, "edits") {
			edits = append(edits, c.randomEdit())
		}
		_, _ = g.EditWait(ctx, c.user(), rapid.IntRange(0, 2).Draw(c.T, "grid"), edits...)
	}
	c.past[g.Info().Generation] = c.cells(g)
}

func (c *chaos) rewind(g *Game) {
	info := g.Info()
	to := rapid.Uint64Range(0, info.Generation).Draw(c.T, "to")
	err := g.Rewind(ctx, info.Owner, to)
	if errors.Is(err, ErrHistory) || info.Owner == "" {
		past := must[Past](c.t)(g.Past(ctx))
		if to >= past.Oldest && info.Owner != "" {
			c.Fatalf("no way back to generation %d of %+v", to, past)
		}
		return
	}
	if err != nil {
		c.Fatal(err)
	}
	after := g.Info()
	if after.Generation != to || after.Epoch <= info.Epoch || !sameUsers(after.Users, info.Users) {
		c.Fatalf("rewound to %d: %+v", to, after)
	}
	if want, known := c.past[to]; known && c.cells(g) != want {
		c.Fatalf("generation %d was\n%sbut now is\n%s", to, want, c.cells(g))
	}
	for generation := range c.past {
		if generation > to {
			delete(c.past, generation)
		}
	}
	c.past[to] = c.cells(g)
}

// same fails unless the game is after f as before.
func (c *chaos) same(what string, f func()) {
	before := fingerprint(c.t, c.w.game(c.id))
	f()
	if after := fingerprint(c.t, c.w.game(c.id)); after != before {
		c.Fatalf("%s: before\n%safter\n%s", what, before, after)
	}
}

func runChaos(t *testing.T, w *world, rt *rapid.T) {
	c := &chaos{T: rt, t: t, w: w, past: map[uint64]string{}}
	g := w.create(CreateRequest{Persistent: true, Interval: time.Hour, Grids: []GridSpec{
		{Width: 64, Height: 50, Mode: Owners, Owners: 3},
		{Width: 65, Height: 33, Topology: grid.Plane, Mode: Blended},
		{Width: 40, Height: 70, Mode: Channels, Rule: grid.Rule{Birth: 1<<3 | 1<<6, Survive: 1<<2 | 1<<3}},
	}})
	c.id = g.ID()
	for range rapid.IntRange(1, 30).Draw(rt, "actions") {
		c.act()
		switch rapid.IntRange(0, 19).Draw(rt, "fault") {
		case 0:
			c.same("restart", w.restart)
		case 1:
			c.same("crash", w.crash)
		}
	}
	c.same("crash at the end", w.crash)
	if past := must[Past](t)(w.game(c.id).Past(ctx)); past.Oldest == 0 {
		w.log.hidden = true
		c.same("the log on a fresh grid", w.crash)
		w.log.hidden = false
	}
	info := w.game(c.id).Info()
	if info.Owner != "" {
		if err := w.game(c.id).End(ctx, info.Owner); err != nil {
			rt.Fatal(err)
		}
	}
	if err := w.h.Close(); err != nil {
		rt.Fatal(err)
	}
	if used := w.budget.Used(); used != 0 {
		rt.Fatalf("%d bytes are still held", used)
	}
}

func chaosLimits() Limits {
	l := DefaultLimits()
	l.SnapshotGeneration, l.SnapshotBytes, l.HistorySnapshots, l.HistoryBytes = 7, 1<<10, 3, 1<<20
	l.EditsUser, l.EditsGame = 1<<20, 1<<20
	return l
}

// Goal: whatever happens, playing the log gives the same game: cells, marks, users, settings; and any generation kept can
// be gone back to. Method: random calls, restarts, crashes and rewinds, with snapshots every few generations.
func TestLogIsTheTruth(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{t: t, log: newFaultyLog(), store: memory.NewStore(), budget: grid.NewBudget(1 << 30), limits: chaosLimits()}
		defer func() { w.store.Close() }()
		w.open()
		defer func() { w.h.Close() }()
		runChaos(t, w, rt)
	})
}

// Goal: the same on disk. Method: the same on Pebble, where a game is in one database for all its hosts.
func TestLogIsTheTruthOnDisk(t *testing.T) {
	db, err := pebble.Open(t.TempDir(), pebble.Options{MinFree: 1})
	mustDo(t, err)
	defer db.Close()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		if runs++; runs > 25 {
			return // each takes many commits
		}
		w := &world{t: t, log: &faultyLog{Log: db.Log()}, store: db.Store(), budget: grid.NewBudget(1 << 30), limits: chaosLimits()}
		w.open()
		defer func() { w.h.Close() }()
		runChaos(t, w, rt)
	})
}
