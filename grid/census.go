package grid

import (
	"encoding/binary"
	"slices"
	"sync"
)

// Object is one kind of thing a settled pattern consists of.
type Object struct {
	// Name is the catalogue's, or what the thing does: "still life of 9 cells",
	// "spaceship of period 4".
	Name  string `json:"name"`
	Count int    `json:"count"`
	// Period, DX and DY are those of the thing alone: 1, 0 and 0 for a still
	// life.
	Period int `json:"period"`
	DX     int `json:"dx"`
	DY     int `json:"dy"`
}

// reach is the distance, in cells, up to which two live cells share a
// neighbour. Cells further apart do not meet in the next generation.
const reach = 2

// islands splits cells into groups that are further than reach apart. The
// cells may have any coordinates.
func islands(cells []Cell) [][]Cell {
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
			group = addReached(group, k, cells, at, seen)
		}
		slices.SortFunc(group, compareCells)
		groups = append(groups, group)
	}
	return groups
}

type point struct{ x, y int32 }

// addReached adds to group the cells within reach of group[k].
func addReached(group []Cell, k int, cells []Cell, at map[point]int, seen []bool) []Cell {
	c := group[k]
	for y := c.Y - reach; y <= c.Y+reach; y++ {
		for x := c.X - reach; x <= c.X+reach; x++ {
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
// seen to repeat. phases[i] are its cells after i generations, from where it
// was in phase 0.
type motion struct {
	period, dx, dy int
	phases         [][]Cell
}

// Bounds of the search for a motion.
const (
	loneLimit  = 128 // generations; the longest common spaceship has period 96
	loneGrowth = 4   // a group that grows beyond so many times its cells is given up
)

// moveAlone finds the motion of cells, in row-major order, under rule.
func moveAlone(cells []Cell, rule Rule) motion {
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

// stepAlone computes one generation of a few cells in an endless plane.
func stepAlone(cells []Cell, rule Rule) []Cell {
	const alive = 1 << 7
	counts := make(map[point]uint8, 8*len(cells))
	for _, c := range cells {
		counts[point{c.X, c.Y}] |= alive
		for dy := int32(-1); dy <= 1; dy++ {
			for dx := int32(-1); dx <= 1; dx++ {
				if dx != 0 || dy != 0 {
					counts[point{c.X + dx, c.Y + dy}]++
				}
			}
		}
	}
	var next []Cell
	for p, n := range counts {
		bits := rule.Birth
		if n&alive != 0 {
			bits = rule.Survive
		}
		if bits>>(n&^alive)&1 == 1 {
			next = append(next, Cell{X: p.x, Y: p.y, State: 1})
		}
	}
	slices.SortFunc(next, compareCells)
	return next
}

// knownObjects maps the shape of every phase of the catalogue's smaller
// patterns, in every orientation, to its template.
var knownObjects = sync.OnceValue(func() map[string]*Template {
	const mostCells, mostPeriod = 100, 30
	known := map[string]*Template{}
	for _, g := range Catalogue() {
		for _, t := range g.Templates {
			if t.Growth != 0 || t.Settles != 0 || t.Period > mostPeriod || t.Cells > mostCells {
				continue
			}
			for _, o := range Orientations() {
				cells := o.Apply(t.Pattern).Cells
				for range t.Period {
					if key := shapeKey(cells); known[key] == nil {
						known[key] = t
					}
					cells = stepAlone(cells, Life)
				}
			}
		}
	}
	return known
})
