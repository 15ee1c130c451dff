package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// Goal: medians, spreads and numbers are what they say. Method: table.
func TestMedianAndNumbers(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.in); got != c.want {
			t.Errorf("median(%v) = %v", c.in, got)
		}
	}
	if s := spread([]float64{2, 9, 1}); s != [2]float64{1, 9} {
		t.Error(s)
	}
	for v, want := range map[float64]string{0: "0", 0.25: "0.250", 12.34: "12.3", 999.96: "1000.0", 1234567.8: "1 234 568", -1234: "-1 234", 1000: "1 000"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

// Goal: the CPU time of a process is read right. Method: a stat line with blanks and parentheses in the name, and the
// clock of this process against work it does.
func TestCPUTime(t *testing.T) {
	user, kernel, err := parseStat("12 (a (b) c) R 1 1 1 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 100 1000 10")
	if err != nil || user != 1500*time.Millisecond || kernel != 500*time.Millisecond {
		t.Error(user, kernel, err)
	}
	for _, bad := range []string{"", "12 (x", "12 (x) R 1 2", "12 (x) R 1 1 1 0 -1 4194560 1 0 0 0 a b 0 0"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	before, err := cpuTime(1)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := cpuTime(1); err != nil || again < before {
		t.Error(again, before, err)
	}
	if _, err := cpuTime(4_000_000); err == nil {
		t.Error("a process that is not there has used CPU")
	}
}

// Goal: the JSON of a run has the members others rely on, and an unbalanced run is not ok. Method: a scenario of a test.
func TestExecute(t *testing.T) {
	t.Cleanup(func() { // the test may run again
		delete(scenarios, "test-balanced")
		delete(scenarios, "test-lost")
	})
	Register(Scenario{Name: "test-balanced", Peers: []string{"p"}, Run: func(ctx context.Context, r *Run) error {
		r.Series("x_per_s", []float64{3, 1, 2})
		r.PeerSeries("p", "v1", "x_per_s", []float64{1, 1})
		r.RatioSeries("x_vs_p", []float64{2})
		r.Balance(10, 10, 0, 0)
		return ctx.Err()
	}})
	Register(Scenario{Name: "test-lost", Run: func(_ context.Context, r *Run) error {
		r.Balance(10, 9, 1, 0)
		return nil
	}})
	o := NewOptions()
	o.Against = "p"
	result, err := Execute(t.Context(), "test-balanced", o)
	if err != nil || !result.OK {
		t.Fatal(result, err)
	}
	raw, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"scenario", "started", "machine", "settings", "figures", "peers", "ratios", "sent", "received", "missing", "doubled", "ok"} {
		if members[name] == nil {
			t.Errorf("member %s is missing in %s", name, raw)
		}
	}
	if result.Figures["x_per_s"] != 2 || result.Spread["x_per_s"] != [2]float64{1, 3} || result.Peers["p"].Figures["x_per_s"] != 1 {
		t.Errorf("%s", raw)
	}
	if m := result.Machine; m.CPU == "" || m.Cores < 1 || m.MemoryBytes < 1<<20 || !strings.HasPrefix(m.Kernel, "Linux") || m.Go == "" {
		t.Errorf("%+v", m)
	}
	var table, page bytes.Buffer
	WriteTable(&table, result)
	if err := WriteReport(&page, NewReport("gosper bench x", result)); err != nil {
		t.Error(err)
	}
	for _, out := range []string{table.String(), page.String()} {
		if !strings.Contains(out, "x_vs_p") || !strings.Contains(out, "v1") {
			t.Errorf("a part is missing in %s", out)
		}
	}
	if result, err := Execute(t.Context(), "test-lost", NewOptions()); err != nil || result.OK || result.Missing != 1 {
		t.Errorf("a lost message: %+v, %v", result, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if result, err := Execute(ended, "test-balanced", o); !errors.Is(err, context.Canceled) || result.OK || result.Figures["x_per_s"] != 2 {
		t.Errorf("interrupted: %+v, %v", result, err)
	}
}

// Goal: wrong options are refused by name. Method: table.
func TestOptions(t *testing.T) {
	for field, change := range map[string]func(*Options){
		"target":   func(o *Options) { o.Target = "" },
		"duration": func(o *Options) { o.Duration = 0 },
		"repeat":   func(o *Options) { o.Repeat = 0 },
		"against":  func(o *Options) { o.Against = "nobody" },
	} {
		o := NewOptions()
		change(&o)
		if result, err := Execute(t.Context(), "echo", o); result != nil || err == nil || !strings.HasPrefix(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// Goal: the bar stays on one line and is silent without a terminal. Method: a buffer as the terminal.
func TestBar(t *testing.T) {
	var out bytes.Buffer
	b := bar{w: &out}
	b.show(0.5, strings.Repeat("x", 200))
	b.show(7, "more than all")
	b.clear()
	if s := out.String(); strings.Contains(s, "\n") || !strings.Contains(s, "100%") || len([]rune(s)) > 300 {
		t.Errorf("%q", s)
	}
	(&bar{}).show(0.5, "nothing")
}
