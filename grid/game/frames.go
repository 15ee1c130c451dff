package game

import (
	"time"

	"gosper/grid"
	"gosper/protocol"
)

// What a game sends to its watchers. All of this runs on the worker that has the game.

// stepGrid computes one generation of grid i and makes its frames.
func (g *Game) stepGrid(i int, now time.Time) {
	gr, p := g.m.grids[i], &g.plans[i]
	if len(p.streams) == 0 {
		gr.Step()
		p.valid = false
		return
	}
	var before []grid.Cell
	if p.textCells {
		before = p.known(gr)
	}
	if p.delta {
		g.scratch = gr.StepDelta(g.scratch[:0])
	} else {
		gr.Step()
	}
	p.valid = false
	var changed []grid.Cell
	if p.textCells {
		changed = flips(before, p.known(gr))
	}
	mark := p.marks && now.Sub(g.hashed) >= g.host.limits.HashEvery
	for _, s := range p.streams {
		switch {
		case s.Mode == protocol.WatchEdits && mark:
			g.emitMark(s)
		case s.Mode == protocol.WatchEdits:
		case s.Text:
			g.emitText(s, FrameDelta, changed)
		default:
			g.emitBinary(s, FrameDelta, g.scratch)
		}
	}
}

// known returns the live cells of the plan's grid, looking them up when they are not known.
func (p *gridPlan) known(gr *grid.Grid) []grid.Cell {
	if !p.valid {
		p.text, p.valid = liveCells(gr), true
	}
	return p.text
}

// beforeEdits readies grid i for edits, for the watchers of text.
func (g *Game) beforeEdits(i int) {
	if p := &g.plans[i]; p.textEdits {
		p.known(g.m.grids[i])
	}
}

// afterEdits sends what edits changed on grid i.
func (g *Game) afterEdits(i int) {
	gr, p := g.m.grids[i], &g.plans[i]
	before := p.text
	p.valid = false
	if len(p.streams) == 0 {
		return
	}
	var changed []grid.Cell
	if p.textEdits {
		changed = flips(before, p.known(gr))
	}
	if p.edits {
		g.scratch = gr.AppendEdits(g.scratch[:0])
	}
	for _, s := range p.streams {
		switch {
		case s.Text && len(changed) > 0:
			g.emitText(s, FrameEdits, changed)
		case !s.Text && len(g.scratch) > 0:
			g.emitBinary(s, FrameEdits, g.scratch)
		}
	}
}

// sendSnapshots sends a snapshot to each stream of which somebody waits for one.
func (g *Game) sendSnapshots(wanted []Stream) {
	var shared [][]byte // by grid: the whole snapshot, for cells and edits
	for _, s := range wanted {
		gr := g.m.grids[s.Grid]
		switch {
		case s.Text:
			g.emitText(s, FrameSnapshot, g.plans[s.Grid].known(gr))
		case s.Mode == protocol.WatchView:
			g.emit(s, FrameSnapshot, gr.AppendView(g.header(s.Grid, protocol.GridSnapshot), s.View))
		default:
			if shared == nil {
				shared = make([][]byte, len(g.m.grids))
			}
			if shared[s.Grid] == nil {
				shared[s.Grid] = gr.AppendSnapshot(g.header(s.Grid, protocol.GridSnapshot))
			}
			g.emit(s, FrameSnapshot, shared[s.Grid])
		}
	}
}

// emitBinary sends a delta or edits, cut to the stream's view.
func (g *Game) emitBinary(s Stream, kind FrameKind, payload []byte) {
	wire := protocol.GridDelta
	if kind == FrameEdits {
		wire = protocol.GridEdits
	}
	if s.Mode != protocol.WatchView {
		g.emit(s, kind, append(g.headerFor(s.Grid, wire, len(payload)), payload...))
		return
	}
	data, err := g.m.grids[s.Grid].AppendViewDelta(g.header(s.Grid, wire), payload, s.View)
	if err != nil {
		panic(err) // the payload was made a moment ago
	}
	g.emit(s, kind, data)
}

func (g *Game) emitMark(s Stream) {
	if s.Text {
		g.emitText(s, FrameMark, nil)
		return
	}
	g.emit(s, FrameMark, g.headerFor(s.Grid, protocol.GridTick, 0))
}

// sendMarks tells the watchers of edits where the game rests: while it runs they compute by themselves, and nothing else
// would say at which generation it was paused or how far it was stepped.
func (g *Game) sendMarks() {
	for i := range g.plans {
		for _, s := range g.plans[i].streams {
			if s.Mode == protocol.WatchEdits {
				g.emitMark(s)
			}
		}
	}
}

func (g *Game) emitText(s Stream, kind FrameKind, cells []grid.Cell) {
	l := protocol.GridLine{
		GridName:   protocol.GridName{Game: g.id.String(), Grid: uint16(s.Grid)},
		Generation: g.m.grids[s.Grid].Generation(),
		Hash:       g.m.grids[s.Grid].Hash(),
		Runs:       appendRuns(nil, cells, s.View),
	}
	if kind == FrameSnapshot {
		l.Width, l.Height = uint32(g.m.specs[s.Grid].Width), uint32(g.m.specs[s.Grid].Height)
	}
	g.emit(s, kind, protocol.AppendGridLine(nil, l))
}

// header returns a new slice with the header of a binary frame of grid i as it is now.
func (g *Game) header(i int, kind protocol.GridKind) []byte { return g.headerFor(i, kind, 96) }

// headerFor has room for a payload of that size.
func (g *Game) headerFor(i int, kind protocol.GridKind, payload int) []byte {
	gr := g.m.grids[i]
	return protocol.AppendGridHeader(make([]byte, 0, protocol.GridHeaderSize+payload), protocol.GridHeader{
		Kind: kind, Flags: g.m.specs[i].flags(), Grid: uint16(i), Epoch: g.m.epoch, Game: uint64(g.id),
		Generation: gr.Generation(), Hash: gr.Hash(),
	})
}

func (g *Game) emit(s Stream, kind FrameKind, data []byte) {
	f := &Frame{Game: g.id, Stream: s, Kind: kind, Epoch: g.m.epoch, Data: data}
	if s.Grid < len(g.m.grids) {
		f.Generation, f.Hash = g.m.grids[s.Grid].Generation(), g.m.grids[s.Grid].Hash()
	}
	framesTotal[kind].Inc()
	frameBytes.Add(len(data))
	g.host.sink.Frame(f)
}
