package grid

// splits are the newborn whose parents disagree in one plane, and in two.
type splits struct{ one, two tile }

// noSplits is what is seen before the first plane.
var noSplits splits

// planeJob is one call of the majority kernel: one plane of one tile. The
// assembly reads it by offset, as lifeJob.
type planeJob struct {
	plane [3]*tile // own, left and right: the owner bits
	life  [3]*tile // the cells that were alive, which mask them

	after  *tile   // the newborn are alive here
	before *tile   // and dead here
	seen   *splits // of the planes before
	split  *splits // out: with this plane
	out    *tile   // out: the majority of the parents of the newborn

	up, down [3]uint64 // owner bits and cells of the rows above and below
	target   *tile     // for the commit: the plane that takes out
	diff     uint64    // out of the commit: what changed, or over all rows
	rows     uint64    // out: bit y is set when row y of two is not 0
}

// run computes the majority of a plane.
func (j *planeJob) run(k Kernel) {
	if k == KernelAVX512 {
		majorityAVX512(j)
		return
	}
	majorityGo(j)
}

// commit writes the newborn's bits of out to the target.
func (j *planeJob) commit(k Kernel) {
	if k == KernelAVX512 {
		commitAVX512(j)
		return
	}
	commitGo(j)
}

// majorityGo is the majority kernel in plain Go.
func majorityGo(j *planeJob) {
	own, left, right := j.plane[0], j.plane[1], j.plane[2]
	life, lifeLeft, lifeRight := j.life[0], j.life[1], j.life[2]
	j.rows = 0
	ones0, twos0 := rowSum(j.up[0], j.up[1], j.up[2])
	ones1, twos1 := rowSum(left[0]&lifeLeft[0], own[0]&life[0], right[0]&lifeRight[0])
	for y := range tileSide {
		var ones2, twos2 uint64
		if n := (y + 1) & 63; n != 0 {
			ones2, twos2 = rowSum(left[n]&lifeLeft[n], own[n]&life[n], right[n]&lifeRight[n])
		} else {
			ones2, twos2 = rowSum(j.down[0], j.down[1], j.down[2])
		}
		fresh := j.after[y] &^ j.before[y]
		x := ones1 ^ ones2
		b0 := ones0 ^ x
		b1 := (ones1&ones2 | ones0&x) ^ twos0 ^ twos1 ^ twos2
		split := (b0 ^ b1) & fresh
		one := j.seen.one[y]
		two := j.seen.two[y] | one&split
		j.split.one[y], j.split.two[y] = one|split, two
		if two != 0 {
			j.rows |= 1 << y
		}
		j.out[y] = b1 & fresh
		ones0, twos0, ones1, twos1 = ones1, twos1, ones2, twos2
	}
}

// commitGo is commit in plain Go.
func commitGo(j *planeJob) {
	var diff uint64
	for y, after := range j.after {
		change := (j.target[y] ^ j.out[y]) & (after &^ j.before[y])
		j.target[y] ^= change
		diff |= change
	}
	j.diff = diff
}
