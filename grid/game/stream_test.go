package game

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gosper/grid"
	"gosper/protocol"
)

// follower is a client of one stream: it begins with a snapshot, applies every frame, and checks every hash.
type follower struct {
	t          *testing.T
	stream     Stream
	spec       GridSpec
	g          *grid.Grid // binary
	live       map[[2]int32]uint8
	epoch      uint32
	generation uint64
	begun      bool
	frames     int
	bytes      int
}

func newFollower(t *testing.T, s Stream, spec GridSpec) *follower {
	g, err := grid.New(spec.options(), nil)
	mustDo(t, err)
	return &follower{t: t, stream: s, spec: spec, g: g}
}

// take applies a frame as a client does.
func (f *follower) take(fr *Frame) {
	f.t.Helper()
	if fr.Stream != f.stream || fr.Kind == FrameEnd {
		return
	}
	if fr.Kind == FrameSnapshot && f.begun && fr.Epoch == f.epoch || fr.Kind != FrameSnapshot && !f.begun {
		return
	}
	f.frames++
	f.bytes += len(fr.Data)
	f.begun = true
	if f.stream.Text {
		f.takeText(fr)
	} else {
		f.takeBinary(fr)
	}
	if f.generation != fr.Generation || f.epoch != fr.Epoch {
		f.t.Fatalf("%v frame of generation %d, the follower is at %d", fr.Kind, fr.Generation, f.generation)
	}
}

func (f *follower) takeBinary(fr *Frame) {
	f.t.Helper()
	h, payload, err := protocol.ParseGridHeader(fr.Data)
	mustDo(f.t, err)
	kinds := map[FrameKind]protocol.GridKind{FrameSnapshot: protocol.GridSnapshot, FrameDelta: protocol.GridDelta, FrameEdits: protocol.GridEdits, FrameMark: protocol.GridTick}
	if h.Kind != kinds[fr.Kind] || h.Flags != f.spec.flags() || int(h.Grid) != f.stream.Grid || h.Game != uint64(fr.Game) || h.Generation != fr.Generation || h.Hash != fr.Hash || h.Epoch != fr.Epoch {
		f.t.Fatalf("header %+v of frame %+v", h, fr)
	}
	if f.stream.Mode == protocol.WatchEdits && fr.Kind != FrameSnapshot {
		f.g.Run(fr.Generation-f.g.Generation(), nil)
	}
	switch fr.Kind {
	case FrameSnapshot:
		err = f.g.ApplySnapshot(payload)
	case FrameDelta, FrameEdits:
		err = f.g.ApplyDelta(payload)
	}
	mustDo(f.t, err)
	f.epoch, f.generation = h.Epoch, f.g.Generation()
	if f.stream.Mode != protocol.WatchView && f.g.Hash() != h.Hash {
		f.t.Fatalf("%v of generation %d: hash %x, want %x", fr.Kind, h.Generation, f.g.Hash(), h.Hash)
	}
}

func (f *follower) takeText(fr *Frame) {
	f.t.Helper()
	l, err := protocol.ParseGridLine(fr.Data, fr.Kind == FrameSnapshot)
	mustDo(f.t, err)
	if l.Game != fr.Game.String() || int(l.Grid) != f.stream.Grid || l.Generation != fr.Generation || l.Hash != fr.Hash {
		f.t.Fatalf("line %s", fr.Data)
	}
	p, err := grid.ParseRLE([]byte(fmt.Sprintf("x = %d, y = %d\n%s", f.spec.Width, f.spec.Height, l.Runs)), grid.PatternLimits{})
	mustDo(f.t, err)
	switch {
	case fr.Kind == FrameSnapshot:
		f.live = map[[2]int32]uint8{}
	case f.stream.Mode == protocol.WatchEdits:
		f.stepText(l.Generation - f.generation)
	}
	for _, c := range p.Cells {
		at := [2]int32{c.X, c.Y}
		if _, lives := f.live[at]; lives {
			delete(f.live, at)
		} else {
			f.live[at] = c.State
		}
	}
	f.epoch, f.generation = fr.Epoch, l.Generation
	if g := f.textGrid(); f.stream.Mode != protocol.WatchView && g.Hash() != l.Hash {
		f.t.Fatalf("%v of generation %d: %d cells with another hash", fr.Kind, l.Generation, len(f.live))
	}
}

// textGrid is a plain grid with the live cells.
func (f *follower) textGrid() *grid.Grid {
	spec := f.spec
	spec.Mode, spec.Owners = Plain, 0
	g, err := grid.New(spec.options(), nil)
	mustDo(f.t, err)
	for at := range f.live {
		mustDo(f.t, g.Place(int(at[0]), int(at[1]), 0))
	}
	return g
}

func (f *follower) stepText(n uint64) {
	g := f.textGrid()
	g.Run(n, nil)
	f.live = map[[2]int32]uint8{}
	for _, c := range liveCells(g) {
		f.live[[2]int32{c.X, c.Y}] = 1
	}
}

// cells are the live cells with their owners where text and binary streams tell them.
func (f *follower) cells(view grid.Rect) []grid.Cell {
	var cells []grid.Cell
	if f.stream.Text {
		for at, state := range f.live {
			cells = append(cells, grid.Cell{X: at[0], Y: at[1], State: state})
		}
		slices.SortFunc(cells, func(a, b grid.Cell) int {
			if precedes(a, b) {
				return -1
			}
			return 1
		})
	} else {
		cells = liveCells(f.g)
	}
	if view == (grid.Rect{}) {
		return cells
	}
	return slices.DeleteFunc(cells, func(c grid.Cell) bool {
		return int(c.X) < view.X || int(c.Y) < view.Y || int(c.X) >= view.X+view.Width || int(c.Y) >= view.Y+view.Height
	})
}

// Goal: every stream shows the game as it is, from wherever its watcher joins, with edits, pauses, a rewind and a
// restart, and every frame has the right hash. Method: followers of all modes and forms on grids of all modes, some of
// which join late; under a fake clock.
func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		w := newWorld(t, func(w *world) { w.sink = r })
		g := w.create(CreateRequest{Interval: 100 * time.Millisecond, Persistent: true, Grids: []GridSpec{
			{Width: 200, Height: 130, Mode: Owners, Owners: 5},
			{Width: 130, Height: 100, Topology: grid.Plane, Mode: Blended},
			{Width: 128, Height: 64},
		}})
		must[User](t)(g.Join(ctx, "bob", "Bob", AnyColour))
		var all []*follower
		watch := func() {
			for i, spec := range g.Info().Grids {
				for mode := range protocol.WatchView + 1 {
					for _, text := range []bool{false, true} {
						s := must[Stream](t)(w.h.Watch(g.ID(), Stream{Grid: i, Mode: mode, View: grid.Rect{X: 70, Y: 10, Width: 20, Height: 20}, Text: text}))
						w.h.Want(g.ID(), s)
						all = append(all, newFollower(t, s, spec))
					}
				}
			}
		}
		taken := 0
		check := func(when string) {
			t.Helper()
			synctest.Wait()
			for _, f := range r.frames[taken:] {
				for _, c := range all {
					c.take(f)
				}
			}
			taken = len(r.frames)
			for _, c := range all {
				p := must[*grid.Pattern](t)(g.Export(ctx, c.stream.Grid))
				want := p.Cells
				want = slices.DeleteFunc(want, func(cell grid.Cell) bool {
					v := c.stream.View
					return v != (grid.Rect{}) && (int(cell.X) < v.X || int(cell.Y) < v.Y || int(cell.X) >= v.X+v.Width || int(cell.Y) >= v.Y+v.Height)
				})
				got := c.cells(c.stream.View)
				if c.stream.Mode == protocol.WatchEdits {
					if c.generation != p.Generation {
						continue // it computes what comes between marks itself
					}
					if c.stream.Text { // plain Life knows no owners
						want = plain(want)
						got = plain(got)
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%s: %+v at generation %d has %d cells, the game at %d has %d", when, c.stream, c.generation, len(got), p.Generation, len(want))
				}
			}
		}
		rng := rand.New(rand.NewPCG(1, 2))
		draw := func() {
			for i := range g.Info().Grids {
				for _, user := range []string{"anna", "bob"} {
					must[Ack](t)(g.EditWait(ctx, user, i, Edit{Kind: Stamp, Policy: Skip, X: int32(rng.IntN(120)), Y: int32(rng.IntN(90)), Pattern: soup(rng, 20, 20, 0.4)}))
				}
			}
		}
		draw()
		watch()
		check("joined")
		draw()
		check("edited while paused")
		mustDo(t, g.Start(ctx, "bob"))
		time.Sleep(3 * time.Second)
		check("running")
		watch() // the same streams: nothing changes for those who are there
		draw()
		time.Sleep(5 * time.Second)
		check("edited while running")
		mustDo(t, g.Pause(ctx, "anna"))
		must[uint64](t)(g.Step(ctx, "anna", 7))
		check("stepped")
		mustDo(t, g.Rewind(ctx, "anna", 20))
		check("rewound")
		must[Ack](t)(g.Import(ctx, "anna", 2, soup(rng, 128, 64, 0.3), 0, 0))
		check("imported")
		must[uint64](t)(g.Step(ctx, "anna", 3))
		check("stepped again")
		mustDo(t, g.Start(ctx, "bob"))
		time.Sleep(4 * time.Second)
		check("running again")
		late := must[*Frame](t)(g.Look(ctx, 1, 22))
		f := newFollower(t, late.Stream, g.Info().Grids[1])
		f.take(late)
		mustDo(t, g.End(ctx, "anna"))
		synctest.Wait()
		ends := 0
		for _, f := range r.frames[taken:] {
			if f.Kind == FrameEnd {
				ends++
			}
		}
		if ends != 18 {
			t.Errorf("%d streams were told of the end", ends)
		}
	})
}

func plain(cells []grid.Cell) []grid.Cell {
	cells = slices.Clone(cells)
	for i := range cells {
		cells[i].State = 1
	}
	return cells
}

// Goal: a quiet game costs a watcher of edits at most 64 bytes a second, a settled grid a watcher of cells at most 64
// bytes a tick, and nobody costs nothing. Method: count bytes under a fake clock.
func TestQuietGameIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		w := newWorld(t, func(w *world) { w.sink = r })
		g := w.create(CreateRequest{Interval: 100 * time.Millisecond})
		must[Ack](t)(g.EditWait(ctx, "anna", 0, Edit{Kind: Stamp, Pattern: block(), X: 5, Y: 5}))
		mustDo(t, g.Start(ctx, "anna"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(r.frames) != 0 {
			t.Fatalf("%d frames for nobody", len(r.frames))
		}
		var cells, edits int
		for _, mode := range []protocol.WatchMode{protocol.WatchCells, protocol.WatchEdits} {
			must[Stream](t)(w.h.Watch(g.ID(), Stream{Mode: mode}))
		}
		time.Sleep(100 * time.Second)
		synctest.Wait()
		for _, f := range r.frames {
			if f.Stream.Mode == protocol.WatchEdits {
				edits += len(f.Data) + 2 // with the header of its websocket frame
			} else {
				cells += len(f.Data) + 2
			}
		}
		t.Logf("%d bytes in 100 s and 1000 ticks for a watcher of cells, %d for one of edits", cells, edits)
		if edits > 64*100 || edits == 0 || cells > 64*1001 || cells == 0 {
			t.Errorf("a quiet game costs %d and %d bytes", cells, edits)
		}
	})
}

// Goal: who watches edits, and so computes generations alone, is told where the game rests: when it is paused and after
// steps, also when no edit changed a cell. Method: the last frame of each kind of stream under a fake clock.
func TestEditsWatchersAreToldWhereItRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder()
		w := newWorld(t, func(w *world) { w.sink = r })
		g := w.create(CreateRequest{Interval: 100 * time.Millisecond})
		for _, text := range []bool{false, true} {
			must[Stream](t)(w.h.Watch(g.ID(), Stream{Mode: protocol.WatchEdits, Text: text}))
		}
		rests := func(when string) {
			t.Helper()
			synctest.Wait()
			last := map[bool]uint64{}
			for _, f := range r.frames {
				last[f.Stream.Text] = f.Generation
			}
			if want := g.Info().Generation; last[false] != want || last[true] != want {
				t.Errorf("%s: watchers are at %v, the game at %d", when, last, want)
			}
		}
		mustDo(t, g.Start(ctx, "anna"))
		time.Sleep(750 * time.Millisecond)
		mustDo(t, g.Pause(ctx, "anna"))
		rests("paused")
		must[uint64](t)(g.Step(ctx, "anna", 3))
		rests("stepped")
	})
}

// Goal: views that show the same tiles are one stream, and their number is bounded. Method: a limit of 2.
func TestViewsAreShared(t *testing.T) {
	w := newWorld(t, func(w *world) { w.limits.Views, w.limits.TextCells = 2, 1000 })
	g := w.create(CreateRequest{Grids: []GridSpec{{Width: 300, Height: 300}}})
	view := func(x, y int) (Stream, error) {
		return w.h.Watch(g.ID(), Stream{Mode: protocol.WatchView, View: grid.Rect{X: x, Y: y, Width: 10, Height: 10}})
	}
	a, b := must[Stream](t)(view(1, 1)), must[Stream](t)(view(40, 50))
	if a != b || a.View != (grid.Rect{Width: 64, Height: 64}) {
		t.Fatalf("%+v and %+v", a, b)
	}
	must[Stream](t)(view(100, 1))
	_, err := view(200, 1)
	wantErr(t, err, ErrLimit)
	w.h.Unwatch(g.ID(), a)
	_, err = view(200, 1)
	wantErr(t, err, ErrLimit)
	w.h.Unwatch(g.ID(), a)
	w.h.Unwatch(g.ID(), a) // once too often
	must[Stream](t)(view(200, 1))
	_, err = w.h.Watch(g.ID(), Stream{Text: true})
	wantErr(t, err, ErrLimit)
}

// Goal: a game comes back from text as it was. Method: export, RLE, import, with owners.
func TestExportImport(t *testing.T) {
	w := newWorld(t)
	g := w.create(CreateRequest{Name: "Gärten", Grids: []GridSpec{{Width: 70, Height: 40, Mode: Owners, Topology: grid.Plane}, {Width: 70, Height: 40, Mode: Owners, Topology: grid.Plane}}})
	must[User](t)(g.Join(ctx, "bob", "Bob", AnyColour))
	rng := rand.New(rand.NewPCG(3, 4))
	must[Ack](t)(g.EditWait(ctx, "anna", 0, Edit{Kind: Stamp, Pattern: soup(rng, 30, 40, 0.4)}))
	must[Ack](t)(g.EditWait(ctx, "bob", 0, Edit{Kind: Stamp, Pattern: soup(rng, 30, 40, 0.4), X: 40}))
	must[uint64](t)(g.Step(ctx, "bob", 10))
	p := must[*grid.Pattern](t)(g.Export(ctx, 0))
	text := string(grid.AppendRLE(nil, p))
	if !strings.Contains(text, "#N Gärten\n") || !strings.Contains(text, "Gen=10") || !strings.Contains(text, "rule = B3/S23:P70,40") {
		t.Fatal(text[:100])
	}
	back, err := grid.ParseRLE([]byte(text), grid.PatternLimits{})
	mustDo(t, err)
	ack := must[Ack](t)(g.Import(ctx, "anna", 1, back, 0, 0))
	mustDo(t, ack.Err())
	q := must[*grid.Pattern](t)(g.Export(ctx, 1))
	if !slices.Equal(p.Cells, q.Cells) {
		t.Fatal("the cells differ")
	}
	stats := must[[]GridStats](t)(g.Stats(ctx))
	if stats[0].Hash != stats[1].Hash || stats[1].Owners["bob"] == 0 || stats[1].Owners["bob"] != stats[0].Owners["bob"] {
		t.Fatalf("%+v", stats)
	}
	if !bytes.Equal(grid.AppendRuns(nil, p), grid.AppendRuns(nil, q)) {
		t.Fatal("the runs differ")
	}
}
