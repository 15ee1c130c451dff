package grid

import (
	"errors"
	"fmt"
	"math/bits"
)

// Topology says what lies beyond the edges of a grid.
type Topology uint8

// The topologies. The zero value is a torus.
const (
	// Torus joins the left edge to the right one and the top to the bottom.
	Torus Topology = iota
	// Plane has nothing but dead cells outside, which never come alive.
	Plane
)

// String returns "torus" or "plane".
func (t Topology) String() string {
	switch t {
	case Torus:
		return "torus"
	case Plane:
		return "plane"
	}
	return fmt.Sprintf("topology(%d)", uint8(t))
}

// ColourMode says whether cells carry a 24-bit colour, and how the colour of a
// newborn cell follows from those of its parents.
type ColourMode uint8

// The colour modes. The zero value keeps no colours.
const (
	ColourNone ColourMode = iota
	// ColourWhole takes the mean of the parents' colours as whole 24-bit
	// numbers, rounded down: 3cfaa0, ffffff and 7a0058 give 9253a7.
	ColourWhole
	// ColourChannels takes the mean of red, green and blue apart, each
	// rounded down: 3cfaa0, ffffff and 7a0058 give 91a8a7.
	ColourChannels
)

// String returns "none", "whole" or "channels".
func (m ColourMode) String() string {
	switch m {
	case ColourNone:
		return "none"
	case ColourWhole:
		return "whole"
	case ColourChannels:
		return "channels"
	}
	return fmt.Sprintf("colours(%d)", uint8(m))
}

// Limits of a grid's options.
const (
	// MaxSide is the largest width and height, in cells. A coordinate then
	// fits the int32 of a [Cell] with room for offsets.
	MaxSide = 1 << 24
	// MaxTiles is the largest number of 64 by 64 tiles, 16 GiB of cells.
	MaxTiles = 1 << 24
	// MaxOwners is the largest number of owners; owner+1 is a pattern's cell
	// state, a byte.
	MaxOwners = 255
)

// ErrOptions is what [Size] and [New] wrap when an option is out of range; the
// text names the option.
var ErrOptions = errors.New("grid options")

// Options describe a grid. They never change after [New].
type Options struct {
	// Width and Height are the sides in cells, 1 to [MaxSide]. Multiples of 64
	// are a little faster on a torus; any other size works.
	Width, Height int
	// Topology is what lies beyond the edges. Zero value: [Torus].
	Topology Topology
	// Rule is the rule. Zero value: [Life]. A rule with B0 is refused.
	Rule Rule
	// Owners is the number of owners, 0 for none, up to [MaxOwners]. Owners
	// are numbered from 0. Each doubling costs a bit a cell.
	Owners int
	// Colours selects blended colours. They exclude Owners. Zero value: none.
	Colours ColourMode
	// Kernel forces one implementation. Zero value: the fastest this machine
	// has. All give the same cells.
	Kernel Kernel
}

// withDefaults fills the zero fields and checks the rest.
func (o Options) withDefaults() (Options, error) {
	if o.Rule == (Rule{}) {
		o.Rule = Life
	}
	var err error
	switch {
	case o.Width < 1 || o.Width > MaxSide:
		err = fmt.Errorf("%w: Width %d is not in 1 to %d", ErrOptions, o.Width, MaxSide)
	case o.Height < 1 || o.Height > MaxSide:
		err = fmt.Errorf("%w: Height %d is not in 1 to %d", ErrOptions, o.Height, MaxSide)
	case int64(ceilDiv(o.Width, tileSide))*int64(ceilDiv(o.Height, tileSide)) > MaxTiles:
		err = fmt.Errorf("%w: Width %d by Height %d needs more than %d tiles", ErrOptions, o.Width, o.Height, MaxTiles)
	case o.Topology > Plane:
		err = fmt.Errorf("%w: Topology %d is unknown", ErrOptions, o.Topology)
	case (o.Rule.Birth|o.Rule.Survive)>>9 != 0:
		err = fmt.Errorf("%w: Rule has neighbour counts above 8", ErrOptions)
	case o.Rule.Birth&1 != 0:
		err = fmt.Errorf("%w: Rule %v has B0, which is not supported", ErrOptions, o.Rule)
	case o.Owners < 0 || o.Owners > MaxOwners:
		err = fmt.Errorf("%w: Owners %d is not in 0 to %d", ErrOptions, o.Owners, MaxOwners)
	case o.Colours > ColourChannels:
		err = fmt.Errorf("%w: Colours %d is unknown", ErrOptions, o.Colours)
	case o.Colours != ColourNone && o.Owners != 0:
		err = fmt.Errorf("%w: Owners and Colours exclude each other", ErrOptions)
	case !o.Kernel.Available():
		err = fmt.Errorf("%w: Kernel %v is not available on this machine", ErrOptions, o.Kernel)
	}
	return o, err
}

// Grid is one universe of cells. It is used by one goroutine at a time; it
// holds no goroutine, file or clock of its own.
type Grid struct {
	// Static after New.
	opts     Options
	shape    shape
	kernel   Kernel    // resolved, never KernelAuto
	general  bool      // the rule is not B3/S23
	table    ruleTable // the rule for the general kernels
	reserved *Budget   // gives Size back on Release; nil without a budget
	size     int64

	// words is the one allocation; everything below is a view of it.
	words   []uint64
	tiles   [2][]tile      // the double buffer
	counts  [2][]tileCount // population and births of each tile of a buffer
	hashes  [2][]uint64    // cached hash of each tile of a buffer
	stale   [2][]uint64    // bit per tile: its cached hash is out of date
	need    [2]needMap     // tiles to compute when the buffer is next written
	edited  [2][]uint64    // bit per tile of a buffer: edited after its step
	unsent  []uint64       // bit per tile: edited since AppendEdits
	lines   [2]lineCounts  // tiles with live cells by tile row and column
	planes  []tile         // owner planes, shape.planes a tile
	owner   []uint16       // owner state of each tile
	byOwner [2]ownerCounts // population by owner of each buffer

	colours *colourStore // nil without colours

	// State.
	gen     uint64
	now     int       // which buffer holds the current generation
	live    [2]int64  // population of each buffer
	born    [2]int64  // births that led to each buffer
	births  int64     // of the last step
	deaths  int64     // of the last step
	hashSum [2]uint64 // sum of the cached tile hashes of a buffer
	touched bool      // some bit of edited or unsent is set
	foreign bool      // the buffers were written by a delta or a snapshot
}

// New makes an empty grid at generation 0. Its memory, exactly [Size] of the
// options, is taken from budget first; a nil budget allows everything. Errors
// wrap [ErrOptions] or [ErrBudget].
func New(o Options, budget *Budget) (*Grid, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := newShape(o)
	size := s.bytes(o)
	if err := budget.take(size); err != nil {
		return nil, err
	}
	g := &Grid{opts: o, shape: s, kernel: o.Kernel.resolve(), reserved: budget, size: size}
	g.general = o.Rule != Life
	g.table = newRuleTable(o.Rule)
	g.carve()
	for t := range g.owner {
		g.owner[t] = ownerNone
	}
	if o.Colours != ColourNone {
		g.colours = newColourStore(s.tiles())
	}
	return g, nil
}

// Release gives the grid's memory back to the budget it came from. The grid
// must not be used afterwards. Calling it twice is harmless.
func (g *Grid) Release() {
	g.reserved.give(g.size)
	g.reserved, g.size = nil, 0
	g.words = nil
}

// Options returns what the grid was made with, defaults filled in; Kernel is
// the one in use.
func (g *Grid) Options() Options {
	o := g.opts
	o.Kernel = g.kernel
	return o
}

// Generation is the number of steps since generation 0.
func (g *Grid) Generation() uint64 { return g.gen }

// Population is the number of live cells. It costs nothing.
func (g *Grid) Population() int64 { return g.live[g.now] }

// Changes returns the births and deaths of the last step: of the last of its
// generations after [Grid.Run]. Edits do not count. A follower, whose cells
// come from deltas and snapshots, compares its two generations when asked, so
// there edits do count.
func (g *Grid) Changes() (births, deaths int64) {
	if g.foreign {
		births = g.countBirths()
		return births, g.live[1-g.now] + births - g.live[g.now]
	}
	return g.births, g.deaths
}

// countBirths compares the two generations.
func (g *Grid) countBirths() int64 {
	n := 0
	for t := range g.counts[g.now] {
		if g.counts[g.now][t].live == 0 {
			continue
		}
		before := &g.tiles[1-g.now][t]
		for y, row := range g.tiles[g.now][t] {
			n += bits.OnesCount64(row &^ before[y])
		}
	}
	return int64(n)
}

// Inside says whether (x, y) is a cell of the grid.
func (g *Grid) Inside(x, y int) bool {
	return x >= 0 && y >= 0 && x < g.opts.Width && y < g.opts.Height
}

// Alive says whether the cell is alive; a place outside the grid is not.
func (g *Grid) Alive(x, y int) bool {
	if !g.Inside(x, y) {
		return false
	}
	return g.tiles[g.now][g.shape.tileOf(x, y)][y%tileSide]>>(x%tileSide)&1 != 0
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
