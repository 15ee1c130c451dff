package bench

import "math"

// Curve is what one cost came to while the work grew. A straight line on a plot with logarithmic axes is a power of the
// work, and its slope is the exponent.
type Curve struct {
	Name   string  `json:"name"`   // of the kind of work and its cost, e.g. "connections_memory"
	Title  string  `json:"title"`  // for people
	Work   string  `json:"work"`   // what grows, e.g. "connections"
	Cost   string  `json:"cost"`   // what was measured, its unit last, e.g. "resident bytes"
	Linear float64 `json:"linear"` // the exponent of a cost that is linear: 1 for the cost of all work, 0 for that of one piece
	Points []Point `json:"points"`
	// Exponent is the slope of the least squares through the logarithms of the points; 0 with fewer than two of them.
	Exponent float64 `json:"exponent"`
	// Worse says that the cost grows faster than the work: the exponent is more than curveSlack above Linear.
	Worse bool   `json:"worse"`
	Note  string `json:"note,omitempty"` // what the reader should know, e.g. why it is worse
}

// Point is one measurement of a curve: the work, and its cost.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// curveSlack is how much above that of a linear cost an exponent may be: the noise of a shared machine.
const curveSlack = 0.1

// fit sets the exponent and what follows from it.
func (c *Curve) fit() {
	c.Exponent = exponent(c.Points)
	c.Worse = c.Exponent > c.Linear+curveSlack
}

// exponent fits y = a·x^k to the points that have a logarithm, and returns k.
func exponent(points []Point) float64 {
	var n, sx, sy, sxx, sxy float64
	for _, p := range points {
		if p.X <= 0 || p.Y <= 0 {
			continue
		}
		x, y := math.Log(p.X), math.Log(p.Y)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	below := n*sxx - sx*sx
	if n < 2 || below == 0 {
		return 0
	}
	return (n*sxy - sx*sy) / below
}

// Curve records a curve, with its exponent as figure NAME_exponent.
func (r *Run) Curve(c Curve) {
	if len(c.Points) == 0 {
		return
	}
	c.fit()
	if len(c.Points) > 1 {
		r.Figure(c.Name+"_exponent", c.Exponent)
	}
	if c.Worse {
		r.Note("%s grows with exponent %.2f: faster than the work", c.Title, c.Exponent)
	}
	r.Result.Curves = append(r.Result.Curves, c)
}

// Plot is a picture of one or several lines that are no curves of growth: percentiles, or a figure over time.
type Plot struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	X     string `json:"x"` // what the axes say
	Y     string `json:"y"`
	LogX  bool   `json:"log_x"`
	LogY  bool   `json:"log_y"`
	Lines []Line `json:"lines"`
}

// Line is one line of a plot.
type Line struct {
	Name   string  `json:"name"`
	Points []Point `json:"points"`
}

// Plot records a plot.
func (r *Run) Plot(p Plot) { r.Result.Plots = append(r.Result.Plots, p) }

// percentiles is the title of the axis on which a latency line is drawn: 1 in so many messages is slower, so 10 is the
// 90th percentile and 1,000 the 99.9th.
const percentiles = "one message in … is slower"

// latencyLine makes a line of the percentiles of a histogram, in milliseconds.
func latencyLine(name string, l latencies) Line {
	line := Line{Name: name}
	for _, in := range []float64{1.25, 2, 4, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 100_000} {
		if in > float64(l.count()) {
			break
		}
		line.Points = append(line.Points, Point{in, l.quantile(1-1/in) / 1000})
	}
	return line
}

// LatencyPlot records the percentiles of several histograms in one picture.
func (r *Run) LatencyPlot(name, title string, lines ...Line) {
	r.Plot(Plot{Name: name, Title: title, X: percentiles, Y: "ms", LogX: true, LogY: true, Lines: lines})
}
