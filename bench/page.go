package bench

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

//go:embed report.css
var reportStyle string

// WriteReport writes a report as one page of HTML that needs nothing else: pictures, figures with their spread, peers,
// ratios, the circumstances, and the JSON object itself for those who want to compare.
func WriteReport(w io.Writer, r *Report) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	p := &page{w: w}
	p.head(r)
	p.peers(r)
	p.limits(r)
	p.pictures(r)
	p.curves(r)
	p.profiles(r)
	p.latencies(r)
	p.f("<h2>All figures</h2>\n")
	for _, run := range r.Runs {
		p.run(run)
	}
	p.f("<h2>How it was measured</h2>\n<p>%s</p>\n", method)
	p.f("<details class=\"raw\"><summary>The JSON of this page</summary><pre>%s</pre></details>\n</body></html>\n", html.EscapeString(string(raw)))
	return p.err
}

const method = "Server, peer and load generator are processes of one machine. gosper and its peer take turns in the same run, A B A B, " +
	"after a warm-up; a figure is the median of its turns, with the least and the greatest beside it. Work is stated per second of " +
	"the server's CPU time where that is the fair measure, since generator and server share the cores. Latencies count from the moment a message " +
	"was due, not from when a late generator sent it. Every message that was sent is counted where it arrives: a run in which one is missing or doubled has failed. " +
	"Exponents are least squares through the logarithms of the points."

// page writes pieces and keeps the first error.
type page struct {
	w   io.Writer
	err error
}

func (p *page) f(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// head writes who, where, when and whether all is well.
func (p *page) head(r *Report) {
	p.f("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
	p.f("<link rel=\"icon\" href=\"data:,\"><title>gosper, measured</title><style>%s</style></head><body>\n<h1>gosper, measured</h1>\n", reportStyle)
	p.f("<p>%s · %s, %d cores, %.1f GiB · %s · %s · gosper %s</p>\n", r.Made.Format(time.RFC1123), html.EscapeString(r.Machine.CPU), r.Machine.Cores,
		float64(r.Machine.MemoryBytes)/(1<<30), html.EscapeString(r.Machine.Kernel), html.EscapeString(r.Machine.Go), html.EscapeString(r.Version))
	p.f("<p>Measured in %s with <code>%s</code></p>\n", time.Duration(r.Seconds)*time.Second, html.EscapeString(r.Command))
	if r.Quick {
		p.f("<p class=\"bad\">A quick run: it checks that everything works. Its figures are no measurement.</p>\n")
	}
	var sent, received, missing, doubled uint64
	for _, run := range r.Runs {
		sent, received, missing, doubled = sent+run.Sent, received+run.Received, missing+run.Missing, doubled+run.Doubled
	}
	class, word := "ok", "ok"
	if !r.OK {
		class, word = "bad", "NOT OK"
	}
	p.f("<p class=\"%s\">%d runs; sent %s, received %s, missing %d, doubled %d: %s</p>\n", class, len(r.Runs), number(float64(sent)), number(float64(received)), missing, doubled, word)
}

// peers writes the ratios to other systems, and who could not be had.
func (p *page) peers(r *Report) {
	if len(r.Peers) > 0 {
		var words []string
		for _, name := range slices.Sorted(maps.Keys(r.Peers)) {
			words = append(words, html.EscapeString(name+" "+r.Peers[name]))
		}
		p.f("<h2>Beside other systems</h2>\n<p>How many times as much gosper does, in the same run: 1 is as much. %s.</p>\n", strings.Join(words, "; "))
		p.ratios(r)
	}
	if len(r.Absent) == 0 {
		return
	}
	p.f("<p class=\"quiet\">Absent:")
	for i, a := range r.Absent {
		p.f("%s %s for %s: %s", map[bool]string{true: ";"}[i > 0], html.EscapeString(a.Peer), html.EscapeString(a.Scenario), html.EscapeString(a.Why))
	}
	p.f(".</p>\n")
}

// ratios draws each ratio on a logarithmic axis that all share.
func (p *page) ratios(r *Report) {
	values := []float64{1}
	for _, run := range r.Runs {
		for _, name := range run.peerRatios() {
			values = append(values, run.Ratios[name])
		}
	}
	if len(values) == 1 {
		return
	}
	a := newAxis(true, 0, 100, values)
	p.f("<table><tr><th>work<th>against<th class=\"n\">times<th class=\"n wide\">least … greatest<th class=\"bar\">\n")
	for _, run := range r.Runs {
		for _, name := range run.peerRatios() {
			v := run.Ratios[name]
			low, high := min(a.place(1), a.place(v)), max(a.place(1), a.place(v))
			p.f("<tr><td>%s, %s<td class=\"word\">%s<td class=\"n\">%s<td class=\"n wide\">%s<td class=\"bar\">", html.EscapeString(run.Scenario), html.EscapeString(name), html.EscapeString(run.Against), number(v), run.span(name))
			p.f("<svg viewBox=\"0 0 100 12\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"span\" x=\"%.1f\" width=\"%.1f\" y=\"2\" height=\"8\"/><line class=\"one\" x1=\"%.1f\" x2=\"%.1f\" y1=\"0\" y2=\"12\"/></svg>\n",
				low, max(0.5, high-low), a.place(1), a.place(1))
		}
	}
	p.f("</table>\n")
}

// peerRatios are the names of the ratios to the peer of the run.
func (r *Result) peerRatios() (names []string) {
	if r.Against == "" {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(r.Ratios)) {
		if strings.Contains(name, "vs_"+r.Against) && r.Ratios[name] > 0 {
			names = append(names, name)
		}
	}
	return names
}

// span prints the least and the greatest of the repeats.
func (r *Result) span(key string) string {
	s, ok := r.Spread[key]
	if !ok || s[0] == s[1] {
		return ""
	}
	return number(s[0]) + " … " + number(s[1])
}

// percentile is one row of the table of latencies, in milliseconds.
type percentile struct {
	run, name string
	at        [3]float64 // p50, p99, p999; 0 when it is not known
}

// percentileNames are the ends of the names of figures that make a row.
var percentileNames = []string{"p50", "p99", "p999"}

// percentilesOf collects the figures called …_p50_us, …_p99_ms and so on.
func percentilesOf(run, prefix string, figures map[string]float64) (rows []percentile) {
	found := map[string]*percentile{}
	for _, name := range slices.Sorted(maps.Keys(figures)) {
		for i, q := range percentileNames {
			for unit, scale := range map[string]float64{"_us": 1e-3, "_ms": 1} {
				stem, ok := strings.CutSuffix(name, q+unit)
				if !ok || figures[name] <= 0 || stem != "" && !strings.HasSuffix(stem, "_") {
					continue
				}
				stem = strings.TrimSuffix(prefix+strings.ReplaceAll(stem, "_", " "), " ")
				if found[stem] == nil {
					found[stem] = &percentile{run: run, name: stem}
				}
				found[stem].at[i] = figures[name] * scale
			}
		}
	}
	for _, stem := range slices.Sorted(maps.Keys(found)) {
		rows = append(rows, *found[stem])
	}
	return rows
}

// latencies draws the percentiles of every kind of message of every run.
func (p *page) latencies(r *Report) {
	var rows []percentile
	var values []float64
	for _, run := range r.Runs {
		rows = append(rows, percentilesOf(run.Title(), "", run.Figures)...)
		for _, name := range slices.Sorted(maps.Keys(run.Peers)) {
			rows = append(rows, percentilesOf(run.Title(), name+" ", run.Peers[name].Figures)...)
		}
	}
	for _, row := range rows {
		values = append(values, row.at[:]...)
	}
	if len(rows) == 0 {
		return
	}
	a := newAxis(true, 0, 100, values)
	p.f("<h2>Latencies</h2>\n<p>In milliseconds: the middle one, and that below which 99 %% and 99.9 %% lie. The bar goes from the first to the last on a logarithmic axis from %s to %s.</p>\n",
		short(math.Pow(10, a.from)), short(math.Pow(10, a.to)))
	p.f("<table><tr><th>message<th class=\"n\">p50<th class=\"n\">p99<th class=\"n\">p99.9<th class=\"bar\">\n")
	last := ""
	for _, row := range rows {
		if row.run != last {
			p.f("<tr><th colspan=\"5\">%s\n", html.EscapeString(row.run))
			last = row.run
		}
		p.f("<tr><td>%s", html.EscapeString(row.name))
		low, high := math.Inf(1), math.Inf(-1)
		for _, v := range row.at {
			if v > 0 {
				p.f("<td class=\"n\">%s", number(v))
				low, high = min(low, a.place(v)), max(high, a.place(v))
			} else {
				p.f("<td>")
			}
		}
		p.f("<td class=\"bar\"><svg viewBox=\"0 0 100 12\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"span\" x=\"%.1f\" width=\"%.1f\" y=\"3\" height=\"6\"/></svg>\n", low, max(0.7, high-low))
	}
	p.f("</table>\n")
}

// pictures writes the plots of all runs.
func (p *page) pictures(r *Report) {
	if !slices.ContainsFunc(r.Runs, func(run *Result) bool { return len(run.Plots) > 0 }) {
		return
	}
	p.f("<h2>Pictures</h2>\n<div class=\"pictures\">\n")
	for _, run := range r.Runs {
		for _, plot := range run.Plots {
			p.f("<figure><h3>%s</h3>%s<figcaption><p class=\"key\">", html.EscapeString(plot.Title), plot.svg())
			for i, l := range plot.Lines {
				p.f("<span class=\"l%d\">%s</span> ", i%lineClasses, html.EscapeString(l.Name))
			}
			p.f("</p></figcaption></figure>\n")
		}
	}
	p.f("</div>\n")
}

// curves writes how costs grow.
func (p *page) curves(r *Report) {
	var worse, count int
	for _, run := range r.Runs {
		count += len(run.Curves)
		for _, c := range run.Curves {
			if c.Worse {
				worse++
			}
		}
	}
	if count == 0 {
		return
	}
	p.f("<h2>How costs grow</h2>\n<p>Both axes are logarithmic; the dashed line is the power that fits best. Of %d curves %d grow faster than the work.</p>\n<div class=\"pictures\">\n", count, worse)
	for _, run := range r.Runs {
		for _, c := range run.Curves {
			p.f("<figure><h3>%s</h3>%s<figcaption>%s %s</figcaption></figure>\n", html.EscapeString(c.Title), c.svg(), c.verdict(), html.EscapeString(c.Note))
		}
	}
	p.f("</div>\n")
}

// verdict tells what the exponent means.
func (c *Curve) verdict() string {
	switch {
	case len(c.Points) < 2:
		return "One point: no exponent."
	case c.Worse:
		return fmt.Sprintf("<b class=\"bad\">Exponent %.2f: grows faster than the work (%g would be linear).</b>", c.Exponent, c.Linear)
	}
	return fmt.Sprintf("Exponent %.2f (%g is linear).", c.Exponent, c.Linear)
}

// run writes one run whole.
func (p *page) run(r *Result) {
	class := "ok"
	if !r.OK {
		class = "bad"
	}
	p.f("<details%s><summary>%s <span class=\"%s\">%s</span> <span class=\"quiet\">%.0f s, sent %s, received %s, missing %d, doubled %d</span></summary>\n", map[bool]string{false: " open"}[r.OK],
		html.EscapeString(r.Title()), class, verdict(r), r.Seconds, number(float64(r.Sent)), number(float64(r.Received)), r.Missing, r.Doubled)
	for _, n := range r.Notes {
		p.f("<p>%s</p>\n", html.EscapeString(n))
	}
	p.table(r, "Ratios", r.Ratios, "")
	p.table(r, "Figures", r.Figures, "")
	for _, name := range slices.Sorted(maps.Keys(r.Peers)) {
		p.table(r, name+" "+r.Peers[name].Version, r.Peers[name].Figures, name+".")
	}
	p.f("<h3>Settings</h3><table>")
	for _, name := range slices.Sorted(maps.Keys(r.Settings)) {
		p.f("<tr><td>%s<td>%s\n", html.EscapeString(name), html.EscapeString(settingText(r.Settings[name])))
	}
	p.f("</table></details>\n")
}

// table writes values with their spread as a number and as a bar from the least to the greatest of the repeats.
func (p *page) table(r *Result, title string, values map[string]float64, prefix string) {
	if len(values) == 0 {
		return
	}
	p.f("<h3>%s</h3><table><tr><th>name<th class=\"n\">median<th class=\"n wide\">least … greatest<th class=\"bar\">\n", html.EscapeString(title))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		p.f("<tr><td>%s<td class=\"n\">%s<td class=\"n wide\">%s<td class=\"bar\">", html.EscapeString(name), number(values[name]), r.span(prefix+name))
		if s, ok := r.Spread[prefix+name]; ok && s[1] > 0 {
			p.f("<svg viewBox=\"0 0 100 12\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"span\" x=\"%.1f\" width=\"%.1f\" y=\"3\" height=\"6\"/><rect class=\"dot\" x=\"%.1f\" width=\"1\" y=\"1\" height=\"10\"/></svg>",
				100*s[0]/s[1], max(0.5, 100*(1-s[0]/s[1])), min(99, 100*values[name]/s[1]))
		}
		p.f("\n")
	}
	p.f("</table>\n")
}
