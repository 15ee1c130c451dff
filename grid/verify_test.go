package grid

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// Goal: what is known about famous methuselahs comes out of the real engine:
// from which generation on nothing but still lifes, oscillators and escaping
// ships is left, and how many cells they have. Method: [Analyse], whose answer
// is a proof. The figures are those of the Life community.
func TestVerifyMethuselahs(t *testing.T) {
	for _, c := range []struct {
		name, rle     string
		settles, pops int64
	}{
		{"R-pentomino", "b2o$2o$bo!", 1103, 116},
		{"acorn", "bo$3bo$2o2b3o!", 5206, 633},
		{"pi-heptomino", "3o$obo$obo!", 173, 55},
		{"B-heptomino", "ob2o$3o$bo!", 148, 28},
		{"Herschel", "o$obo$3o$2bo!", 128, 24},
		{"thunderbird", "3o2$bo$bo$bo!", 243, 46},
		{"century", "2b2o$3o$bo!", 103, 15},
		{"rabbits", "o3b3o$3o2bo$bo!", 17331, 1744},
		{"bunnies", "o5bo$2bo3bo$2bo2bobo$bobo!", 17332, 1744},
		{"blom", "o10bo$b4o6bo$2b2o7bo$10bo$8bobo!", 23314, 2740},
		{"lidka", "bo$obo$bo8$8bo$6bobo$5b2obo2$4b3o!", 29055, 1625},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, err := Analyse(mustRLE(t, c.rle), AnalyseOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if a.Fate != Settles || int64(a.Since) != c.settles || a.At() != c.pops {
				t.Errorf("%v at %d with %d cells, want %d with %d; ran %d", a.Fate, a.Since, a.At(), c.settles, c.pops, len(a.Population)-1)
			}
			t.Log(fmt.Sprint(a.Period, a.Side, a.Objects))
		})
	}
}

// Goal: populations of the table, generation by generation. Method: the real
// engine on a plane that nothing leaves.
func TestVerifyPopulations(t *testing.T) {
	high := Rule{Birth: 1<<3 | 1<<6, Survive: 1<<2 | 1<<3}
	gun, _ := FindTemplate("Gosper glider gun")
	for _, c := range []struct {
		name, rle string
		rule      Rule
		want      map[uint64]int64
	}{
		{"R-pentomino", "b2o$2o$bo!", Life, map[uint64]int64{0: 5, 69: 52, 1103: 116, 3000: 116}},
		{"die hard", "6bo$2o$bo3b3o!", Life, map[uint64]int64{129: 2, 130: 0, 131: 0}},
		{"die hard in HighLife", "6bo$2o$bo3b3o!", high, map[uint64]int64{119: 0, 130: 0}},
		{"lidka", "bo$obo$bo8$8bo$6bobo$5b2obo2$4b3o!", Life, map[uint64]int64{29055: 1625, 29056: 1623, 29057: 1625}},
		{"Gosper gun", string(AppendRunLine(nil, gun.Pattern)), Life, map[uint64]int64{0: 36, 30: 41, 60: 46, 300: 86, 3000: 536, 30000: 5036}},
		{"10-cell infinite growth", "6bo$4bob2o$4bobo$4bo$2bo$obo!", Life, map[uint64]int64{1000: 158, 5000: 646}},
		{"one-row infinite growth", "8ob5o3b3o6b7ob5o!", Life, map[uint64]int64{730: 446, 1000: 536, 5000: 1376}},
		{"pulsar", pulsar48, Life, map[uint64]int64{0: 48, 1: 56, 2: 72, 3: 48, 300: 48}},
		{"10-cell row", "10o!", Life, map[uint64]int64{15: 12, 30: 12, 45: 12}},
		{"figure-8", "3o$3o$3o$3b3o$3b3o$3b3o!", Life, map[uint64]int64{0: 18, 8: 18, 80: 18}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := planeWith(t, mustRLE(t, c.rle), c.rule)
			for _, gen := range slices.Sorted(maps.Keys(c.want)) {
				g.Run(gen-g.Generation(), nil)
				if got := g.Population(); got != c.want[gen] {
					t.Errorf("population %d in generation %d, want %d", got, gen, c.want[gen])
				}
			}
		})
	}
}

const pulsar48 = "2b3o3b3o2$o4bobo4bo$o4bobo4bo$o4bobo4bo$2b3o3b3o2$2b3o3b3o$o4bobo4bo$o4bobo4bo$o4bobo4bo2$2b3o3b3o!"

// planeWith lays p in the middle of a plane of 16,384 by 16,384 cells: after
// 30,000 generations a glider is 7,500 cells away.
func planeWith(t *testing.T, p *Pattern, rule Rule) *Grid {
	t.Helper()
	const side = 1 << 14
	g, err := New(Options{Width: side, Height: side, Topology: Plane, Rule: rule}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Stamp(p, side/2, side/2, StampOptions{}); err != nil {
		t.Fatal(err)
	}
	return g
}

// Goal: boxes of oscillators in each phase, and the periods of figure-8 and
// galaxy.
func TestVerifyBoxes(t *testing.T) {
	for _, c := range []struct {
		name, rle string
		gens      map[uint64][2]int
	}{
		{"pulsar", pulsar48, map[uint64][2]int{0: {13, 13}, 1: {15, 15}, 2: {13, 13}, 3: {13, 13}, 4: {15, 15}}},
		{"10-cell row", "10o!", map[uint64][2]int{15: {10, 3}, 30: {10, 3}, 45: {10, 3}}},
	} {
		g := planeWith(t, mustRLE(t, c.rle), Life)
		for _, gen := range slices.Sorted(maps.Keys(c.gens)) {
			g.Run(gen-g.Generation(), nil)
			if box, _ := g.Bounds(); box.Width != c.gens[gen][0] || box.Height != c.gens[gen][1] {
				t.Errorf("%s: box %dx%d in generation %d, want %v", c.name, box.Width, box.Height, gen, c.gens[gen])
			}
		}
	}
	row, err := Analyse(mustRLE(t, "10o!"), AnalyseOptions{})
	if err != nil || row.Fate != Settles || row.Period != 15 {
		t.Errorf("a row of ten: %v with period %d, %v; want 15", row.Fate, row.Period, err)
	}
	for _, name := range []string{"Figure eight", "Kok's galaxy"} {
		if f, ok := FindTemplate(name); !ok || f.Period != 8 {
			t.Errorf("%s is not in the catalogue with period 8, which a test there proves", name)
		}
	}
}

// Goal: a glider on a torus of side n is back after exactly 4n generations and
// not before, a lightweight spaceship after 2n. Method: the hash, every
// generation, with every kernel.
func TestVerifyTorusReturn(t *testing.T) {
	for _, c := range []struct {
		name   string
		factor uint64
	}{{"glider", 4}, {"LWSS", 2}} {
		f, _ := FindTemplate(c.name)
		for _, side := range []int{64, 128, 192, 100, 37} {
			for _, k := range Kernels() {
				g, err := New(Options{Width: side, Height: side, Topology: Torus, Kernel: k}, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := g.Stamp(f.Pattern, side-2, side-3, StampOptions{Wrap: true}); err != nil {
					t.Fatal(err)
				}
				start := g.Hash()
				g.Step()
				for g.Hash() != start && g.Generation() < 10_000 {
					g.Step()
				}
				want := c.factor * uint64(side)
				if side%2 == 1 && c.factor == 2 {
					want *= 2 // half a period is over when it is back
				}
				if g.Generation() != want {
					t.Errorf("%s on a torus of %d with %v: back after %d, want %d", c.name, side, k, g.Generation(), want)
				}
			}
		}
	}
}

// Goal: the R-pentomino's first glider leaves in generation 69, and it leaves
// what people say. Method: the parts that touch in
// generations 68 and 69, and the census.
func TestVerifyRPentomino(t *testing.T) {
	p := mustRLE(t, "b2o$2o$bo!")
	g := planeWith(t, p, Life)
	ms := newMotions(Life)
	ships := func() (n int) {
		r, _ := g.Bounds()
		q, err := g.Extract(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range split(q.Cells, 1) {
			if m := ms.of(part); m.moves() {
				n++
			}
		}
		return n
	}
	g.Run(68, nil)
	if n := ships(); n != 0 {
		t.Errorf("generation 68 has %d gliders, want 0", n)
	}
	g.Step()
	if n := ships(); n != 1 || g.Population() != 52 {
		t.Errorf("generation 69 has %d gliders and %d cells, want 1 and 52", n, g.Population())
	}
	a, err := Analyse(p, AnalyseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := "8 block xs4_33, 6 glider xq4_153, 4 beehive xs6_696, 4 blinker xp2_7, 1 boat xs5_253, 1 loaf xs7_2596, 1 ship xs6_356, "
	got := ""
	for _, o := range a.Objects {
		got += fmt.Sprintf("%d %s %s, ", o.Count, o.Name, o.Code)
	}
	if got != want {
		t.Errorf("left: %s\nwant: %s", got, want)
	}
}
