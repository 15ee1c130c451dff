package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gosper/broker"
	"gosper/broker/memory"
	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 60 * time.Second

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(patience); !ok(); <-look.C {
		if time.Now().After(end) {
			t.Fatal("waited in vain: " + what)
		}
	}
}

// shore is what the nodes of a test share.
type shore struct {
	t     testing.TB
	log   *memory.Log
	store *memory.Store
	lease time.Duration
	key   []byte
	bytes int64 // of memory for the grids of the nodes that start next
}

func newShore(t testing.TB) *shore {
	s := &shore{t: t, log: memory.NewLog(), store: memory.NewStore(), lease: 15 * time.Second, key: bytes.Repeat([]byte("k"), MinKey), bytes: 256 << 20}
	t.Cleanup(func() { s.store.Close() })
	return s
}

// hasty makes nodes judge soon: for tests in which one is taken for dead.
func (s *shore) hasty() *shore {
	s.lease = 3 * time.Second
	return s
}

// fault is what a node meets on its way to the store and the log.
type fault struct {
	away   atomic.Bool  // everything fails
	waits  atomic.Int64 // appends that came to paused
	mu     sync.Mutex
	paused chan struct{} // appends wait here; nil: they do not
}

var errAway = fmt.Errorf("%w: the store is away", broker.ErrTimeout)

func (f *fault) err() error {
	if f.away.Load() {
		return errAway
	}
	return nil
}

// farStore is the Store as one node reaches it.
type farStore struct {
	broker.Store
	*fault
}

func (s farStore) Get(ctx context.Context, key string) (broker.Record, error) {
	if err := s.err(); err != nil {
		return broker.Record{}, err
	}
	return s.Store.Get(ctx, key)
}

func (s farStore) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	if err := s.err(); err != nil {
		return 0, err
	}
	return s.Store.Put(ctx, key, value)
}

func (s farStore) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	if err := s.err(); err != nil {
		return 0, err
	}
	return s.Store.Create(ctx, key, value)
}

func (s farStore) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	if err := s.err(); err != nil {
		return 0, err
	}
	return s.Store.Update(ctx, key, value, revision)
}

func (s farStore) Delete(ctx context.Context, key string, revision uint64) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.Delete(ctx, key, revision)
}

func (s farStore) List(ctx context.Context, prefix, after string, limit int) ([]broker.Record, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, prefix, after, limit)
}

func (s farStore) Watch(ctx context.Context, prefix string, fn func(broker.Record)) error {
	return s.Store.Watch(ctx, prefix, func(r broker.Record) {
		if s.err() == nil {
			fn(r)
		}
	})
}

// farLog is the Log as one node reaches it.
type farLog struct {
	broker.Log
	*fault
}

func (l farLog) Append(log string, token uint64, entries [][]byte, done func(uint64, error)) {
	if err := l.err(); err != nil {
		done(0, err)
		return
	}
	l.mu.Lock()
	paused := l.paused
	l.mu.Unlock()
	if paused == nil {
		l.Log.Append(log, token, entries, done)
		return
	}
	l.waits.Add(1)
	go func() {
		<-paused
		l.Log.Append(log, token, entries, done)
	}()
}

func (l farLog) SaveSnapshot(ctx context.Context, log string, token, at uint64, data []byte) error {
	if err := l.err(); err != nil {
		return err
	}
	return l.Log.SaveSnapshot(ctx, log, token, at, data)
}

// node is one node of a test: a host, a cluster, and watchers.
type node struct {
	t       testing.TB
	name    string
	fault   *fault
	host    *game.Host
	cluster *Cluster
	frames  *viewers
	served  atomic.Int64
	stop    sync.Once
}

// sink sends the frames of a host to its cluster.
type sink struct{ c *Cluster }

func (s sink) Frame(f *game.Frame) { s.c.Frame(f) }
func (s sink) Notice(*game.Notice) {}

// testLog is a logger that writes with GOSPER_TEST_LOG alone.
func testLog(name string) *slog.Logger {
	if os.Getenv("GOSPER_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("at", name)
}

// node starts a node.
func (s *shore) node(name string, change ...func(*Options)) *node {
	s.t.Helper()
	n := &node{t: s.t, name: name, fault: &fault{}}
	store := farStore{s.store, n.fault}
	o := Options{Node: name, Key: s.key, Store: store, Lease: s.lease, Beat: 200 * time.Millisecond, Log: testLog(name)}
	for _, f := range change {
		f(&o)
	}
	var err error
	if n.cluster, err = New(o); err != nil {
		s.t.Fatal(err)
	}
	limits := game.DefaultLimits()
	limits.CommitWait = 10 * time.Second
	n.host, err = game.NewHost(s.t.Context(), game.Config{Log: farLog{s.log, n.fault}, Store: store, Budget: grid.NewBudget(s.bytes), Workers: 1,
		Limits: limits, Sink: sink{n.cluster}, Node: n.cluster.Node(), Left: n.cluster.Left, Logger: testLog(name)})
	if err != nil {
		s.t.Fatal(err)
	}
	n.frames = newViewers(n.cluster)
	if err := n.cluster.Start(s.t.Context(), n.host, n.frames, n.serve); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(n.close)
	return n
}

// close ends a node in order.
func (n *node) close() {
	n.stop.Do(func() {
		n.host.Close()
		n.cluster.Close()
	})
}

// kill ends a node as death would: the other nodes and the store hear nothing more of it, not even that the store is away.
func (n *node) kill() {
	n.stop.Do(func() {
		n.cluster.links.close()
		n.fault.away.Store(true)
		n.cluster.Close()
		n.host.Close()
	})
}

// nodes starts several nodes that know each other.
func (s *shore) nodes(names ...string) []*node {
	s.t.Helper()
	list := make([]*node, len(names))
	for i, name := range names {
		list[i] = s.node(name)
	}
	for _, n := range list {
		n.meets(len(names) - 1)
	}
	return list
}

// meets waits until the node has links to so many others.
func (n *node) meets(others int) {
	n.t.Helper()
	until(n.t, n.name+" has its links", func() bool {
		linked := 0
		for _, m := range n.cluster.Members() {
			if m.Alive && m.Linked {
				linked++
			}
		}
		return linked == others
	})
}

// draw is a question of these tests: bring a cell of a game to life.
type draw struct {
	Game game.ID `json:"game"`
	X    int32   `json:"x"`
	Y    int32   `json:"y"`
}

// drawn is its answer.
type drawn struct {
	Node       string `json:"node"`
	Seq        uint64 `json:"seq"`
	Generation uint64 `json:"generation"`
	Err        string `json:"err"`
}

// serve answers draws; what is none gets the node's name.
func (n *node) serve(data []byte, done func([]byte, bool)) {
	n.served.Add(1)
	var d draw
	reply := func(out drawn) {
		out.Node = n.name
		b, _ := json.Marshal(out)
		done(b, true)
	}
	if json.Unmarshal(data, &d) != nil {
		reply(drawn{})
		return
	}
	g, err := n.host.Game(d.Game)
	if err != nil {
		done(nil, false)
		return
	}
	g.Edit("anna", 0, []game.Edit{{Kind: game.Place, X: d.X, Y: d.Y, Policy: game.Overwrite}}, func(ack game.Ack, err error) {
		switch {
		case errors.Is(err, game.ErrMoved), errors.Is(err, broker.ErrFenced):
			done(nil, false)
		case err != nil:
			reply(drawn{Err: err.Error()})
		default:
			reply(drawn{Seq: ack.Seq, Generation: ack.Generation})
		}
	})
}

// draw asks for a cell and waits.
func (n *node) draw(id game.ID, x, y int32) (drawn, error) {
	type answered struct {
		out drawn
		err error
	}
	got := make(chan answered, 1)
	b, _ := json.Marshal(draw{id, x, y})
	n.cluster.Ask(id, b, false, time.Time{}, func(b []byte, err error) {
		var a answered
		if a.err = err; err == nil {
			a.err = json.Unmarshal(b, &a.out)
		}
		switch {
		case a.err != nil || a.out.Err == "":
		case a.out.Err == game.ErrAway.Error():
			a.err = game.ErrAway
		default:
			a.err = errors.New(a.out.Err)
		}
		got <- a
	})
	select {
	case a := <-got:
		return a.out, a.err
	case <-time.After(patience):
		n.t.Fatal("no answer")
		panic("")
	}
}

// drawn draws until the store is not away, as it may seem to be on a machine that has much to do.
func (n *node) drawn(id game.ID, x, y int32) (out drawn) {
	n.t.Helper()
	until(n.t, "an edit is taken", func() (ok bool) {
		var err error
		out, err = n.draw(id, x, y)
		if err != nil && !errors.Is(err, game.ErrAway) && !errors.Is(err, game.ErrMoving) {
			n.t.Fatal(err)
		}
		return err == nil
	})
	return out
}

// create makes a game at this node.
func (n *node) create(relaxed bool) game.ID {
	n.t.Helper()
	g, err := n.host.Create(n.t.Context(), game.CreateRequest{Name: "pond", User: "anna", UserName: "Anna", Colour: game.AnyColour, Interval: 50 * time.Millisecond,
		Grids: []game.GridSpec{{Width: 256, Height: 256}}, Persistent: true, Relaxed: relaxed})
	if err != nil {
		n.t.Fatal(err)
	}
	return g.ID()
}

// game waits until the node has a game.
func (n *node) game(id game.ID) *game.Game {
	n.t.Helper()
	var g *game.Game
	until(n.t, n.name+" has the game", func() bool { g, _ = n.host.Game(id); return g != nil })
	return g
}

// owner waits until exactly one of the nodes has a game, and its record names it.
func (s *shore) owner(id game.ID, nodes ...*node) *node {
	s.t.Helper()
	var owner *node
	until(s.t, "one node has the game", func() bool {
		owner = nil
		for _, n := range nodes {
			if _, err := n.host.Game(id); err == nil {
				if owner != nil {
					return false
				}
				owner = n
			}
		}
		if owner == nil {
			return false
		}
		r, err := s.store.Get(s.t.Context(), game.RecordPrefix+id.String())
		if err != nil {
			return false
		}
		rec, err := game.ParseRecord(r)
		return err == nil && rec.Node == owner.name
	})
	return owner
}

// replay plays the log of a game alone and returns its hash and the number of edits it has.
func (s *shore) replay(id game.ID) (hash uint64, generation uint64) {
	s.t.Helper()
	store := memory.NewStore()
	defer store.Close()
	r, err := s.store.Get(s.t.Context(), game.RecordPrefix+id.String())
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := store.Put(s.t.Context(), r.Key, r.Value); err != nil {
		s.t.Fatal(err)
	}
	h, err := game.NewHost(s.t.Context(), game.Config{Log: readOnly{s.log}, Store: store, Logger: testLog("replay")})
	if err != nil {
		s.t.Fatal(err)
	}
	defer h.Close()
	g, err := h.Game(id)
	if err != nil {
		s.t.Fatal(err)
	}
	return hashOf(s.t, g)
}

// readOnly is a log that takes nothing.
type readOnly struct{ broker.Log }

func (readOnly) Append(_ string, _ uint64, _ [][]byte, done func(uint64, error)) { done(0, errAway) }

func hashOf(t testing.TB, g *game.Game) (hash, generation uint64) {
	t.Helper()
	stats, err := g.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stats[0].Hash, stats[0].Generation
}

// viewers are the watchers of a node: one for each stream, that follows it as a client would.
type viewers struct {
	cluster *Cluster

	mu   sync.Mutex
	open map[streamName]*viewer
}

// viewer follows one stream of whole cells and checks that it has no hole.
type viewer struct {
	grid       *grid.Grid
	synced     bool
	epoch      uint32
	generation uint64
	frames     int
	snapshots  int
	holes      int
	ended      bool
	wrong      string
}

func newViewers(c *Cluster) *viewers { return &viewers{cluster: c, open: map[streamName]*viewer{}} }

// Frame takes a frame as edge.Streams would.
func (v *viewers) Frame(f *game.Frame) {
	v.mu.Lock()
	defer v.mu.Unlock()
	one := v.open[streamName{f.Game, f.Stream}]
	if one == nil || one.ended {
		return
	}
	one.frames++
	switch {
	case f.Kind == game.FrameEnd:
		one.ended = true
	case f.Kind == game.FrameSnapshot:
		if one.synced && f.Epoch == one.epoch {
			return
		}
		one.snapshots++
		one.synced = true
		one.apply(f)
	case one.synced:
		if f.Epoch != one.epoch {
			one.wrong = fmt.Sprintf("epoch %d behind %d", f.Epoch, one.epoch)
		}
		one.apply(f)
	}
}

func (v *viewer) apply(f *game.Frame) {
	h, payload, err := protocol.ParseGridHeader(f.Data)
	if err != nil {
		v.wrong = err.Error()
		return
	}
	switch f.Kind {
	case game.FrameSnapshot:
		err = v.grid.ApplySnapshot(payload)
	case game.FrameDelta, game.FrameEdits:
		err = v.grid.ApplyDelta(payload)
	}
	if err != nil || v.grid.Hash() != f.Hash || h.Generation != f.Generation {
		v.wrong = fmt.Sprintf("frame %v of generation %d: %v, hash %x want %x", f.Kind, f.Generation, err, v.grid.Hash(), f.Hash)
	}
	v.epoch, v.generation = f.Epoch, f.Generation
}

// Hole makes the viewer wait for a snapshot, which it asks for as a loop of the edge does: in a moment.
func (v *viewers) Hole(id game.ID, s game.Stream) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if one := v.open[streamName{id, s}]; one != nil {
		one.synced = false
		one.holes++
		go v.cluster.Want(id, s)
	}
}

// watch begins to follow all cells of a game.
func (n *node) watch(id game.ID) *viewer {
	n.t.Helper()
	s, err := n.cluster.Watch(id, game.Stream{})
	if err != nil {
		n.t.Fatal(err)
	}
	g, err := grid.New(grid.Options{Width: 256, Height: 256, Rule: grid.Life}, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	v := &viewer{grid: g}
	n.frames.mu.Lock()
	n.frames.open[streamName{id, s}] = v
	n.frames.mu.Unlock()
	n.cluster.Want(id, s)
	return v
}

// sees waits until what a viewer knows fits, and fails when it ever met a hole that nobody announced.
func (n *node) sees(v *viewer, what string, ok func(v *viewer) bool) {
	n.t.Helper()
	until(n.t, what, func() bool {
		n.frames.mu.Lock()
		defer n.frames.mu.Unlock()
		if v.wrong != "" {
			n.t.Fatal(v.wrong)
		}
		return v.synced && ok(v)
	})
}

// pace is the rest of a player between two edits.
func pace(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(2 * time.Millisecond):
	}
}
