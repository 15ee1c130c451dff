package grid

import "math/bits"

// countRow counts the cells of row y of a tile by owner. base holds the owner
// bits decided so far; the last plane decides the next one.
func (c *ownerCache) countRow(planes []tile, y int, cells uint64, base int) {
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
