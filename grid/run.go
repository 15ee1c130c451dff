package grid

// Temporal blocking: Run computes several generations of a band of tile rows
// while it is in the cache, before it goes on to the next band. Generation j of
// tile row r needs generation j-1 of the rows r-1, r and r+1, and writes over
// generation j-2 of row r. So the generations follow each other like waves, one
// tile row apart, in the two buffers there are (k = 4, the number is the order):
//
//	row         0   1   2   3   4   5
//	gen 1       1   2   4   7  11 …
//	gen 2       3   5   8  12
//	gen 3       6   9  13
//	gen 4      10  14
//
// Row r of generation j follows row r+1 of generation j-1, which was its last
// reader. On a torus row 0 and the last row need each other: there the waves
// leave out one row more at each end with each generation, and the seam is
// computed afterwards, generation by generation, from buffers that still hold
// what it needs, as no wave has gone further.
//
// Skipping, owners and colours work as in single steps, for the same reason.
const (
	// waveCache is the cache that the rows under the waves may fill, in bytes:
	// most of a usual second-level cache.
	waveCache = 3 << 19
	// maxWaves is the most generations in flight.
	maxWaves = 16
	// tileBytes is what a tile takes in both buffers, in bytes.
	tileBytes = 2 * tileSide * 8
)

// Run computes n generations, many at a time where the grid is larger than the
// cache, and returns how many it did. It asks stop, when that is not nil,
// before every few generations (at most 16), and returns early when it says
// true. [Grid.Changes] are then those of the last generation.
func (g *Grid) Run(n uint64, stop func() bool) uint64 {
	most := g.waves()
	done := uint64(0)
	for done < n && (stop == nil || !stop()) {
		k := min(uint64(most), n-done)
		if k < 2 || g.touched {
			g.Step()
			done++
			continue
		}
		g.wave(int(k))
		done += k
	}
	return done
}

// waves is how many generations Run computes together.
func (g *Grid) waves() int {
	s := &g.shape
	rows := waveCache / (s.tw * tileBytes)
	k := min(maxWaves, rows-2, s.th/2)
	if s.th <= rows {
		k = 1 // all of it is in the cache anyway
	}
	return max(k, 1)
}

// wave computes k generations. REQUIRES: 2k <= tile rows; no edits that
// followers have not heard of.
func (g *Grid) wave(k int) {
	g.wakeForeign()
	s := &g.shape
	var job stepJob
	seam := 0
	if s.torus {
		seam = 1
	}
	for front := range s.th + k - 1 {
		for j := range k {
			if r := front - j; r >= seam*j && r < s.th-seam*j {
				job.rowIfNeeded(g, r, g.bufferAfter(j+1))
			}
		}
	}
	for j := 1; j < k; j++ {
		for i := range seam * j {
			job.rowIfNeeded(g, i, g.bufferAfter(j+1))
			job.rowIfNeeded(g, s.th-1-i, g.bufferAfter(j+1))
		}
	}
	job.end()
	last := g.bufferAfter(k)
	g.gen += uint64(k - 1)
	g.turn(last, 1)
}

// bufferAfter is the buffer that n generations from now are written to.
func (g *Grid) bufferAfter(n int) int { return (g.now + n) & 1 }

// rowIfNeeded computes tile row ty into buffer dst if some tile needs it.
func (job *stepJob) rowIfNeeded(g *Grid, ty, dst int) {
	if g.need[dst].has(ty) {
		job.row(g, ty, dst, nil)
	}
}
