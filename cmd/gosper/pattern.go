package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"gosper/grid"
)

const patternExample = `gosper pattern acorn.rle                       when it settles, and what is left
gosper pattern glider                          a pattern of the catalogue, by name
gosper pattern --list                          the catalogue
gosper pattern xq4_153                         a pattern by its apgcode
gosper pattern --to cells gun.rle              convert; also rle, life105, life106
gosper pattern --orient rotate90 ship.rle      turn; also rotate180, rotate270, flipx, flipy, transpose
gosper pattern --run 100 --to cells acorn.rle  the cells after 100 generations
gosper pattern --topology torus --size 64x64 - < soup.rle
gosper pattern --json gun.rle`

func patternCommand() command {
	return command{
		name:    "pattern",
		summary: "tell what becomes of a Life pattern: when it settles, its period, its speed; run and convert it",
		example: patternExample,
		run:     runPattern,
	}
}

// patternFlags are the options of gosper pattern.
type patternFlags struct {
	to, orient, rule, topology, size, kernel string
	run, generations                         int64
	side                                     int
	json, list, population                   bool
}

func (f *patternFlags) define(set *flag.FlagSet) {
	set.StringVar(&f.to, "to", "", "write the cells in this format and nothing else: rle, cells, life105, life106")
	set.StringVar(&f.orient, "orient", "", "turn or mirror the pattern first, as in the examples; also antitranspose")
	set.Int64Var(&f.run, "run", -1, "run so many generations and write the cells of the last one, or with --json or --population the findings")
	set.Int64Var(&f.generations, "generations", 60_000, "watch at most so many generations")
	set.IntVar(&f.side, "side", 1<<15, "largest side of the plane that stands for the endless one, in cells; side²/4 bytes of memory")
	set.StringVar(&f.rule, "rule", "", "rule instead of the file's, such as B36/S23 or B3/S23:T64,64")
	set.StringVar(&f.topology, "topology", "", "endless, plane or torus (what the file says, or endless)")
	set.StringVar(&f.size, "size", "", "size of a plane or torus in cells, such as 64x64")
	set.StringVar(&f.kernel, "kernel", "auto", "force one implementation of the engine")
	set.BoolVar(&f.json, "json", false, "print the findings as one JSON object")
	set.BoolVar(&f.population, "population", false, "print the population of every generation, one a line")
	set.BoolVar(&f.list, "list", false, "print the catalogue of well-known patterns")
}

// badUsage is a mistake in the command line.
type badUsage struct{ text string }

func (e badUsage) Error() string { return e.text }

// runPattern reads a pattern and does what the flags say.
func runPattern(ctx context.Context, args []string, std stdio) int {
	const name = "gosper pattern"
	var f patternFlags
	set := newFlags(patternCommand(), "FILE | NAME | - [flags]", std.out)
	f.define(set)
	words, code, done := parseMixed(set, args, std)
	if done {
		return code
	}
	err := f.dispatch(ctx, words, std)
	var usage badUsage
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return usageError(std, name, err)
	}
	return failure(std, name, err)
}

func (f *patternFlags) dispatch(ctx context.Context, words []string, std stdio) error {
	if f.list {
		return listCatalogue(std.out)
	}
	if len(words) != 1 {
		return badUsage{fmt.Sprintf("name one file, one pattern of the catalogue, or - for standard input; %d were given", len(words))}
	}
	p, err := f.load(words[0], std.in)
	if err != nil {
		return err
	}
	universe, err := f.universe(p)
	if err != nil {
		return err
	}
	switch {
	case f.run >= 0:
		return f.runAndWrite(ctx, p, universe, std.out)
	case f.to != "" || f.orient != "" && !f.json && !f.population:
		return f.write(p, std.out)
	}
	return f.study(ctx, p, universe, std.out)
}

// load reads a pattern and applies the options that change it.
func (f *patternFlags) load(name string, in io.Reader) (*grid.Pattern, error) {
	p, err := readPattern(name, in)
	if err != nil {
		return nil, err
	}
	if f.rule != "" {
		if p.Rule, p.Bounds, err = grid.ParseBoundedRule(f.rule); err != nil {
			return nil, badUsage{err.Error()}
		}
	}
	if p.Rule == (grid.Rule{}) {
		p.Rule = grid.Life
	}
	o, err := grid.ParseOrientation(f.orient)
	if err != nil {
		return nil, badUsage{err.Error()}
	}
	return o.Apply(p), nil
}

// readPattern reads a file, standard input, or the catalogue.
func readPattern(name string, in io.Reader) (*grid.Pattern, error) {
	if name != "-" {
		file, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			if t, ok := grid.FindTemplate(name); ok {
				return t.Pattern.Clone(), nil
			}
			if p, err := grid.ParseApgcode(name, grid.PatternLimits{}); err == nil {
				return p, nil
			}
			return nil, fmt.Errorf("%s is neither a file nor a pattern of the catalogue (gosper pattern --list)", name)
		}
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	limits := grid.DefaultPatternLimits()
	limits.Side = 1 << 24 // what is on this machine's disk may be wide
	text, err := readText(in, limits.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p, err := grid.Parse(text, limits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if p.Name == "" && name != "-" {
		base := filepath.Base(name)
		p.Name = strings.TrimSuffix(base, filepath.Ext(base))
	}
	return p, nil
}

// readText reads at most one byte more than limit, unpacked if it is gzip.
func readText(in io.Reader, limit int) ([]byte, error) {
	buffered := bufio.NewReader(in)
	in = buffered
	if head, _ := buffered.Peek(2); string(head) == "\x1f\x8b" {
		packed, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, err
		}
		in = packed
	}
	return io.ReadAll(io.LimitReader(in, int64(limit)+1))
}

// universe is where the pattern runs; sides of 0 mean an endless plane.
func (f *patternFlags) universe(p *grid.Pattern) (grid.Options, error) {
	o := grid.Options{Width: int(p.Bounds.Width), Height: int(p.Bounds.Height), Topology: grid.Plane}
	if p.Bounds.Kind == 'T' {
		o.Topology = grid.Torus
	}
	kernel, err := grid.ParseKernel(f.kernel)
	if err != nil {
		return o, badUsage{err.Error()}
	}
	o.Kernel = kernel
	if f.size != "" {
		if _, err := fmt.Sscanf(strings.ToLower(f.size), "%dx%d", &o.Width, &o.Height); err != nil {
			return o, badUsage{fmt.Sprintf("--size %q is not like 64x64", f.size)}
		}
		if f.topology == "" && p.Bounds.Kind == 0 {
			o.Topology = grid.Torus
		}
	}
	switch strings.ToLower(f.topology) {
	case "":
	case "endless":
		o.Width, o.Height = 0, 0
	case "torus":
		o.Topology = grid.Torus
	case "plane":
		o.Topology = grid.Plane
	default:
		return o, badUsage{fmt.Sprintf("--topology %q is not one of endless, plane, torus", f.topology)}
	}
	return o, f.checkUniverse(p, o)
}

func (f *patternFlags) checkUniverse(p *grid.Pattern, o grid.Options) error {
	bounded := o.Width != 0 || o.Height != 0
	switch {
	case !bounded && f.topology != "" && !strings.EqualFold(f.topology, "endless"):
		return badUsage{"a " + f.topology + " needs its size: add --size 64x64, say"}
	case !bounded:
		return nil
	case o.Width < 1 || o.Height < 1:
		return badUsage{fmt.Sprintf("a universe of %dx%d cells is half endless, which is not supported: give both sides with --size", o.Width, o.Height)}
	case int(p.Width) > o.Width || int(p.Height) > o.Height:
		return badUsage{fmt.Sprintf("the pattern has %dx%d cells and the universe %dx%d: choose a larger --size", p.Width, p.Height, o.Width, o.Height)}
	}
	return nil
}

// place is where the pattern's corner lies in a bounded universe: where its
// file says, counted from the middle, or else in the middle.
func place(p *grid.Pattern, o grid.Options) (x, y int) {
	x, y = int(p.OriginX)+o.Width/2, int(p.OriginY)+o.Height/2
	if p.OriginX == 0 && p.OriginY == 0 || x < 0 || y < 0 || x+int(p.Width) > o.Width || y+int(p.Height) > o.Height {
		return (o.Width - int(p.Width)) / 2, (o.Height - int(p.Height)) / 2
	}
	return x, y
}

// analyse watches p for at most so many generations.
func (f *patternFlags) analyse(ctx context.Context, p *grid.Pattern, universe grid.Options, generations int64, all bool) (*grid.Analysis, error) {
	if generations < 0 || generations > math.MaxInt32 {
		return nil, badUsage{fmt.Sprintf("%d generations are not between 0 and %d", generations, math.MaxInt32)}
	}
	if f.side < 64 || f.side > 1<<18 {
		return nil, badUsage{fmt.Sprintf("--side %d is not between 64 and %d", f.side, 1<<18)}
	}
	o := grid.AnalyseOptions{
		Generations: uint64(generations), Side: f.side, Kernel: universe.Kernel, All: all,
		Stop: func() bool { return ctx.Err() != nil },
	}
	if universe.Width > 0 {
		o.Bounded = universe
		o.X, o.Y = place(p, universe)
	}
	return grid.Analyse(p, o)
}

// write writes p in the format asked for.
func (f *patternFlags) write(p *grid.Pattern, out io.Writer) error {
	format := grid.FormatRLE
	if f.to != "" {
		var err error
		if format, err = grid.ParseFormat(f.to); err != nil {
			return badUsage{err.Error()}
		}
	}
	text, err := grid.Append(nil, p, format)
	if err != nil {
		return err
	}
	_, err = out.Write(text)
	return err
}

// runAndWrite runs exactly the generations asked for and writes the cells that
// are there then, or what was found on the way.
func (f *patternFlags) runAndWrite(ctx context.Context, p *grid.Pattern, universe grid.Options, out io.Writer) error {
	if f.run == 0 {
		return f.write(p, out)
	}
	a, err := f.analyse(ctx, p, universe, f.run, true)
	if err != nil {
		return err
	}
	if ran := int64(len(a.Population) - 1); ran < f.run {
		if ctx.Err() != nil {
			return fmt.Errorf("interrupted after %d of %d generations", ran, f.run)
		}
		return fmt.Errorf("cells came near the edge of the largest plane after %d of %d generations; raise --side", ran, f.run)
	}
	switch {
	case f.population:
		return writePopulation(out, a)
	case f.json:
		return newFindings(p, universe, a).writeJSON(out)
	}
	q := a.Final
	q.Name, q.Author, q.Comments, q.Bounds = p.Name, p.Author, p.Comments, p.Bounds
	q.Generation += p.Generation
	if universe.Width == 0 {
		q.OriginX, q.OriginY = q.OriginX+p.OriginX, q.OriginY+p.OriginY
	} else {
		q.OriginX, q.OriginY = q.OriginX-int32(universe.Width/2), q.OriginY-int32(universe.Height/2)
	}
	return f.write(q, out)
}
