package grid

// planeView reads one plane of a tile and its neighbours, whether they keep
// planes or not.
type planeView struct {
	g     *Grid
	p     int
	tiles [9]tilePlanes // from the upper left to the lower right
}

// tilePlanes are the planes of one tile: its own, or one owner in all.
type tilePlanes struct {
	planes []tile
	owner  uint16
}

// fullTile has every bit set.
var fullTile = func() (t tile) { fillTile(&t, ^uint64(0)); return t }()

// newPlaneView looks the tiles around (tx, ty) up.
func newPlaneView(g *Grid, tx, ty int) planeView {
	v := planeView{g: g}
	for i := range v.tiles {
		if t, ok := g.shape.neighbourOf(tx+i%3-1, ty+i/3-1); ok {
			v.tiles[i] = g.planesOrOwner(t)
		}
	}
	return v
}

// planesOrOwner returns what is known of the owners of tile t.
func (g *Grid) planesOrOwner(t int) tilePlanes {
	switch state := g.owner[t]; state {
	case ownerMixed:
		return tilePlanes{planes: g.planesOf(t)}
	case ownerNone:
		return tilePlanes{}
	default:
		return tilePlanes{owner: state}
	}
}

// plane returns plane p.
func (t *tilePlanes) plane(p int) *tile {
	switch {
	case t.planes != nil:
		return &t.planes[p]
	case t.owner>>p&1 != 0:
		return &fullTile
	}
	return &emptyTile
}

// at returns the plane of tile (tx, ty), empty beyond the edge of a plane.
func (v *planeView) at(tx, ty int) *tile {
	t, ok := v.g.shape.neighbourOf(tx, ty)
	if !ok {
		return &emptyTile
	}
	known := v.g.planesOrOwner(t)
	return known.plane(v.p)
}

// inside fills the planes of a job where all neighbours are whole tiles, or
// lie beyond the edge, where no cell lives.
func (v *planeView) inside(j *planeJob) {
	p := v.p
	j.plane = [3]*tile{v.tiles[4].plane(p), v.tiles[3].plane(p), v.tiles[5].plane(p)}
	for i := range 3 {
		j.up[i] = v.tiles[i].plane(p)[tileSide-1]
		j.down[i] = v.tiles[6+i].plane(p)[0]
	}
}

// edge fills them at the edges of an odd torus, as shape.edgeNeighbours does
// for the cells.
func (v *planeView) edge(j *planeJob, tx, ty int, sc *ownerScratch) {
	s := &v.g.shape
	sc.centre = *v.at(tx, ty)
	sc.left, sc.right = *v.at(tx-1, ty), *v.at(tx+1, ty)
	if tx == s.tw-1 && s.lastCols < tileSide {
		own := sc.centre
		for y := range own {
			own[y] &= s.cols(tx)
		}
		joinTile(&sc.centre, &own, v.at(0, ty), s.lastCols)
	}
	if tx == 0 {
		shiftTile(&sc.left, v.at(s.tw-1, ty), tileSide-s.lastCols)
	}
	j.up, j.down = v.row(tx, ty-1, true), v.row(tx, ty+1, false)
	if ty == s.th-1 && s.lastRows < tileSide {
		sc.left[s.lastRows], sc.centre[s.lastRows], sc.right[s.lastRows] = j.down[0], j.down[1], j.down[2]
	}
	j.plane = [3]*tile{&sc.centre, &sc.left, &sc.right}
}

// row returns the last or the first row of tile row ty as column tx sees it.
func (v *planeView) row(tx, ty int, last bool) (w [3]uint64) {
	s := &v.g.shape
	ty = around(ty, s.th)
	y := 0
	if last {
		y = s.rows(ty) - 1
	}
	w[0], w[1], w[2] = v.at(tx-1, ty)[y], v.at(tx, ty)[y], v.at(tx+1, ty)[y]
	if tx == 0 {
		w[0] = v.at(s.tw-1, ty)[y] << (tileSide - s.lastCols)
	}
	if tx == s.tw-1 && s.lastCols < tileSide {
		w[1] = w[1]&s.cols(tx) | v.at(0, ty)[y]<<s.lastCols
	}
	return w
}
