package grid

import (
	"slices"
	"testing"
)

// naive is the reference every engine is compared with: one struct a cell,
// eight neighbours looked up one by one. It is written to be seen to be right.
type naive struct {
	w, h  int
	torus bool
	rule  Rule
	cells []naiveCell
	// blend makes the colour of a newborn from those of its parents.
	blend func(parents []uint32) uint32
	gen   uint64

	births, deaths int // of the last step
}

type naiveCell struct {
	alive  bool
	owner  uint8
	colour uint32
}

func newNaive(w, h int, torus bool, rule Rule) *naive {
	return &naive{w: w, h: h, torus: torus, rule: rule, cells: make([]naiveCell, w*h), blend: blendChannels}
}

// at returns a cell, or a dead one where the plane ends.
func (n *naive) at(x, y int) naiveCell {
	if n.torus {
		return n.cells[mod(y, n.h)*n.w+mod(x, n.w)]
	}
	if x < 0 || y < 0 || x >= n.w || y >= n.h {
		return naiveCell{}
	}
	return n.cells[y*n.w+x]
}

func (n *naive) set(x, y int, c naiveCell) { n.cells[y*n.w+x] = c }

func mod(a, m int) int { return (a%m + m) % m }

// parents lists the live ones of the eight neighbours. On a torus with a side
// of 1 or 2 a cell is its own neighbour, or one neighbour counts twice.
func (n *naive) parents(x, y int) []naiveCell {
	var live []naiveCell
	for dy := -1; dy <= 1; dy++ {
		for dx := -1; dx <= 1; dx++ {
			if dx == 0 && dy == 0 {
				continue
			}
			if c := n.at(x+dx, y+dy); c.alive {
				live = append(live, c)
			}
		}
	}
	return live
}

// step computes one generation.
func (n *naive) step() {
	next := make([]naiveCell, len(n.cells))
	n.births, n.deaths = 0, 0
	for y := 0; y < n.h; y++ {
		for x := 0; x < n.w; x++ {
			cell, live := n.at(x, y), n.parents(x, y)
			switch {
			case cell.alive && n.rule.Survive>>len(live)&1 == 1:
				next[y*n.w+x] = cell
			case cell.alive:
				n.deaths++
			case n.rule.Birth>>len(live)&1 == 1:
				next[y*n.w+x] = n.newborn(live)
				n.births++
			}
		}
	}
	n.cells = next
	n.gen++
}

// newborn gives the owner in the middle of the sorted owners (the lower one of
// two middles), which is the majority's owner where there is a majority, and
// the blended colour.
func (n *naive) newborn(live []naiveCell) naiveCell {
	owners := make([]uint8, len(live))
	colours := make([]uint32, len(live))
	for i, c := range live {
		owners[i], colours[i] = c.owner, c.colour
	}
	slices.Sort(owners)
	return naiveCell{alive: true, owner: owners[(len(owners)-1)/2], colour: n.blend(colours)}
}

// blendChannels takes the mean of red, green and blue apart, rounded down.
func blendChannels(parents []uint32) uint32 {
	var r, g, b uint32
	for _, c := range parents {
		r += c >> 16 & 255
		g += c >> 8 & 255
		b += c & 255
	}
	n := uint32(len(parents))
	return r/n<<16 | g/n<<8 | b/n
}

// blendInteger takes the mean of the colours as whole numbers, rounded down.
func blendInteger(parents []uint32) uint32 {
	var sum uint64
	for _, c := range parents {
		sum += uint64(c)
	}
	return uint32(sum / uint64(len(parents)))
}

// population counts the live cells.
func (n *naive) population() int {
	live := 0
	for _, c := range n.cells {
		if c.alive {
			live++
		}
	}
	return live
}

// populationOf counts the live cells of one owner.
func (n *naive) populationOf(owner uint8) int {
	live := 0
	for _, c := range n.cells {
		if c.alive && c.owner == owner {
			live++
		}
	}
	return live
}

// box is the box of the live cells, ok false where there is none. x1 and y1
// are the last column and row, inclusive.
func (n *naive) box() (x0, y0, x1, y1 int, ok bool) {
	x0, y0, x1, y1 = n.w, n.h, -1, -1
	for y := 0; y < n.h; y++ {
		for x := 0; x < n.w; x++ {
			if n.cells[y*n.w+x].alive {
				x0, y0, x1, y1 = min(x0, x), min(y0, y), max(x1, x), max(y1, y)
			}
		}
	}
	return x0, y0, x1, y1, x1 >= 0
}

// Goal: the reference itself is right. Method: facts that can be checked by
// hand, and the colour examples of the specification.
func TestNaive(t *testing.T) {
	row := newNaive(5, 5, false, Life)
	for x := 1; x <= 3; x++ {
		row.set(x, 2, naiveCell{alive: true, owner: 1})
	}
	row.step()
	for y := 1; y <= 3; y++ {
		if !row.at(2, y).alive {
			t.Fatalf("a row of three does not turn: (2,%d) is dead", y)
		}
	}
	if row.population() != 3 || row.births != 2 || row.deaths != 2 {
		t.Fatalf("blinker: population %d, births %d, deaths %d", row.population(), row.births, row.deaths)
	}
	one := newNaive(1, 1, true, Rule{Survive: 1 << 8})
	one.set(0, 0, naiveCell{alive: true})
	if got := len(one.parents(0, 0)); got != 8 {
		t.Fatalf("on a 1 by 1 torus a live cell has %d live neighbours, want 8 (itself)", got)
	}
	if got := blendInteger([]uint32{0x3cfaa0, 0xffffff, 0x7a0058}); got != 0x9253a7 {
		t.Errorf("blendInteger = %06x, want 9253a7", got)
	}
	if got := blendInteger([]uint32{0, 0xffffff}); got != 0x7fffff {
		t.Errorf("blendInteger = %06x, want 7fffff", got)
	}
	if got := blendChannels([]uint32{0xff0000, 0x00ff00, 0x0000ff}); got != 0x555555 {
		t.Errorf("blendChannels = %06x, want 555555", got)
	}
}
