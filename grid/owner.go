package grid

import "math/bits"

// Owners are stored as k bit planes a tile, k = ⌈log2 Owners⌉: bit x of row y of
// plane p is bit p of the owner of cell (x, y). The planes are not doubled. A
// plane's bit matters only where a cell lives; a survivor keeps its owner; a
// birth writes only where the cell was dead, which every reader masks off with
// the cells before. So they are updated in place, and a cell that is reborn
// finds the bits of its last life.
//
// Most tiles belong to one owner: then only that is kept, and the planes of
// the tile are not in use until a second owner comes.
//
// The owner of a newborn is the one in the middle when its parents' owners are
// sorted (the lower of two middles): with three parents, the majority where
// there is one, and otherwise the median.

// What the owner state of a tile is beside a number 0…254.
const (
	ownerNone  = 0xffff // no cell ever lived here
	ownerMixed = 0xfffe // see the planes
)

// Owner returns the owner of a live cell; false for a dead cell, a place
// outside, and a grid without owners.
func (g *Grid) Owner(x, y int) (uint8, bool) {
	if g.opts.Owners == 0 || !g.Alive(x, y) {
		return 0, false
	}
	return g.ownerAt(g.shape.tileOf(x, y), x%tileSide, y%tileSide), true
}

// ownerAt returns the owner of cell (x, y) of tile t, which lives now or lived
// a generation ago.
func (g *Grid) ownerAt(t, x, y int) uint8 {
	if state := g.owner[t]; state < MaxOwners {
		return uint8(state)
	}
	return planesAt(g.planesOf(t), x, y)
}

// planesAt reads one cell's owner from the planes of a tile.
func planesAt(planes []tile, x, y int) uint8 {
	var owner uint8
	for p := range planes {
		owner |= uint8(planes[p][y&63]>>(x&63)&1) << p
	}
	return owner
}

// planesPut writes one cell's owner to planes.
func planesPut(planes []tile, x, y int, owner uint8) {
	bit := uint64(1) << (x & 63)
	for p := range planes {
		row := &planes[p][y&63]
		*row = *row&^bit | -uint64(owner>>p&1)&bit
	}
}

// planesOf returns the planes of tile t.
func (g *Grid) planesOf(t int) []tile {
	k := g.shape.planes
	return g.planes[t*k : t*k+k]
}

// setOwner gives cell (x, y) of tile t an owner, before it comes to life or
// while it lives.
func (g *Grid) setOwner(t, x, y int, owner uint8) {
	state := g.owner[t]
	switch {
	case state == uint16(owner):
		return
	case state == ownerNone || state != ownerMixed && g.counts[g.now][t].live == 0:
		g.owner[t] = uint16(owner)
		return
	}
	planes := g.mix(t)
	planesPut(planes, x, y, owner)
}

// mix makes the planes of tile t valid and returns them.
func (g *Grid) mix(t int) []tile {
	planes := g.planesOf(t)
	state := g.owner[t]
	if state == ownerMixed {
		return planes
	}
	if state == ownerNone {
		state = 0
	}
	for p := range planes {
		fillTile(&planes[p], -uint64(state>>p&1))
	}
	g.owner[t] = ownerMixed
	return planes
}

func fillTile(t *tile, word uint64) {
	for y := range t {
		t[y] = word
	}
}

// unmix goes back to one owner for tile t where all its cells, of both
// generations, agree.
func (g *Grid) unmix(t int) {
	now, before := &g.tiles[0][t], &g.tiles[1][t]
	var owner uint16
	for p, plane := range g.planesOf(t) {
		var ones, zeros uint64
		for y := range plane {
			cells := now[y] | before[y]
			ones |= plane[y] & cells
			zeros |= cells &^ plane[y]
		}
		if ones != 0 && zeros != 0 {
			return
		}
		if ones != 0 {
			owner |= 1 << p
		}
	}
	g.owner[t] = owner
}

// ownerCounts is the population by owner of one buffer, as of the last time it
// was asked for. It holds until a tile of the buffer changes.
type ownerCounts struct {
	live  []int64 // by owner; nil without owners
	valid bool
}

// PopulationOf is the number of live cells of an owner. It costs nothing while
// the grid repeats itself every two generations; after a change, the first call
// counts all owners again: a look at each tile of one owner, and a count of the
// cells of the tiles where owners meet.
func (g *Grid) PopulationOf(owner uint8) int64 {
	c := &g.byOwner[g.now]
	if int(owner) >= len(c.live) {
		return 0
	}
	if !c.valid {
		clear(c.live)
		g.countOwners(c)
		c.valid = true
	}
	return c.live[owner]
}

func (g *Grid) countOwners(c *ownerCounts) {
	for t := range g.counts[g.now] {
		live := g.counts[g.now][t].live
		if live == 0 {
			continue
		}
		if state := g.owner[t]; state < MaxOwners {
			c.live[state] += int64(live)
			continue
		}
		planes := g.planesOf(t)
		for y, row := range g.tiles[g.now][t] {
			if row != 0 {
				c.countRow(planes, y, row, 0)
			}
		}
	}
}

// countRow counts the cells of row y of a tile by owner. base holds the owner
// bits decided so far; the last plane decides the next one.
func (c *ownerCounts) countRow(planes []tile, y int, cells uint64, base int) {
	if len(planes) == 0 {
		c.live[base] += int64(bits.OnesCount64(cells))
		return
	}
	p := len(planes) - 1
	if ones := cells & planes[p][y]; ones != 0 {
		c.countRow(planes[:p], y, ones, base|1<<p)
	}
	if zeros := cells &^ planes[p][y]; zeros != 0 {
		c.countRow(planes[:p], y, zeros, base)
	}
}
