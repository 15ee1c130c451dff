package grid

import (
	"math/rand/v2"
	"testing"
)

// Goal: what Analyse calls settled stays so, and was not so one generation
// earlier. Method: random soups; the engine runs 3,000 generations beyond the
// proof, and the population must keep the rhythm of what is left from Since on.
func TestAnalyseSoups(t *testing.T) {
	const beyond = 3000
	rng := rand.New(rand.NewPCG(5, 5))
	settled := 0
	for round := range 40 {
		p := squareSoup(rng, 4+rng.IntN(12))
		a, err := Analyse(p, AnalyseOptions{Generations: 20_000})
		if err != nil {
			t.Fatal(err)
		}
		if a.Fate != Settles {
			if a.Fate != Dies && a.Fate != Grows {
				t.Errorf("seed 5, round %d: %v after %d", round, a.Fate, len(a.Population)-1)
			}
			continue
		}
		settled++
		rhythm := a.Period
		for _, o := range a.Objects {
			rhythm = rhythm / gcd(rhythm, max(1, o.Period)) * max(1, o.Period)
		}
		p.Crop()
		g := planeWith(t, p, Life)
		pop := []int64{g.Population()}
		for range int(a.Since) + beyond {
			g.Step()
			pop = append(pop, g.Population())
		}
		if !steady(pop[a.Since:], rhythm, 0) {
			t.Errorf("seed 5, round %d: settled at %d with rhythm %d, and yet the population changes; left %v", round, a.Since, rhythm, a.Objects)
		}
	}
	if settled < 25 {
		t.Errorf("only %d of 40 soups settle: the test proves little", settled)
	}
}

func squareSoup(rng *rand.Rand, side int) *Pattern {
	p := &Pattern{Rule: Life}
	for y := range int32(side) {
		for x := range int32(side) {
			if rng.IntN(8) < 3 {
				p.Cells = append(p.Cells, Cell{X: x, Y: y, State: 1})
			}
		}
	}
	p.Normalise()
	return p
}

// Goal: the first settled generation does not depend on place, orientation or
// kernel.
func TestAnalyseSymmetry(t *testing.T) {
	f, _ := FindTemplate("E-heptomino")
	for _, o := range Orientations() {
		for _, k := range Kernels() {
			a, err := Analyse(o.Apply(f.Pattern), AnalyseOptions{Kernel: k})
			if err != nil || a.Since != uint64(f.Settles) || a.At() != int64(f.Leaves) {
				t.Errorf("%v with %v: %d cells at %d, %v", o, k, a.At(), a.Since, err)
			}
		}
	}
}

// Goal: step 2 of the proof sees what will meet. Method: gliders as boxes on
// ways that cross, part, follow and run beside each other.
func TestMeets(t *testing.T) {
	at := func(x, y, dx, dy int) *ship {
		return &ship{sighting: sighting{motion: &motion{period: 4, dx: dx, dy: dy}}, x0: x, y0: y, x1: x + 2, y1: y + 2}
	}
	still := func(x, y int) *ship {
		return &ship{sighting: sighting{motion: &motion{period: 1}}, x0: x, y0: y, x1: x + 9, y1: y + 9}
	}
	for _, c := range []struct {
		name string
		a, b *ship
		want bool
	}{
		{"head on", at(0, 0, 1, 1), at(100, 100, -1, -1), true},
		{"apart", at(0, 0, -1, -1), at(100, 100, 1, 1), false},
		{"cross in time", at(0, 0, 1, 1), at(100, 0, -1, 1), true},
		{"cross in space alone", at(0, 0, 1, 1), at(100, 50, -1, 1), false},
		{"near the ash", at(0, 0, 1, 1), still(50, 60), true},
		{"beside the ash", at(0, 0, 1, 1), still(50, 90), false},
		{"behind the ash", at(100, 100, 1, 1), still(50, 60), false},
		{"in the ash", at(50, 60, 1, 1), still(50, 60), true},
		{"faster on the same line", at(0, 0, 2, 0), at(50, 0, 1, 0), true},
		{"slower on the same line", at(0, 0, 1, 0), at(50, 0, 2, 0), false},
	} {
		if got := meets(c.a, c.b, 4); got != c.want {
			t.Errorf("%s: meets = %v", c.name, got)
		}
		if got := meets(c.b, c.a, 4); got != c.want {
			t.Errorf("%s, the other way round: meets = %v", c.name, got)
		}
	}
}

// Goal: Stop, Generations, Side and All do what they say.
func TestAnalyseLimits(t *testing.T) {
	acorn, _ := FindTemplate("acorn")
	run := func(o AnalyseOptions) *Analysis {
		t.Helper()
		a, err := Analyse(acorn.Pattern, o)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := run(AnalyseOptions{Generations: 300}); a.Fate != Undecided || len(a.Population) != 301 || a.Final.Generation != 300 {
		t.Errorf("300 generations: %v, %d noted", a.Fate, len(a.Population))
	}
	if a := run(AnalyseOptions{Stop: func() bool { return true }}); len(a.Population) != 1 {
		t.Errorf("stopped at once: %d noted", len(a.Population))
	}
	if a := run(AnalyseOptions{Side: 1024}); !a.Reached || a.Fate != Undecided {
		t.Errorf("a plane of 1024: reached %v, %v", a.Reached, a.Fate)
	}
	if a := run(AnalyseOptions{Generations: 7000, All: true}); a.Fate != Settles || a.Since != 5206 || len(a.Population) != 7001 {
		t.Errorf("all of 7000: %v at %d, %d noted", a.Fate, a.Since, len(a.Population))
	}
	if _, err := Analyse(&Pattern{Cells: []Cell{{0, 0, 1}, {5000, 0, 1}}}, AnalyseOptions{Side: 4096}); err == nil {
		t.Error("a pattern wider than the largest plane is taken")
	}
	if a, err := Analyse(&Pattern{}, AnalyseOptions{}); err != nil || a.Fate != Dies || a.Since != 0 {
		t.Errorf("an empty pattern: %v, %v", a, err)
	}
}
