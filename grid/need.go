package grid

// needMap is a set of tiles with a summary: one bit for each tile row that has
// a member. A step over a quiet grid reads the summary alone, four words for
// 16384 rows of cells.
//
//	rows  1 0 0 1 …                        bit ty: row ty has members
//	bits  [row 0: rowWords words][row 1 …  bit tx of row ty
type needMap struct {
	bits, rows []uint64
	rowWords   int
}

func (n *needMap) add(tx, ty int) {
	n.bits[ty*n.rowWords+tx>>6] |= 1 << (tx & 63)
	n.rows[ty>>6] |= 1 << (ty & 63)
}

// addThree adds the tiles tx-1, tx and tx+1 of row ty whose bits 0, 1 and 2
// are set in three. REQUIRES: 0 < tx%64 < 63, and tx+1 is a column.
func (n *needMap) addThree(tx, ty int, three uint64) {
	if three == 0 {
		return
	}
	n.bits[ty*n.rowWords+tx>>6] |= three << ((tx - 1) & 63)
	n.rows[ty>>6] |= 1 << (ty & 63)
}

// has says whether row ty has members.
func (n *needMap) has(ty int) bool { return n.rows[ty>>6]>>(ty&63)&1 != 0 }

// takeRow forgets that row ty has members.
func (n *needMap) takeRow(ty int) { n.rows[ty>>6] &^= 1 << (ty & 63) }

// fill adds every tile of a grid of that shape.
func (n *needMap) fill(s *shape) {
	for ty := range s.th {
		row := n.bits[ty*n.rowWords:][:n.rowWords]
		for w := range row {
			row[w] = ^uint64(0)
		}
		if tail := s.tw & 63; tail != 0 {
			row[len(row)-1] = 1<<tail - 1
		}
		n.rows[ty>>6] |= 1 << (ty & 63)
	}
}

// setBit and testBit treat words as one bit set.
func setBit(words []uint64, i int)       { words[i>>6] |= 1 << (i & 63) }
func testBit(words []uint64, i int) bool { return words[i>>6]>>(i&63)&1 != 0 }
