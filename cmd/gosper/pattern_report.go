package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"gosper/grid"
)

// findings are what gosper pattern --json writes.
type findings struct {
	Name       string        `json:"name,omitempty"`
	Rule       string        `json:"rule"`
	Universe   string        `json:"universe"`
	Cells      int           `json:"cells"`
	Width      int32         `json:"width"`
	Height     int32         `json:"height"`
	Generation int           `json:"generations"` // how many were watched
	Fate       string        `json:"fate"`
	Since      uint64        `json:"since"`
	Population int64         `json:"population"` // at since, or the last one seen
	Period     int           `json:"period,omitempty"`
	DX         int           `json:"dx"`
	DY         int           `json:"dy"`
	Speed      string        `json:"speed,omitempty"`
	Growth     int64         `json:"growth,omitempty"` // cells in a period
	Engine     int           `json:"engine_period,omitempty"`
	Objects    []grid.Object `json:"objects,omitempty"`
	Last       int64         `json:"last_population"` // of the last generation watched
	Samples    [][2]int64    `json:"samples"`         // generation, population
	Box        box           `json:"box"`             // of the last generation, from the pattern's first corner
	Text       string        `json:"text"`
}

type box struct {
	X      int32 `json:"x"`
	Y      int32 `json:"y"`
	Width  int32 `json:"width"`
	Height int32 `json:"height"`
}

// study watches p and tells what becomes of it.
func (f *patternFlags) study(ctx context.Context, p *grid.Pattern, universe grid.Options, out io.Writer) error {
	a, err := f.analyse(ctx, p, universe, f.generations, false)
	if err != nil {
		return err
	}
	found := newFindings(p, universe, a)
	if ctx.Err() != nil {
		found.Text = "interrupted: " + found.Text
	}
	switch {
	case f.population:
		return writePopulation(out, a)
	case f.json:
		return found.writeJSON(out)
	}
	return found.write(out, a)
}

func (f *findings) writeJSON(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return e.Encode(f)
}

func newFindings(p *grid.Pattern, universe grid.Options, a *grid.Analysis) *findings {
	cropped := p.Clone()
	cropped.Crop()
	last := len(a.Population) - 1
	f := &findings{
		Name: p.Name, Rule: p.Rule.String(), Universe: universeName(universe),
		Cells: len(p.Cells), Width: cropped.Width, Height: cropped.Height, Generation: last,
		Fate: a.Fate.String(), Since: a.Since, Population: a.At(), Period: a.Period, DX: a.DX, DY: a.DY,
		Growth: a.Growth, Engine: a.EnginePeriod, Objects: a.Objects,
		Last: a.Population[last], Samples: samples(a.Population),
		Box: box{a.Final.OriginX, a.Final.OriginY, a.Final.Width, a.Final.Height},
	}
	if a.Final.Population() == 0 {
		f.Box = box{}
	}
	f.Speed = speed(a)
	f.Text = fateText(a, f)
	if a.Fate == grid.Undecided {
		f.Since, f.Population = uint64(last), a.Population[last]
	}
	return f
}

func universeName(o grid.Options) string {
	if o.Width == 0 {
		return "endless plane"
	}
	return fmt.Sprintf("%s of %d by %d", o.Topology, o.Width, o.Height)
}

// speed is that of a lone ship or of the engine of a growing pattern.
func speed(a *grid.Analysis) string {
	t := grid.Template{Period: a.Period, DX: a.DX, DY: a.DY}
	if a.EnginePeriod != 0 {
		t.Period = a.EnginePeriod
	}
	return t.Speed()
}

// fateText says in one line what becomes of the pattern.
func fateText(a *grid.Analysis, f *findings) string {
	switch {
	case a.Fate == grid.Dies && a.Since == 0:
		return "empty: there is no live cell"
	case a.Fate == grid.Dies:
		return fmt.Sprintf("dies at %d", a.Since)
	case a.Fate == grid.Grows:
		return growthText(a, f)
	case a.Fate == grid.Settles && a.Since == 0 && a.Period == 1 && f.Speed == "":
		return fmt.Sprintf("still life of %d cells", a.At())
	case a.Fate == grid.Settles && f.Speed != "":
		return fromText(a) + fmt.Sprintf("spaceship of period %d, moves (%d,%d) in it, speed %s", a.Period, a.DX, a.DY, f.Speed)
	case a.Fate == grid.Settles && a.Since == 0:
		return fmt.Sprintf("repeats every %d generations", a.Period)
	case a.Fate == grid.Settles:
		return fmt.Sprintf("stable at %d with %d cells", a.Since, a.At()) + periodText(a)
	case a.Reached:
		return fmt.Sprintf("undecided after %d generations: cells came near the edge of the largest plane; raise --side", f.Generation)
	}
	return fmt.Sprintf("undecided after %d generations; raise --generations to watch longer", f.Generation)
}

func fromText(a *grid.Analysis) string {
	if a.Since == 0 {
		return ""
	}
	return fmt.Sprintf("from generation %d a ", a.Since)
}

func periodText(a *grid.Analysis) string {
	if a.Period == 1 {
		return "; what stays is still"
	}
	return fmt.Sprintf("; what stays repeats every %d generations", a.Period)
}

func growthText(a *grid.Analysis, f *findings) string {
	text := fmt.Sprintf("%d cells, %+d every %d generations", a.Population[0], a.Growth, a.Period)
	if a.Since > 0 {
		text += fmt.Sprintf(" from generation %d (%d cells) on", a.Since, a.At())
	}
	switch {
	case a.EnginePeriod == 0:
	case f.Speed == "":
		text += fmt.Sprintf("; a gun of period %d", a.EnginePeriod)
	default:
		text += fmt.Sprintf("; its engine has period %d and moves (%d,%d) in it, speed %s", a.EnginePeriod, a.DX, a.DY, f.Speed)
	}
	return text
}

// samples picks about twenty generations, more of the early ones.
func samples(population []int64) [][2]int64 {
	last := len(population) - 1
	list := [][2]int64{}
	for _, step := range []int{1, 2, 5} {
		for scale := 1; step*scale < last; scale *= 10 {
			list = append(list, [2]int64{int64(step * scale), 0})
		}
	}
	list = append(list, [2]int64{0, 0}, [2]int64{int64(last), 0})
	slices.SortFunc(list, func(a, b [2]int64) int { return cmp.Compare(a[0], b[0]) })
	for i := range list {
		list[i][1] = population[list[i][0]]
	}
	if last == 0 {
		list = list[:1]
	}
	return list
}

// write prints the findings for people.
func (f *findings) write(out io.Writer, a *grid.Analysis) error {
	w := bufio.NewWriter(out)
	fmt.Fprintf(w, "%s: %s\n\n", f.Name, f.Text)
	fmt.Fprintf(w, "  start       %d cells in a box of %d by %d\n", f.Cells, f.Width, f.Height)
	fmt.Fprintf(w, "  rule        %s, %s\n", f.Rule, f.Universe)
	if len(f.Objects) > 0 {
		fmt.Fprintf(w, "  left        %s\n", objectsText(f.Objects))
	}
	if f.Box.Width > 0 {
		fmt.Fprintf(w, "  box         %d by %d at (%d,%d) in generation %d\n", f.Box.Width, f.Box.Height, f.Box.X, f.Box.Y, f.Generation)
	}
	if len(a.Population) > 2 {
		fmt.Fprintf(w, "  population  %s\n\n", sparkline(a.Population))
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "  generation\tpopulation\t")
	for _, s := range f.Samples {
		fmt.Fprintf(t, "  %d\t%d\t\n", s[0], s[1])
	}
	t.Flush()
	return w.Flush()
}

// longestCode is the longest apgcode shown beside a thing without a name.
const longestCode = 24

// objectsText lists what is left: "8 blocks, 6 gliders, 1 boat".
func objectsText(objects []grid.Object) string {
	parts := make([]string, len(objects))
	for i, o := range objects {
		parts[i] = fmt.Sprintf("%d %s", o.Count, plural(o.Name, o.Count))
		if strings.Contains(o.Name, " of ") && len(o.Code) > 0 && len(o.Code) <= longestCode {
			parts[i] += " " + o.Code
		}
	}
	return strings.Join(parts, ", ")
}

// plural puts the s where it belongs: "still lifes of 9 cells".
func plural(name string, n int) string {
	if n == 1 {
		return name
	}
	head, tail, of := strings.Cut(name, " of ")
	switch {
	case strings.HasSuffix(head, "loaf"):
		head = head[:len(head)-1] + "ves"
	case strings.HasSuffix(head, "s") || strings.HasSuffix(head, "x"):
		head += "es"
	default:
		head += "s"
	}
	if of {
		return head + " of " + tail
	}
	return head
}

// sparkline draws the population in one line of at most 60 characters.
func sparkline(population []int64) string {
	const width = 60
	bars := []rune("▁▂▃▄▅▆▇█")
	n := min(width, len(population))
	line := make([]rune, n)
	most := int64(1)
	for _, p := range population {
		most = max(most, p)
	}
	for i := range line {
		p := population[i*(len(population)-1)/max(1, n-1)]
		line[i] = bars[int(p*int64(len(bars)-1)/most)]
	}
	return string(line)
}

// writePopulation writes "generation population" lines.
func writePopulation(out io.Writer, a *grid.Analysis) error {
	w := bufio.NewWriter(out)
	for g, p := range a.Population {
		fmt.Fprintf(w, "%d %d\n", g, p)
	}
	return w.Flush()
}
