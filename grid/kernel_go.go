package grid

import "math/bits"

// The circuit, for 64 cells of a row at once. For each row, of the cell and
// its two neighbours in the row: ones = their sum's bit 0, twos = its bit 1.
// Over three rows, the sum of nine cells is
//
//	b0 + 2·(p + q) + 4·m     b0 = xor of the ones   p = their carry (majority)
//	                         q  = xor of the twos   m = their carry (majority)
//
// A cell lives next when that sum is 3, or when it is 4 and the cell lives
// now: the cell is in its own sum.

// lifeGo is the kernel of B3/S23 in plain Go.
func lifeGo(j *lifeJob) {
	cur, left, right, dst := j.cur, j.left, j.right, j.dst
	rows := bits.Len64(j.rows)
	cols := j.cols
	var diff uint64
	live, births := 0, 0
	ones0, twos0 := rowSum(j.up[0], j.up[1], j.up[2])
	c := cur[0]
	ones1, twos1 := rowSum(left[0], c, right[0])
	for y := range rows {
		next := j.down[1]
		var ones2, twos2 uint64
		if y < tileSide-1 {
			next = cur[(y+1)&63]
			ones2, twos2 = rowSum(left[(y+1)&63], next, right[(y+1)&63])
		} else {
			ones2, twos2 = rowSum(j.down[0], next, j.down[2])
		}
		x := ones1 ^ ones2
		b0 := ones0 ^ x
		p := ones1&ones2 | ones0&x
		x = twos1 ^ twos2
		q := twos0 ^ x
		m := twos1&twos2 | twos0&x
		b1 := p ^ q
		n := (b0&b1&^m | c&(m^q)&^(b0|b1)) & cols
		diff |= n ^ dst[y&63]
		live += bits.OnesCount64(n)
		births += bits.OnesCount64(n &^ c)
		dst[y&63] = n
		c = next
		ones0, twos0, ones1, twos1 = ones1, twos1, ones2, twos2
	}
	j.diff, j.live, j.births = diff, uint64(live), uint64(births)
}

// rowSum adds each cell of c and its two neighbours in the row.
func rowSum(left, c, right uint64) (ones, twos uint64) {
	l := c<<1 | left>>63
	r := c>>1 | right<<63
	x := l ^ c
	return x ^ r, l&c | r&x
}

// ruleGo is the kernel of every other rule in plain Go.
func ruleGo(j *lifeJob) {
	cur, left, right, dst := j.cur, j.left, j.right, j.dst
	rows := bits.Len64(j.rows)
	cols, table := j.cols, j.table
	var diff uint64
	live, births := 0, 0
	ones0, twos0 := rowSum(j.up[0], j.up[1], j.up[2])
	c := cur[0]
	ones1, twos1 := rowSum(left[0], c, right[0])
	for y := range rows {
		next := j.down[1]
		var ones2, twos2 uint64
		if y < tileSide-1 {
			next = cur[(y+1)&63]
			ones2, twos2 = rowSum(left[(y+1)&63], next, right[(y+1)&63])
		} else {
			ones2, twos2 = rowSum(j.down[0], next, j.down[2])
		}
		x := ones1 ^ ones2
		b0 := ones0 ^ x
		p := ones1&ones2 | ones0&x
		x = twos1 ^ twos2
		q := twos0 ^ x
		m := twos1&twos2 | twos0&x
		carry := p & q
		n := table.next(c, b0, p^q, m^carry, m&carry) & cols
		diff |= n ^ dst[y&63]
		live += bits.OnesCount64(n)
		births += bits.OnesCount64(n &^ c)
		dst[y&63] = n
		c = next
		ones0, twos0, ones1, twos1 = ones1, twos1, ones2, twos2
	}
	j.diff, j.live, j.births = diff, uint64(live), uint64(births)
}

// next looks the sum b3 b2 b1 b0 up in the table, for 64 cells at once.
func (t *ruleTable) next(c, b0, b1, b2, b3 uint64) uint64 {
	s0 := pick(b0, t.at(1, c), t.at(0, c))
	s2 := pick(b0, t.at(3, c), t.at(2, c))
	s4 := pick(b0, t.at(5, c), t.at(4, c))
	s6 := pick(b0, t.at(7, c), t.at(6, c))
	s8 := pick(b0, t.at(9, c), t.at(8, c))
	return pick(b3, s8, pick(b2, pick(b1, s6, s4), pick(b1, s2, s0)))
}

// at is the next state of cells c whose sum is n.
func (t *ruleTable) at(n int, c uint64) uint64 { return t.born[n] ^ c&t.flip[n] }

// pick takes the bits of a where s is set and those of b elsewhere.
func pick(s, a, b uint64) uint64 { return b ^ s&(a^b) }
