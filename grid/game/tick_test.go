package game

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gosper/broker"
	"gosper/grid"
)

// gauge reads how often a histogram or counter of this package counted, by the difference to before.
type counters struct{ ticks, skipped, panics uint64 }

func readCounters() counters {
	return counters{ticksTotal.Get(), ticksSkipped.Get(), panicsTotal.Get()}
}

// Goal: games tick exactly as often as their interval says, start within one interval, pause and go on. Method: a fake
// clock, games of many intervals, some longer than a turn of the wheel.
func TestTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		intervals := []time.Duration{10 * time.Millisecond, 33 * time.Millisecond, 500 * time.Millisecond, time.Second, 1024 * time.Millisecond, 7 * time.Second}
		games := make([]*Game, 0, len(intervals))
		for i, d := range intervals {
			g := w.create(CreateRequest{Interval: d, User: fmt.Sprint(i), UserName: "U"})
			mustDo(t, g.Start(ctx, fmt.Sprint(i)))
			games = append(games, g)
		}
		before := readCounters()
		time.Sleep(70 * time.Second)
		synctest.Wait()
		for i, g := range games {
			want := uint64(70 * time.Second / intervals[i])
			if got := g.Info().Generation; got < want || got > want+1 {
				t.Errorf("interval %v: generation %d after 70 s, want %d", intervals[i], got, want)
			}
		}
		if after := readCounters(); after.skipped != before.skipped {
			t.Errorf("%d ticks skipped", after.skipped-before.skipped)
		}
		mustDo(t, games[0].Pause(ctx, "0"))
		at := games[0].Info().Generation
		time.Sleep(time.Minute)
		synctest.Wait()
		if games[0].Info().Generation != at {
			t.Error("a paused game ticked")
		}
		long := 2 * time.Second
		mustDo(t, games[1].Configure(ctx, "1", Settings{Interval: &long}))
		at = games[1].Info().Generation
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if n := games[1].Info().Generation - at; n < 9 || n > 11 {
			t.Errorf("%d ticks of 2 s in 20 s", n)
		}
	})
}

// Goal: ticks that come due while edits wait for the log wait too, at most CommitWait; then the edits are refused, the
// game goes on, and late ticks are left out and counted. What the log kept in secret is void after a restart.
// Method: a fake clock and a log that does not answer.
func TestLogHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(w *world) { w.limits.CommitWait = time.Second })
		g := w.create(CreateRequest{Interval: 100 * time.Millisecond, Grids: []GridSpec{{Width: 64, Height: 64, Topology: grid.Plane}}})
		mustDo(t, g.Start(ctx, "anna"))
		time.Sleep(time.Second + 50*time.Millisecond)
		synctest.Wait()
		w.log.hang()
		at := g.Info().Generation
		before := readCounters()
		refused := make(chan error, 1)
		g.Edit("anna", 0, []Edit{{Kind: Stamp, Pattern: block(), X: 5, Y: 5}}, func(_ Ack, err error) { refused <- err })
		time.Sleep(900 * time.Millisecond)
		synctest.Wait()
		if n := g.Info().Generation; n != at {
			t.Fatalf("%d ticks while edits were on their way", n-at)
		}
		wantErr(t, func() error { time.Sleep(200 * time.Millisecond); return <-refused }(), broker.ErrTimeout)
		synctest.Wait()
		if n := g.Info().Generation; n <= at {
			t.Fatal("the game did not go on")
		}
		if n := readCounters().skipped - before.skipped; n < 8 || n > 10 {
			t.Fatalf("%d ticks skipped in about a second of waiting", n)
		}
		_, err := g.EditWait(ctx, "anna", 0, Edit{Kind: Place})
		wantErr(t, err, ErrBusy)
		w.log.answer()
		synctest.Wait()
		must[Ack](t)(g.EditWait(ctx, "anna", 0, Edit{Kind: Stamp, Pattern: block(), X: 20, Y: 20}))
		mustDo(t, g.Pause(ctx, "anna"))
		print := fingerprint(t, g)
		if !strings.Contains(print, "20$20b2o$20b2o!") {
			t.Fatal(print)
		}
		w.crash()
		g = w.game(g.ID())
		if after := fingerprint(t, g); after != print {
			t.Fatalf("%s, after a crash %s", print, after)
		}
		events := must[[]Event](t)(g.Events(ctx, 0, 100))
		for _, e := range events {
			if e.Kind == "edit" && e.Generation == at {
				t.Errorf("the story tells of an edit that never was: %+v", e)
			}
		}
	})
}

func block() *grid.Pattern {
	return &grid.Pattern{Width: 2, Height: 2, Cells: []grid.Cell{{X: 0, Y: 0, State: 1}, {X: 1, Y: 0, State: 1}, {X: 0, Y: 1, State: 1}, {X: 1, Y: 1, State: 1}}}
}

// Goal: a crash while the log keeps an unanswered batch may apply it, but never twice and never in the past of what
// follows. Method: crash right after the log stopped answering.
func TestCrashWithUnansweredEdits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.create(CreateRequest{})
		w.log.hang()
		g.Edit("anna", 0, []Edit{{Kind: Stamp, Pattern: block(), X: 5, Y: 5}}, func(Ack, error) {})
		synctest.Wait()
		hung := w.log
		w.crash()
		g = w.game(g.ID())
		if p := must[*grid.Pattern](t)(g.Export(ctx, 0)); p.Population() != 4 {
			t.Fatalf("population %d", p.Population())
		}
		hung.answer()
	})
}

// Goal: after a crash a running game is at most MarkEvery behind and runs on by itself, in a new epoch. Method: a fake
// clock.
func TestCrashOfRunningGame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.create(CreateRequest{Interval: 50 * time.Millisecond})
		must[Ack](t)(g.EditWait(ctx, "anna", 0, Edit{Kind: Stamp, Pattern: block(), X: 5, Y: 5}))
		mustDo(t, g.Start(ctx, "anna"))
		time.Sleep(30*time.Second + 500*time.Millisecond)
		synctest.Wait()
		before := g.Info()
		w.crash()
		g = w.game(g.ID())
		after := g.Info()
		if after.Generation > before.Generation || before.Generation-after.Generation > 21 || after.Epoch <= before.Epoch || after.State != Running {
			t.Fatalf("generation %d epoch %d, after a crash %d, %d, %v", before.Generation, before.Epoch, after.Generation, after.Epoch, after.State)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := g.Info().Generation - after.Generation; n < 1199 || n > 1201 {
			t.Fatalf("%d ticks in a minute", n)
		}
		end := g.Info().Generation
		w.restart()
		if n := w.game(g.ID()).Info().Generation; n < end {
			t.Fatalf("generation %d, after a clean restart %d", end, n)
		}
	})
}

// Goal: a panic pauses the game it happens in and no other; starting it again loads it from its log. Method: break a
// machine by hand, under a fake clock.
func TestPanicPausesOneGame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		w := newWorld(t, func(w *world) { w.sink = r })
		bad, good := w.create(CreateRequest{Interval: time.Second}), w.create(CreateRequest{Interval: time.Second})
		must[Ack](t)(bad.EditWait(ctx, "anna", 0, Edit{Kind: Stamp, Pattern: block(), X: 5, Y: 5}))
		mustDo(t, bad.Start(ctx, "anna"))
		mustDo(t, good.Start(ctx, "anna"))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		panics := readCounters().panics
		bad.post(func() { bad.m.interval = 0 })
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := readCounters().panics - panics; n != 1 {
			t.Fatalf("%d panics", n)
		}
		if info := bad.Info(); info.State != Paused || info.Fault == "" {
			t.Fatalf("%+v", info)
		}
		if n := good.Info().Generation; n < 19 {
			t.Fatalf("the other game is at %d", n)
		}
		_, err := bad.EditWait(ctx, "anna", 0, Edit{Kind: Place})
		wantErr(t, err, ErrFault)
		wantErr(t, errOf(bad.Stats(ctx)), ErrFault)
		epoch := bad.Info().Epoch
		mustDo(t, bad.Start(ctx, "anna"))
		if info := bad.Info(); info.Fault != "" || info.State != Running || info.Epoch <= epoch || info.Generation < 9 {
			t.Fatalf("%+v", info)
		}
		if p := must[*grid.Pattern](t)(bad.Export(ctx, 0)); p.Population() != 4 {
			t.Fatalf("population %d", p.Population())
		}
	})
}

// Goal: a game that nobody cares about ends, unless it is persistent, watched, or asked for. Method: a fake clock.
func TestIdleGamesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(w *world) { w.limits.IdleEnd = time.Hour })
		idle, kept := w.create(CreateRequest{}), w.create(CreateRequest{Persistent: true})
		watched, asked := w.create(CreateRequest{}), w.create(CreateRequest{})
		s := must[Stream](t)(w.h.Watch(watched.ID(), Stream{}))
		for range 5 {
			time.Sleep(25 * time.Minute)
			must[[]GridStats](t)(asked.Stats(ctx))
		}
		synctest.Wait()
		wantErr(t, errOf(w.h.Game(idle.ID())), ErrNoGame)
		for _, g := range []*Game{kept, watched, asked} {
			w.game(g.ID())
		}
		w.h.Unwatch(watched.ID(), s)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		wantErr(t, errOf(w.h.Game(watched.ID())), ErrNoGame)
		if next, _ := w.log.Next(ctx, idle.ID().logName()); next != 1 {
			t.Error("the log of a game that ended is still there")
		}
	})
}

// Goal: rates hold for one user and for a game, and refill. Method: a fake clock.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(w *world) { w.limits.EditsUser, w.limits.EditsGame = 10, 15 })
		g := w.create(CreateRequest{})
		must[User](t)(g.Join(ctx, "bob", "Bob", AnyColour))
		try := func(user string) int {
			for n := 0; ; n++ {
				if _, err := g.EditWait(ctx, user, 0, Edit{Kind: Place, Policy: Skip}); err != nil {
					wantErr(t, err, ErrRate)
					return n
				}
			}
		}
		if a, b := try("anna"), try("bob"); a != 20 || b != 10 {
			t.Errorf("%d and %d edits at once", a, b)
		}
		time.Sleep(time.Second)
		if a := try("anna"); a != 10 {
			t.Errorf("%d edits after a second", a)
		}
	})
}

// Goal: the wheel fires each game once, at its time and never before. Method: random times over several turns against a
// fake clock, with moves and removals.
func TestWheel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fired := map[*Game]time.Time{}
		done := make(chan struct{}, 1)
		due := map[*Game]time.Time{}
		w := newWheel(func(g *Game) {
			if _, twice := fired[g]; twice {
				t.Error("fired twice")
			}
			fired[g] = time.Now()
			if len(fired) == 300 {
				done <- struct{}{}
			}
		})
		defer w.close()
		start := time.Now()
		for i := range 500 {
			g := &Game{id: ID(i)}
			w.set(g, start.Add(time.Duration(i*7919%5000)*time.Millisecond+time.Duration(i)*time.Microsecond))
			switch {
			case i < 200:
				w.set(g, time.Time{})
			default:
				at := start.Add(time.Duration(i*104729%5000)*time.Millisecond + 500*time.Microsecond)
				w.set(g, at)
				due[g] = at
			}
		}
		<-done
		time.Sleep(10 * time.Second)
		for g, at := range due {
			if late := fired[g].Sub(at); late < 0 || late > time.Millisecond {
				t.Errorf("%v late", late)
			}
		}
		if len(fired) != 300 {
			t.Errorf("%d fired", len(fired))
		}
	})
}

// Goal: nobody is refused for a slow disk while no tick waits for it. Method: a paused game and one with a long interval,
// and a log that answers after ten seconds.
func TestSlowLogWithoutTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		paused, slow := w.create(CreateRequest{}), w.create(CreateRequest{Interval: time.Hour})
		mustDo(t, slow.Start(ctx, "anna"))
		w.log.hang()
		answers := make(chan error, 2)
		for _, g := range []*Game{paused, slow} {
			g.Edit("anna", 0, []Edit{{Kind: Place}}, func(_ Ack, err error) { answers <- err })
		}
		time.Sleep(10 * time.Second)
		w.log.answer()
		for range 2 {
			mustDo(t, <-answers)
		}
	})
}
