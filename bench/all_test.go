package bench

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
)

// Goal: a report has every scenario in its order, once beside each peer that is there; absent peers are named; a failed
// run does not stop the others and makes the whole fail. Method: scenarios of the test.
func TestExecuteAll(t *testing.T) {
	fault := errors.New("broken")
	for _, s := range []Scenario{
		{Name: "test-all-peers", Peers: []string{"gnet", "nobody-has-this", "nats"}, Run: func(_ context.Context, r *Run) error {
			r.PeerSeries(r.Against, "v1", "x", nil)
			return nil
		}},
		{Name: "test-all-absent", Peers: []string{"nobody-has-this"}, Run: func(context.Context, *Run) error { return nil }},
		{Name: "test-all-broken", Run: func(context.Context, *Run) error { return fault }},
		{Name: "test-all-lost", Run: func(_ context.Context, r *Run) error { r.Balance(2, 1, 1, 0); return nil }},
	} {
		Register(s)
		t.Cleanup(func() { delete(scenarios, s.Name) }) // the test may run again
	}
	list := []Scenario{scenarios["soak"], scenarios["echo"], scenarios["curves"], scenarios["test-all-peers"], scenarios["machine"]}
	plan, _ := errands(slices.Clone(list))
	var names []string
	for _, e := range plan {
		names = append(names, e.scenario)
	}
	if got := strings.Join(names, " "); got != "machine echo test-all-peers test-all-peers curves soak" {
		t.Errorf("the order is %s", got)
	}
	var told []string
	report, err := execute(t.Context(), "cmd", []Scenario{scenarios["test-all-peers"], scenarios["test-all-absent"], scenarios["test-all-broken"], scenarios["test-all-lost"]},
		NewOptions(), func(r *Result) { told = append(told, r.Title()) })
	if !errors.Is(err, fault) || !errors.Is(err, ErrUnbalanced) || report.OK {
		t.Errorf("ok %v: %v", report.OK, err)
	}
	if want := []string{"test-all-peers against gnet", "test-all-peers against nats", "test-all-absent", "test-all-broken", "test-all-lost"}; !slices.Equal(told, want) {
		t.Errorf("runs %q", told)
	}
	if n := len(notCompared); len(report.Absent) != n+2 || report.Absent[n].Peer != "nobody-has-this" || report.Peers["nats"] != "v1" {
		t.Errorf("absent %v, peers %v", report.Absent, report.Peers)
	}
	if r := report.Run("test-all-peers", "nats"); r == nil || r.Against != "nats" {
		t.Errorf("run %v", r)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if report, err := execute(ended, "cmd", []Scenario{scenarios["test-all-absent"], scenarios["test-all-lost"]}, NewOptions(), nil); !errors.Is(err, context.Canceled) || len(report.Runs) != 1 || report.OK {
		t.Errorf("interrupted: %d runs, %v", len(report.Runs), err)
	}
	o := NewOptions()
	o.Against = "gnet"
	if report, err := execute(t.Context(), "cmd", nil, o, nil); report != nil || err == nil || !strings.HasPrefix(err.Error(), "against") {
		t.Errorf("against: %v", err)
	}
}

// Goal: a run that was made before takes the place of one of the report's own, and only one that fits does. Method: a run by
// itself and a report as JSON, and what must be refused.
func TestHave(t *testing.T) {
	list := []Scenario{{Name: "test-have", Run: func(context.Context, *Run) error { t.Error("it ran again"); return nil }}}
	before := newResult("test-have")
	before.Figures["x"] = 7
	before.finish(nil)
	for name, v := range map[string]any{"run": before, "report": NewReport("cmd", before)} {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		o := NewOptions()
		if o.Have, err = ReadRuns(raw); err != nil {
			t.Fatal(name, err)
		}
		report, err := execute(t.Context(), "cmd", list, o, nil)
		if err != nil || len(report.Runs) != 1 || report.Runs[0].Figures["x"] != 7 || len(report.Runs[0].Notes) != 1 || !report.OK {
			t.Errorf("%s: %v, %+v", name, err, report)
		}
	}
	elsewhere, unknown := *before, *before
	elsewhere.Machine.CPU, unknown.Scenario = "another", "test-unknown"
	for _, bad := range []Result{elsewhere, unknown} {
		o := NewOptions()
		o.Have = []*Result{&bad}
		if _, err := execute(t.Context(), "cmd", list, o, nil); err == nil || !strings.HasPrefix(err.Error(), "with") {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "{}", "[]", `{"runs":[]}`, `{"scenario":3}`} {
		if runs, err := ReadRuns([]byte(bad)); err == nil {
			t.Errorf("%s: %v", bad, runs)
		}
	}
}

// Goal: the progress of one run is a part of the whole. Method: a part in the middle.
func TestPart(t *testing.T) {
	p := part{from: 0.25, to: 0.5, name: "2/4 echo"}
	for share, want := range map[float64]float64{-1: 0.25, 0: 0.25, 0.5: 0.375, 1: 0.5, 7: 0.5} {
		if got := p.of(share); got != want {
			t.Errorf("of(%v) = %v", share, got)
		}
	}
	if got := (part{}).of(0.5); got != 0.5 {
		t.Error(got)
	}
}
