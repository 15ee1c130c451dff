package game

import (
	"fmt"

	"gosper/grid"
	"gosper/protocol"
)

// Stream names one of the streams of a game: frames of a stream are the same for all its watchers.
type Stream struct {
	Grid int
	Mode protocol.WatchMode
	View grid.Rect // of whole tiles, for WatchView; zero for other modes
	Text bool      // for the line door; otherwise binary frames
}

// FrameKind says what a frame holds.
type FrameKind uint8

// The kinds of frames.
const (
	FrameSnapshot FrameKind = iota // all of the grid, or of the view
	FrameDelta                     // one generation
	FrameEdits                     // edits of the present generation
	FrameMark                      // a generation and its hash
	FrameEnd                       // the game is over: no data, and nothing comes after it

	frameKinds
)

var frameKindNames = [frameKinds]string{"snapshot", "delta", "edits", "mark", "end"}

// String returns the name of the kind, as in metrics.
func (k FrameKind) String() string {
	if k >= frameKinds {
		return fmt.Sprintf("frame(%d)", uint8(k))
	}
	return frameKindNames[k]
}

// Frame is one message of a stream, made once for all its watchers.
//
// Frames of a stream come in the order in which they are to be applied. A watcher starts with a snapshot, which it gets
// after Host.Want, and applies all frames behind it: a delta makes the generation after the one the watcher has, edits
// and marks name the generation it must be at (a watcher of edits computes that far by itself). Who has a newer
// generation of the same epoch passes over a snapshot that others asked for; a snapshot of another epoch is for all.
type Frame struct {
	Game       ID
	Stream     Stream
	Kind       FrameKind
	Epoch      uint32
	Generation uint64 // after the frame is applied
	Hash       uint64 // of all live cells of the grid then
	// Data is a whole binary message (protocol.GridHeader and payload), or with Stream.Text the payload of 000000GRID
	// (snapshots) or 00000DELTA. Shared by all watchers and never written again.
	Data []byte
}

// Sink takes what games tell. Its methods are called by workers, for one game one at a time and in order; they must not
// block nor call back into the game.
type Sink interface {
	Frame(*Frame)
	Notice(*Notice)
}

// NoticeKind says what a notice is about.
type NoticeKind uint8

// The kinds of notices.
const (
	NoticeUsers NoticeKind = iota // users came, went, or changed names or colours
	NoticeState                   // state, interval, name or epoch changed
	NoticeOwner                   // the game passed from Previous to Info.Owner
	NoticeEnd                     // the game is over
)

// Notice tells watchers and users of a game about a change of it.
type Notice struct {
	Kind     NoticeKind
	Info     *Info  // as it is now; shared, read only
	Previous string // NoticeOwner: id of the user who owned the game
}

// watch is what a game knows of a stream.
type watch struct {
	refs   int
	wanted bool // somebody waits for a snapshot
}

// gridPlan is what has to be made for the watchers of one grid. The worker owns it.
type gridPlan struct {
	streams   []Stream
	delta     bool // some binary stream needs the delta of a tick
	edits     bool // some binary stream needs edits
	textCells bool
	textEdits bool
	marks     bool // some stream needs marks

	text  []grid.Cell // live cells as watchers of text know them, when valid
	valid bool
}

func newGridPlans(grids int, watches map[Stream]*watch) []gridPlan {
	plans := make([]gridPlan, grids)
	for s := range watches {
		p := &plans[s.Grid]
		p.streams = append(p.streams, s)
		live := s.Mode != protocol.WatchEdits
		p.marks = p.marks || !live
		if s.Text {
			p.textCells = p.textCells || live
			p.textEdits = true
		} else {
			p.delta = p.delta || live
			p.edits = true
		}
	}
	return plans
}

// checkStream refuses what a game with these grids cannot show, and makes the view one of whole tiles, so that watchers
// who look at nearly the same share one.
func checkStream(s Stream, specs []GridSpec, l *Limits) (Stream, error) {
	if s.Grid < 0 || s.Grid >= len(specs) {
		return s, ErrNoGrid
	}
	spec := specs[s.Grid]
	width, height := spec.Width, spec.Height
	switch s.Mode {
	case protocol.WatchCells, protocol.WatchEdits:
		s.View = grid.Rect{}
	case protocol.WatchView:
		view, ok := grid.AlignView(s.View, width, height)
		if !ok {
			return s, fmt.Errorf("%w: the view shows no cell of the %dx%d grid", ErrInvalid, width, height)
		}
		s.View = view
	default:
		return s, fmt.Errorf("%w: watch mode %d", ErrInvalid, s.Mode)
	}
	if s.Text { // the cells of the whole grid are looked at, whatever the view
		if err := within("text_cells", width*height, l.TextCells); err != nil {
			return s, err
		}
	}
	return s, nil
}

// flags of the binary frames of a grid.
func (s GridSpec) flags() protocol.GridFlags {
	switch s.Mode {
	case Owners:
		return protocol.GridOwners
	case Blended, Channels:
		return protocol.GridBlended
	}
	return 0
}

// liveCells returns the live cells of a grid in row-major order.
func liveCells(g *grid.Grid) []grid.Cell {
	o := g.Options()
	p, err := g.Extract(grid.Rect{Width: o.Width, Height: o.Height})
	if err != nil {
		panic(err) // the rectangle is the grid
	}
	return p.Cells
}

// flips returns the cells that live in one of two lists alone: the newborn as they are now, the dead with state 1.
func flips(before, after []grid.Cell) []grid.Cell {
	var out []grid.Cell
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(before) == 0 || len(after) > 0 && precedes(after[0], before[0]):
			out = append(out, after[0])
			after = after[1:]
		case len(after) == 0 || precedes(before[0], after[0]):
			c := before[0]
			c.State = 1
			out = append(out, c)
			before = before[1:]
		default:
			before, after = before[1:], after[1:]
		}
	}
	return out
}

func precedes(a, b grid.Cell) bool { return a.Y < b.Y || a.Y == b.Y && a.X < b.X }

// appendRuns appends the cells that lie in view (the zero rectangle: all) as RLE on one line.
func appendRuns(dst []byte, cells []grid.Cell, view grid.Rect) []byte {
	if view != (grid.Rect{}) {
		var in []grid.Cell
		for _, c := range cells {
			if x, y := int(c.X)-view.X, int(c.Y)-view.Y; x >= 0 && y >= 0 && x < view.Width && y < view.Height {
				in = append(in, c)
			}
		}
		cells = in
	}
	return grid.AppendRunLine(dst, &grid.Pattern{Cells: cells})
}
