package grid

import (
	"errors"
	"fmt"
)

// AnalyseOptions say how long and where [Analyse] watches a pattern. Zero
// fields mean their defaults.
type AnalyseOptions struct {
	// Generations is the most generations that are computed, default 60,000.
	// Each costs 8 bytes of memory, and up to 40 on a small universe.
	Generations uint64
	// Side is the most columns and rows of the plane that stands for the
	// endless one, default 32,768 (256 MiB of cells). The plane starts small
	// and doubles when live cells come near its edge.
	Side int
	// Bounded, when its sides are above 0, is the universe to use instead of
	// an endless plane. Its rule is ignored: the pattern's counts.
	Bounded Options
	// X and Y are where the pattern's corner lies in a bounded universe.
	X, Y int
	// Kernel is as in [Options].
	Kernel Kernel
	// Stop, where it is not nil, is asked every few generations whether to
	// stop.
	Stop func() bool
	// All goes on to Generations even when the pattern's fate is known before.
	All bool
}

func (o AnalyseOptions) withDefaults() AnalyseOptions {
	if o.Generations == 0 {
		o.Generations = 60_000
	}
	if o.Side == 0 {
		o.Side = 1 << 15
	}
	return o
}

// Fate is what becomes of a pattern.
type Fate uint8

// The fates.
const (
	// Undecided: it was not watched long enough.
	Undecided Fate = iota
	// Dies: no live cell is left.
	Dies
	// Settles: nothing is left but things that stay and repeat, and things that
	// fly apart from them and from each other for ever. This is proven.
	Settles
	// Grows: the population has grown by the same number in every period for
	// at least four periods. This is observed.
	Grows
)

var fateNames = [...]string{"undecided", "dies", "settles", "grows"}

// String returns the fate in one word.
func (f Fate) String() string { return fateNames[f] }

// Analysis is what [Analyse] finds out.
type Analysis struct {
	Fate Fate
	// Since is the first generation from which on the fate holds: everything
	// that is left is there and undisturbed, the population is 0, or the
	// growth is steady.
	Since uint64
	// Period is that of what stays in place, of the whole where nothing stays,
	// or of the growth. 0 where there is none.
	Period int
	// EnginePeriod is that of the engine of a growing pattern, the cells that
	// make it grow; 0 where it was not found. It may be a multiple of Period.
	EnginePeriod int
	// DX and DY are how far a lone spaceship moves in a Period, or the engine
	// of a growing pattern in an EnginePeriod.
	DX, DY int
	// Growth is by how many cells the population grows in a Period.
	Growth int64
	// Objects is what is left, the most frequent first; only when it settles.
	Objects []Object
	// Population holds the live cells of every generation from 0 on.
	Population []int64
	// Reached says that live cells came near the edge of the largest plane, so
	// that the watching had to end.
	Reached bool
	// Side is the side of the plane that was used, 0 for a bounded universe.
	Side int
	// Final is the last generation's live cells, cropped.
	Final *Pattern
}

// At returns the population of the generation from which the fate holds.
func (a *Analysis) At() int64 {
	if a.Since < uint64(len(a.Population)) {
		return a.Population[a.Since]
	}
	return 0
}

// errGrow says that the plane is too small and a larger one may be taken.
var errGrow = errors.New("the plane is too small")

// Analyse runs p and finds out what becomes of it. It is exact where it says
// that a pattern settles or dies, see [Fate]. Memory: the plane, and up to 40
// bytes a generation. Errors are those of [New] and [Grid.Stamp].
func Analyse(p *Pattern, o AnalyseOptions) (*Analysis, error) {
	o = o.withDefaults()
	if o.Bounded.Width > 0 {
		w, err := newWatch(p, o, o.Bounded, o.X, o.Y)
		if err != nil {
			return nil, err
		}
		return w.run()
	}
	p = p.Clone()
	p.Crop()
	for side := firstSide(p, o.Side); ; side = min(2*side, o.Side) {
		a, err := analyseOn(p, o, side)
		if !errors.Is(err, errGrow) {
			return a, err
		}
	}
}

// firstSide is the smallest plane worth a try, at most most.
func firstSide(p *Pattern, most int) int {
	side := 1024
	for side < 4*int(max(p.Width, p.Height)) {
		side *= 2
	}
	return min(side, most)
}

// analyseOn runs p in the middle of a plane.
func analyseOn(p *Pattern, o AnalyseOptions, side int) (*Analysis, error) {
	if int(max(p.Width, p.Height)) > side-2*nearEdge {
		return nil, fmt.Errorf("%w: the pattern is %d by %d cells, and the largest plane allowed has a side of %d", ErrOptions, p.Width, p.Height, side)
	}
	universe := Options{Width: side, Height: side, Topology: Plane}
	w, err := newWatch(p, o, universe, (side-int(p.Width))/2, (side-int(p.Height))/2)
	if err != nil {
		return nil, err
	}
	w.endless = true
	a, err := w.run()
	if a != nil {
		a.Side = side
		if a.Final != nil {
			// Say where the cells are from the pattern's first corner, not from
			// that of the plane.
			a.Final.OriginX -= int32((side - int(p.Width)) / 2)
			a.Final.OriginY -= int32((side - int(p.Height)) / 2)
		}
	}
	return a, err
}

// watch is one run of [Analyse] on one grid.
type watch struct {
	o       AnalyseOptions
	start   *Pattern
	x, y    int
	g       *Grid
	a       *Analysis
	endless bool
	motions *motions

	// hashes finds the first generation with the same cells; nil on planes so
	// large that hashing them would cost more than it finds.
	hashes map[uint64]uint64
	// edgeAt is the next generation at which live cells could be near an edge.
	edgeAt uint64
}

// hashSide is the largest side of an endless plane that is hashed every
// generation. What only oscillates does not need a larger one.
const hashSide = 4096

func newWatch(p *Pattern, o AnalyseOptions, universe Options, x, y int) (*watch, error) {
	universe.Rule, universe.Kernel = p.Rule, o.Kernel
	w := &watch{o: o, start: p, x: x, y: y, a: &Analysis{}}
	var err error
	if w.g, err = w.fresh(universe); err != nil {
		return nil, err
	}
	w.motions = newMotions(w.g.Options().Rule)
	return w, nil
}

// fresh makes a grid with the pattern on it, at generation 0.
func (w *watch) fresh(universe Options) (*Grid, error) {
	g, err := New(universe, nil)
	if err != nil {
		return nil, err
	}
	return g, g.Stamp(w.start, w.x, w.y, StampOptions{Wrap: true})
}

// How often things are looked at, in generations.
const (
	firstLook = 128 // before the first look for a fate
	lookStep  = 64  // between looks, at least
	nearEdge  = 8   // cells from the edge of a plane at which it is too small
	stopStep  = 256 // between questions whether to stop
)

// run steps until the fate is known or the limits are reached.
func (w *watch) run() (*Analysis, error) {
	if !w.endless || w.g.Options().Width <= hashSide {
		w.hashes = map[uint64]uint64{}
	}
	lookAt := uint64(firstLook)
	more, err := w.note()
	for more && err == nil {
		gen := w.g.Generation()
		if w.a.Fate == Undecided && w.endless && gen >= lookAt {
			if err = w.lookApart(); err != nil {
				break
			}
			lookAt = w.g.Generation() + max(lookStep, gen/32)
		}
		if w.a.Fate != Undecided && !w.o.All {
			break
		}
		more, err = w.tick()
	}
	if err != nil {
		return nil, err
	}
	return w.a, w.finish()
}

// finish keeps the last generation.
func (w *watch) finish() error {
	r, ok := w.g.Bounds()
	if !ok {
		r = Rect{Width: 1, Height: 1}
	}
	p, err := w.g.Extract(r)
	w.a.Final = p
	return err
}

// tick computes one generation and notes it. It returns false when the
// watching has to end.
func (w *watch) tick() (bool, error) {
	gen := w.g.Generation()
	if gen >= w.o.Generations || gen%stopStep == 0 && w.o.Stop != nil && w.o.Stop() {
		return false, nil
	}
	w.g.Step()
	return w.note()
}

// note keeps the population of the current generation and looks for the fates
// that can be told from one generation.
func (w *watch) note() (bool, error) {
	gen := w.g.Generation()
	w.a.Population = append(w.a.Population, w.g.Population())
	if w.a.Fate == Undecided {
		if w.g.Population() == 0 {
			w.a.Fate, w.a.Since = Dies, gen
		} else if w.hashes != nil {
			w.repeats(gen)
		}
	}
	if w.endless {
		return w.edge(gen)
	}
	return true, nil
}

// edge finds out in time when live cells come near the edge of the plane:
// nothing is faster than one cell a generation. It returns false when the
// largest plane is full.
func (w *watch) edge(gen uint64) (bool, error) {
	if gen < w.edgeAt {
		return true, nil
	}
	r, ok := w.g.Bounds()
	if !ok {
		return true, nil
	}
	side := w.g.Options().Width
	room := min(r.X, r.Y, side-r.X-r.Width, side-r.Y-r.Height) - nearEdge
	switch {
	case room > 0:
		w.edgeAt = gen + uint64(room)
		return true, nil
	case side < w.o.Side:
		return false, errGrow
	}
	w.a.Reached = true
	return false, nil
}

// repeats looks for an earlier generation with the same cells.
func (w *watch) repeats(gen uint64) {
	hash := w.g.Hash()
	first, seen := w.hashes[hash]
	if !seen {
		w.hashes[hash] = gen
		return
	}
	if w.a.Population[first] != w.a.Population[gen] {
		return // two states with one hash
	}
	w.a.Fate, w.a.Since, w.a.Period = Settles, first, int(gen-first)
	if w.endless {
		w.a.Objects = countObjects(w.cells(), w.motions)
	}
}

// cells returns all live cells, in coordinates of the grid.
func (w *watch) cells() []Cell {
	r, ok := w.g.Bounds()
	if !ok {
		return nil
	}
	p, err := w.g.Extract(r)
	if err != nil {
		return nil // the box of the live cells is inside the grid
	}
	for i := range p.Cells {
		p.Cells[i].X += int32(r.X)
		p.Cells[i].Y += int32(r.Y)
	}
	return p.Cells
}
