package edge_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"gosper/broker/memory"
	"gosper/edge"
	follow "gosper/edge/client"
	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

// player is the user of the games of these tests.
const player = "p1"

// startGames runs a server with a host of games on a log in memory.
func startGames(t testing.TB, change func(*edge.Config, *game.Limits)) *server {
	t.Helper()
	limits := game.DefaultLimits()
	limits.HashEvery = 100 * time.Millisecond
	limits.EditsUser, limits.EditsGame = 1<<24, 1<<24
	streams := edge.NewStreams()
	s := start(t, func(c *edge.Config) {
		c.Streams = streams
		if change != nil {
			change(c, &limits)
		}
	})
	store := memory.NewStore()
	host, err := game.NewHost(context.Background(), game.Config{
		Log: memory.NewLog(), Store: store, Sink: streams, Limits: limits, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	streams.Serve(host)
	s.mod.host = host
	t.Cleanup(func() {
		host.Close()
		store.Close()
	})
	return s
}

// game makes a game with a soup on each grid.
func (s *server) game(t testing.TB, interval time.Duration, specs ...game.GridSpec) *game.Game {
	t.Helper()
	g, err := s.mod.host.Create(t.Context(), game.CreateRequest{
		Name: "test", User: player, UserName: "Ann", Colour: game.AnyColour, Grids: specs, Interval: interval, Persistent: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(4, 4))
	for i, spec := range specs {
		soup(t, g, i, rng, spec)
	}
	return g
}

// soup draws a soup of the size of the grid, in bands that one edit may hold.
func soup(t testing.TB, g *game.Game, index int, rng *rand.Rand, spec game.GridSpec) {
	t.Helper()
	const band = 128
	for y := 0; y < spec.Height; y += band {
		p := &grid.Pattern{Width: int32(spec.Width), Height: int32(min(band, spec.Height-y))}
		for py := range p.Height {
			for px := range p.Width {
				if rng.IntN(3) == 0 {
					p.Cells = append(p.Cells, grid.Cell{X: px, Y: py, State: 1})
				}
			}
		}
		if _, err := g.EditWait(t.Context(), player, index, game.Edit{Kind: game.Stamp, Y: int32(y), Pattern: p}); err != nil {
			t.Fatal(err)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hashes returns generation and hash of each grid, of one moment.
func hashes(t testing.TB, g *game.Game) []game.GridStats {
	t.Helper()
	stats, err := g.Stats(t.Context())
	must(t, err)
	return stats
}

// watcher is a client that follows one stream.
type watcher struct {
	*client
	name string
	kind string // "ws", "line", or "wsline" for lines on a websocket
	f    *follow.Follower
}

// watcherKinds are the ways to watch.
var watcherKinds = []string{"ws", "line", "wsline"}

// watcher connects a client.
func (s *server) watcher(t testing.TB, kind string) *watcher {
	t.Helper()
	w := &watcher{kind: kind, name: kind}
	switch kind {
	case "ws":
		w.client = s.socket(t, "")
		w.text(`{"route":"/session/register","msgId":9,"content":{"nonce":"w/ann/"}}`)
	case "wsline":
		w.client = s.socket(t, "gosper.line.v1")
		w.text("00REGISTERw/ann/")
	default:
		return &watcher{kind: kind, name: kind, client: s.player(t, "w/ann/")}
	}
	if op, b := w.frame(); op != protocol.OpText || !bytes.Contains(b, []byte("OK")) {
		t.Fatalf("register: %s", b)
	}
	return w
}

// watch asks for a stream; its frames begin a new copy.
func (w *watcher) watch(g *game.Game, index int, mode protocol.WatchMode, view grid.Rect) {
	w.t.Helper()
	w.name = fmt.Sprintf("%s, grid %d, %v", w.kind, index, mode)
	line := protocol.Watch{GridName: protocol.GridName{Game: g.ID().String(), Grid: uint16(index)}, Mode: mode}
	if mode == protocol.WatchView {
		line.View = protocol.GridRect{X: int32(view.X), Y: int32(view.Y), Width: int32(view.Width), Height: int32(view.Height)}
	}
	if w.kind == "ws" {
		w.f = follow.NewFollower(mode, 0)
		w.text(fmt.Sprintf(`{"route":"/game/watch","content":{"game":%q,"grid":%d,"mode":%q,"view":{"x":%d,"y":%d,"width":%d,"height":%d}}}`,
			g.ID(), index, mode, view.X, view.Y, view.Width, view.Height))
		return
	}
	spec := g.Info().Grids[index]
	w.f = follow.NewTextFollower(mode, grid.Options{Width: spec.Width, Height: spec.Height, Rule: spec.Rule, Topology: spec.Topology, Owners: spec.Owners}, 0)
	w.command("00000WATCH" + string(protocol.AppendWatch(nil, line)))
}

// command sends a command line.
func (w *watcher) command(line string) {
	w.t.Helper()
	if w.kind == "line" {
		w.send(line + "\r\n")
	} else {
		w.text(line)
	}
}

// next takes what comes next: a frame is applied, anything else is returned.
func (w *watcher) next() (other string) {
	w.t.Helper()
	var b []byte
	if w.kind == "line" {
		b = []byte(w.get())
	} else {
		op, data := w.frame()
		if op == protocol.OpBinary {
			w.take(w.f.Frame(data))
			return ""
		}
		b = data
	}
	switch {
	case bytes.HasPrefix(b, []byte("000000GRID")):
		w.take(w.f.Line(b[protocol.CommandSize:], true))
	case bytes.HasPrefix(b, []byte("00000DELTA")):
		w.take(w.f.Line(b[protocol.CommandSize:], false))
	default:
		return string(b)
	}
	return ""
}

func (w *watcher) take(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%s: generation %d: %v", w.name, w.f.Generation(), err)
	}
}

// until takes frames until ok holds.
func (w *watcher) until(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(patience); !ok(); w.next() {
		if time.Now().After(end) {
			w.t.Fatalf("%s: %s did not come; at generation %d", w.name, what, w.f.Generation())
		}
	}
}

// Goal: every way of watching shows the game as it is, from wherever the watcher joins, in all formats and modes, with
// edits. Method: watchers with real sockets that check every hash; they join before and while the game runs, and are
// compared with the game after it was paused.
func TestStreams(t *testing.T) {
	s := startGames(t, nil)
	specs := []game.GridSpec{
		{Width: 200, Height: 130, Mode: game.Owners, Owners: 5},
		{Width: 130, Height: 100, Topology: grid.Plane, Mode: game.Blended},
	}
	g := s.game(t, 20*time.Millisecond, specs...)
	view := grid.Rect{X: 70, Y: 10, Width: 20, Height: 20}
	var all []*watcher
	join := func() {
		for _, kind := range watcherKinds {
			for index := range specs {
				for mode := range protocol.WatchView + 1 {
					w := s.watcher(t, kind)
					w.watch(g, index, mode, view)
					w.until("snapshot", w.f.Begun)
					all = append(all, w)
				}
			}
		}
	}
	join()
	must(t, g.Start(t.Context(), player))
	join()
	for range 5 {
		_, err := g.EditWait(t.Context(), player, 0, game.Edit{Kind: game.Erase, X: 20, Y: 20, Width: 60, Height: 60})
		must(t, err)
	}
	for _, w := range all {
		from := w.f.Generation()
		w.until("ten generations", func() bool { return w.f.Generation() >= from+10 })
	}
	must(t, g.Pause(t.Context(), player))
	for index := range specs { // the last frame of all, also for those who watch edits
		_, err := g.EditWait(t.Context(), player, index, game.Edit{Kind: game.Place, X: 3, Y: 3, Policy: game.Overwrite},
			game.Edit{Kind: game.Kill, X: 3, Y: 3})
		must(t, err)
		_, err = g.EditWait(t.Context(), player, index, game.Edit{Kind: game.Place, X: 71, Y: 11, Policy: game.Overwrite})
		must(t, err)
	}
	want := hashes(t, g)
	for i, w := range all {
		index := i / 3 % len(specs)
		w.until("the end", func() bool { return w.f.Generation() == want[index].Generation && w.f.Hash() == want[index].Hash })
	}
}

// A watch of another mode takes the place of the one before, and Unwatch ends it: then nothing comes, and nothing is made.
func TestWatchAgain(t *testing.T) {
	s := startGames(t, nil)
	g := s.game(t, 20*time.Millisecond, game.GridSpec{Width: 64, Height: 64})
	must(t, g.Start(t.Context(), player))
	for _, kind := range watcherKinds {
		w := s.watcher(t, kind)
		for _, mode := range []protocol.WatchMode{protocol.WatchCells, protocol.WatchEdits, protocol.WatchEdits, protocol.WatchCells} {
			w.watch(g, 0, mode, grid.Rect{})
			for !w.f.Begun() { // frames of the watch before are passed over
				w.skip()
			}
			from := w.f.Generation()
			w.until("frames", func() bool { return w.f.Generation() > from+1 })
		}
		if kind == "ws" {
			w.text(fmt.Sprintf(`{"route":"/game/unwatch","msgId":4,"content":{"game":%q,"grid":0}}`, g.ID()))
		} else {
			w.command("000UNWATCH" + g.ID().String() + "/0")
		}
		// The calls behind it are answered, and the frames end.
		ask := func(n int) {
			if kind == "ws" {
				w.text(fmt.Sprintf(`{"route":"/later","msgId":%d,"content":{}}`, n))
			} else {
				w.command(fmt.Sprintf(`000000CALL{"route":"/later","msgId":%d,"content":{}}`, n))
			}
			for !strings.Contains(w.next(), fmt.Sprintf(`"msgId":%d`, n)) {
			}
		}
		ask(100)
		generation := w.f.Generation()
		wait(t, "generations", func() bool { return g.Info().Generation > generation+10 })
		ask(101)
		if w.f.Generation() != generation {
			t.Errorf("%s: frames came after the watch had ended", w.name)
		}
	}
}

// skip passes over a frame of a stream that has ended.
func (w *watcher) skip() {
	w.t.Helper()
	before := *w.f
	if w.kind == "line" {
		b := []byte(w.get())
		if w.f.Line(b[min(protocol.CommandSize, len(b)):], bytes.HasPrefix(b, []byte("000000GRID"))) != nil {
			*w.f = before
		}
		return
	}
	op, b := w.frame()
	err := error(nil)
	if op == protocol.OpBinary {
		err = w.f.Frame(b)
	} else {
		err = w.f.Line(b[min(protocol.CommandSize, len(b)):], bytes.HasPrefix(b, []byte("000000GRID")))
	}
	if err != nil {
		*w.f = before
	}
}

// Goal: who does not read misses frames, is not closed, gets other messages, and goes on from a snapshot; others do not
// notice. Method: a soup whose frames fill the socket of a client that does not read, beside one that does.
func TestStreamSlow(t *testing.T) {
	s := startGames(t, func(c *edge.Config, _ *game.Limits) { c.Loops = 1 })
	g := s.game(t, 20*time.Millisecond, game.GridSpec{Width: 1024, Height: 1024})
	slow, quick := s.watcher(t, "ws"), s.watcher(t, "ws")
	must(t, slow.Conn.(*net.TCPConn).SetReadBuffer(64<<10))
	slow.watch(g, 0, protocol.WatchCells, grid.Rect{})
	quick.watch(g, 0, protocol.WatchCells, grid.Rect{})
	slow.until("snapshot", slow.f.Begun)
	quick.until("snapshot", quick.f.Begun)
	must(t, g.Start(t.Context(), player))
	before := counter(t, `gosper_stream_skips_total{reason="slow"}`)
	for counter(t, `gosper_stream_skips_total{reason="slow"}`) == before {
		quick.next() // each hash is checked, each frame follows the one before
	}
	reached := quick.f.Generation()
	quick.until("more frames", func() bool { return quick.f.Generation() > reached+10 })
	must(t, g.Pause(t.Context(), player))
	want := hashes(t, g)[0]
	quick.until("the end", func() bool { return quick.f.Hash() == want.Hash })
	s.bus.say("chat.w.public", 7, 0)
	// The slow one gets what was sent before the hole, the chat, and a snapshot of the end.
	heard, frames := false, 0
	for slow.f.Generation() != want.Generation || !heard {
		if op, b := slow.frame(); op == protocol.OpText {
			heard = heard || bytes.Contains(b, []byte(`"text":"7"`))
		} else {
			h, _, err := protocol.ParseGridHeader(b)
			must(t, err)
			if h.Kind == protocol.GridDelta && h.Generation != slow.f.Generation()+1 {
				t.Fatalf("a delta to generation %d came to who is at %d", h.Generation, slow.f.Generation())
			}
			slow.take(slow.f.Frame(b))
			frames++
		}
	}
	if slow.f.Hash() != want.Hash {
		t.Error("the slow watcher shows something else in the end")
	}
	if missed := want.Generation - uint64(frames); missed < 2 {
		t.Errorf("the slow watcher got %d frames of %d generations", frames, want.Generation)
	}
}

// Goal: a loop that cannot write all frames of a stream drops some for all its watchers, and everybody has the newest
// state in the end. Method: many large frames at once for several watchers who all read.
func TestStreamOverfull(t *testing.T) {
	s := startGames(t, func(c *edge.Config, _ *game.Limits) { c.Loops = 1 })
	g := s.game(t, time.Second, game.GridSpec{Width: 1024, Height: 1024})
	all := make([]*watcher, 8)
	for i := range all {
		all[i] = s.watcher(t, "ws")
		all[i].watch(g, 0, protocol.WatchCells, grid.Rect{})
		all[i].until("snapshot", all[i].f.Begun)
	}
	before := counter(t, "gosper_stream_dropped_total")
	done := make(chan error, len(all))
	s.socket(t, "").text(`{"route":"/block","msgId":1,"content":{}}`) // keeps the loop busy while the frames are made
	wait(t, "call", s.mod.blocked.Load)
	generation, err := g.Step(t.Context(), player, 100)
	must(t, err)
	want := hashes(t, g)[0]
	close(s.mod.hold)
	for _, w := range all {
		go func() {
			w.SetReadDeadline(time.Now().Add(patience))
			for w.f.Generation() != generation {
				op, b, err := w.tryFrame()
				if err == nil && op == protocol.OpBinary { // the answer to the watch may come behind its snapshot
					err = w.f.Frame(b)
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range all {
		must(t, <-done)
	}
	for _, w := range all {
		if w.f.Hash() != want.Hash {
			t.Error("a watcher shows something else")
		}
	}
	wait(t, "count of dropped frames", func() bool { return counter(t, "gosper_stream_dropped_total") > before })
}

// A rewind is a new epoch: watchers in sync get its snapshot at once. The end of a game ends its streams.
func TestStreamEpoch(t *testing.T) {
	s := startGames(t, nil)
	g := s.game(t, time.Second, game.GridSpec{Width: 64, Height: 64})
	_, err := g.Step(t.Context(), player, 50)
	must(t, err)
	watchers := counter(t, "gosper_stream_watchers")
	var all []*watcher
	for _, kind := range watcherKinds {
		w := s.watcher(t, kind)
		w.watch(g, 0, protocol.WatchCells, grid.Rect{})
		w.until("snapshot", w.f.Begun)
		all = append(all, w)
	}
	epoch := all[0].f.Epoch()
	must(t, g.Rewind(t.Context(), player, 20))
	for _, w := range all {
		w.until("generation 20", func() bool { return w.f.Generation() == 20 })
	}
	if all[0].f.Epoch() == epoch {
		t.Error("the epoch is the same after a rewind")
	}
	if n := counter(t, "gosper_stream_watchers"); n != watchers+len(all) {
		t.Errorf("%d watchers are counted", n-watchers)
	}
	must(t, g.End(t.Context(), player))
	wait(t, "end of the streams", func() bool { return counter(t, "gosper_stream_watchers") == watchers })
}

// Limits and breaches: one grid more than a connection may watch, games and grids that are not there, lines that are
// none, and edits.
func TestWatchCommands(t *testing.T) {
	s := startGames(t, func(c *edge.Config, _ *game.Limits) { c.Limits.Watches = 2 })
	g := s.game(t, time.Second, game.GridSpec{Width: 64, Height: 64}, game.GridSpec{Width: 8, Height: 8}, game.GridSpec{Width: 8, Height: 8})
	id := g.ID().String()
	for _, kind := range []string{"line", "wsline"} {
		w := s.watcher(t, kind)
		for i := range 3 {
			w.watch(g, i, protocol.WatchCells, grid.Rect{})
			if i < 2 {
				w.until("snapshot", w.f.Begun)
			} else if got := w.next(); !strings.HasPrefix(got, "000000PUSH") || !strings.Contains(got, "watches is 2") {
				t.Errorf("%s: a watch too many: %s", kind, got)
			}
		}
		for _, bad := range []string{"0000000000/0", id + "/9"} {
			w.command("00000WATCH" + bad)
			if got := w.next(); !strings.HasPrefix(got, `000000PUSH{"room":"main","route":"/game/watch"`) {
				t.Errorf("%s: watch of %s: %s", kind, bad, got)
			}
		}
		w.watch(g, 1, protocol.WatchCells, grid.Rect{})
		w.until("snapshot", w.f.Begun)
		w.command("000000EDIT" + id + "/1 0,3 !8o$8o$8o!")
		if got := w.next(); !strings.HasPrefix(got, "000000EDIT"+id+"/1 ") {
			t.Errorf("%s: kill: %s", kind, got)
		}
		w.command("000000EDIT" + id + "/1 2,3 bo$2bo$3o!")
		for answered := false; !answered || !w.f.Grid().Alive(4, 5); {
			answered = strings.HasPrefix(w.next(), "000000EDIT"+id+"/1 ") || answered
		}
		w.command("000000EDIT" + id + "/1 2,3 o$$$$$$$$$$$o!")
		for got := ""; !strings.Contains(got, " 0 0 "); got = w.next() {
		}
		w.command("000000PINGx")
		w.expect("000000PONGx")
		w.Close()
		for _, breach := range []string{"00000WATCH", "00000WATCHgame", "00000WATCH" + id + "/0 sideways", "00000WATCH" + id + "/0 view 1,2",
			"000UNWATCH" + id, "000000EDIT" + id + "/0 1,2", "000000EDIT" + id + "/0 x,y o!", "000000GRID" + id} {
			w := s.watcher(t, kind)
			w.command(breach)
			if kind == "line" {
				if got := w.rest(); got != "" {
					t.Errorf("%s: %s", breach, got)
				}
			} else {
				w.wantClose(protocol.ClosePolicy)
			}
		}
	}
}

// expect takes frames until something else comes, which has to be line.
func (w *watcher) expect(line string) {
	w.t.Helper()
	for {
		if got := w.next(); got == line {
			return
		} else if got != "" {
			w.t.Fatalf("%s: %q, want %q", w.name, got, line)
		}
	}
}

// Goal: a session that ends in the middle of frames leaves nothing behind. Method: watchers that come and go at random
// while a game runs; in the end nobody is counted and a newcomer gets a whole stream.
func TestWatchersComeAndGo(t *testing.T) {
	s := startGames(t, nil)
	g := s.game(t, 10*time.Millisecond, game.GridSpec{Width: 256, Height: 256})
	must(t, g.Start(t.Context(), player))
	before := counter(t, "gosper_stream_watchers")
	done := make(chan error, 8)
	for i := range 8 {
		go func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for range 20 {
				c, err := net.Dial("tcp", s.Addr("line").String())
				if err != nil {
					done <- err
					return
				}
				what, most := "cells", int64(50_000)
				if rng.IntN(2) == 0 {
					what, most = "view 0,0,64,64", 5000 // little comes of a small view once it is still
				}
				fmt.Fprintf(c, "00REGISTERw/p%d/\r\n00000WATCH%s/0 %s\r\n", i, g.ID(), what)
				c.SetReadDeadline(time.Now().Add(patience))
				_, err = io.CopyN(io.Discard, c, rng.Int64N(most))
				c.Close()
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		must(t, <-done)
	}
	wait(t, "end of all watches", func() bool { return counter(t, "gosper_stream_watchers") == before })
	w := s.watcher(t, "ws")
	w.watch(g, 0, protocol.WatchCells, grid.Rect{})
	w.until("a stream", func() bool { return w.f.Begun() && w.f.Generation() > 50 })
}
