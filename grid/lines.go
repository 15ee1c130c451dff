package grid

import "math/bits"

// lineCounts says for one buffer how many tiles of each tile row and each tile
// column have live cells, so that the box of the live cells is found without
// a look at the tiles inside it.
type lineCounts struct{ rows, cols []uint32 }

// Rect is a rectangle of cells: columns X to X+Width-1, rows Y to Y+Height-1.
type Rect struct{ X, Y, Width, Height int }

// Bounds returns the smallest rectangle with every live cell in it; false
// where there is none. It reads only the outermost tiles.
func (g *Grid) Bounds() (Rect, bool) {
	if g.live[g.now] == 0 {
		return Rect{}, false
	}
	l := &g.lines[g.now]
	top, bottom := firstLast(l.rows)
	left, right := firstLast(l.cols)
	y0, y1 := g.rowEdges(top, bottom)
	x0, x1 := g.columnEdges(left, right)
	return Rect{X: x0, Y: y0, Width: x1 - x0 + 1, Height: y1 - y0 + 1}, true
}

// firstLast returns the first and the last index with a count.
func firstLast(counts []uint32) (first, last int) {
	for counts[first] == 0 {
		first++
	}
	last = len(counts) - 1
	for counts[last] == 0 {
		last--
	}
	return first, last
}

// rowEdges returns the first live row of tile row top and the last of bottom.
func (g *Grid) rowEdges(top, bottom int) (y0, y1 int) {
	first, last := tileSide, -1
	for tx := range g.shape.tw {
		upper := &g.tiles[g.now][top*g.shape.tw+tx]
		for y := 0; y < first; y++ {
			if upper[y] != 0 {
				first = y
			}
		}
		lower := &g.tiles[g.now][bottom*g.shape.tw+tx]
		for y := tileSide - 1; y > last; y-- {
			if lower[y] != 0 {
				last = y
			}
		}
	}
	return top*tileSide + first, bottom*tileSide + last
}

// columnEdges does the same for columns.
func (g *Grid) columnEdges(left, right int) (x0, x1 int) {
	var first, last uint64
	for ty := range g.shape.th {
		row := g.tiles[g.now][ty*g.shape.tw:]
		for y := range tileSide {
			first |= row[left][y]
			last |= row[right][y]
		}
	}
	return left*tileSide + bits.TrailingZeros64(first), right*tileSide + bits.Len64(last) - 1
}

// setLive records the population of a tile of buffer b and every sum over it.
func (g *Grid) setLive(b, t int, live uint16) {
	c := &g.counts[b][t]
	was := c.live
	if was == live {
		return
	}
	c.live = live
	g.live[b] += int64(live) - int64(was)
	if was == 0 || live == 0 {
		var by uint32 = 1
		if live == 0 {
			by = ^uint32(0)
		}
		g.lines[b].rows[t/g.shape.tw] += by
		g.lines[b].cols[t%g.shape.tw] += by
	}
}
