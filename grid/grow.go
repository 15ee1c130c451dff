package grid

// grows notes a steady growth of the population and looks for the engine that
// makes it: the cells which after a period are the same again, here or moved.
func (w *watch) grows(period int, growth int64) error {
	before := w.cells()
	start := w.g.Generation()
	for turns := 1; turns <= engineTurns; turns++ {
		for range period {
			if more, err := w.tick(); !more || err != nil {
				return err
			}
		}
		pop := w.a.Population
		if !steady(pop[start-uint64(period):], period, growth) {
			return nil // it was not steady after all
		}
		if dx, dy, ok := w.engine(before); ok {
			w.a.EnginePeriod, w.a.DX, w.a.DY = period*turns, dx, dy
			break
		}
	}
	w.a.Fate, w.a.Period, w.a.Growth = Grows, period, growth
	w.a.Since = w.steadySince(period, growth)
	return nil
}

// engineTurns is the most periods of the population that make up one period of
// the engine: an engine may have to turn over a few times before it is itself.
const engineTurns = 4

// steadySince is the first generation from which on the population grows by
// growth in every period.
func (w *watch) steadySince(period int, growth int64) uint64 {
	pop := w.a.Population
	i := len(pop) - 1 - period
	for i > 0 && pop[i-1+period]-pop[i-1] == growth {
		i--
	}
	return uint64(i)
}

// engine compares the cells of now with those of before. What flies on as a
// ship, and what stays or oscillates, is accounted for; what is left must be
// here as well, all moved by the same way, which it returns. Where nothing is
// left the engine stays in place.
func (w *watch) engine(before []Cell) (dx, dy int, ok bool) {
	now := w.cells()
	alive := make(map[point]bool, len(now))
	for _, c := range now {
		alive[point{c.X, c.Y}] = true
	}
	rest, key := w.unaccounted(before, alive)
	if len(rest) == 0 {
		return 0, 0, true
	}
	for _, island := range islands(now) {
		if shapeKey(island) != key {
			continue
		}
		x0, y0 := cornerOf(rest[0])
		x1, y1 := cornerOf(island)
		if allAlive(rest, alive, x1-x0, y1-y0) {
			return int(x1 - x0), int(y1 - y0), true
		}
	}
	return 0, 0, false
}

// unaccounted returns the islands of before that neither stayed nor repeat by
// themselves, the largest first, and its shape.
func (w *watch) unaccounted(before []Cell, alive map[point]bool) (rest [][]Cell, key string) {
	for _, island := range islands(before) {
		if allAlive([][]Cell{island}, alive, 0, 0) {
			continue
		}
		if w.motions.of(island).period > 0 {
			continue
		}
		rest = append(rest, island)
		if len(island) > len(rest[0]) {
			rest[0], rest[len(rest)-1] = rest[len(rest)-1], rest[0]
		}
	}
	if len(rest) > 0 {
		key = shapeKey(rest[0])
	}
	return rest, key
}

// allAlive says whether all cells, moved, are alive.
func allAlive(lists [][]Cell, alive map[point]bool, dx, dy int32) bool {
	for _, cells := range lists {
		for _, c := range cells {
			if !alive[point{c.X + dx, c.Y + dy}] {
				return false
			}
		}
	}
	return true
}
