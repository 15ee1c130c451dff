package game

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gosper/broker"
	"gosper/broker/memory"
	"gosper/grid"
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

// faultyLog is a Log whose writes fail, hang or get lost on demand.
type faultyLog struct {
	broker.Log

	mu     sync.Mutex
	fault  error    // every write fails with it and does nothing
	late   bool     // appends are kept but not answered until answer
	held   []func() // answers that wait
	hidden bool     // no snapshot is found
	lies   int      // so many appends are done and answered with an error
	paused *pause   // the next append waits
}

// pause stops a writer in the middle of an append, before the log hears of it.
type pause struct{ reached, resume chan struct{} }

func (p *pause) end() { close(p.resume) }

// pause stops the next append.
func (l *faultyLog) pause() *pause {
	p := &pause{make(chan struct{}), make(chan struct{})}
	l.mu.Lock()
	l.paused = p
	l.mu.Unlock()
	return p
}

// lie makes the next n appends look like failures.
func (l *faultyLog) lie(n int) {
	l.mu.Lock()
	l.lies = n
	l.mu.Unlock()
}

func newFaultyLog() *faultyLog { return &faultyLog{Log: memory.NewLog()} }

func (l *faultyLog) failing() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

func (l *faultyLog) Append(name string, token uint64, entries [][]byte, done func(uint64, error)) {
	if err := l.failing(); err != nil {
		done(0, err)
		return
	}
	l.mu.Lock()
	p := l.paused
	l.paused = nil
	l.mu.Unlock()
	if p != nil {
		go func() { // the owner sleeps: its worker is not what is tested
			close(p.reached)
			<-p.resume
			l.Log.Append(name, token, entries, done)
		}()
		return
	}
	l.Log.Append(name, token, entries, func(seq uint64, err error) {
		l.mu.Lock()
		if l.lies > 0 && err == nil {
			l.lies--
			err = broker.ErrTimeout
		}
		late := l.late
		if late {
			l.held = append(l.held, func() { done(seq, err) })
		}
		l.mu.Unlock()
		if !late {
			done(seq, err)
		}
	})
}

// setFault makes writes fail, or work again with nil.
func (l *faultyLog) setFault(err error) {
	l.mu.Lock()
	l.fault = err
	l.mu.Unlock()
}

// hang keeps the answers of appends back, until answer.
func (l *faultyLog) hang() {
	l.mu.Lock()
	l.late = true
	l.mu.Unlock()
}

func (l *faultyLog) answer() {
	l.mu.Lock()
	held := l.held
	l.held, l.late = nil, false
	l.mu.Unlock()
	for _, f := range held {
		f()
	}
}

func (l *faultyLog) SaveSnapshot(ctx context.Context, name string, token, at uint64, data []byte) error {
	if err := l.failing(); err != nil {
		return err
	}
	return l.Log.SaveSnapshot(ctx, name, token, at, data)
}

func (l *faultyLog) Snapshot(ctx context.Context, name string, before uint64) (uint64, []byte, error) {
	l.mu.Lock()
	hidden := l.hidden
	l.mu.Unlock()
	if hidden {
		return 0, nil, broker.ErrNotFound
	}
	return l.Log.Snapshot(ctx, name, before)
}

func (l *faultyLog) Trim(ctx context.Context, name string, token, seq uint64) error {
	if err := l.failing(); err != nil {
		return err
	}
	return l.Log.Trim(ctx, name, token, seq)
}

func (l *faultyLog) Cut(ctx context.Context, name string, token, from uint64) error {
	if err := l.failing(); err != nil {
		return err
	}
	return l.Log.Cut(ctx, name, token, from)
}

func (l *faultyLog) Drop(ctx context.Context, name string) error {
	if err := l.failing(); err != nil {
		return err
	}
	return l.Log.Drop(ctx, name)
}

// world is a host and what outlives it.
type world struct {
	t      *testing.T
	log    *faultyLog
	store  broker.Store
	budget *grid.Budget
	limits Limits
	sink   Sink
	h      *Host
}

// newWorld starts a host on an empty log in memory.
func newWorld(t *testing.T, change ...func(*world)) *world {
	t.Helper()
	store := memory.NewStore()
	w := &world{t: t, log: newFaultyLog(), store: store, budget: grid.NewBudget(1 << 30), limits: DefaultLimits()}
	t.Cleanup(func() { store.Close() })
	for _, f := range change {
		f(w)
	}
	w.open()
	t.Cleanup(func() { w.h.Close() })
	return w
}

func (w *world) open() {
	w.t.Helper()
	h, err := NewHost(context.Background(), Config{
		Log: w.log, Store: w.store, Budget: w.budget, Limits: w.limits, Sink: w.sink, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.h = h
}

// restart closes the host and starts another on the same log.
func (w *world) restart() {
	w.t.Helper()
	if err := w.h.Close(); err != nil {
		w.t.Fatal(err)
	}
	if used := w.budget.Used(); used != 0 {
		w.t.Fatalf("a closed host holds %d bytes", used)
	}
	w.open()
}

// crash cuts the host off from its log, as death would, and starts another on what is there.
func (w *world) crash() {
	w.t.Helper()
	w.log.setFault(broker.ErrClosed)
	dead := w.h
	w.log, w.budget = &faultyLog{Log: w.log.Log}, grid.NewBudget(w.budget.Limit())
	w.open()
	dead.Close()
}

func (w *world) create(r CreateRequest) *Game {
	w.t.Helper()
	if r.User == "" {
		r.User, r.UserName, r.Colour = "anna", "Anna", AnyColour
	}
	if r.Name == "" {
		r.Name = "test"
	}
	if r.Grids == nil {
		r.Grids = []GridSpec{{Width: 128, Height: 128}}
	}
	g, err := w.h.Create(context.Background(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

func (w *world) game(id ID) *Game {
	w.t.Helper()
	g, err := w.h.Game(id)
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

// must fails the test on an error.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

// fingerprint is everything that must be the same after a log was played again: cells, marks, users, settings.
func fingerprint(t *testing.T, g *Game) string {
	t.Helper()
	info := g.Info()
	s := fmt.Sprintf("%s %s %v %v %v %+v\n", info.Name, info.Owner, info.Interval, info.State, info.Persistent, info.Users)
	for i := range info.Grids {
		p := must[*grid.Pattern](t)(g.Export(context.Background(), i))
		s += fmt.Sprintf("%d %v %s\n", p.Generation, g.marks(t, i, p), grid.AppendRuns(nil, p))
	}
	return s
}

// marks sums up owners or colours of the live cells.
func (g *Game) marks(t *testing.T, index int, p *grid.Pattern) uint64 {
	t.Helper()
	var sum uint64
	mustDo(t, g.look(context.Background(), func() error {
		for _, c := range p.Cells {
			owner, _ := g.m.grids[index].Owner(int(c.X), int(c.Y))
			colour, _ := g.m.grids[index].Colour(int(c.X), int(c.Y))
			sum = (sum ^ uint64(owner)<<32 ^ uint64(colour) ^ uint64(c.X)<<40 ^ uint64(c.Y)<<50) * 0x9E3779B97F4A7C15
		}
		return nil
	}))
	return sum
}

// soup is a random pattern.
func soup(rng *rand.Rand, w, h int, density float64) *grid.Pattern {
	p := &grid.Pattern{Width: int32(w), Height: int32(h)}
	for y := range h {
		for x := range w {
			if rng.Float64() < density {
				p.Cells = append(p.Cells, grid.Cell{X: int32(x), Y: int32(y), State: 1})
			}
		}
	}
	return p
}

// recorder is a sink that keeps everything.
type recorder struct {
	mu      sync.Mutex
	frames  []*Frame
	notices []*Notice
	more    chan struct{}
}

func newRecorder() *recorder { return &recorder{more: make(chan struct{}, 1)} }

func (r *recorder) Frame(f *Frame) {
	r.mu.Lock()
	r.frames = append(r.frames, f)
	r.mu.Unlock()
	r.ring()
}

func (r *recorder) Notice(n *Notice) {
	r.mu.Lock()
	r.notices = append(r.notices, n)
	r.mu.Unlock()
	r.ring()
}

func (r *recorder) ring() {
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// wait returns the frames of a stream once ok says that they are enough.
func (r *recorder) wait(t *testing.T, s Stream, ok func([]*Frame) bool) []*Frame {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		r.mu.Lock()
		var frames []*Frame
		for _, f := range r.frames {
			if f.Stream == s {
				frames = append(frames, f)
			}
		}
		r.mu.Unlock()
		if ok(frames) {
			return frames
		}
		select {
		case <-r.more:
		case <-limit:
			t.Fatalf("%d frames of %+v and no more", len(frames), s)
		}
	}
}

// waitNotice waits for a notice that ok accepts.
func (r *recorder) waitNotice(t *testing.T, ok func(*Notice) bool) *Notice {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		r.mu.Lock()
		for _, n := range r.notices {
			if ok(n) {
				r.mu.Unlock()
				return n
			}
		}
		r.mu.Unlock()
		select {
		case <-r.more:
		case <-limit:
			t.Fatal("the notice did not come")
		}
	}
}
