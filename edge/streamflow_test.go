package edge_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sys/unix"

	"gosper/edge"
	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

// Goal: however many watchers are slow, everybody's copy agrees with every hash, nobody waits for ever, and other
// messages keep their place between frames. Method: one loop with room for the rest of one frame in the system and one
// snapshot on its way at a time; quick watchers read every frame, slow ones, of each format and behind TLS, now and then;
// chat goes to all. The hash of each frame is checked, and in the end all show the game.
func TestStreamFlow(t *testing.T) {
	s := startGames(t, func(c *edge.Config, _ *game.Limits) {
		c.Loops = 1
		c.Limits.WatchSocket, c.Limits.WatchFlight = 4096, 1
		c.Listeners = append(c.Listeners, edge.Listener{Name: "tls", Addr: "127.0.0.1:0", Door: lineDoor, TLS: selfSigned(t)})
	})
	g := s.game(t, 20*time.Millisecond, game.GridSpec{Width: 1024, Height: 512})
	turns, slowed := counter(t, `gosper_stream_skips_total{reason="turn"}`), counter(t, `gosper_stream_skips_total{reason="slow"}`)
	var slow, quick []*watcher
	for _, kind := range append(watcherKinds, "tls") {
		slow = append(slow, s.slowWatcher(t, kind))
	}
	for _, kind := range watcherKinds {
		quick = append(quick, s.watcher(t, kind))
	}
	all := append(append([]*watcher(nil), slow...), quick...)
	for _, w := range all {
		w.watch(g, 0, protocol.WatchCells, grid.Rect{})
	}
	for _, w := range quick {
		w.until("snapshot", w.f.Begun)
	}
	must(t, g.Start(t.Context(), player))
	rng := rand.New(rand.NewPCG(9, 1))
	said := 0
	for range 40 {
		for _, w := range quick {
			w.next()
		}
		if rng.IntN(4) == 0 {
			slow[rng.IntN(len(slow))].next()
		}
		if rng.IntN(4) == 0 {
			s.bus.say("chat.w.public", said, 0)
			said++
		}
	}
	must(t, g.Pause(t.Context(), player))
	want := hashes(t, g)[0]
	for _, w := range all {
		w.until("the end", func() bool { return w.f.Generation() == want.Generation && w.f.Hash() == want.Hash })
	}
	if counter(t, `gosper_stream_skips_total{reason="turn"}`) == turns || counter(t, `gosper_stream_skips_total{reason="slow"}`) == slowed {
		t.Error("no watcher was slow and had to wait for its turn")
	}
}

// slowWatcher connects a client whose system takes little for it.
func (s *server) slowWatcher(t testing.TB, kind string) *watcher {
	t.Helper()
	if kind != "tls" {
		w := s.watcher(t, kind)
		must(t, w.Conn.(*net.TCPConn).SetReadBuffer(64<<10))
		return w
	}
	raw := dial(t, s.Addr("tls"))
	must(t, raw.Conn.(*net.TCPConn).SetReadBuffer(64<<10))
	c := newClient(t, tls.Client(raw.Conn, &tls.Config{InsecureSkipVerify: true}))
	c.send("00REGISTERw/ann/\r\n")
	c.want("00000000OK")
	return &watcher{kind: "line", name: "tls", client: c}
}

// unacknowledged is how many bytes of a connection the other side's system has not got yet: a busy one delivers later than
// it takes, even to itself.
func unacknowledged(t *testing.T, c net.Conn) (n int) {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }))
	must(t, err)
	return n
}

// Goal: a small message to another client of the loop does not wait for the frames of all watchers. Method: count the bytes
// written to watchers, on the loop itself, between two moments: a call is in its socket before large frames for many
// watchers are there, and its function runs.
func TestStreamShares(t *testing.T) {
	s := startGames(t, func(c *edge.Config, _ *game.Limits) { c.Loops = 1 })
	g := s.game(t, time.Second, game.GridSpec{Width: 1024, Height: 1024})
	other, blocker := s.socket(t, ""), s.socket(t, "")
	var all []*watcher
	for range 48 {
		w := s.watcher(t, "ws")
		w.watch(g, 0, protocol.WatchCells, grid.Rect{})
		w.until("snapshot", w.f.Begun)
		all = append(all, w)
	}
	var noted atomic.Int64
	s.mod.note = func() { noted.Store(written(t)) }
	blocker.text(`{"route":"/block","msgId":1,"content":{}}`)
	wait(t, "call", s.mod.blocked.Load)
	before := written(t)
	other.text(`{"route":"/note","msgId":1,"content":{}}`)
	wait(t, "call in its socket", func() bool { return unacknowledged(t, other.Conn) == 0 })
	generation, err := g.Step(t.Context(), player, 1)
	must(t, err)
	want := hashes(t, g)[0]
	close(s.mod.hold)
	other.frame()
	for _, w := range all {
		w.until("the generation", func() bool { return w.f.Generation() == generation && w.f.Hash() == want.Hash })
	}
	const most = 2 << 20 // a pass over streams, and what a last turn may exceed it by
	if noted.Load()-before > most {
		t.Errorf("a call waited for %d bytes of frames", noted.Load()-before)
	}
	wait(t, "the frames", func() bool { return written(t)-before > 2*most })
	if passes, bound := counter(t, "gosper_stream_pass_bytes_count"), counter(t, `gosper_stream_pass_bytes_bucket{le="2.097152e+06"}`); passes > bound {
		t.Errorf("%d of %d passes over streams wrote more than %d bytes", passes-bound, passes, most)
	}
}

// Goal: watchers whose sockets take everything lose no frame when their loop was held up for a while, even if others ask
// for snapshots of a large grid meanwhile. Method: generations and snapshots of a still grid with one blinker are made
// while the loop is blocked; then each watcher gets each generation.
func TestStreamPause(t *testing.T) {
	const generations, watchers = 60, 32
	s := startGames(t, func(c *edge.Config, _ *game.Limits) { c.Loops = 1 })
	g := s.game(t, time.Second, game.GridSpec{Width: 1024, Height: 1024})
	_, err := g.EditWait(t.Context(), player, 0, game.Edit{Kind: game.Erase, Width: 1024, Height: 1024})
	must(t, err)
	stillLife(t, g)
	var all []*watcher
	for range watchers {
		w := s.watcher(t, "ws")
		w.watch(g, 0, protocol.WatchCells, grid.Rect{})
		w.until("snapshot", w.f.Begun)
		all = append(all, w)
	}
	s.socket(t, "").text(`{"route":"/block","msgId":1,"content":{}}`)
	wait(t, "call", s.mod.blocked.Load)
	skips := counter(t, `gosper_stream_skips_total{reason="busy"}`)
	for range generations {
		s.mod.host.Want(g.ID(), game.Stream{})
		_, err := g.Step(t.Context(), player, 1)
		must(t, err)
	}
	want := hashes(t, g)[0]
	close(s.mod.hold)
	for _, w := range all {
		for from := w.f.Generation(); w.f.Generation() < want.Generation; from++ {
			for w.next() != "" { // the answer to the watch may come behind its snapshot
			}
			if w.f.Generation() != from+1 {
				t.Fatalf("generation %d came to who was at %d", w.f.Generation(), from)
			}
		}
		if w.f.Hash() != want.Hash {
			t.Error("a watcher shows something else")
		}
	}
	if n := counter(t, `gosper_stream_skips_total{reason="busy"}`) - skips; n != 0 {
		t.Errorf("%d watchers fell behind", n)
	}
}

// stillLife lays blocks on a grid of 1024², so that its snapshot is large, and a blinker.
func stillLife(t testing.TB, g *game.Game) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 3))
	for y := 0; y < 1024; y += 128 {
		p := &grid.Pattern{Width: 1024, Height: 128}
		for cy := int32(0); cy < 128; cy += 4 {
			for cx := int32(8); cx < 1024; cx += 4 {
				for i := range 4 * rng.Int32N(2) {
					p.Cells = append(p.Cells, grid.Cell{X: cx + i&1, Y: cy + i>>1, State: 1})
				}
			}
		}
		_, err := g.EditWait(t.Context(), player, 0, game.Edit{Kind: game.Stamp, Y: int32(y), Pattern: p})
		must(t, err)
	}
	blinker := &grid.Pattern{Width: 3, Height: 1, Cells: []grid.Cell{{X: 0, State: 1}, {X: 1, State: 1}, {X: 2, State: 1}}}
	_, err := g.EditWait(t.Context(), player, 0, game.Edit{Kind: game.Stamp, X: 2, Y: 500, Pattern: blinker})
	must(t, err)
}

// written returns how many bytes the passes over streams have cost.
func written(t testing.TB) int64 {
	t.Helper()
	var b bytes.Buffer
	metrics.WritePrometheus(&b, false)
	n := 0.0
	for line := range strings.Lines(b.String()) {
		if rest, ok := strings.CutPrefix(line, "gosper_stream_pass_bytes_sum "); ok {
			_, err := fmt.Sscan(rest, &n)
			must(t, err)
		}
	}
	return int64(n)
}
