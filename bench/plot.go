package bench

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// Size of a drawing in its own units; the page scales it.
const (
	plotWidth   = 480
	plotHeight  = 280
	plotLeft    = 58 // margins
	plotRight   = 14
	plotTop     = 10
	plotBottom  = 44
	lineClasses = 8 // colours of lines in report.css
)

// axis places values on one side of a drawing.
type axis struct {
	log      bool
	from, to float64 // values; logarithms when log
	at, end  float64 // places
}

// newAxis makes an axis that has all values; a linear one begins at 0. Values without logarithm have no place on a
// logarithmic one.
func newAxis(log bool, at, end float64, values []float64) axis {
	a := axis{log: log, at: at, end: end, from: math.Inf(1), to: math.Inf(-1)}
	for _, v := range values {
		if a.has(v) {
			a.from, a.to = min(a.from, a.value(v)), max(a.to, a.value(v))
		}
	}
	switch {
	case a.from > a.to:
		a.from, a.to = 0, 1
	case log && a.to-a.from < 0.5: // less than half a decade is shown as one
		a.from, a.to = a.from-0.5, a.to+0.5
	case log:
		edge := 0.03 * (a.to - a.from)
		a.from, a.to = a.from-edge, a.to+edge
	default:
		a.from, a.to = min(0, a.from), max(a.to*1.05, 1e-9)
	}
	return a
}

func (a axis) has(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) && (!a.log || v > 0) }

func (a axis) value(v float64) float64 {
	if a.log {
		return math.Log10(v)
	}
	return v
}

func (a axis) place(v float64) float64 {
	return a.at + (a.value(v)-a.from)/(a.to-a.from)*(a.end-a.at)
}

// ticks are the values that get a mark.
func (a axis) ticks() (ticks []float64) {
	if !a.log {
		step := niceStep((a.to - a.from) / 4)
		for v := math.Ceil(a.from/step) * step; v <= a.to; v += step {
			ticks = append(ticks, v)
		}
		return ticks
	}
	first, last := math.Ceil(a.from), math.Floor(a.to)
	every := max(1, math.Ceil((last-first)/6))
	for e := first; e <= last; e += every {
		ticks = append(ticks, math.Pow(10, e))
	}
	if len(ticks) < 2 { // within one decade
		for _, m := range []float64{1, 2, 5} {
			for e := math.Floor(a.from); e <= a.to; e++ {
				if v := m * math.Pow(10, e); a.value(v) >= a.from && a.value(v) <= a.to && (len(ticks) == 0 || v != ticks[0]) {
					ticks = append(ticks, v)
				}
			}
		}
	}
	return ticks
}

// niceStep is 1, 2 or 5 times a power of ten, at least so large.
func niceStep(least float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(least)))
	for _, m := range []float64{1, 2, 5} {
		if m*unit >= least {
			return m * unit
		}
	}
	return 10 * unit
}

// short prints a value for an axis: 25k, 1.5M, 0.02.
func short(v float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= u.size {
			return strconv.FormatFloat(v/u.size, 'g', 3, 64) + u.name
		}
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// drawing collects the text of one SVG.
type drawing struct {
	strings.Builder
	x, y axis
}

func (d *drawing) f(format string, args ...any) { fmt.Fprintf(d, format, args...) }

// svg draws the plot.
func (p Plot) svg() string {
	var xs, ys []float64
	for _, l := range p.Lines {
		for _, q := range l.Points {
			xs, ys = append(xs, q.X), append(ys, q.Y)
		}
	}
	d := newDrawing(p.Title, p.X, p.Y, p.LogX, p.LogY, xs, ys)
	for i, l := range p.Lines {
		d.line(i, l)
	}
	return d.done()
}

// svg draws the curve: its points, and the power that was fitted.
func (c Curve) svg() string {
	var xs, ys []float64
	for _, q := range c.Points {
		xs, ys = append(xs, q.X), append(ys, q.Y)
	}
	d := newDrawing(c.Title, c.Work, c.Cost, true, true, xs, ys)
	if len(c.Points) > 1 {
		d.power(c.Points, c.Exponent)
	}
	d.line(0, Line{Points: c.Points})
	return d.done()
}

// newDrawing begins a drawing with its axes.
func newDrawing(title, xName, yName string, logX, logY bool, xs, ys []float64) *drawing {
	d := &drawing{
		x: newAxis(logX, plotLeft, plotWidth-plotRight, xs),
		y: newAxis(logY, plotHeight-plotBottom, plotTop, ys),
	}
	d.f(`<svg class="plot" viewBox="0 0 %d %d" role="img" aria-label="%s">`, plotWidth, plotHeight, html.EscapeString(title))
	for _, v := range d.x.ticks() {
		at := d.x.place(v)
		d.f(`<path class="grid" d="M%.1f %dV%d"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`, at, plotTop, plotHeight-plotBottom, at, plotHeight-plotBottom+16, short(v))
	}
	for _, v := range d.y.ticks() {
		at := d.y.place(v)
		d.f(`<path class="grid" d="M%d %.1fH%d"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`, plotLeft, at, plotWidth-plotRight, plotLeft-6, at+4, short(v))
	}
	d.f(`<path class="axis" d="M%d %dV%dH%d"/>`, plotLeft, plotTop, plotHeight-plotBottom, plotWidth-plotRight)
	d.f(`<text x="%d" y="%d" text-anchor="middle">%s</text>`, (plotLeft+plotWidth-plotRight)/2, plotHeight-8, html.EscapeString(xName))
	d.f(`<text transform="translate(12 %d) rotate(-90)" text-anchor="middle">%s</text>`, (plotTop+plotHeight-plotBottom)/2, html.EscapeString(yName))
	return d
}

// line draws points and what joins them.
func (d *drawing) line(class int, l Line) {
	var path, dots strings.Builder
	pen := "M"
	for _, q := range l.Points {
		if !d.x.has(q.X) || !d.y.has(q.Y) {
			continue
		}
		x, y := d.x.place(q.X), d.y.place(q.Y)
		fmt.Fprintf(&path, "%s%.1f %.1f", pen, x, y)
		pen = "L"
		if len(l.Points) <= 40 {
			fmt.Fprintf(&dots, `<circle cx="%.1f" cy="%.1f" r="3"><title>%s: %s</title></circle>`, x, y, number(q.X), number(q.Y))
		}
	}
	d.f(`<g class="l%d"><path d="%s"/>%s</g>`, class%lineClasses, path.String(), dots.String())
}

// power draws the fitted line through the middle of the points.
func (d *drawing) power(points []Point, exponent float64) {
	var x, y, n float64
	from, to := math.Inf(1), math.Inf(-1)
	for _, q := range points {
		if d.x.has(q.X) && d.y.has(q.Y) {
			x, y, n = x+math.Log10(q.X), y+math.Log10(q.Y), n+1
			from, to = min(from, q.X), max(to, q.X)
		}
	}
	if n < 2 {
		return
	}
	at := func(v float64) float64 { return d.y.place(math.Pow(10, y/n+exponent*(math.Log10(v)-x/n))) }
	d.f(`<path class="fit" d="M%.1f %.1fL%.1f %.1f"/>`, d.x.place(from), at(from), d.x.place(to), at(to))
}

func (d *drawing) done() string {
	d.WriteString("</svg>")
	return d.String()
}
