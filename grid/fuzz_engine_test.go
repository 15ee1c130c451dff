package grid

import (
	"math/rand/v2"
	"testing"
)

// fuzzPair is a grid and a follower of one of the kinds of deltaOptions.
func fuzzPair(kind uint8) (g, follower *Grid, err error) {
	all := deltaOptions()
	o := all[int(kind)%len(all)]
	if g, err = New(o, nil); err != nil {
		return nil, nil, err
	}
	rng := rand.New(rand.NewPCG(14, uint64(kind)))
	for range 200 {
		owner := Mark(0)
		if o.Owners > 0 {
			owner = Mark(rng.IntN(o.Owners))
		}
		if err := g.Paint(rng.IntN(o.Width), rng.IntN(o.Height), owner); err != nil {
			return nil, nil, err
		}
	}
	g.Step()
	if follower, err = New(o, nil); err != nil {
		return nil, nil, err
	}
	return g, follower, follower.ApplySnapshot(g.AppendSnapshot(nil))
}

// FuzzApplyDelta: any bytes are taken whole or refused whole; the grid stays
// sound, that is, it steps and its figures are those of its cells.
func FuzzApplyDelta(f *testing.F) {
	for kind := range uint8(len(deltaOptions())) {
		g, _, err := fuzzPair(kind)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(kind, g.StepDelta(nil))
		f.Add(kind, g.AppendEdits(nil))
	}
	f.Fuzz(func(t *testing.T, kind uint8, delta []byte) {
		_, follower, err := fuzzPair(kind)
		if err != nil {
			t.Fatal(err)
		}
		before := string(follower.AppendSnapshot(nil))
		if err := follower.ApplyDelta(delta); err != nil && string(follower.AppendSnapshot(nil)) != before {
			t.Fatal("a refused delta changed the grid")
		}
		checkSound(t, follower)
	})
}

// FuzzApplySnapshot: the same for snapshots, which may leave an empty grid.
func FuzzApplySnapshot(f *testing.F) {
	for kind := range uint8(len(deltaOptions())) {
		g, _, err := fuzzPair(kind)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(kind, g.AppendSnapshot(nil))
	}
	f.Fuzz(func(t *testing.T, kind uint8, snapshot []byte) {
		_, follower, err := fuzzPair(kind)
		if err != nil {
			t.Fatal(err)
		}
		_ = follower.ApplySnapshot(snapshot)
		checkSound(t, follower)
	})
}

// checkSound compares a grid's figures with its cells, before and after steps.
func checkSound(t *testing.T, g *Grid) {
	t.Helper()
	for range 3 {
		var live int64
		for y := range g.opts.Height {
			for x := range g.opts.Width {
				if g.Alive(x, y) {
					live++
				}
			}
		}
		if live != g.Population() || jsHash(g) != g.Hash() {
			t.Fatalf("population %d, counted %d; hash %x, want %x", g.Population(), live, g.Hash(), jsHash(g))
		}
		if box, ok := g.Bounds(); ok != (live > 0) || box.Width > g.opts.Width {
			t.Fatalf("bounds %+v %v with %d live cells", box, ok, live)
		}
		for b := range 2 {
			for i, tile := range g.tiles[b] {
				for y, row := range tile {
					if row&^g.shape.cols(i%g.shape.tw) != 0 || y >= g.shape.rows(i/g.shape.tw) && row != 0 {
						t.Fatal("a cell beyond the edge")
					}
				}
			}
		}
		g.Step()
	}
}
