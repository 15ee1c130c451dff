package grid

import (
	"encoding/binary"
	"slices"
)

// reach is the distance, in cells, up to which two live cells share a
// neighbour. Cells further apart do not meet in the next generation.
const reach = 2

// islands splits cells into groups that are further than reach apart.
func islands(cells []Cell) [][]Cell { return split(cells, reach) }

// split splits cells into groups that are further than distance apart. The
// cells may have any coordinates.
func split(cells []Cell, distance int32) [][]Cell {
	at := make(map[point]int, len(cells))
	for i, c := range cells {
		at[point{c.X, c.Y}] = i
	}
	seen := make([]bool, len(cells))
	var groups [][]Cell
	for i := range cells {
		if seen[i] {
			continue
		}
		seen[i] = true
		group := []Cell{cells[i]}
		for k := 0; k < len(group); k++ {
			group = addNear(group, k, distance, cells, at, seen)
		}
		slices.SortFunc(group, compareCells)
		groups = append(groups, group)
	}
	return groups
}

type point struct{ x, y int32 }

// addNear adds to group the cells within distance of group[k].
func addNear(group []Cell, k int, distance int32, cells []Cell, at map[point]int, seen []bool) []Cell {
	c := group[k]
	for y := c.Y - distance; y <= c.Y+distance; y++ {
		for x := c.X - distance; x <= c.X+distance; x++ {
			if j, ok := at[point{x, y}]; ok && !seen[j] {
				seen[j] = true
				group = append(group, cells[j])
			}
		}
	}
	return group
}

// cornerOf is the least column and row of cells, which are not empty.
func cornerOf(cells []Cell) (x, y int32) {
	x, y = cells[0].X, cells[0].Y
	for _, c := range cells {
		x, y = min(x, c.X), min(y, c.Y)
	}
	return x, y
}

// shapeKey is the same for cells in row-major order that differ by a shift
// alone.
func shapeKey(cells []Cell) string {
	x, y := cornerOf(cells)
	key := make([]byte, 0, 8*len(cells))
	for _, c := range cells {
		key = binary.LittleEndian.AppendUint32(key, uint32(c.X-x))
		key = binary.LittleEndian.AppendUint32(key, uint32(c.Y-y))
	}
	return string(key)
}

// motion is what a group of cells does when it is alone: after period
// generations it is the same, moved by (dx, dy). period 0 means that it was not
// seen to repeat. phases[i] are its cells after i generations, in row-major
// order, from where it was in phase 0.
type motion struct {
	period, dx, dy int
	phases         [][]Cell
}

// stays says whether the group repeats where it is.
func (m *motion) stays() bool { return m.period > 0 && m.dx == 0 && m.dy == 0 }

// moves says whether the group repeats elsewhere.
func (m *motion) moves() bool { return m.dx != 0 || m.dy != 0 }

// sighting is a shape that was seen: phase says which one of its motion.
type sighting struct {
	*motion
	phase int
}

// motions finds out what shapes do and remembers it, for every phase of theirs.
type motions struct {
	rule Rule
	seen map[string]sighting
	held int // cells held by seen, as keys and phases
}

// heldLimit bounds what motions remember, in cells (about 20 bytes each).
const heldLimit = 4 << 20

func newMotions(rule Rule) *motions { return &motions{rule: rule, seen: map[string]sighting{}} }

// of returns what cells, in row-major order, do. Their place does not matter.
func (ms *motions) of(cells []Cell) sighting {
	key := shapeKey(cells)
	if s, ok := ms.seen[key]; ok {
		return s
	}
	if ms.held > heldLimit {
		clear(ms.seen)
		ms.held = 0
	}
	m := moveAlone(cells, ms.rule)
	ms.seen[key] = sighting{&m, 0}
	ms.held += len(cells)
	for i, phase := range m.phases {
		ms.held += 2 * len(phase)
		if i > 0 {
			ms.seen[shapeKey(phase)] = sighting{&m, i}
		}
	}
	return ms.seen[key]
}

// Bounds of the search for a motion.
const (
	loneLimit  = 128     // generations; the longest common spaceship has period 96
	loneGrowth = 4       // a group that grows beyond so many times its cells is given up
	loneCells  = 2000    // larger groups are not tried
	loneArea   = 1 << 18 // cells of the box of a group; larger ones are not tried
)

// moveAlone finds the motion of cells under rule.
func moveAlone(cells []Cell, rule Rule) motion {
	if len(cells) > loneCells {
		return motion{}
	}
	m := motion{phases: [][]Cell{cells}}
	key := shapeKey(cells)
	for g := 1; g <= loneLimit; g++ {
		next := stepAlone(m.phases[g-1], rule)
		if len(next) == 0 || len(next) > loneGrowth*len(cells)+64 {
			break
		}
		if len(next) == len(cells) && shapeKey(next) == key {
			x0, y0 := cornerOf(cells)
			x1, y1 := cornerOf(next)
			m.period, m.dx, m.dy = g, int(x1-x0), int(y1-y0)
			return m
		}
		m.phases = append(m.phases, next)
	}
	return motion{}
}

// stepAlone computes one generation of a few cells in an endless plane, in
// row-major order. It returns nothing for a box beyond loneArea.
func stepAlone(cells []Cell, rule Rule) []Cell {
	const alive = 1 << 7
	x0, y0, x1, y1 := boxOf(cells)
	w, h := x1-x0+3, y1-y0+3
	if w*h > loneArea {
		return nil
	}
	// counts holds, for the box and a border of one, the live neighbours of
	// each place and whether it is alive itself. Rows have one more place at
	// each end, so that a neighbour beyond the border is somewhere harmless.
	stride := w + 2
	counts := make([]uint8, stride*(h+2))
	for _, c := range cells {
		at := (int(c.Y)-y0+2)*stride + int(c.X) - x0 + 2
		counts[at] |= alive
		for _, d := range [8]int{-stride - 1, -stride, -stride + 1, -1, 1, stride - 1, stride, stride + 1} {
			counts[at+d]++
		}
	}
	next := make([]Cell, 0, len(cells))
	for at, n := range counts {
		bits := rule.Birth
		if n&alive != 0 {
			bits = rule.Survive
		}
		if bits>>(n&^alive)&1 == 1 {
			next = append(next, Cell{X: int32(at%stride + x0 - 2), Y: int32(at/stride + y0 - 2), State: 1})
		}
	}
	return next
}
