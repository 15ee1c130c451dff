package bench

import (
	"math/rand/v2"
	"time"

	"gosper/grid"
)

// gridCases lists what is measured.
func gridCases() []*gridCase {
	torus := func(side int, o grid.Options) func(bool) (*grid.Grid, error) {
		o.Width, o.Height = side, side
		return func(bool) (*grid.Grid, error) { return soup(o) }
	}
	cases := []*gridCase{
		{name: "dense128_us", perTick: micros, prepare: torus(128, grid.Options{}), run: steps(gridDense)},
		{name: "dense512_us", perTick: micros, prepare: torus(512, grid.Options{}), run: steps(gridDense)},
		{name: "dense1024_us", perTick: micros, prepare: torus(1024, grid.Options{}), run: steps(gridDense)},
		{name: "dense4096_gcells_per_s", perTick: cellRate(4096), prepare: torus(4096, grid.Options{}), run: steps(20)},
		{name: "run4096_gcells_per_s", perTick: cellRate(4096), prepare: torus(4096, grid.Options{}), run: fastForward(32)},
		{name: "odd100_us", perTick: micros, prepare: torus(100, grid.Options{}), run: steps(gridDense)},
		{name: "odd100_plane_us", perTick: micros, prepare: torus(100, grid.Options{Topology: grid.Plane}), run: steps(gridDense)},
		{name: "odd1000_us", perTick: micros, prepare: torus(1000, grid.Options{}), run: steps(gridDense)},
		{name: "highlife512_us", perTick: micros, prepare: torus(512, grid.Options{Rule: mustParseRule("B36/S23")}), run: steps(gridDense)},
		{name: "settled512_us", perTick: micros, prepare: aged(torus(512, grid.Options{}), gridSettle, gridSettleQuick), run: steps(2000)},
		{name: "quiet16384_us", perTick: micros, prepare: quietBoard, run: steps(2000)},
		{name: "owners16_512_us", perTick: micros, prepare: aged(torus(512, grid.Options{Owners: gridOwners}), gridDense, gridDense), run: steps(20)},
		{name: "colours512_us", perTick: micros, prepare: aged(torus(512, grid.Options{Colours: grid.ColourWhole}), gridDense, gridDense), run: steps(20)},
		{name: "step512_us", perTick: micros, prepare: aged(torus(512, grid.Options{}), gridDense, gridDense), run: steps(20)},
		{name: "stepdelta512_us", perTick: micros, prepare: aged(torus(512, grid.Options{}), gridDense, gridDense), run: stepDeltas(20)},
	}
	for _, k := range grid.Kernels() {
		cases = append(cases, &gridCase{name: "dense512_" + k.String() + "_us", perTick: micros, prepare: torus(512, grid.Options{Kernel: k}), run: steps(gridDense)})
	}
	return cases
}

func mustParseRule(text string) grid.Rule {
	r, err := grid.ParseRule(text)
	if err != nil {
		panic("bench: " + err.Error())
	}
	return r
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// cellRate makes 10^9 cell updates a second from the time of a tick.
func cellRate(side int) func(time.Duration) float64 {
	return func(d time.Duration) float64 { return float64(side) * float64(side) / float64(max(1, d.Nanoseconds())) }
}

// soup makes a grid of random cells, with random owners or colours where the
// options have them.
func soup(o grid.Options) (*grid.Grid, error) {
	g, err := grid.New(o, nil)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(gridSeed, gridSeed))
	for y := range o.Height {
		for x := range o.Width {
			if rng.Float64() >= gridDensity {
				continue
			}
			mark := grid.Mark(0)
			switch {
			case o.Owners > 0:
				mark = grid.Mark(rng.IntN(o.Owners))
			case o.Colours != grid.ColourNone:
				mark = grid.Mark(rng.IntN(1 << 24))
			}
			if err := g.Paint(x, y, mark); err != nil {
				return nil, err
			}
		}
	}
	return g, nil
}

// aged is prepare followed by some generations.
func aged(prepare func(bool) (*grid.Grid, error), age, quickAge uint64) func(bool) (*grid.Grid, error) {
	return func(quick bool) (*grid.Grid, error) {
		g, err := prepare(quick)
		if err == nil && quick {
			g.Run(quickAge, nil)
		} else if err == nil {
			g.Run(age, nil)
		}
		return g, err
	}
}

// quietBoard is a huge board with a thousand blocks and blinkers, after a few
// generations.
func quietBoard(bool) (*grid.Grid, error) {
	const side = 16384
	g, err := grid.New(grid.Options{Width: side, Height: side}, nil)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(gridSeed, 1))
	for i := range 1000 {
		t, _ := grid.FindTemplate([]string{"block", "blinker"}[i%2])
		x, y := rng.IntN(side/16)*16, rng.IntN(side/16)*16
		if err := g.Stamp(t.Pattern, x, y, grid.StampOptions{Overwrite: true, Wrap: true}); err != nil {
			return nil, err
		}
	}
	g.Run(100, nil)
	return g, nil
}

func steps(n int) func(*grid.Grid) int {
	return func(g *grid.Grid) int {
		for range n {
			g.Step()
		}
		return n
	}
}

func fastForward(n int) func(*grid.Grid) int {
	return func(g *grid.Grid) int { return int(g.Run(uint64(n), nil)) }
}

// stepDeltas steps and encodes what changed, as a game does for its watchers.
func stepDeltas(n int) func(*grid.Grid) int {
	buf := make([]byte, 0, 1<<16)
	return func(g *grid.Grid) int {
		for range n {
			buf = g.StepDelta(buf[:0])
		}
		return n
	}
}
