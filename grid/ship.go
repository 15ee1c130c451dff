package grid

import "math"

// ship is a moving island and where it is at the start of the trial.
type ship struct {
	sighting
	x, y int // to be added to the cells of its motion
	// The box over one period from the start, in coordinates of the grid.
	x0, y0, x1, y1 int
}

// newShip is the ship that cells of that motion are.
func newShip(m sighting, cells []Cell) ship {
	x0, y0 := cornerOf(m.phases[m.phase])
	x1, y1 := cornerOf(cells)
	s := ship{sighting: m, x: int(x1 - x0), y: int(y1 - y0)}
	s.x0, s.y0, s.x1, s.y1 = math.MaxInt, math.MaxInt, math.MinInt, math.MinInt
	for after := range m.period {
		s.at(after, func(x, y int) bool {
			s.x0, s.y0, s.x1, s.y1 = min(s.x0, x), min(s.y0, y), max(s.x1, x), max(s.y1, y)
			return true
		})
	}
	return s
}

// at calls visit for every cell of the ship, after generations from the start
// of the trial; negative before it. It stops and returns false when visit does.
func (s *ship) at(after int, visit func(x, y int) bool) bool {
	turns, phase := floorDiv(s.phase+after, s.period), floorMod(s.phase+after, s.period)
	for _, c := range s.phases[phase] {
		if !visit(int(c.X)+s.x+turns*s.dx, int(c.Y)+s.y+turns*s.dy) {
			return false
		}
	}
	return true
}

// count is the number of cells of the ship at that time.
func (s *ship) count(after int) int { return len(s.phases[floorMod(s.phase+after, s.period)]) }

func floorDiv(a, b int) int { return (a - floorMod(a, b)) / b }

// meets says whether the boxes of a and b, with a margin between them, overlap
// now or later on their straight ways.
func meets(a, b *ship, margin int) bool {
	from, to := 0.0, math.Inf(1)
	for _, axis := range [2][5]int{
		{a.x0, a.x1, b.x0, b.x1, a.dx*b.period - b.dx*a.period},
		{a.y0, a.y1, b.y0, b.y1, a.dy*b.period - b.dy*a.period},
	} {
		// a moves against b by v a generation. They overlap on this axis while
		// low <= v*t <= high.
		v := float64(axis[4]) / float64(a.period*b.period)
		low, high := float64(axis[2]-axis[1]-margin), float64(axis[3]-axis[0]+margin)
		switch {
		case v == 0 && (low > 0 || high < 0):
			return false
		case v > 0:
			from, to = max(from, low/v), min(to, high/v)
		case v < 0:
			from, to = max(from, high/v), min(to, low/v)
		}
	}
	return from <= to
}

// boxOf is the box, its last column and row included, of cells.
func boxOf(cells []Cell) (x0, y0, x1, y1 int) {
	x0, y0, x1, y1 = math.MaxInt, math.MaxInt, math.MinInt, math.MinInt
	for _, c := range cells {
		x0, y0 = min(x0, int(c.X)), min(y0, int(c.Y))
		x1, y1 = max(x1, int(c.X)), max(y1, int(c.Y))
	}
	return x0, y0, x1, y1
}
