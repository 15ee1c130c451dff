package bench

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the figures of report.json into the README")

// The figures in the README stand between these two lines.
const (
	readme     = "../README.md"
	quotesFrom = "<!-- figures of bench/report.json, written by make bench-report -->\n"
	quotesTo   = "<!-- end of the figures -->\n"
)

// Goal: the README quotes what the committed report says. Method: make the table again and compare. Before the first report
// the figures in the README are those of single runs.
func TestReadmeQuotes(t *testing.T) {
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(text), quotesFrom)
	body, tail, ok2 := strings.Cut(rest, quotesTo)
	if !ok1 || !ok2 {
		t.Fatalf("README.md has no part between %q and %q", quotesFrom, quotesTo)
	}
	raw, err := os.ReadFile("report.json")
	if errors.Is(err, fs.ErrNotExist) {
		t.Log("there is no report.json: make bench-report makes one")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var report Report
	if err := json.Unmarshal(raw, &report); err != nil {
		t.Fatal(err)
	}
	if !report.OK {
		t.Error("report.json is of a run that failed")
	}
	want := "\n" + Quotes(&report) + "\n"
	if body == want {
		return
	}
	if !*rewrite {
		t.Fatalf("README.md does not quote what report.json says: run go test ./bench -run TestReadmeQuotes -args -rewrite. It should say:\n%s", want)
	}
	if err := os.WriteFile(readme, []byte(head+quotesFrom+want+quotesTo+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Goal: a quote takes figures, ratios and settings of its run, rounds them as prose does, and is left out when one is
// missing. Method: table.
func TestQuotes(t *testing.T) {
	r := newResult("echo")
	r.Figures["x_per_s"], r.Ratios["x_vs_y"], r.Settings["n"] = 1234567, 0.9512, 15000
	for text, want := range map[string]string{
		"{x_per_s}/s, {ratio:x_vs_y}, {setting:n}": "1,230,000/s, 0.95, 15,000",
		"no value":      "no value",
		"{absent}":      "",
		"{ratio:n}":     "",
		"{setting:set}": "",
	} {
		got, ok := fill(text, r)
		if ok != (want != "") || ok && got != want {
			t.Errorf("%s: %q, %v", text, got, ok)
		}
	}
	for v, want := range map[float64]string{0: "0", 0.0123: "0.012", 3.64: "3.6", 71.66: "71.7", 999.9: "1,000", 2302: "2,300", 10.6e6: "10,600,000"} {
		if got := rounded(v); got != want {
			t.Errorf("rounded(%v) = %q, want %q", v, got, want)
		}
	}
	r.finish(nil)
	report := NewReport("gosper bench all", r)
	if text := Quotes(report); !strings.Contains(text, "gosper bench all") || strings.Count(text, "\n|") != 2 {
		t.Errorf("a report without any figure of the table is quoted as\n%s", text)
	}
	r.Ratios["ws_vs_gnet"], r.Ratios["ws_single_vs_gnet"], r.Against = 0.83, 0.91, "gnet"
	if text := Quotes(report); !strings.Contains(text, "| `echo` | websocket, the same frames | 0.83; one by one 0.91 |") {
		t.Errorf("quoted as\n%s", text)
	}
}
