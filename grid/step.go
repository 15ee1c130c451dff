package grid

import "math/bits"

// Step computes one generation. Tiles that cannot differ from two generations
// ago are not touched: still lifes and everything of period 2 cost nothing.
func (g *Grid) Step() {
	g.step(nil)
}

// step computes one generation, and reports what it does to w when that is
// not nil.
//
// Which tiles: the buffer to be written holds the generation before the
// current one. A tile's new content follows from its own cells and those around
// it; if none of them differs from two generations ago, the buffer has the
// answer already. So a tile that comes out different from what its buffer held
// wakes itself and the neighbours its changed cells touch, for the next step.
func (g *Grid) step(w *deltaWriter) {
	g.wakeForeign()
	dst := 1 - g.now
	need := &g.need[dst]
	var job stepJob
	for i := range need.rows {
		for rows := need.rows[i]; rows != 0; rows &= rows - 1 {
			job.row(g, i<<6+bits.TrailingZeros64(rows), dst, w)
		}
	}
	job.end()
	g.turn(dst, 1)
}

// turn makes dst the current buffer, n generations on.
func (g *Grid) turn(dst int, n uint64) {
	g.now = dst
	g.gen += n
	g.births = g.born[dst]
	g.deaths = g.live[1-dst] + g.births - g.live[dst]
	if g.touched {
		g.touched = g.turnEdited()
	}
}

// stepJob is what the tiles of one step share.
type stepJob struct {
	life lifeJob
	sc   *scratch
}

// end gives the scratch space back.
func (job *stepJob) end() {
	if job.sc != nil {
		scratchPool.Put(job.sc)
		job.sc = nil
	}
}

// row computes the tiles of tile row ty that need it, into buffer dst.
func (job *stepJob) row(g *Grid, ty, dst int, w *deltaWriter) {
	need := &g.need[dst]
	if job.sc == nil && g.shape.needsScratch() {
		job.sc = scratchPool.Get().(*scratch)
	}
	job.life.table = &g.table
	row := need.bits[ty*need.rowWords:][:need.rowWords]
	for i := range row {
		tiles := row[i]
		row[i] = 0
		for ; tiles != 0; tiles &= tiles - 1 {
			job.tile(g, i<<6+bits.TrailingZeros64(tiles), ty, dst, w)
		}
	}
	need.takeRow(ty)
}

// needsScratch says whether some tile's neighbours have to be put together.
func (s *shape) needsScratch() bool {
	return s.planes > 0 || s.odd()
}

// tile computes one tile into buffer dst.
func (job *stepJob) tile(g *Grid, tx, ty, dst int, w *deltaWriter) {
	s, j := &g.shape, &job.life
	t := ty*s.tw + tx
	cur := g.tiles[1-dst]
	out := &g.tiles[dst][t]
	s.neighbours(j, cur, tx, ty, job.sc)
	j.dst = out
	j.cols = s.cols(tx)
	rows := s.rows(ty)
	j.rows = ^uint64(0) >> (tileSide - rows)
	first, last := out[0], out[rows-1]
	if w != nil {
		w.before = *out
	}
	j.run(g.kernel, g.general, j.cols&j.rows != ^uint64(0))
	c := change{any: j.diff, first: first ^ out[0], last: last ^ out[rows-1]}
	g.count(dst, t, j)
	if j.births != 0 && g.opts.Owners+int(g.opts.Colours) > 0 {
		job.newborns(g, tx, ty, dst, &c)
	}
	if g.colours != nil && (j.live == 0 || (g.gen+uint64(t))%sweepEvery == 0) {
		g.colours.sweep(t, out, &cur[t])
	}
	if c.any != 0 {
		setBit(g.stale[dst], t)
		g.byOwner[dst].valid = false
		g.wake(&g.need[1-dst], tx, ty, c)
	}
	if w != nil {
		w.tile(g, t, dst, c)
	}
}

// sweepEvery is how many generations pass between looks for colour blocks of
// a busy tile that are not needed any more.
const sweepEvery = 16

// count records what the kernel counted in a tile.
func (g *Grid) count(b, t int, j *lifeJob) {
	g.setLive(b, t, uint16(j.live))
	g.setBirths(b, t, uint16(j.births))
}

// setBirths records the births that led to a tile of buffer b.
func (g *Grid) setBirths(b, t int, births uint16) {
	if c := &g.counts[b][t]; c.births != births {
		g.born[b] += int64(births) - int64(c.births)
		c.births = births
	}
}

// change says where a tile differs from two generations ago: the or of all its
// rows, and its first and last row in use.
type change struct{ any, first, last uint64 }

// wake adds to need the tile and those neighbours that the change touches.
func (g *Grid) wake(need *needMap, tx, ty int, c change) {
	s := &g.shape
	last := uint(s.lastCols - 1)
	if tx < s.tw-1 {
		last = tileSide - 1
	}
	first, all, end := touched(c.first, last), touched(c.any, last), touched(c.last, last)
	if in := tx & 63; in > 0 && in < 63 && tx < s.tw-1 && ty > 0 && ty < s.th-1 {
		need.addThree(tx, ty-1, first)
		need.addThree(tx, ty, all)
		need.addThree(tx, ty+1, end)
		return
	}
	s.wakeRow(need, tx, ty-1, first)
	s.wakeRow(need, tx, ty, all)
	s.wakeRow(need, tx, ty+1, end)
}

// touched says whom the change row touches: bit 0 the left neighbour, bit 1 the
// tile, bit 2 the right one, whose border is column last.
func touched(row uint64, last uint) uint64 {
	if row == 0 {
		return 0
	}
	return 2 | row&1 | row>>(last&63)&1<<2
}

// wakeRow adds the tiles tx-1, tx and tx+1 of row ty given by the bits of
// three, around the edges of a torus and not beyond those of a plane.
func (s *shape) wakeRow(need *needMap, tx, ty int, three uint64) {
	if three == 0 {
		return
	}
	if ty < 0 || ty >= s.th {
		if !s.torus {
			return
		}
		ty = around(ty, s.th)
	}
	for d := range 3 {
		if three>>d&1 == 0 {
			continue
		}
		x := tx + d - 1
		if x < 0 || x >= s.tw {
			if !s.torus {
				continue
			}
			x = around(x, s.tw)
		}
		need.add(x, ty)
	}
}

// wakeForeign wakes all tiles after a delta or a snapshot was applied.
func (g *Grid) wakeForeign() {
	if g.foreign {
		g.wakeAll()
		g.foreign = false
	}
}

// wakeAll makes the next two steps compute every tile: nothing is known of how
// the two buffers follow from each other.
func (g *Grid) wakeAll() {
	g.need[0].fill(&g.shape)
	g.need[1].fill(&g.shape)
}

// wakeAround makes the next two steps compute a tile and its neighbours, after
// an edit of its current cells. Two steps, because an edited tile no longer
// follows from the generation before it, so the step that writes over it must
// not take its content for an answer.
func (g *Grid) wakeAround(tx, ty int) {
	for b := range 2 {
		for dy := -1; dy <= 1; dy++ {
			g.shape.wakeRow(&g.need[b], tx, ty+dy, 7)
		}
	}
}
