package grid

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// Object is one kind of thing a settled pattern consists of.
type Object struct {
	// Name is the catalogue's, or what the thing does: "still life of 9 cells",
	// "spaceship of period 4".
	Name string `json:"name"`
	// Code is its apgcode, "" for a part of a larger thing.
	Code  string `json:"code,omitempty"`
	Count int    `json:"count"`
	// Period, DX and DY are those of the thing alone: 1, 0 and 0 for a still
	// life.
	Period int `json:"period"`
	DX     int `json:"dx"`
	DY     int `json:"dy"`
}

// census counts what settled cells consist of.
type census struct {
	*motions
	count map[Object]int
	codes map[*motion]string
}

// countObjects returns the kinds of things in cells, the most frequent first.
func countObjects(cells []Cell, ms *motions) []Object {
	c := census{motions: ms, count: map[Object]int{}, codes: map[*motion]string{}}
	for _, island := range islands(cells) {
		c.island(island)
	}
	list := make([]Object, 0, len(c.count))
	for o, n := range c.count {
		o.Count = n
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b Object) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// island counts one island: by its name if it has one, else part by part if
// its parts do not need each other, else by what it does.
func (c *census) island(cells []Cell) {
	m := c.of(cells)
	if t := knownObjects()[shapeKey(cells)]; t != nil && c.rule == Life {
		c.add(t.shortName(), m.motion)
		return
	}
	if parts := split(cells, 1); len(parts) > 1 && c.independent(parts, m) {
		for _, part := range parts {
			c.island(part)
		}
		return
	}
	c.add(describe(len(cells), m.motion), m.motion)
}

// independent says whether the parts of an island stay, and do alone what they
// do together. Cells of parts that met would be born or die, so numbers tell.
func (c *census) independent(parts [][]Cell, whole sighting) bool {
	if !whole.stays() {
		return false
	}
	counts := make([]int, whole.period)
	for _, part := range parts {
		m := c.of(part)
		if !m.stays() || whole.period%m.period != 0 {
			return false
		}
		for i := range counts {
			counts[i] += len(m.phases[(m.phase+i)%m.period])
		}
	}
	for i, n := range counts {
		if n != len(whole.phases[(whole.phase+i)%whole.period]) {
			return false
		}
	}
	return true
}

// add counts one thing. Its direction does not matter here.
func (c *census) add(name string, m *motion) {
	o := Object{Name: name, Code: c.code(m), Period: m.period, DX: abs(m.dx), DY: abs(m.dy)}
	if o.DX < o.DY {
		o.DX, o.DY = o.DY, o.DX
	}
	c.count[o]++
}

// code is the apgcode of a motion, worked out once.
func (c *census) code(m *motion) string {
	code, ok := c.codes[m]
	if !ok {
		code = m.apgcode()
		c.codes[m] = code
	}
	return code
}

// describe names what the catalogue does not know.
func describe(cells int, m *motion) string {
	switch {
	case m.period == 0:
		return "part of a larger thing"
	case m.moves():
		return fmt.Sprintf("spaceship of period %d", m.period)
	case m.period > 1:
		return fmt.Sprintf("oscillator of period %d", m.period)
	}
	return fmt.Sprintf("still life of %d cells", cells)
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
