package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gosper/grid"
)

// What golly and we compute side by side: a soup on a torus, one generation at
// a time, which is what golly does on a bounded universe.
const (
	gollySide      = 1024
	gollySteps     = 1000
	gollyStepQuick = 200
)

// golly is the peer bgolly and our side of the same work. Its zero value does
// nothing.
type golly struct {
	binary, version string
	dir, soup       string
	steps           int
	start           time.Duration // what bgolly needs to read the soup
	snapshot        []byte
	g               *grid.Grid
	want            *grid.Pattern // the last generation, by us

	theirs, ours, ratios []float64
	same, different      uint64
}

// newGolly finds bgolly and writes the soup for it. Without --against it
// returns the zero value.
func newGolly(ctx context.Context, r *Run) (*golly, error) {
	p := &golly{}
	if r.Against != "bgolly" {
		return p, nil
	}
	path, err := exec.LookPath("bgolly")
	if err != nil {
		return nil, fmt.Errorf("bgolly is not on the PATH (Debian package golly): %w", err)
	}
	p.steps = gollySteps
	if r.Quick {
		p.steps = gollyStepQuick
	}
	if p.dir, err = os.MkdirTemp("", "gosper-bench-"); err != nil {
		return nil, err
	}
	r.Setting("bgolly_algorithm", "QuickLife")
	r.Setting("bgolly_generations", p.steps)
	if err = p.prepare(path); err == nil {
		p.start, err = p.time(ctx, 1, "")
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// prepare makes the soup, and our last generation to compare with.
func (p *golly) prepare(path string) error {
	var err error
	p.soup = filepath.Join(p.dir, "soup.rle")
	if p.g, err = soup(grid.Options{Width: gollySide, Height: gollySide}); err != nil {
		return err
	}
	p.snapshot = p.g.AppendSnapshot(nil)
	all := grid.Rect{Width: gollySide, Height: gollySide}
	first, err := p.g.Extract(all)
	if err != nil {
		return err
	}
	first.Bounds = grid.Bounds{Kind: 'T', Width: gollySide, Height: gollySide}
	first.OriginX, first.OriginY = -gollySide/2, -gollySide/2 // golly counts from the middle
	if err := os.WriteFile(p.soup, grid.AppendRLE(nil, first), 0o600); err != nil {
		return err
	}
	p.g.Run(uint64(p.steps), nil)
	p.want, err = p.g.Extract(all)
	p.binary = path
	if line, _ := exec.Command(path, "--version").Output(); len(line) > 0 {
		head, _, _ := strings.Cut(string(line), " Copyright")
		p.version = strings.TrimPrefix(head, "This is ")
	}
	return err
}

// close removes the files.
func (p *golly) close() {
	if p.dir != "" {
		os.RemoveAll(p.dir)
	}
}

// time is the CPU time bgolly takes to compute so many generations; out, if
// not empty, gets the last one.
func (p *golly) time(ctx context.Context, steps int, out string) (time.Duration, error) {
	args := []string{"-a", "QuickLife", "-m", fmt.Sprint(steps), "-i", "1", "-q", "-q"}
	if out != "" {
		args = append(args, "-o", out)
	}
	c := exec.CommandContext(ctx, p.binary, append(args, p.soup)...)
	if text, err := c.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("bgolly: %w: %.200s", err, text)
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), nil
}

// turn measures golly and us, one after the other, and compares the cells.
func (p *golly) turn(ctx context.Context) error {
	if p.binary == "" {
		return nil
	}
	out := filepath.Join(p.dir, "last.rle")
	took, err := p.time(ctx, p.steps, out)
	if err != nil {
		return err
	}
	ours, err := p.us()
	if err != nil {
		return err
	}
	theirs := float64(p.steps) / (took - p.start).Seconds()
	p.theirs = append(p.theirs, theirs)
	p.ours = append(p.ours, ours)
	p.ratios = append(p.ratios, ours/theirs)
	return p.compare(out)
}

// us is our generations a second for the same work.
func (p *golly) us() (float64, error) {
	if err := p.g.ApplySnapshot(p.snapshot); err != nil {
		return 0, err
	}
	start, err := threadTime()
	if err != nil {
		return 0, err
	}
	steps(p.steps)(p.g)
	stop, err := threadTime()
	return float64(p.steps) / (stop - start).Seconds(), err
}

// compare checks that golly came to the same cells.
func (p *golly) compare(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	got, err := grid.Parse(text, grid.PatternLimits{})
	if err != nil {
		return fmt.Errorf("what bgolly wrote: %w", err)
	}
	if got.OriginX != 0 || got.OriginY != 0 { // a file without a place holds the whole torus
		for i := range got.Cells {
			got.Cells[i].X += got.OriginX + gollySide/2
			got.Cells[i].Y += got.OriginY + gollySide/2
		}
	}
	if slices.Equal(got.Cells, p.want.Cells) {
		p.same++
	} else {
		p.different++
	}
	return nil
}

// report leaves the figures.
func (p *golly) report(r *Run) {
	if p.binary == "" {
		return
	}
	r.Series("torus1024_generations_per_s", p.ours)
	r.PeerSeries("bgolly", p.version, "torus1024_generations_per_s", p.theirs)
	r.RatioSeries("vs_bgolly_1024", p.ratios)
	r.Balance(p.same+p.different, p.same, p.different, 0)
	if p.different > 0 {
		r.Note("bgolly came to other cells in %d of %d turns", p.different, p.same+p.different)
	}
}
