package bench

import (
	"context"
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"

	"gosper/grid"
)

func init() {
	Register(Scenario{
		Name:    "grid",
		Summary: "Life engine: kernels, sizes, dense and settled, owners, deltas; peer: Golly's bgolly",
		Peers:   []string{"bgolly"},
		Run:     runGrid,
	})
}

// What the grid scenario computes. A soup has three live cells in eight; it is
// dense for its first hundred generations, when every tile changes.
const (
	gridDensity     = 0.375
	gridSeed        = 12
	gridDense       = 100    // generations that count as dense
	gridSettle      = 30_000 // generations after which a soup of 512 by 512 has settled
	gridSettleQuick = 12_000
	gridOwners      = 16
)

// gridCase is one thing to measure: prepare makes a grid, and run works on it
// and returns how many ticks it did. Every sample starts from the grid as
// prepare left it.
type gridCase struct {
	name string // of the figure
	// perTick makes the figure from the CPU time of one tick.
	perTick func(time.Duration) float64
	prepare func(quick bool) (*grid.Grid, error)
	run     func(g *grid.Grid) int

	g        *grid.Grid
	snapshot []byte
	values   []float64
}

func runGrid(ctx context.Context, r *Run) error {
	r.Setting("density", gridDensity)
	r.Setting("seed", gridSeed)
	r.Setting("dense_generations", gridDense)
	r.Setting("settled_after_generations", map[bool]int{false: gridSettle, true: gridSettleQuick}[r.Quick])
	r.Setting("clock", "CPU time of the thread; the best sample of each turn, the median of the turns")
	r.Setting("kernel", autoKernel())
	return onThread(func() error {
		cases := gridCases()
		if err := prepareGrids(ctx, r, cases); err != nil {
			return err
		}
		peer, err := newGolly(ctx, r)
		if err != nil {
			return err
		}
		defer peer.close()
		err = gridTurns(ctx, r, cases, peer)
		for _, c := range cases {
			r.Series(c.name, c.values)
		}
		peer.report(r)
		gridMemory(r)
		if err == nil {
			err = gridAgree(r)
		}
		return err
	})
}

func autoKernel() string {
	g, err := grid.New(grid.Options{Width: 64, Height: 64}, nil)
	if err != nil {
		return "unknown"
	}
	return g.Options().Kernel.String()
}

// prepareGrids makes all grids and keeps how they start.
func prepareGrids(ctx context.Context, r *Run, cases []*gridCase) error {
	for i, c := range cases {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.Step(0.3*float64(i)/float64(len(cases)), "preparing %s", c.name)
		g, err := c.prepare(r.Quick)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		c.g, c.snapshot = g, g.AppendSnapshot(nil)
	}
	return nil
}

// gridTurns measures every case, and the peer, in each turn.
func gridTurns(ctx context.Context, r *Run, cases []*gridCase, peer *golly) error {
	share := r.Slice() / time.Duration(len(cases)+1)
	for turn := range r.Repeat {
		for i, c := range cases {
			if err := ctx.Err(); err != nil {
				return err
			}
			part := (float64(turn) + float64(i)/float64(len(cases)+1)) / float64(r.Repeat)
			r.Step(0.3+0.7*part, "turn %d of %d: %s", turn+1, r.Repeat, c.name)
			if err := c.turn(share); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		r.Step(0.3+0.7*float64(turn+1)/float64(r.Repeat), "turn %d of %d: golly", turn+1, r.Repeat)
		if err := peer.turn(ctx); err != nil {
			return err
		}
	}
	return nil
}

// turn takes samples for as long as share and keeps the best one: what
// disturbs a sample on a shared machine only makes it longer.
func (c *gridCase) turn(share time.Duration) error {
	best := time.Duration(math.MaxInt64)
	for end := time.Now().Add(share); ; {
		if err := c.g.ApplySnapshot(c.snapshot); err != nil {
			return err
		}
		// A snapshot wakes every tile; two steps let quiet ones rest again. A
		// dense soup loses nothing by it.
		steps(2)(c.g)
		start, err := threadTime()
		if err != nil {
			return err
		}
		ticks := c.run(c.g)
		stop, err := threadTime()
		if err != nil {
			return err
		}
		best = min(best, (stop-start)/time.Duration(ticks))
		if time.Now().After(end) {
			c.values = append(c.values, c.perTick(best))
			return nil
		}
	}
}

// threadTime is the CPU time this thread has used; the caller is locked to it.
func threadTime() (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		return 0, fmt.Errorf("clock of the thread: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// gridMemory states the bytes a cell, both buffers and all that belongs to a
// grid counted, and derives what encoding a delta adds to a tick.
func gridMemory(r *Run) {
	for name, o := range map[string]grid.Options{
		"plain512_bytes_per_cell":     {Width: 512, Height: 512},
		"plain4096_bytes_per_cell":    {Width: 4096, Height: 4096},
		"owners16_512_bytes_per_cell": {Width: 512, Height: 512, Owners: gridOwners},
	} {
		if size, err := grid.Size(o); err == nil {
			r.Figure(name, float64(size)/float64(o.Width*o.Height))
		}
	}
	step, ok := r.Result.Figures["step512_us"]
	if with, both := r.Result.Figures["stepdelta512_us"]; ok && both {
		r.Figure("delta512_us", max(0, with-step))
	}
}

// gridAgree runs one soup with every kernel and counts those whose cells
// differ from the pure Go kernel's as missing.
func gridAgree(r *Run) error {
	var want uint64
	for i, k := range append([]grid.Kernel{grid.KernelGo}, grid.Kernels()...) {
		g, err := soup(grid.Options{Width: 200, Height: 136, Kernel: k, Topology: grid.Plane})
		if err != nil {
			return err
		}
		g.Run(500, nil)
		if i == 0 {
			want = g.Hash()
			continue
		}
		if g.Hash() == want {
			r.Balance(1, 1, 0, 0)
			continue
		}
		r.Balance(1, 0, 1, 0)
		r.Note("kernel %s gives other cells than the pure Go kernel", k)
	}
	return nil
}
