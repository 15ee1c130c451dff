package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker"
	"gosper/grid/game"
)

// Goal: a call on a game of another node is answered as if it were here, in order, and one on no game is refused. Method: two
// nodes, draws from the one without the game.
func TestForward(t *testing.T) {
	s := newShore(t)
	nodes := s.nodes("a", "b")
	id := nodes[0].create(false)
	for i := range 50 {
		out, err := nodes[1].draw(id, int32(i), 3)
		if err != nil {
			t.Fatal(err)
		}
		if out.Node != "a" || out.Seq != uint64(i+1) {
			t.Fatalf("draw %d: %+v", i, out)
		}
	}
	var wrong atomic.Int64
	var group sync.WaitGroup
	last := uint64(50)
	for range 200 { // without waiting: the order must hold all the same
		group.Add(1)
		nodes[1].cluster.Ask(id, fmt.Appendf(nil, `{"game":%q,"x":9,"y":9}`, id), false, time.Time{}, func(b []byte, err error) {
			defer group.Done()
			last++
			if want := fmt.Sprintf(`"seq":%d,`, last); err != nil || !bytes.Contains(b, []byte(want)) {
				wrong.Add(1)
			}
		})
	}
	group.Wait()
	if wrong.Load() > 0 {
		t.Fatalf("%d answers out of order", wrong.Load())
	}
	if _, err := nodes[1].draw(12345, 1, 1); !errors.Is(err, game.ErrNoGame) {
		t.Fatalf("no game: %v", err)
	}
	if _, err := nodes[1].cluster.Watch(12345, game.Stream{}); !errors.Is(err, game.ErrNoGame) {
		t.Fatalf("no game: %v", err)
	}
	if _, err := nodes[1].cluster.Watch(id, game.Stream{Grid: 7}); !errors.Is(err, game.ErrNoGrid) {
		t.Fatalf("no grid: %v", err)
	}
	long := make([]byte, defaultFrameBytes)
	failed := make(chan error, 1)
	nodes[1].cluster.Ask(id, long, false, time.Time{}, func(_ []byte, err error) { failed <- err })
	if err := <-failed; !errors.Is(err, broker.ErrTooLarge) {
		t.Fatalf("too long: %v", err)
	}
}

// Goal: a stream of another node's game has no hole that is not announced, whatever happens to the link, and one relay serves all
// watchers of a node. Method: a running game, watched from another node, whose link is cut again and again.
func TestRelay(t *testing.T) {
	s := newShore(t)
	nodes := s.nodes("a", "b")
	a, b := nodes[0], nodes[1]
	id := a.create(false)
	g := a.game(id)
	if err := g.Start(t.Context(), "anna"); err != nil {
		t.Fatal(err)
	}
	v := b.watch(id)
	b.sees(v, "a delta", func(v *viewer) bool { return v.generation > 2 })
	if _, err := b.cluster.Watch(id, game.Stream{}); err != nil {
		t.Fatal(err)
	}
	until(t, "one relay for one stream", func() bool { _, relays := a.cluster.streams.count(); return relays == 1 })
	for round := range 5 {
		if _, err := b.draw(id, int32(10+round), 20); err != nil {
			t.Fatal(err)
		}
		var holes int
		b.sees(v, "the stream", func(v *viewer) bool { holes = v.holes; return true })
		from := b.cluster
		if round%2 == 1 {
			from = a.cluster
		}
		for _, l := range from.links.all() {
			l.conn.Close()
		}
		b.sees(v, "the stream after a cut", func(v *viewer) bool { return v.holes > holes })
		now := g.Info().Generation
		b.sees(v, "newer generations", func(v *viewer) bool { return v.generation > now+2 })
	}
	b.cluster.Unwatch(id, game.Stream{})
	b.cluster.Unwatch(id, game.Stream{})
	until(t, "the relay ends", func() bool {
		_, relays := a.cluster.streams.count()
		remote, _ := b.cluster.streams.count()
		return relays == 0 && remote == 0
	})
	v = b.watch(id)
	if err := g.End(t.Context(), "anna"); err != nil {
		t.Fatal(err)
	}
	until(t, "the end", func() bool { b.frames.mu.Lock(); defer b.frames.mu.Unlock(); return v.ended })
}

// Goal: a link that cannot take all frames drops and catches up, within its bytes. Method: room for a few frames only, and a
// reader that stands still.
func TestSlowLink(t *testing.T) {
	s := newShore(t)
	a := s.node("a", func(o *Options) { o.StreamBytes = 2 << 10 })
	b := s.node("b")
	a.meets(1)
	b.meets(1)
	id := a.create(false)
	g := a.game(id)
	for x := range int32(100) {
		if _, err := a.draw(id, 2*x, x*x%250); err != nil {
			t.Fatal(err)
		}
	}
	v := b.watch(id)
	b.sees(v, "a snapshot", func(*viewer) bool { return true })
	l := a.cluster.links.get("b")
	l.mu.Lock() // the writer stands still, and frames are offered to it
	before := l.waiting
	l.mu.Unlock()
	name := streamName{id, game.Stream{}}
	a.cluster.streams.mu.RLock()
	r := a.cluster.streams.relays[name][0]
	a.cluster.streams.mu.RUnlock()
	for range 64 {
		r.offer(&game.Frame{Game: id, Kind: game.FrameMark, Data: make([]byte, 1<<10)})
		l.mu.Lock()
		if l.waiting > 2<<10+1<<10+linkOverhead {
			t.Errorf("%d bytes wait, %d before", l.waiting, before)
		}
		l.mu.Unlock()
	}
	_ = v // what was offered is no frame of the game: the viewer is not asked any more
	if err := g.End(t.Context(), "anna"); err != nil {
		t.Fatal(err)
	}
}

// Goal: games of a node that dies come back on others, each on one, with every edit that was answered, and their watchers stay.
// Method: edits from a living node all the time; hashes against a replay of the log.
func TestTakeOver(t *testing.T) {
	s := newShore(t).hasty()
	nodes := s.nodes("a", "b", "c")
	a, rest := nodes[0], nodes[1:]
	const games = 4
	ids := make([]game.ID, games)
	views := make([]*viewer, games)
	for i := range ids {
		ids[i] = a.create(false)
		if err := a.game(ids[i]).Start(t.Context(), "anna"); err != nil {
			t.Fatal(err)
		}
		views[i] = rest[0].watch(ids[i])
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var acked [games]atomic.Uint64 // the highest place that was answered
	var group sync.WaitGroup
	for i, id := range ids {
		group.Go(func() {
			for n := int32(0); ctx.Err() == nil; n++ {
				out, err := rest[i%2].draw(id, n%256, n/256%256)
				switch {
				case err == nil:
					acked[i].Store(max(acked[i].Load(), out.Seq))
				case !errors.Is(err, game.ErrUnknown) && !errors.Is(err, game.ErrMoving) && !errors.Is(err, game.ErrAway):
					t.Errorf("draw: %v", err)
					return
				}
				pace(ctx)
			}
		})
	}
	until(t, "edits", func() bool { return acked[games-1].Load() > 20 })
	before := [games]uint64{}
	for i := range ids {
		before[i] = acked[i].Load()
	}
	begin := time.Now()
	a.kill()
	for i, id := range ids {
		s.owner(id, rest...)
		until(t, "an edit after the take-over", func() bool { return acked[i].Load() > before[i] })
	}
	t.Logf("all games went on after %v, lease %v", time.Since(begin), s.lease)
	for i := range ids {
		rest[0].sees(views[i], "generations at the new node", func(v *viewer) bool { return v.snapshots > 1 })
	}
	cancel()
	group.Wait()
	for i, id := range ids {
		var g *game.Game
		var ack game.Ack
		until(t, "an edit of the game at rest", func() bool { // a machine that has much to do may seem to be without its store
			g = s.owner(id, rest...).game(id)
			err := g.Pause(t.Context(), "anna")
			if err == nil {
				ack, err = g.EditWait(t.Context(), "anna", 0, game.Edit{Kind: game.Place, X: 1, Y: 1, Policy: game.Overwrite})
			}
			if err != nil && !errors.Is(err, game.ErrAway) {
				t.Fatal(err)
			}
			return err == nil
		})
		if ack.Seq <= acked[i].Load() {
			t.Fatalf("place %d after %d were answered", ack.Seq, acked[i].Load())
		}
		hash, generation := hashOf(t, g)
		if played, at := s.replay(id); played != hash || at != generation {
			t.Errorf("game %s at %d: %x, its log gives %x at %d", id, generation, hash, played, at)
		}
		rest[0].sees(views[i], "the last generation", func(v *viewer) bool { return v.generation == generation && v.grid.Hash() == hash })
	}
}

// Goal: a node that drains hands its games to others while they are played and watched: nothing answered is lost, no edit is made
// twice, no watcher is left behind. Method: edits with places of their own from three nodes meanwhile.
func TestDrain(t *testing.T) {
	s := newShore(t)
	nodes := s.nodes("a", "b", "c")
	a, rest := nodes[0], nodes[1:]
	var ids []game.ID
	var views []*viewer
	for range 6 {
		id := a.create(false)
		ids = append(ids, id)
		if err := a.game(id).Start(t.Context(), "anna"); err != nil {
			t.Fatal(err)
		}
		views = append(views, a.watch(id), rest[0].watch(id))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	var done, last [6]atomic.Uint64
	for i, id := range ids {
		for k, n := range nodes {
			group.Go(func() {
				for x := int32(0); ctx.Err() == nil; x++ {
					out, err := n.draw(id, x%256, int32(k))
					if err != nil {
						t.Errorf("draw: %v", err)
						return
					}
					done[i].Add(1)
					for old := last[i].Load(); old < out.Seq && !last[i].CompareAndSwap(old, out.Seq); old = last[i].Load() {
					}
					pace(ctx)
				}
			})
		}
	}
	until(t, "edits", func() bool { return done[5].Load() > 30 })
	begin := time.Now()
	left, err := a.cluster.Drain(t.Context())
	if err != nil || left > 0 {
		t.Fatalf("%d games left: %v", left, err)
	}
	t.Logf("six games were handed over in %v, %d of them late", time.Since(begin), handsLate.Get())
	before := done[0].Load()
	until(t, "edits after the drain", func() bool { return done[0].Load() > before+10 })
	cancel()
	group.Wait()
	where := map[string]int{}
	for i, id := range ids {
		if done[i].Load() != last[i].Load() {
			t.Errorf("game %d: %d edits were answered, the log has %d", i, done[i].Load(), last[i].Load())
		}
		owner := s.owner(id, rest...)
		where[owner.name]++
		now := owner.game(id).Info().Generation
		a.sees(views[2*i], "generations from elsewhere", func(v *viewer) bool { return v.generation > now })
		rest[0].sees(views[2*i+1], "generations from elsewhere", func(v *viewer) bool { return v.generation > now })
	}
	if where["b"] == 0 || where["c"] == 0 {
		t.Errorf("games went to %v", where)
	}
}

// Goal: an owner that slept in the middle of an append writes nothing when it wakes, drops its copy, and what it was asked is done
// once, by the new owner. Method: appends of one node wait while its records stand still; then it goes on.
func TestFencedOwner(t *testing.T) {
	s := newShore(t).hasty()
	nodes := s.nodes("a", "b")
	a, b := nodes[0], nodes[1]
	id := a.create(false)
	a.drawn(id, 1, 1)
	v := a.watch(id)
	resume := make(chan struct{})
	a.fault.mu.Lock()
	a.fault.paused = resume
	a.fault.mu.Unlock()
	asleep := make(chan error, 1)
	go func() {
		_, err := a.draw(id, 2, 2)
		asleep <- err
	}()
	until(t, "the append is under way", func() bool { return a.fault.waits.Load() > 0 })
	a.fault.away.Store(true)
	s.ownerIs(id, b)
	b.game(id)
	out := b.drawn(id, 3, 3)
	if out.Node != "b" {
		t.Fatalf("%+v", out)
	}
	if out.Seq != 2 {
		t.Fatalf("place %d: the append that waits is in the log", out.Seq)
	}
	a.fault.away.Store(false)
	close(resume)
	if err := <-asleep; err != nil { // it went to the new owner, or nobody knows
		t.Logf("the edit of the sleeper: %v", err)
	}
	until(t, "the sleeper drops its copy", func() bool { return !a.cluster.has(id) })
	s.owner(id, a, b)
	if out = a.drawn(id, 4, 4); out.Node != "b" {
		t.Fatalf("%+v", out)
	}
	hash, generation := hashOf(t, b.game(id))
	if played, _ := s.replay(id); played != hash {
		t.Fatalf("hash %x, the log gives %x", hash, played)
	}
	a.sees(v, "the game at the new node", func(v *viewer) bool { return v.generation == generation && v.grid.Hash() == hash })
}

// ownerIs waits until the record of a game names a node.
func (s *shore) ownerIs(id game.ID, n *node) {
	s.t.Helper()
	until(s.t, n.name+" owns the game", func() bool {
		r, err := s.store.Get(s.t.Context(), game.RecordPrefix+id.String())
		if err != nil {
			return false
		}
		rec, err := game.ParseRecord(r)
		return err == nil && rec.Node == n.name
	})
}

// Goal: while no node reaches the store, games tick and stream over links, edits are refused with the reason, and games of relaxed
// durability take them; afterwards their logs have all. Method: the store away for all.
func TestStoreAway(t *testing.T) {
	s := newShore(t).hasty()
	nodes := s.nodes("a", "b")
	a, b := nodes[0], nodes[1]
	strict, relaxed := a.create(false), a.create(true)
	views := []*viewer{b.watch(strict), b.watch(relaxed)}
	for _, id := range []game.ID{strict, relaxed} {
		if err := a.game(id).Start(t.Context(), "anna"); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range nodes {
		n.fault.away.Store(true)
	}
	until(t, "edits are refused", func() bool {
		_, err := b.draw(strict, 1, 1)
		return errors.Is(err, game.ErrAway)
	})
	answered := uint64(0)
	for i := range 20 {
		out, err := b.draw(relaxed, int32(i), 5)
		if err != nil {
			t.Fatal(err)
		}
		answered = out.Seq
	}
	silent := time.Now()
	for time.Since(silent) < 2*s.lease { // long enough for a hasty judge
		now := a.game(strict).Info().Generation
		b.sees(views[0], "ticks without a store", func(v *viewer) bool { return v.generation > now })
		now = a.game(relaxed).Info().Generation
		b.sees(views[1], "ticks without a store", func(v *viewer) bool { return v.generation > now })
	}
	for _, n := range nodes {
		n.fault.away.Store(false)
	}
	until(t, "edits are taken", func() bool { _, err := b.draw(strict, 1, 1); return err == nil })
	if owner := s.owner(strict, nodes...); owner != a {
		t.Errorf("%s has the game of a node that was never dead", owner.name)
	}
	s.owner(relaxed, nodes...)
	until(t, "the log has what was answered", func() bool { return a.game(relaxed).Pause(t.Context(), "anna") == nil })
	a.kill()
	s.owner(relaxed, b)
	if out := b.drawn(relaxed, 0, 0); out.Seq != answered+1 {
		t.Fatalf("place %d after %d were answered", out.Seq, answered)
	}
}

// Goal: new games go where the fewest are, and everybody is asked for lists. Method: places chosen at one node, games made there.
func TestPlace(t *testing.T) {
	s := newShore(t)
	nodes := s.nodes("a", "b", "c")
	count := map[string]int{}
	for range 9 {
		at := nodes[0].cluster.Place(t.Context(), 1<<10)
		count[at]++
		nodes[slices.IndexFunc(nodes, func(n *node) bool { return n.name == at })].create(false)
	}
	for _, n := range nodes[1:] {
		if count[n.name] == 0 {
			t.Errorf("games went to %v", count)
		}
	}
	if at := nodes[0].cluster.Place(t.Context(), 1<<40); at != "a" {
		t.Errorf("what fits nowhere goes to %q, want the node that says so", at)
	}
	var names []string
	for _, b := range nodes[1].cluster.AskAll(t.Context(), []byte("who")) {
		names = append(names, string(b))
	}
	if len(names) != 2 || slices.ContainsFunc(names, func(n string) bool { return bytes.Contains([]byte(n), []byte(`"b"`)) }) {
		t.Errorf("asked: %v", names)
	}
	guest := s.node("guest", func(o *Options) { o.Guest = true })
	guest.meets(3)
	if at := guest.cluster.Place(t.Context(), 1<<40); at != "" {
		t.Errorf("a guest places a game at %q", at)
	}
	if at := guest.cluster.Place(t.Context(), 1<<10); at == "" || at == "guest" {
		t.Errorf("a guest places a game at %q", at)
	}
}

// Goal: a node without games that is there first has its players' games made as soon as another node is there. Method: it is
// asked for a place while it is alone, then the other begins.
func TestPlaceWaits(t *testing.T) {
	s := newShore(t)
	guest := s.node("guest", func(o *Options) { o.Guest, o.Wait = true, patience })
	place := make(chan string, 1)
	go func() { place <- guest.cluster.Place(t.Context(), 1<<10) }()
	s.node("late")
	if at := <-place; at != "late" {
		t.Errorf("the game goes to %q", at)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	alone := newShore(t).node("alone", func(o *Options) { o.Guest = true })
	if at := alone.cluster.Place(gone, 1<<10); at != "" {
		t.Errorf("a game nobody waits for goes to %q", at)
	}
}

// Goal: a node leaves in order and its games are taken at once; a process that comes back under its name finds them too. Method:
// close, and a lease that is much longer than the test waits.
func TestGoodBye(t *testing.T) {
	s := newShore(t)
	s.lease = 2 * time.Minute
	fast := func(o *Options) { o.Beat = 50 * time.Millisecond }
	a, b := s.node("a-1", fast), s.node("b-1", fast)
	a.meets(1)
	b.meets(1)
	id := a.create(false)
	a.close()
	if owner := s.owner(id, b); owner != b {
		t.Fatal("nobody took the game")
	}
	b.kill()
	again := s.node("b-2", fast, func(o *Options) { o.Replaces = "b-" })
	s.owner(id, again)
}

// Goal: nobody without the key gets a link. Method: a stranger with another key, one that speaks nonsense, one that says nothing.
func TestStrangers(t *testing.T) {
	s := newShore(t)
	a := s.node("a")
	refused := linksRefused.Get()
	for name, talk := range map[string]func(net.Conn) error{
		"another key": func(c net.Conn) error { return greet(c, bytes.Repeat([]byte("x"), MinKey), "z", "a") },
		"nonsense": func(c net.Conn) error {
			_, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"))
			return err
		},
		"another version": func(c net.Conn) error {
			h := newHello("z")
			h.version++
			_, err := c.Write(h.append(nil))
			return err
		},
		"a wrong proof": func(c net.Conn) error {
			h := newHello("z")
			_, err := c.Write(append(h.append(nil), make([]byte, proofSize)...))
			return err
		},
	} {
		conn, err := net.Dial("tcp", a.cluster.Addr())
		if err != nil {
			t.Fatal(err)
		}
		err = talk(conn)
		if name == "another key" && !errors.Is(err, errProof) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "another key" {
			conn.Close()
		}
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		for b := make([]byte, 512); err == nil; _, err = conn.Read(b) {
		}
		conn.Close()
		if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
			t.Errorf("%s: the link stays open", name)
		}
	}
	until(t, "all were refused", func() bool { return linksRefused.Get() >= refused+4 })
	if n := len(a.cluster.links.all()); n != 0 {
		t.Errorf("%d links", n)
	}
}

// Goal: games that do not fit at one node are taken by another one, and one that fits nowhere comes back with the first node that has
// room. Method: a node leaves many games to one without memory, and to one with it, who comes later.
func TestNoRoom(t *testing.T) {
	s := newShore(t)
	a := s.node("a")
	s.bytes = 100
	small := s.node("small", func(o *Options) { o.Wait = time.Second })
	a.meets(1)
	small.meets(1)
	ids := make([]game.ID, 5)
	for i := range ids {
		ids[i] = a.create(false)
	}
	a.close()
	until(t, "the small node has tried", func() bool {
		small.cluster.steward.mu.Lock()
		defer small.cluster.steward.mu.Unlock()
		return len(small.cluster.steward.failed) == len(ids)
	})
	until(t, "a call gives up", func() bool { _, err := small.draw(ids[0], 1, 1); return errors.Is(err, game.ErrMoving) })
	s.bytes = 256 << 20
	large := s.node("large")
	for _, id := range ids {
		s.owner(id, large)
	}
	large.meets(1)
	if out := small.drawn(ids[0], 1, 1); out.Node != "large" {
		t.Errorf("drawn at %s", out.Node)
	}
}
