package bench

import (
	"os/exec"
	"testing"
	"time"
)

// Goal: the grid scenario measures everything that bench promises, its kernels
// agree, and golly, where it is installed, comes to the same cells. Method: a
// quick run.
func TestGridScenario(t *testing.T) {
	o := NewOptions()
	o.Quick, o.Repeat, o.Duration = true, 1, 200*time.Millisecond
	if _, err := exec.LookPath("bgolly"); err == nil {
		o.Against = "bgolly"
	}
	result, err := Execute(t.Context(), "grid", o)
	if err != nil {
		t.Fatal(err)
	}
	if !result.OK || result.Sent == 0 {
		t.Errorf("ok %v, sent %d, missing %d, notes %v", result.OK, result.Sent, result.Missing, result.Notes)
	}
	for _, name := range []string{
		"dense512_us", "settled512_us", "dense4096_gcells_per_s", "owners16_512_us", "delta512_us", "odd100_us", "quiet16384_us", "dense512_go_us",
	} {
		if _, ok := result.Figures[name]; !ok {
			t.Errorf("figure %s is missing", name)
		}
	}
	if _, ok := result.Settings["kernel"]; !ok {
		t.Error("the kernel is not stated")
	}
	if _, ok := result.Ratios["vs_bgolly_1024"]; o.Against != "" && !ok {
		t.Error("the ratio to bgolly is missing")
	}
	t.Log(result.Figures, result.Ratios)
}
