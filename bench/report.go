package bench

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"slices"
	"time"
)

//go:embed report.css
var reportStyle string

// WriteReport writes a result as one page of HTML that needs nothing else: the figures with their spread, the peers,
// the ratios, the circumstances, and the JSON object itself for those who want to compare.
func WriteReport(w io.Writer, r *Result) error {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	p := &page{w: w}
	p.f("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">")
	p.f("<title>gosper bench %s</title><style>%s</style></head><body>\n", html.EscapeString(r.Scenario), reportStyle)
	p.f("<h1>gosper bench %s</h1>\n<p>%s · %s, %d cores, %.1f GiB · %s · %s</p>\n", html.EscapeString(r.Scenario),
		r.Started.Format(time.RFC1123), html.EscapeString(r.Machine.CPU), r.Machine.Cores,
		float64(r.Machine.MemoryBytes)/(1<<30), html.EscapeString(r.Machine.Kernel), html.EscapeString(r.Machine.Go))
	p.f("<p class=\"%s\">sent %s, received %s, missing %d, doubled %d: %s</p>\n", verdictClass(r),
		number(float64(r.Sent)), number(float64(r.Received)), r.Missing, r.Doubled, verdict(r))
	p.table("Ratios", r.Ratios, r.Spread, "")
	p.table("Figures", r.Figures, r.Spread, "")
	for _, name := range slices.Sorted(maps.Keys(r.Peers)) {
		p.table(name+" "+r.Peers[name].Version, r.Peers[name].Figures, r.Spread, name+".")
	}
	p.f("<h2>Settings</h2><table>")
	for _, name := range slices.Sorted(maps.Keys(r.Settings)) {
		p.f("<tr><td>%s<td>%s", html.EscapeString(name), html.EscapeString(fmt.Sprint(r.Settings[name])))
	}
	p.f("</table>\n")
	for _, n := range r.Notes {
		p.f("<p>%s</p>\n", html.EscapeString(n))
	}
	p.f("<details><summary>JSON</summary><pre>%s</pre></details>\n</body></html>\n", html.EscapeString(string(raw)))
	return p.err
}

func verdictClass(r *Result) string {
	if r.OK {
		return "ok"
	}
	return "bad"
}

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

// table writes values with their spread as a number and as a bar from the least to the greatest of the repeats.
func (p *page) table(title string, values map[string]float64, spread map[string][2]float64, prefix string) {
	if len(values) == 0 {
		return
	}
	p.f("<h2>%s</h2><table><tr><th>name<th>median<th>least … greatest<th>\n", html.EscapeString(title))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		p.f("<tr><td>%s<td class=\"n\">%s", html.EscapeString(name), number(values[name]))
		s, ok := spread[prefix+name]
		if !ok || s[1] <= 0 {
			p.f("<td><td>\n")
			continue
		}
		p.f("<td class=\"n\">%s … %s<td><svg width=\"120\" height=\"12\"><line x1=\"0\" x2=\"120\" y1=\"6\" y2=\"6\"/>", number(s[0]), number(s[1]))
		p.f("<rect x=\"%.1f\" width=\"%.1f\" y=\"3\" height=\"6\"/><circle cx=\"%.1f\" cy=\"6\" r=\"3\"/></svg>\n",
			120*s[0]/s[1], max(1, 120*(1-s[0]/s[1])), 120*values[name]/s[1])
	}
	p.f("</table>\n")
}
