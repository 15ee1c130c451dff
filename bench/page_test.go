package bench

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
)

// Goal: the page of a report needs nothing from elsewhere, escapes what it is given, and has no figure that is none.
// Method: the page of a kept report, and of one with hostile names.
func TestReportPage(t *testing.T) {
	raw, err := os.ReadFile("testdata/report.json")
	if err != nil {
		t.Fatal(err)
	}
	var kept Report
	if err := json.Unmarshal(raw, &kept); err != nil {
		t.Fatal(err)
	}
	hostile := newResult("<script>")
	hostile.Notes, hostile.Figures["<b>_p99_us"], hostile.Settings["s"] = []string{"</body>"}, 3, "<i>"
	hostile.Plots = []Plot{{Title: `"><u>`, X: "<x>", Lines: []Line{{Name: "<n>", Points: []Point{{1, math.Inf(1)}, {2, 3}}}, {Name: "empty"}}}}
	hostile.Curves = []Curve{{Title: "<c>", Points: []Point{{1, 1}}}, {Title: "none"}}
	hot := newResult("profile")
	hot.Profiles = []Profile{{hotPath: hotPath{Path: "<path>", Work: "<work>", Unit: "<unit>"}, Functions: []HotFunction{{Name: "f[<t>]"}}, Calls: map[string]float64{"<call>": 1}}, {}}
	hostile.Peers["<p>"] = &Peer{Version: "<v>", Figures: map[string]float64{}}
	hostile.Plots[0].Lines[0].Points[0].Y = 0 // JSON has no infinity
	for name, report := range map[string]*Report{"kept": &kept, "hostile": NewReport("<cmd>", hostile, hot), "empty": NewReport("x")} {
		var page bytes.Buffer
		if err := WriteReport(&page, report); err != nil {
			t.Fatal(name, err)
		}
		text := page.String()
		for _, wrong := range []string{"<script", "<b>_", "</body></p>", "<i>", "<u>", "<x>", "<n>", "<c>", "<v>", "<cmd>", "<path>", "<work>", "<unit>", "<t>", "<call>", "NaN", "Inf", "%!"} {
			if strings.Contains(text, wrong) {
				t.Errorf("%s: the page has %q", name, wrong)
			}
		}
		if other := regexp.MustCompile(`(src|href)="[^"]{7,}|url\(|@import|https?://`).FindString(text); other != "" {
			t.Errorf("%s: the page needs %q", name, other)
		}
	}
}

// Goal: the page shows where the time goes beside what is the least, and figures beside what the machine allows; what was not
// measured is left out. Method: a report of two runs.
func TestReportBounds(t *testing.T) {
	queue, hot := newResult("queue"), newResult("profile")
	queue.Ratios["put1_vs_fsync"], queue.Ratios["floor1_vs_fsync"] = 2.6, 1.9
	hot.Profiles = []Profile{
		{hotPath: hotPaths[0], CPU: 3.25, Floor: 2.5, Kernel: 0.8, Functions: []HotFunction{{"a.f", 0.4, 0.5, false}, {"b.g", 0.3, 0.3, true}}, Calls: map[string]float64{"read": 1, "write": 1.5}},
		{hotPath: hotPaths[2]},
	}
	var page bytes.Buffer
	if err := WriteReport(&page, NewReport("cmd", queue, hot)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"What the machine allows", "<td class=\"n\">1.2<td class=\"n\">2.6<td class=\"n\">1.9\n", "Where the time goes", "3.250 µs", "80 %",
		"1 read, 1 write a message at least; counted: 1.50 write, 1.00 read", "1 write a delivery at least; not counted here", "kernel, for b.g", ">a.f<"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(page.String(), "256 producers") {
		t.Error("the page has a bound that was not measured")
	}
}

// Goal: axes have marks inside, whatever the values. Method: ranges of all sizes, none and bad ones.
func TestAxis(t *testing.T) {
	for _, values := range [][]float64{nil, {0}, {5}, {1, 2}, {0.001, 1e9}, {3, 4, 5}, {math.NaN(), math.Inf(1), 7}, {-1, 1}, {1e-9}, {1e15, 2e15}} {
		for _, log := range []bool{false, true} {
			a := newAxis(log, 50, 450, values)
			ticks := a.ticks()
			if len(ticks) > 12 {
				t.Errorf("%v, log %v: %d marks", values, log, len(ticks))
			}
			for _, v := range append(ticks, values...) {
				if p := a.place(v); a.has(v) && (v >= 0 || log) && (math.IsNaN(p) || p < 49 || p > 451) {
					t.Errorf("%v, log %v: %v stands at %v", values, log, v, p)
				}
			}
		}
	}
	for v, want := range map[float64]string{0: "0", 0.02: "0.02", 1500: "1.5k", 25e3: "25k", 1.5e6: "1.5M", 2e9: "2G", 1e12: "1T"} {
		if got := short(v); got != want {
			t.Errorf("short(%v) = %s, want %s", v, got, want)
		}
	}
}

// Goal: figures are found as latencies by their names, in milliseconds. Method: a map with names that look alike.
func TestPercentilesOf(t *testing.T) {
	rows := percentilesOf("run", "", map[string]float64{"a_p50_us": 500, "a_p99_us": 2000, "p99_ms": 3, "b_p999_ms": 7, "p99_vs": 1, "xp50_us": 9, "c_p50_us": 0})
	want := []percentile{{"run", "", [3]float64{0, 3, 0}}, {"run", "a", [3]float64{0.5, 2, 0}}, {"run", "b", [3]float64{0, 0, 7}}}
	if len(rows) != len(want) {
		t.Fatalf("%v", rows)
	}
	for i := range want {
		if rows[i] != want[i] {
			t.Errorf("%v, want %v", rows[i], want[i])
		}
	}
}
