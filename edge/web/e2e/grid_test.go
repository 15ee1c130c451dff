package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/coder/websocket"

	"gosper/grid"
	"gosper/protocol"
)

// frame sends a grid frame of game 7, grid 0.
func (l *link) frame(kind protocol.GridKind, epoch uint32, g *grid.Grid, payload []byte) {
	l.t.Helper()
	data := protocol.AppendGridHeader(nil, protocol.GridHeader{Kind: kind, Epoch: epoch, Game: 7, Generation: g.Generation(), Hash: g.Hash()})
	if err := l.conn.Write(l.ctx, websocket.MessageBinary, append(data, payload...)); err != nil {
		l.t.Fatalf("send: %v", err)
	}
}

// follow makes the page take all frames with a Follower, which is `follower`.
func (p *page) follow() {
	p.t.Helper()
	p.eval(`
		window.asks = 0;
		const { step } = await import('/step.js');
		window.follower = new m.Follower(() => asks++, { step });
		window.frames = 0;
		node.on('frame', (frame) => { follower.take(frame); frames++; });
		node.open();`, nil)
}

// vectorGrids are the grids that the page must follow: every topology, kind of mark and awkward size.
var vectorGrids = []grid.Options{
	{Width: 1, Height: 1},
	{Width: 2, Height: 3, Owners: 2},
	{Width: 128, Height: 128},
	{Width: 65, Height: 130, Topology: grid.Plane},
	{Width: 100, Height: 37, Owners: 16},
	{Width: 321, Height: 321, Topology: grid.Plane, Colours: grid.ColourWhole},
	{Width: 33, Height: 64, Colours: grid.ColourChannels},
	{Width: 191, Height: 70, Topology: grid.Plane, Owners: 255, Rule: grid.Rule{Birth: 1<<3 | 1<<6, Survive: 1<<2 | 1<<3}},
	{Width: 96, Height: 96, Owners: 1, Rule: grid.Rule{Birth: 1<<2 | 1<<8, Survive: 1 | 1<<1}},
}

// scribble changes random cells.
func scribble(g *grid.Grid, r *rand.Rand, cells int) {
	o := g.Options()
	for range cells {
		x, y := r.IntN(o.Width), r.IntN(o.Height)
		mark := grid.Mark(0)
		switch {
		case o.Owners > 0:
			mark = grid.Mark(r.IntN(o.Owners))
		case o.Colours != grid.ColourNone:
			mark = grid.Mark(r.IntN(1 << 24))
		}
		if g.Alive(x, y) {
			_ = g.Kill(x, y)
		} else {
			_ = g.Place(x, y, mark)
		}
	}
}

// living lists the live cells with their marks.
func living(g *grid.Grid) [][3]int {
	list := [][3]int{}
	o := g.Options()
	for y := range o.Height {
		for x := range o.Width {
			if !g.Alive(x, y) {
				continue
			}
			mark := 0
			if owner, ok := g.Owner(x, y); ok {
				mark = int(owner)
			}
			if colour, ok := g.Colour(x, y); ok {
				mark = int(colour)
			}
			list = append(list, [3]int{x, y, mark})
		}
	}
	return list
}

// Goal: the page's grid is the node's, cell by cell and mark by mark, whether it is told every generation or computes
// them. Method: frames of the real encoder over the websocket, with random edits before and between generations; in the
// second round of each grid only edits and marks are sent.
func TestFollower(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	p := s.open(`{}`)
	p.follow()
	l := s.next()
	sent, epoch := 0, uint32(0)
	send := func(kind protocol.GridKind, g *grid.Grid, payload []byte) {
		sent++
		l.frame(kind, epoch, g, payload)
	}
	for n, options := range vectorGrids {
		for _, computes := range []bool{false, true} {
			r := rand.New(rand.NewPCG(uint64(n), 42))
			g, err := grid.New(options, nil)
			if err != nil {
				t.Fatal(err)
			}
			area := options.Width * options.Height
			scribble(g, r, area/3+1)
			g.Step()
			scribble(g, r, area/50+1)
			epoch++
			send(protocol.GridSnapshot, g, g.AppendSnapshot(nil))
			g.AppendEdits(nil) // the snapshot has them
			for round := range 40 {
				if round%3 == 0 {
					scribble(g, r, area/100+1)
					if edits := g.AppendEdits(nil); len(edits) > 0 {
						send(protocol.GridEdits, g, edits)
					}
				}
				if delta := g.StepDelta(nil); !computes {
					send(protocol.GridDelta, g, delta)
				}
			}
			if computes {
				send(protocol.GridTick, g, nil)
			}
			name := fmt.Sprintf("%+v, computes %v", options, computes)
			p.until(fmt.Sprintf("frames === %d", sent))
			var got struct {
				Cells            [][3]int
				Generation       uint64
				Population       int64
				Asks, Mismatches int
			}
			p.eval(`
				const cells = [];
				follower.grid.each((x, y) => cells.push([x, y, follower.grid.mark(x, y)]));
				return { cells: cells.sort((a, b) => a[1] - b[1] || a[0] - b[0]), generation: follower.grid.generation,
					population: follower.grid.population, asks, mismatches: follower.mismatches };`, &got)
			if got.Asks != 0 || got.Mismatches != 0 || got.Generation != g.Generation() || got.Population != g.Population() {
				t.Fatalf("%s: asked %d times, %d mismatches, generation %d of %d, population %d of %d", name, got.Asks, got.Mismatches,
					got.Generation, g.Generation(), got.Population, g.Population())
			}
			a, _ := json.Marshal(got.Cells)
			b, _ := json.Marshal(living(g))
			if string(a) != string(b) {
				t.Fatalf("%s: other cells", name)
			}
		}
	}
}

// Goal: a follower that lost the thread asks for a snapshot once, and goes on with it. Method: one fault a round: a hole, a
// wrong hash, another epoch, cut-off data, edits of the past; frames behind the fault must not be taken.
func TestFollowerLost(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	p := s.open(`{}`)
	p.follow()
	l := s.next()
	g, err := grid.New(grid.Options{Width: 64, Height: 64}, nil)
	if err != nil {
		t.Fatal(err)
	}
	scribble(g, rand.New(rand.NewPCG(1, 1)), 1000)
	l.frame(protocol.GridSnapshot, 1, g, g.AppendSnapshot(nil))
	old, err := grid.New(g.Options(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for round, fault := range []func(){
		func() { g.Step() },
		func() { l.frame(protocol.GridTick, 1, old, nil) },
		func() { l.frame(protocol.GridDelta, 2, g, g.StepDelta(nil)) },
		func() { l.frame(protocol.GridDelta, 1, g, g.StepDelta(nil)[:20]) },
		func() { l.frame(protocol.GridEdits, 1, old, []byte{0xd2, 0, 0, 0, 0, 0, 0, 0, 0, 0}) },
		func() { g.Step(); l.frame(protocol.GridSnapshot, 2, g, []byte{0xd3, 1, 0}) },
	} {
		fault()
		l.frame(protocol.GridDelta, 1, g, g.StepDelta(nil))
		l.frame(protocol.GridDelta, 1, g, g.StepDelta(nil))
		p.until(fmt.Sprintf("asks === %d", round+1))
		l.frame(protocol.GridSnapshot, 1, g, g.AppendSnapshot(nil))
		l.frame(protocol.GridDelta, 1, g, g.StepDelta(nil))
		p.until(fmt.Sprintf("follower.synced && follower.grid.generation === %d && asks === %d", g.Generation(), round+1))
	}
}

// Goal: a page whose view moves on before it had the first one ends up with the cells of the second. Method: the snapshots of
// two views of one generation come one behind the other, then an edit in the second; a follower of a whole grid passes over
// the second snapshot, as before.
func TestFollowerView(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	p := s.open(`{}`)
	p.follow()
	p.eval(`
		window.whole = follower;
		window.follower = new m.Follower(() => asks++, { whole: false });
		node.on('frame', (frame) => window.whole.take(frame));`, nil)
	l := s.next()
	options := grid.Options{Width: 512, Height: 512}
	first, second := mustGrid(t, options), mustGrid(t, options)
	for x := range 4 {
		if err := errors.Join(first.Place(10+x, 10, 0), second.Place(400+x, 400, 0)); err != nil {
			t.Fatal(err)
		}
	}
	l.frame(protocol.GridSnapshot, 1, first, first.AppendSnapshot(nil))
	l.frame(protocol.GridSnapshot, 1, second, second.AppendSnapshot(nil))
	p.until("frames === 2")
	p.until("follower.synced && follower.grid.alive(400, 400) && !follower.grid.alive(10, 10) && follower.grid.population === 4")
	p.until("whole.synced && whole.grid.alive(10, 10) && !whole.grid.alive(400, 400)")
	second.AppendEdits(nil) // the snapshot has them
	if err := second.Place(404, 404, 0); err != nil {
		t.Fatal(err)
	}
	l.frame(protocol.GridEdits, 1, second, second.AppendEdits(nil))
	p.until("follower.synced && follower.grid.alive(404, 404) && follower.grid.population === 5 && follower.asked === 0")
}

func mustGrid(t *testing.T, o grid.Options) *grid.Grid {
	t.Helper()
	g, err := grid.New(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
