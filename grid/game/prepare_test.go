package game

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gosper/broker"
	"gosper/grid"
)

// tardy makes each write to a log, or read of it, take a while.
type tardy struct {
	broker.Log
	by time.Duration
}

func (l tardy) Append(log string, token uint64, entries [][]byte, done func(uint64, error)) {
	time.AfterFunc(l.by, func() { l.Log.Append(log, token, entries, done) })
}

func (l tardy) Read(ctx context.Context, log string, from uint64, limit int) ([]broker.LogEntry, error) {
	time.Sleep(l.by)
	return l.Log.Read(ctx, log, from, limit)
}

// tardyStore makes each change of a record take a while, and tells of it before it answers.
type tardyStore struct {
	broker.Store
	by   time.Duration
	told func()
}

func (s tardyStore) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	time.Sleep(s.by)
	revision, err := s.Store.Update(ctx, key, value, revision)
	s.told()
	return revision, err
}

// beats notes when generations come.
type beats struct {
	mu    sync.Mutex
	times map[uint64]time.Time
}

func (b *beats) Frame(f *Frame) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.Kind == FrameDelta {
		b.times[f.Generation] = time.Now()
	}
}

func (b *beats) Notice(*Notice) {}

// TestHandInTime hands a running game over at any moment between two ticks, with a log and a store that take their time: each
// generation comes exactly an interval after the one before, and who hears of the new record too early does no harm. A fake clock.
func TestHandInTime(t *testing.T) {
	const interval, slow = 100 * time.Millisecond, 9 * time.Millisecond
	for offset := time.Duration(0); offset < interval; offset += 7 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			s := newShore(t)
			s.log = tardy{s.log, slow}
			sink := &beats{times: map[uint64]time.Time{}}
			var a, b *Host
			var id ID
			s.store = tardyStore{s.store, slow, func() { a.Lost(id, 2) }}
			a, _ = s.host("a", func(c *Config) { c.Sink = sink })
			b, _ = s.host("b", func(c *Config) { c.Sink = sink })
			fenced, ready := fencedTotal.Get(), preparedTotal.Get()
			g := createOn(t, a, false)
			id = g.ID()
			every := interval
			mustDo(t, g.Configure(ctx, "anna", Settings{Interval: &every}))
			must[Ack](t)(g.EditWait(ctx, "anna", 0, glider()))
			mustDo(t, g.Start(ctx, "anna"))
			must[Stream](t)(a.Watch(id, Stream{}))
			time.Sleep(10*interval + offset)
			mustDo(t, a.Save(ctx, id))
			mustDo(t, b.Prepare(ctx, id))
			rec, at, err := a.Hand(ctx, id, "b")
			mustDo(t, err)
			mustDo(t, b.Adopt(ctx, rec, at))
			must[Stream](t)(b.Watch(id, Stream{}))
			time.Sleep(10 * interval)
			synctest.Wait()
			sink.mu.Lock()
			defer sink.mu.Unlock()
			if len(sink.times) < 19 {
				t.Fatalf("%d generations in 20 intervals", len(sink.times))
			}
			for n, when := range sink.times {
				next, ok := sink.times[n+1]
				if d := next.Sub(when); ok && (d < interval-wheelTick || d > interval+wheelTick) {
					t.Errorf("handed over %v behind the start: %v from generation %d to the next", offset, d, n)
				}
			}
			if fenced != fencedTotal.Get() {
				t.Error("a game that was handed over counts as taken away")
			}
			if preparedTotal.Get() != ready+1 {
				t.Error("what was prepared was not used")
			}
		})
	}
}

// TestHandGently waits for the moment behind a tick while the log has a tail, and takes what it can get when there is no such moment
// for long. A fake clock.
func TestHandGently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShore(t)
		a, logA := s.host("a")
		g := createOn(t, a, true)
		mustDo(t, g.Start(ctx, "anna"))
		time.Sleep(time.Second)
		logA.setFault(broker.ErrTimeout)
		must[Ack](t)(g.EditWait(ctx, "anna", 0, glider()))
		before := g.Info().Generation
		handed := make(chan error, 1)
		go func() {
			_, _, err := a.Hand(ctx, g.ID(), "b")
			handed <- err
		}()
		time.Sleep(gentleHold - 20*time.Millisecond)
		synctest.Wait()
		if n := g.Info().Generation - before; n < 40 {
			t.Errorf("%d ticks while somebody waits for a quiet moment", n)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		stopped := g.Info().Generation
		time.Sleep(time.Second)
		synctest.Wait()
		if n := g.Info().Generation; n != stopped {
			t.Errorf("%d ticks of a game that is to be held", n-stopped)
		}
		logA.setFault(nil)
		mustDo(t, <-handed)
	})
}

// TestPrepareBehind prepares a game and lets the other node go on with it in all ways that change its log: what Adopt makes of it is
// what the other node had. What does not fit is loaded again.
func TestPrepareBehind(t *testing.T) {
	for name, c := range map[string]struct {
		used   bool
		change func(*testing.T, *Game)
	}{
		"nothing": {true, func(*testing.T, *Game) {}},
		"edits": {true, func(t *testing.T, g *Game) {
			for i := range int32(3) {
				must[Ack](t)(g.EditWait(ctx, "anna", 0, Edit{Kind: Place, X: 90 + i, Y: 90, Policy: Overwrite}))
			}
		}},
		"steps": {true, func(t *testing.T, g *Game) { must[uint64](t)(g.Step(ctx, "anna", 20)) }},
		"a rewind": {false, func(t *testing.T, g *Game) {
			mustDo(t, g.Rewind(ctx, "anna", 2))
			for i := range int32(5) {
				must[Ack](t)(g.EditWait(ctx, "anna", 0, Edit{Kind: Place, X: 90 + 2*i, Y: 90, Policy: Overwrite}))
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShore(t)
			a, _ := s.host("a")
			b, _ := s.host("b")
			g := createOn(t, a, false)
			for i := range int32(4) {
				must[Ack](t)(g.EditWait(ctx, "anna", 0, glider(), Edit{Kind: Place, X: 60 + 2*i, Y: 60, Policy: Overwrite}))
				must[uint64](t)(g.Step(ctx, "anna", 2))
			}
			mustDo(t, b.Prepare(ctx, g.ID()))
			c.change(t, g)
			want, ready := fingerprint(t, g), preparedTotal.Get()
			rec, at, err := a.Hand(ctx, g.ID(), "b")
			mustDo(t, err)
			mustDo(t, b.Adopt(ctx, rec, at))
			taken := must[*Game](t)(b.Game(g.ID()))
			if got := fingerprint(t, taken); got != want {
				t.Fatalf("got\n%s\nwant\n%s", got, want)
			}
			if used := preparedTotal.Get() > ready; used != c.used {
				t.Errorf("what was prepared was used: %v", used)
			}
			must[Ack](t)(taken.EditWait(ctx, "anna", 0, glider()))
			mustDo(t, taken.Rewind(ctx, "anna", 1))
		})
	}
}

// TestPrepareInVain prepares games that are not handed over: they give their memory back after a while, when they are taken over
// instead, and with the host. One that is here is not prepared, and one without room is refused while it runs elsewhere.
func TestPrepareInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShore(t)
		a, _ := s.host("a")
		budget := grid.NewBudget(1 << 20)
		b, _ := s.host("b", func(c *Config) { c.Budget = budget })
		small, _ := s.host("small", func(c *Config) { c.Budget = grid.NewBudget(100) })
		g := createOn(t, a, false)
		must[Ack](t)(g.EditWait(ctx, "anna", 0, glider())) // the last batch of a log waits for the next to show that it counts
		wantErr(t, a.Prepare(ctx, g.ID()), ErrBusy)
		wantErr(t, small.Prepare(ctx, g.ID()), grid.ErrBudget)
		none := budget.Used()
		mustDo(t, b.Prepare(ctx, g.ID()))
		once := budget.Used()
		mustDo(t, b.Prepare(ctx, g.ID()))
		if used := budget.Used(); used != once || once == none {
			t.Fatalf("%d bytes for a game prepared once, %d twice", once, used)
		}
		time.Sleep(preparedFor)
		synctest.Wait()
		if used := budget.Used(); used != none {
			t.Fatalf("%d bytes for a game that did not come", used)
		}
		mustDo(t, b.Prepare(ctx, g.ID()))
		mustDo(t, b.Adopt(ctx, s.record(g.ID()), Passed{}))
		if used := budget.Used(); used != once {
			t.Fatalf("%d bytes, %d are its own", used, once)
		}
		other := createOn(t, a, false)
		must[Ack](t)(other.EditWait(ctx, "anna", 0, glider()))
		mustDo(t, b.Prepare(ctx, other.ID()))
		mustDo(t, b.Close())
		if used := budget.Used(); used != none {
			t.Fatalf("%d bytes behind the end", used)
		}
		wantErr(t, b.Prepare(ctx, other.ID()), ErrClosed)
	})
}
