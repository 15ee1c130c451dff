package grid

import (
	"math/bits"
	"slices"
)

// ownerScratch is what one step needs to find the owners of newborn cells.
type ownerScratch struct {
	split               splits
	out                 [8]tile // the planes of the newborn
	left, centre, right tile    // a plane put together at the edge of an odd torus
}

// newborns gives the births of a tile their owners or colours, and adds to c
// where these differ from what the cell had when it lived last.
func (job *stepJob) newborns(g *Grid, tx, ty, dst int, c *change) {
	t := ty*g.shape.tw + tx
	if g.colours != nil {
		g.blend(tx, ty, dst, c)
		return
	}
	parents := job.parents(g, tx, ty, dst)
	switch {
	case parents == ownerMixed:
		job.mixed(g, tx, ty, dst, c)
	case parents != g.owner[t]:
		// The tile had no live cells, or its own would be among the parents.
		g.owner[t] = parents
		*c = change{^uint64(0), ^uint64(0), ^uint64(0)}
	}
}

// parents returns the one owner that all cells next to the tile and in it
// have, or ownerMixed.
func (job *stepJob) parents(g *Grid, tx, ty, dst int) uint16 {
	s, j := &g.shape, &job.life
	owner := uint16(ownerNone)
	for dy := -1; dy <= 1; dy++ {
		for dx := -1; dx <= 1; dx++ {
			t, ok := s.neighbourOf(tx+dx, ty+dy)
			if !ok || g.counts[1-dst][t].live == 0 || g.owner[t] == owner {
				continue
			}
			if dx|dy != 0 && !s.odd() && !j.touches(dx, dy) {
				continue
			}
			if owner != ownerNone || g.owner[t] == ownerMixed {
				return ownerMixed
			}
			owner = g.owner[t]
		}
	}
	return owner
}

// odd says whether some tile's neighbours are put together in scratch.
func (s *shape) odd() bool { return s.torus && !s.aligned }

// touches says whether the neighbour in direction (dx, dy) has a live cell at
// the common border.
func (j *lifeJob) touches(dx, dy int) bool {
	switch {
	case dy != 0:
		row := j.up
		if dy > 0 {
			row = j.down
		}
		switch dx {
		case -1:
			return row[0]>>63 != 0
		case 0:
			return row[1] != 0
		}
		return row[2]&1 != 0
	case dx < 0:
		return orRows(j.left)>>63 != 0
	}
	return orRows(j.right)&1 != 0
}

func orRows(t *tile) uint64 {
	var any uint64
	for _, row := range t {
		any |= row
	}
	return any
}

// neighbourOf returns the number of tile (tx, ty), around the edges of a torus;
// false beyond those of a plane.
func (s *shape) neighbourOf(tx, ty int) (int, bool) {
	if tx < 0 || ty < 0 || tx >= s.tw || ty >= s.th {
		if !s.torus {
			return 0, false
		}
		tx, ty = around(tx, s.tw), around(ty, s.th)
	}
	return ty*s.tw + tx, true
}

// mixed finds the owners of the newborn of a tile where owners meet.
//
// Three parents, a dead centre: the sum over a plane's nine masked cells is 0
// to 3, and its bit 1 is their majority. Where that sum is 1 or 2 the parents
// are split in that plane. Split in one plane at most: two parents agree, and
// the majority of each plane is theirs. Split in two or more: the parents may
// all differ, and the median is found cell by cell.
func (job *stepJob) mixed(g *Grid, tx, ty, dst int, c *change) {
	t := ty*g.shape.tw + tx
	sc := &job.sc.owners
	before, after := &g.tiles[1-dst][t], &g.tiles[dst][t]
	planes := g.mix(t)
	doubtful := ^uint64(0) // rows with cells to be looked at one by one
	fast := g.opts.Rule.Birth == 1<<3
	if fast {
		v := newPlaneView(g, tx, ty)
		for p := range planes {
			doubtful = job.majority(g, &v, tx, ty, dst, p)
		}
	} else {
		for y := range sc.split.two {
			sc.split.two[y] = after[y] &^ before[y]
		}
		for p := range planes {
			sc.out[p] = tile{}
		}
	}
	lastX, last := bits.Len64(g.shape.cols(tx))-1, g.shape.rows(ty)-1
	for ; doubtful != 0; doubtful &= doubtful - 1 {
		y := bits.TrailingZeros64(doubtful)
		for row := sc.split.two[y]; row != 0; row &= row - 1 {
			x := bits.TrailingZeros64(row)
			if fast && x > 0 && x < lastX && y > 0 && y < last {
				medianInside(before, planes, sc.out[:len(planes)], x, y)
				continue
			}
			planesPut(sc.out[:len(planes)], x, y, g.medianOwner(tx, ty, x, y, 1-dst))
		}
	}
	for p := range planes {
		plane := &planes[p]
		first, end := plane[0], plane[last]
		j := planeJob{after: after, before: before, out: &sc.out[p], target: plane}
		j.commit(g.kernel)
		c.any |= j.diff
		c.first |= first ^ plane[0]
		c.last |= end ^ plane[last]
	}
	if (g.gen+uint64(t))%unmixEvery == 0 {
		g.unmix(t)
	}
}

// unmixEvery is how many generations pass between looks at a mixed tile for
// having become one owner's. The look costs about as much as a plane.
const unmixEvery = 16

// majority runs the kernel for plane p of a tile whose surroundings are v. It
// returns the rows with cells that are split in two planes by now.
func (job *stepJob) majority(g *Grid, v *planeView, tx, ty, dst, p int) uint64 {
	life, sc := &job.life, &job.sc.owners
	v.p = p
	t := ty*g.shape.tw + tx
	before, after := &g.tiles[1-dst][t], &g.tiles[dst][t]
	j := planeJob{
		life:  [3]*tile{life.cur, life.left, life.right},
		after: after, before: before, seen: &sc.split, split: &sc.split, out: &sc.out[p],
	}
	if p == 0 {
		j.seen = &noSplits
	}
	s := &g.shape
	if s.odd() && (tx == 0 || tx == s.tw-1 || ty == 0 || ty == s.th-1) {
		v.edge(&j, tx, ty, sc)
	} else {
		v.inside(&j)
	}
	for i := range 3 {
		j.up[i] &= life.up[i]
		j.down[i] &= life.down[i]
	}
	j.run(g.kernel)
	return j.rows
}

// medianInside writes the median of the three owners around cell (x, y) to
// out. REQUIRES: three live neighbours, all in this tile.
//
// It works on windows of three by three bits, from the high plane down. The
// majority of a plane's bits is the median's bit. A parent whose bit differs is
// below or above the two others for good: it leaves, and counts as 0 or 1 in
// the planes below.
func medianInside(cells *tile, planes, out []tile, x, y int) {
	left := window(cells, x, y)
	above := 0
	bit := uint64(1) << (x & 63)
	for p := len(planes) - 1; p >= 0; p-- {
		ones := window(&planes[p], x, y) & left
		n := bits.OnesCount64(ones)
		major := -uint64((n + above) >> 1 & 1) // all ones where two or three are
		left &= ones ^ ^major
		above += n &^ int(major)
		row := &out[p][y&63]
		*row = *row&^bit | major&bit
	}
}

// window returns the three by three bits around (x, y). REQUIRES: 0 < x, y < 63.
func window(t *tile, x, y int) uint64 {
	shift := (x - 1) & 63
	return t[(y-1)&63]>>shift&7 | t[y&63]>>shift&7<<3 | t[(y+1)&63]>>shift&7<<6
}

// medianOwner returns the middle owner of the live neighbours that cell (x, y)
// of tile (tx, ty) has in buffer b.
func (g *Grid) medianOwner(tx, ty, x, y, b int) uint8 {
	var list [8]uint8
	owners := list[:0]
	g.eachParent(tx*tileSide+x, ty*tileSide+y, b, func(t, px, py int) {
		owners = append(owners, g.ownerAt(t, px, py))
	})
	slices.Sort(owners)
	return owners[(len(owners)-1)/2]
}

// eachParent calls f for every live neighbour of cell (x, y) in buffer b, with
// its tile and its place in the tile.
func (g *Grid) eachParent(x, y, b int, f func(t, px, py int)) {
	for dy := -1; dy <= 1; dy++ {
		for dx := -1; dx <= 1; dx++ {
			nx, ny := x+dx, y+dy
			if g.shape.torus {
				nx, ny = around(nx, g.opts.Width), around(ny, g.opts.Height)
			}
			if dx|dy == 0 || !g.Inside(nx, ny) {
				continue
			}
			t := g.shape.tileOf(nx, ny)
			if g.tiles[b][t][ny%tileSide]>>(nx%tileSide)&1 != 0 {
				f(t, nx%tileSide, ny%tileSide)
			}
		}
	}
}
