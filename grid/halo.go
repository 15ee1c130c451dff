package grid

import "sync"

// A kernel wants the tile, the tiles left and right of it, and the rows above
// and below. Inside the grid, on a plane, and on a torus whose sides are
// multiples of 64 these are the tiles themselves (or an empty one). On any
// other torus the last tile column ends inside a tile, and so does the last
// row; then a shifted copy is put together in scratch:
//
//	last column, C columns in use:  own tile, and behind column C-1 the
//	                                first tile of the row: own | first<<C
//	first column:                   to its left the last tile moved to end at
//	                                column 63: last << (64-C)
//	last row, R rows in use:        row R is row 0 of the top tile
//
// The cells that a copy has too many lie beyond the edge, and the masked
// kernels drop them.

// emptyTile stands for every tile beyond the edge of a plane.
var emptyTile tile

// scratch is what one step needs beside the grid. It is pooled: thousands of
// grids share a few.
type scratch struct {
	left, centre, right tile // shifted copies for the edges of an odd torus
	owners              ownerScratch
}

var scratchPool = sync.Pool{New: func() any { return new(scratch) }}

// neighbours fills the inputs of j for the tile (tx, ty) of cur.
func (s *shape) neighbours(j *lifeJob, cur []tile, tx, ty int, sc *scratch) {
	left, right, up, down := tx-1, tx+1, ty-1, ty+1
	if left < 0 || right == s.tw || up < 0 || down == s.th {
		if !s.aligned {
			s.edgeNeighbours(j, cur, tx, ty, sc)
			return
		}
		left, right = around(left, s.tw), around(right, s.tw)
		up, down = around(up, s.th), around(down, s.th)
	}
	row := cur[ty*s.tw:][:s.tw]
	j.cur, j.left, j.right = &row[tx], &row[left], &row[right]
	row = cur[up*s.tw:][:s.tw]
	j.up[0], j.up[1], j.up[2] = row[left][63], row[tx][63], row[right][63]
	row = cur[down*s.tw:][:s.tw]
	j.down[0], j.down[1], j.down[2] = row[left][0], row[tx][0], row[right][0]
}

// around brings an index one beyond the edge back to the other side of n.
func around(i, n int) int {
	if i < 0 {
		return i + n
	}
	if i >= n {
		return i - n
	}
	return i
}

// edgeNeighbours is neighbours for a tile at an edge of the grid.
func (s *shape) edgeNeighbours(j *lifeJob, cur []tile, tx, ty int, sc *scratch) {
	row := cur[ty*s.tw:][:s.tw]
	j.cur, j.left, j.right = &row[tx], &emptyTile, &emptyTile
	switch {
	case tx > 0:
		j.left = &row[tx-1]
	case s.torus && s.lastCols == tileSide:
		j.left = &row[s.tw-1]
	case s.torus:
		shiftTile(&sc.left, &row[s.tw-1], tileSide-s.lastCols)
		j.left = &sc.left
	}
	switch {
	case tx < s.tw-1:
		j.right = &row[tx+1]
	case s.torus && s.lastCols == tileSide:
		j.right = &row[0]
	case s.torus:
		joinTile(&sc.centre, &row[tx], &row[0], s.lastCols)
		j.cur = &sc.centre
	}
	j.up, j.down = s.rowAbove(cur, tx, ty), s.rowBelow(cur, tx, ty)
	if s.torus && ty == s.th-1 && s.lastRows < tileSide {
		s.extendDown(j, sc)
	}
}

// rowAbove returns the row above tile (tx, ty) in three words.
func (s *shape) rowAbove(cur []tile, tx, ty int) [3]uint64 {
	switch {
	case ty > 0:
		return s.rowOf(cur, tx, ty-1, tileSide-1)
	case s.torus:
		return s.rowOf(cur, tx, s.th-1, s.lastRows-1)
	}
	return [3]uint64{}
}

// rowBelow returns the row below tile (tx, ty) in three words.
func (s *shape) rowBelow(cur []tile, tx, ty int) [3]uint64 {
	switch {
	case ty < s.th-1:
		return s.rowOf(cur, tx, ty+1, 0)
	case s.torus:
		return s.rowOf(cur, tx, 0, 0)
	}
	return [3]uint64{}
}

// rowOf returns row y of tile (tx, ty) with the words left and right of it, as
// the tiles of column tx see it.
func (s *shape) rowOf(cur []tile, tx, ty, y int) (w [3]uint64) {
	row := cur[ty*s.tw:][:s.tw]
	w[1] = row[tx][y]
	switch {
	case tx > 0:
		w[0] = row[tx-1][y]
	case s.torus:
		w[0] = row[s.tw-1][y] << (tileSide - s.lastCols)
	}
	switch {
	case tx < s.tw-1:
		w[2] = row[tx+1][y]
	case s.torus && s.lastCols == tileSide:
		w[2] = row[0][y]
	case s.torus:
		w[1] |= row[0][y] << s.lastCols
	}
	return w
}

// extendDown writes the row below as row lastRows into copies of the tiles.
func (s *shape) extendDown(j *lifeJob, sc *scratch) {
	if j.cur != &sc.centre {
		sc.centre = *j.cur
		j.cur = &sc.centre
	}
	if j.left != &sc.left {
		sc.left = *j.left
		j.left = &sc.left
	}
	sc.right = *j.right
	j.right = &sc.right
	sc.left[s.lastRows], sc.centre[s.lastRows], sc.right[s.lastRows] = j.down[0], j.down[1], j.down[2]
}

// shiftTile moves every row of src right by n columns.
func shiftTile(dst, src *tile, n int) {
	for y := range dst {
		dst[y] = src[y] << (n & 63)
	}
}

// joinTile puts b behind the first n columns of a.
func joinTile(dst, a, b *tile, n int) {
	for y := range dst {
		dst[y] = a[y] | b[y]<<(n&63)
	}
}
