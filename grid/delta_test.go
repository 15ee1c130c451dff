package grid

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// sameGrid fails unless both grids have the same cells, marks and figures.
func sameGrid(t *testing.T, where string, a, b *Grid) {
	t.Helper()
	if a.Generation() != b.Generation() || a.Population() != b.Population() || a.Hash() != b.Hash() {
		t.Fatalf("%s: generation %d and %d, population %d and %d, hash %x and %x", where,
			a.Generation(), b.Generation(), a.Population(), b.Population(), a.Hash(), b.Hash())
	}
	for tile := range a.tiles[a.now] {
		if a.tiles[a.now][tile] != b.tiles[b.now][tile] {
			t.Fatalf("%s: tile %d differs", where, tile)
		}
	}
	for y := range a.opts.Height {
		for x := range a.opts.Width {
			ao, _ := a.Owner(x, y)
			bo, _ := b.Owner(x, y)
			ac, _ := a.Colour(x, y)
			bc, _ := b.Colour(x, y)
			if ao != bo || ac != bc {
				t.Fatalf("%s: (%d,%d) has owner %d and %d, colour %06x and %06x", where, x, y, ao, bo, ac, bc)
			}
		}
	}
}

// deltaOptions are grids of every kind.
func deltaOptions() []Options {
	return []Options{
		{Width: 192, Height: 130}, {Width: 64, Height: 64, Topology: Plane}, {Width: 1, Height: 1}, {Width: 65, Height: 3},
		{Width: 130, Height: 100, Owners: 1}, {Width: 128, Height: 128, Owners: 16}, {Width: 100, Height: 90, Owners: 255},
		{Width: 96, Height: 128, Owners: 5, Topology: Plane, Rule: mustRule("36", "23")},
		{Width: 100, Height: 100, Colours: ColourWhole}, {Width: 128, Height: 70, Colours: ColourChannels},
	}
}

// someEdits makes a few changes to the engine alone.
func someEdits(p *pair, rng *rand.Rand) {
	for range 1 + rng.IntN(20) {
		x, y := rng.IntN(p.n.w), rng.IntN(p.n.h)
		if p.g.Alive(x, y) && rng.IntN(2) == 0 {
			_ = p.g.Kill(x, y)
		} else if err := p.g.Paint(x, y, p.mark(p.randomCell(rng))); err != nil {
			p.t.Fatal(err)
		}
	}
}

// Goal: a follower that starts from a snapshot and applies every delta has the
// same grid, with edits sent at once, later, or not before the next step.
// Method: random soups and edits for long enough to settle, compared each
// generation; the follower's own steps agree too.
func TestFollowerEqualsGrid(t *testing.T) {
	for i, o := range deltaOptions() {
		t.Run(fmt.Sprintf("%dx%d %d owners %v", o.Width, o.Height, o.Owners, o.Colours), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(8, uint64(i)))
			p := newPair(t, o, "follower")
			p.soup(rng, 0.12, 13)
			p.g = p.gs[i%len(p.gs)]
			g := p.g
			g.Step()
			o.Kernel = KernelAuto
			follower, err := New(o, nil)
			if err != nil {
				t.Fatal(err)
			}
			snapshot := func() {
				if err := follower.ApplySnapshot(g.AppendSnapshot(nil)); err != nil {
					t.Fatal(err)
				}
			}
			snapshot()
			sameGrid(t, "snapshot", g, follower)
			most, _ := MaxDelta(o)
			for range 250 {
				unsent := rng.IntN(12) == 0 // a follower takes an edit it did not see for a birth or death
				if unsent {
					someEdits(p, rng)
					if rng.IntN(2) == 0 {
						unsent = false
						if err := follower.ApplyDelta(g.AppendEdits(nil)); err != nil {
							t.Fatal(err)
						}
						sameGrid(t, "edits", g, follower)
					}
				}
				delta := g.StepDelta(nil)
				if int64(len(delta)) > most {
					t.Fatalf("delta of %d bytes, more than MaxDelta, %d", len(delta), most)
				}
				if err := follower.ApplyDelta(delta); err != nil {
					t.Fatal(err)
				}
				sameGrid(t, "delta", g, follower)
				births, deaths := g.Changes()
				if b, d := follower.Changes(); !unsent && (b != births || d != deaths) {
					t.Fatalf("generation %d: births %d, deaths %d, want %d and %d", g.gen, b, d, births, deaths)
				}
				if rng.IntN(100) == 0 {
					snapshot()
					sameGrid(t, "snapshot", g, follower)
				}
			}
			for range 5 {
				g.Step()
				follower.Step()
				sameGrid(t, "own step", g, follower)
			}
		})
	}
}

// Goal: a settled grid costs next to nothing to follow. Method: a blinker, a
// block and a glider that leaves.
func TestDeltaOfSettledGrid(t *testing.T) {
	g, err := New(Options{Width: 512, Height: 512}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]int{{5, 5}, {6, 5}, {7, 5}, {100, 64}, {101, 64}, {100, 63}, {101, 63}} {
		if err := g.Place(c[0], c[1], 0); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		g.Step()
	}
	if n := len(g.StepDelta(nil)); n != 10 {
		t.Fatalf("a delta of nothing takes %d bytes, want 10", n)
	}
	if got := g.AppendEdits(nil); got != nil {
		t.Fatalf("edits without an edit: %x", got)
	}
}

// Goal: damaged or foreign bytes are refused and never panic, and a refused
// delta leaves the follower as it was. Method: every prefix, and bit flips.
func TestHostileDelta(t *testing.T) {
	for i, o := range deltaOptions() {
		rng := rand.New(rand.NewPCG(9, uint64(i)))
		p := newPair(t, o, "hostile")
		p.soup(rng, 0.2, 9)
		p.g.Step()
		snapshot := p.g.AppendSnapshot(nil)
		delta := p.g.StepDelta(nil)
		follower, _ := New(o, nil)
		if err := follower.ApplySnapshot(snapshot); err != nil {
			t.Fatal(err)
		}
		for n := range delta {
			if err := follower.ApplyDelta(delta[:n]); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%d of %d bytes: %v", n, len(delta), err)
			}
		}
		if got := follower.AppendSnapshot(nil); !bytes.Equal(got, snapshot) {
			t.Fatalf("%dx%d: a refused delta changed the follower", o.Width, o.Height)
		}
		for range 300 {
			bad := bytes.Clone(delta)
			bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
			if err := follower.ApplyDelta(bad); err == nil {
				if err := follower.ApplySnapshot(snapshot); err != nil {
					t.Fatal(err)
				}
			}
		}
		for n := 0; n < len(snapshot); n += 1 + n/50 {
			if err := follower.ApplySnapshot(snapshot[:n]); err == nil {
				t.Fatalf("%d of %d bytes of a snapshot were taken", n, len(snapshot))
			}
		}
		for range 300 {
			bad := bytes.Clone(snapshot)
			bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
			_ = follower.ApplySnapshot(bad)
			follower.Step()
		}
	}
}

// Goal: a delta is refused where it does not follow, and a snapshot where the
// grid is another one.
func TestDeltaOfAnotherGeneration(t *testing.T) {
	g, _ := New(Options{Width: 70, Height: 70}, nil)
	f, _ := New(Options{Width: 70, Height: 70}, nil)
	other, _ := New(Options{Width: 71, Height: 70}, nil)
	g.Step()
	if err := f.ApplyDelta(g.StepDelta(nil)); !errors.Is(err, ErrGeneration) {
		t.Fatalf("a delta too late: %v", err)
	}
	if err := other.ApplySnapshot(g.AppendSnapshot(nil)); !errors.Is(err, ErrOptions) {
		t.Fatalf("a snapshot of another size: %v", err)
	}
	o, err := SnapshotOptions(g.AppendSnapshot(nil))
	if err != nil || o.Width != 70 || o.Height != 70 || o.Rule != Life {
		t.Fatalf("SnapshotOptions: %+v, %v", o, err)
	}
}
