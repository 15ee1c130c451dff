package client

import (
	"errors"
	"fmt"

	"gosper/grid"
	"gosper/protocol"
)

// Follower keeps a local copy of a grid of a game from the frames of its stream, and checks it with every hash. It knows
// no connection: Client.Watch feeds one, and other programs may feed one by themselves. It belongs to one goroutine.
type Follower struct {
	// static after construction
	mode  protocol.WatchMode
	shape grid.Options // of a text stream, which does not tell it; zero for a binary one
	most  int64        // bytes that the copy may take

	copy       *grid.Grid
	begun      bool
	generation uint64
	epoch      uint32
	hash       uint64
}

// Errors of a Follower. After any but the last the copy is of no use until the next snapshot: watch the grid again.
var (
	ErrHash      = errors.New("the copy of the grid has another hash than the grid of the game")
	ErrBehind    = errors.New("a frame of the grid does not follow the one before")
	ErrTooLarge  = errors.New("the grid is larger than this client takes")
	ErrNotBegun  = errors.New("a frame came before the first snapshot")
	errFrameKind = errors.New("a frame of an unknown kind")
)

// maxAhead is how many generations a follower of edits computes for one frame: the server tells a hash every two
// seconds, and no game has more than a thousand generations a second.
const maxAhead = 100_000

// NewFollower follows a binary stream. most bounds the bytes that the copy takes; 0 means 64 MiB, enough for 16,384 by
// 8,192 plain cells.
func NewFollower(mode protocol.WatchMode, most int64) *Follower {
	if most <= 0 {
		most = 64 << 20
	}
	return &Follower{mode: mode, most: most}
}

// NewTextFollower follows a text stream of a grid with this size, rule and topology, which the answer of /game/watch
// tells. Owners are those of the stream; colours are not in it.
func NewTextFollower(mode protocol.WatchMode, o grid.Options, most int64) *Follower {
	f := NewFollower(mode, most)
	o.Colours = grid.ColourNone
	f.shape = o
	return f
}

// Grid returns the copy, nil before the first snapshot. It changes with the next frame. Its own generation counts only
// in a binary stream: use Generation.
func (f *Follower) Grid() *grid.Grid { return f.copy }

// Generation returns the generation of the copy.
func (f *Follower) Generation() uint64 { return f.generation }

// Epoch returns the epoch of the game: it changes when the history of the game was rewound or lost. 0 in a text stream.
func (f *Follower) Epoch() uint32 { return f.epoch }

// Hash returns what the server says is the hash of all live cells of the grid; in a view those are not all here.
func (f *Follower) Hash() uint64 { return f.hash }

// Begun reports whether the copy is in step with the stream.
func (f *Follower) Begun() bool { return f.begun }

// Frame takes a binary message. Until the first snapshot everything else is passed over with ErrNotBegun.
func (f *Follower) Frame(b []byte) error {
	h, payload, err := protocol.ParseGridHeader(b)
	if err != nil {
		return f.lost(err)
	}
	switch {
	case h.Kind == protocol.GridSnapshot:
		err = f.snapshot(payload)
	case !f.begun:
		return ErrNotBegun
	case h.Epoch != f.epoch:
		err = ErrBehind
	default:
		err = f.change(h, payload)
	}
	if err != nil {
		return f.lost(err)
	}
	f.begun, f.epoch = true, h.Epoch
	return f.verify(h.Generation, h.Hash, f.copy.Generation())
}

func (f *Follower) snapshot(payload []byte) error {
	o, err := grid.SnapshotOptions(payload)
	if err != nil {
		return err
	}
	if err := f.make(o); err != nil {
		return err
	}
	return f.copy.ApplySnapshot(payload)
}

// make readies a grid for the options, the present one if it will do.
func (f *Follower) make(o grid.Options) error {
	if f.copy != nil {
		have := f.copy.Options()
		have.Kernel, o.Kernel = grid.KernelAuto, grid.KernelAuto
		if have == o {
			return nil
		}
	}
	size, err := grid.Size(o)
	if err != nil {
		return err
	}
	if size > f.most {
		return fmt.Errorf("%w: it needs %d bytes", ErrTooLarge, size)
	}
	f.copy, err = grid.New(o, nil)
	return err
}

func (f *Follower) change(h protocol.GridHeader, payload []byte) error {
	switch h.Kind {
	case protocol.GridDelta:
		return f.copy.ApplyDelta(payload)
	case protocol.GridEdits:
		if err := f.run(h.Generation); err != nil {
			return err
		}
		return f.copy.ApplyDelta(payload)
	case protocol.GridTick:
		return f.run(h.Generation)
	}
	return errFrameKind
}

// run computes the generations up to one of the server's, which only a watcher of edits has to.
func (f *Follower) run(to uint64) error {
	if to == f.generation {
		return nil
	}
	if f.mode != protocol.WatchEdits || to < f.generation || to-f.generation > maxAhead {
		return ErrBehind
	}
	f.copy.Run(to-f.generation, nil)
	return nil
}

// verify compares the copy with what the server says of it.
func (f *Follower) verify(generation, hash, reached uint64) error {
	f.generation, f.hash = generation, hash
	switch {
	case reached != generation:
		return f.lost(ErrBehind)
	case f.mode != protocol.WatchView && f.copy.Hash() != hash:
		return f.lost(ErrHash)
	}
	return nil
}

func (f *Follower) lost(err error) error {
	f.begun = false
	return err
}

// Line takes the payload of a GRID (whole) or DELTA line.
func (f *Follower) Line(payload []byte, whole bool) error {
	l, err := protocol.ParseGridLine(payload, whole)
	if err != nil {
		return f.lost(err)
	}
	if !whole && !f.begun {
		return ErrNotBegun
	}
	if err := f.line(l, whole); err != nil {
		return f.lost(err)
	}
	f.begun = true
	return f.verify(l.Generation, l.Hash, l.Generation)
}

func (f *Follower) line(l protocol.GridLine, whole bool) error {
	if whole {
		if f.shape.Width != int(l.Width) || f.shape.Height != int(l.Height) {
			return fmt.Errorf("%w: it is %d by %d cells and was said to be %d by %d", ErrTooLarge, l.Width, l.Height, f.shape.Width, f.shape.Height)
		}
		if err := f.make(f.shape); err != nil {
			return err
		}
		f.copy.Clear()
	} else if err := f.pass(l.Generation); err != nil {
		return err
	}
	p, err := f.runs(l.Runs)
	if err != nil {
		return err
	}
	for _, c := range p.Cells {
		if err := f.flip(c); err != nil {
			return err
		}
	}
	return nil
}

// pass brings a text copy to the generation a DELTA applies at.
func (f *Follower) pass(to uint64) error {
	if f.mode == protocol.WatchEdits {
		return f.run(to)
	}
	if to != f.generation && to != f.generation+1 { // a tick, or an edit
		return ErrBehind
	}
	return nil
}

func (f *Follower) runs(runs []byte) (*grid.Pattern, error) {
	head := fmt.Appendf(nil, "x = %d, y = %d\n", f.shape.Width, f.shape.Height)
	cells := f.shape.Width * f.shape.Height
	return grid.ParseRLE(append(head, runs...), grid.PatternLimits{Cells: cells, Bytes: len(head) + len(runs)})
}

// flip makes a dead cell live and a live one dead.
func (f *Follower) flip(c grid.Cell) error {
	x, y := int(c.X), int(c.Y)
	if f.copy.Inside(x, y) && f.copy.Alive(x, y) {
		return f.copy.Kill(x, y)
	}
	mark := grid.Mark(0)
	if f.shape.Owners > 0 && c.State > 0 {
		mark = grid.Mark(c.State - 1)
	}
	return f.copy.Place(x, y, mark)
}
