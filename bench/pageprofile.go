package bench

import (
	"fmt"
	"html"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// profiles writes where the time of the server goes.
func (p *page) profiles(r *Report) {
	run := r.Run("profile", "")
	if run == nil || len(run.Profiles) == 0 {
		return
	}
	p.f("<h2>Where the time goes</h2>\n<p>CPU profiles of the server on its hot paths, from runs of their own in which nothing else was measured. The time of a system call stands at the function that makes it. " +
		"The floor is what the fewest possible reads and writes alone cost on this machine. nanosleep and most futex calls go by time: Go's runtime looks after its threads.</p>\n")
	p.f("<table><tr><th>path<th class=\"n\">CPU<th class=\"n\">floor<th class=\"n\">kernel\n")
	for i := range run.Profiles {
		f := &run.Profiles[i]
		p.f("<tr><td>%s: %s<div class=\"quiet\">System calls: %s</div><td class=\"n\">%s µs<td class=\"n\">%s µs<td class=\"n\">%.0f %%\n", html.EscapeString(f.Path), html.EscapeString(f.Work),
			html.EscapeString(f.callsText()), number(f.CPU), number(f.Floor), 100*f.Kernel)
	}
	p.f("</table>\n<div class=\"pictures\">\n")
	for i := range run.Profiles {
		p.profile(&run.Profiles[i])
	}
	p.f("</div>\n")
}

// profile draws the functions of one path.
func (p *page) profile(f *Profile) {
	p.f("<figure class=\"hot\"><h3>%s</h3><table><tr><th>function<th class=\"n\">self<th class=\"n\">total<th class=\"bar\">\n", html.EscapeString(f.Path))
	for _, h := range f.Functions {
		p.f("<tr><td>%s<td class=\"n\">%.1f %%<td class=\"n\">%.1f %%<td class=\"bar\">", html.EscapeString(h.label()), 100*h.Self, 100*h.Total)
		p.f("<svg viewBox=\"0 0 100 12\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"span\" width=\"%.1f\" y=\"3\" height=\"6\"/><rect class=\"dot\" width=\"%.1f\" y=\"3\" height=\"6\"/></svg>\n", 100*h.Total, 100*h.Self)
	}
	p.f("</table></figure>\n")
}

// label names a row: a function, or the system calls that it makes.
func (h HotFunction) label() string {
	if h.Kernel {
		return "kernel, for " + h.Name
	}
	return h.Name
}

// callsText lists the system calls of one unit, the most frequent first, behind the fewest there can be.
func (f *Profile) callsText() string {
	floor := strings.TrimPrefix(fmt.Sprintf(", %g read, %g write", f.Reads, f.Writes), ", 0 read")
	floor = strings.TrimPrefix(floor, ", ") + " a " + f.Unit + " at least"
	if len(f.Calls) == 0 {
		return floor + "; not counted here"
	}
	names := slices.SortedFunc(maps.Keys(f.Calls), func(a, b string) int {
		if f.Calls[a] != f.Calls[b] {
			return map[bool]int{true: -1, false: 1}[f.Calls[a] > f.Calls[b]]
		}
		return strings.Compare(a, b)
	})
	var words []string
	for _, name := range names[:min(len(names), profileTop)] {
		words = append(words, fmt.Sprintf("%.2f %s", f.Calls[name], name))
	}
	return floor + "; counted: " + strings.Join(words, ", ")
}

// writeProfiles prints the same for people at a terminal.
func writeProfiles(w io.Writer, profiles []Profile) {
	for i := range profiles {
		f := &profiles[i]
		fmt.Fprintf(w, "\n%s: %s µs of CPU a %s, floor %s µs, %.0f %% in the kernel\n  %s\n", f.Path, number(f.CPU), f.Unit, number(f.Floor), 100*f.Kernel, f.callsText())
		t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
		for _, h := range f.Functions {
			fmt.Fprintf(t, "  %s\t%.1f %%\t%.1f %%\n", h.label(), 100*h.Self, 100*h.Total)
		}
		t.Flush()
	}
}
