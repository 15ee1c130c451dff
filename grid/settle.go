package grid

// How it is proven that a pattern has settled (see [Settles]):
//
//  1. At generation T the live cells are split into islands. An island that,
//     alone, comes back somewhere else is a ship; all other islands together
//     are the ash. A pattern that as a whole comes back somewhere else is one
//     ship.
//  2. Every ship is outside the box of the ash and flies away from it, and no
//     two ships of different velocity ever come near each other: their boxes,
//     with a margin, never meet on their straight ways.
//  3. After some q generations the live cells are exactly the ash of generation
//     T and the ships where they must be by then. From there on the same
//     happens again and again.
//  4. Since is found by a second run: the first generation from which on all
//     live cells are exactly where the ash and the ships, followed backwards,
//     say.

// trial is a proof under way.
type trial struct {
	start uint64 // generation T
	ships []ship
	ash   []Cell
	// islands of everything, and their cells: what a ship of several islands
	// consists of.
	islands int
	all     []Cell
}

// lookApart looks for a fate on an endless plane when the population has a
// rhythm.
func (w *watch) lookApart() error {
	period, growth := w.rhythm()
	if period == 0 {
		return nil
	}
	if growth != 0 {
		return w.grows(period, growth)
	}
	t := w.newTrial()
	if done, err := w.wholeShip(t); done || err != nil {
		return err
	}
	if !t.diverges() {
		return nil
	}
	return w.shipsAndAsh(t)
}

// rhythm finds the smallest period in which the population has lately changed
// by the same number again and again; 0 if there is none.
func (w *watch) rhythm() (period int, growth int64) {
	pop := w.a.Population
	last := len(pop) - 1
	for p := 1; p <= min(maxRhythm, last/4); p++ {
		d := pop[last] - pop[last-p]
		window := max(2*p, 100)
		if d != 0 {
			window = max(4*p, 400)
		}
		if window+p <= last && steady(pop[last-window-p:], p, d) {
			return p, d
		}
	}
	return 0, 0
}

// maxRhythm is the longest period of a population that is recognised, in
// generations.
const maxRhythm = 2000

// steady says whether pop always changes by d in p generations.
func steady(pop []int64, p int, d int64) bool {
	for i := len(pop) - 1; i >= p; i-- {
		if pop[i]-pop[i-p] != d {
			return false
		}
	}
	return true
}

// newTrial does step 1 of the proof.
func (w *watch) newTrial() *trial {
	t := &trial{start: w.g.Generation(), all: w.cells()}
	for _, island := range islands(t.all) {
		t.islands++
		if m := w.motions.of(island); m.moves() {
			t.ships = append(t.ships, newShip(m, island))
		} else {
			t.ash = append(t.ash, island...)
		}
	}
	return t
}

func shifted(cells []Cell, dx, dy int32) []Cell {
	moved := make([]Cell, len(cells))
	for i, c := range cells {
		moved[i] = Cell{X: c.X + dx, Y: c.Y + dy, State: c.State}
	}
	return moved
}

// diverges is step 2 of the proof.
func (t *trial) diverges() bool {
	// The ash may be larger in its other phases; no oscillator of its kind
	// reaches further than this.
	const ashMargin, shipMargin = 24, 4
	if len(t.ash) > 0 {
		rest := ship{sighting: sighting{motion: &motion{period: 1}}}
		rest.x0, rest.y0, rest.x1, rest.y1 = boxOf(t.ash)
		for i := range t.ships {
			if meets(&t.ships[i], &rest, ashMargin) {
				return false
			}
		}
	}
	for i := range t.ships {
		for j := range i {
			a, b := &t.ships[i], &t.ships[j]
			if a.dx*b.period == b.dx*a.period && a.dy*b.period == b.dy*a.period {
				continue // they keep their distance; step 3 shows that it is enough
			}
			if meets(a, b, shipMargin) {
				return false
			}
		}
	}
	return true
}

// Bounds of step 3, in generations and islands.
const (
	trialLimit = 2048 // the longest period of ash that is recognised with ships around
	wholeLimit = 128  // the longest period of a ship of several islands
	wholeParts = 24   // the most islands of such a ship
)

// wholeShip finds out whether all cells together are one ship of several
// islands.
func (w *watch) wholeShip(t *trial) (bool, error) {
	if t.islands < 2 || t.islands > wholeParts {
		return false, nil
	}
	key, m := shapeKey(t.all), motion{phases: [][]Cell{t.all}}
	for range wholeLimit {
		if more, err := w.tick(); !more || err != nil || w.a.Fate != Undecided {
			return true, err
		}
		cells := w.cells()
		if len(cells) != len(t.all) || shapeKey(cells) != key {
			m.phases = append(m.phases, cells)
			continue
		}
		x0, y0 := cornerOf(t.all)
		x1, y1 := cornerOf(cells)
		m.period, m.dx, m.dy = len(m.phases), int(x1-x0), int(y1-y0)
		if m.dx == 0 && m.dy == 0 {
			return false, nil // ash; the hashes tell its first generation
		}
		t.ships, t.ash = []ship{newShip(sighting{&m, 0}, t.all)}, nil
		return true, w.settled(t, 1)
	}
	// The cells have moved on: begin again with those of now.
	*t = *w.newTrial()
	return false, nil
}

// shipsAndAsh is step 3 of the proof.
func (w *watch) shipsAndAsh(t *trial) error {
	for after := 1; after <= trialLimit; after++ {
		if more, err := w.tick(); !more || err != nil || w.a.Fate != Undecided {
			return err
		}
		if w.holds(t.ash, t.ships, after) {
			return w.settled(t, after)
		}
	}
	return nil
}

// settled fills in the analysis after the proof: the ash has period q.
func (w *watch) settled(t *trial, q int) error {
	since, err := w.since(t, q)
	if err != nil {
		return err
	}
	a := w.a
	a.Fate, a.Since, a.Period = Settles, since, q
	if len(t.ash) == 0 {
		for i := range t.ships {
			a.Period = a.Period / gcd(a.Period, t.ships[i].period) * t.ships[i].period
		}
	}
	if len(t.ash) == 0 && len(t.ships) == 1 {
		a.DX, a.DY = t.ships[0].dx, t.ships[0].dy
	}
	a.Objects = countObjects(t.all, w.motions)
	return nil
}

// since is step 4 of the proof.
func (w *watch) since(t *trial, q int) (uint64, error) {
	ash, err := w.ashPhases(t.ash, q)
	if err != nil {
		return 0, err
	}
	first := t.start
	for first > 0 && w.a.Population[first-1] == t.count(ash, int(first-1)-int(t.start)) {
		first--
	}
	g, err := w.fresh(w.g.Options())
	if err != nil {
		return 0, err
	}
	g.Run(first, nil)
	since := first
	for gen := first; gen < t.start; gen++ {
		after := int(gen) - int(t.start)
		if !holds(g, ash[floorMod(after, q)], t.ships, after) {
			since = gen + 1
		}
		g.Step()
	}
	return since, nil
}

// count is how many cells ash and ships have then.
func (t *trial) count(ash [][]Cell, after int) int64 {
	n := len(ash[floorMod(after, len(ash))])
	for i := range t.ships {
		n += t.ships[i].count(after)
	}
	return int64(n)
}

// ashPhases runs the ash alone through its period q.
func (w *watch) ashPhases(ash []Cell, q int) ([][]Cell, error) {
	phases := [][]Cell{ash}
	if q == 1 {
		return phases, nil
	}
	const margin = 64
	x0, y0, x1, y1 := boxOf(ash)
	p := &Pattern{Cells: shifted(ash, int32(margin-x0), int32(margin-y0))}
	o := Options{Width: x1 - x0 + 1 + 2*margin, Height: y1 - y0 + 1 + 2*margin, Topology: Plane, Rule: w.g.Options().Rule}
	g, err := New(o, nil)
	if err != nil {
		return nil, err
	}
	if err := g.Stamp(p, 0, 0, StampOptions{}); err != nil {
		return nil, err
	}
	for len(phases) < q {
		g.Step()
		p, err := g.Extract(Rect{Width: o.Width, Height: o.Height})
		if err != nil {
			return nil, err
		}
		phases = append(phases, shifted(p.Cells, int32(x0-margin), int32(y0-margin)))
	}
	return phases, nil
}

// holds says whether the live cells are exactly ash and the ships after so
// many generations.
func (w *watch) holds(ash []Cell, ships []ship, after int) bool {
	return holds(w.g, ash, ships, after)
}

func holds(g *Grid, ash []Cell, ships []ship, after int) bool {
	count := len(ash)
	for i := range ships {
		count += ships[i].count(after)
	}
	if int64(count) != g.Population() {
		return false
	}
	for i := range ships {
		if !ships[i].at(after, g.Alive) {
			return false
		}
	}
	for _, c := range ash {
		if !g.Alive(int(c.X), int(c.Y)) {
			return false
		}
	}
	return true
}
