package bench

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// WriteTable prints a result for people: figures, peers and ratios with their spread, the balance and the notes.
func WriteTable(w io.Writer, r *Result) {
	fmt.Fprintf(w, "%s · %s · %d cores · %s · %s\n", r.Scenario, r.Machine.CPU, r.Machine.Cores, r.Machine.Kernel, r.Machine.Go)
	fmt.Fprintf(w, "settings: %s\n\n", settingsLine(r.Settings))
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "figure\tmedian\tleast … greatest")
	for _, name := range slices.Sorted(maps.Keys(r.Figures)) {
		writeRow(t, name, r.Figures[name], r.Spread, name)
	}
	for _, peer := range slices.Sorted(maps.Keys(r.Peers)) {
		p := r.Peers[peer]
		fmt.Fprintf(t, "\t\t\n%s %s\t\t\n", peer, p.Version)
		for _, name := range slices.Sorted(maps.Keys(p.Figures)) {
			writeRow(t, name, p.Figures[name], r.Spread, peer+"."+name)
		}
	}
	if len(r.Ratios) > 0 {
		fmt.Fprint(t, "\t\t\nratio\tmedian\tleast … greatest\n")
		for _, name := range slices.Sorted(maps.Keys(r.Ratios)) {
			writeRow(t, name, r.Ratios[name], r.Spread, name)
		}
	}
	t.Flush()
	writeProfiles(w, r.Profiles)
	fmt.Fprintf(w, "\nsent %d  received %d  missing %d  doubled %d  %s\n", r.Sent, r.Received, r.Missing, r.Doubled, verdict(r))
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note:", n)
	}
}

func verdict(r *Result) string {
	if r.OK {
		return "ok"
	}
	return "NOT OK"
}

func writeRow(w io.Writer, label string, value float64, spread map[string][2]float64, key string) {
	span := ""
	if s, ok := spread[key]; ok {
		span = number(s[0]) + " … " + number(s[1])
	}
	fmt.Fprintf(w, "  %s\t%s\t%s\n", label, number(value), span)
}

// number prints a figure with about four significant digits and thousands apart.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a < 10:
		return strconv.FormatFloat(v, 'f', 3, 64)
	case a < 1000:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	digits := strconv.FormatFloat(math.Abs(v), 'f', 0, 64)
	var b strings.Builder
	if v < 0 {
		b.WriteByte('-')
	}
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// settingText prints a setting the same way before and after a trip through JSON, which knows no whole numbers.
func settingText(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

func settingsLine(settings map[string]any) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		parts = append(parts, name+"="+settingText(settings[name]))
	}
	return strings.Join(parts, " ")
}

// Summary is a result in one line: the verdict, how long it took, and the ratios to its peer.
func Summary(r *Result) string {
	parts := []string{fmt.Sprintf("%-28s %-6s %4.0f s", r.Title(), verdict(r), r.Seconds)}
	for _, name := range r.peerRatios() {
		parts = append(parts, name+" "+number(r.Ratios[name]))
	}
	for _, c := range r.Curves {
		if c.Worse {
			parts = append(parts, fmt.Sprintf("%s grows with exponent %.2f", c.Name, c.Exponent))
		}
	}
	if !r.OK {
		parts = append(parts, r.Notes...)
	}
	return strings.Join(parts, "  ")
}
