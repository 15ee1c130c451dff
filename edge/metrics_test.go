package edge_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"gosper/broker/chain"
	"gosper/broker/mailer"
	"gosper/broker/pebble"
	"gosper/broker/post"
	"gosper/broker/worker"
	"gosper/edge"
	"gosper/edge/config"
	"gosper/edge/module"
	"gosper/grid/game"
)

// counter returns the value of a counter without labels.
func counter(t testing.TB, name string) (n int) {
	t.Helper()
	var b bytes.Buffer
	metrics.WritePrometheus(&b, false)
	for line := range strings.Lines(b.String()) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			if _, err := fmt.Sscan(rest, &n); err != nil {
				t.Fatal(line, err)
			}
			return n
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// The table of metrics names exactly those that are kept, each with a sentence.
func TestMetricsTable(t *testing.T) {
	s := shared(t)
	player := s.player(t, "w/ann/")
	player.send("0000PUBLICx\r\n")
	player.want("0000PUBLICann:x")
	wait(t, "delivery", func() bool { return counter(t, "gosper_deliveries_total") > 0 })
	player.send("000000EXIT\r\n")
	player.rest()
	missing := map[string]bool{}
	for _, m := range edge.Metrics() {
		if m.Help == "" {
			t.Errorf("%s has no help", m.Name)
		}
		missing[m.Name] = true
	}
	named := map[string]bool{}
	for _, m := range slices.Concat(module.Metrics(), game.Metrics(), mailer.Metrics(), worker.Metrics(),
		chain.Metrics(), post.Metrics(), pebble.Metrics, config.Metrics()) { // linked in, and need not be in use
		named[m.Name] = true
	}
	for name := range missing {
		named[name] = true
	}
	var b bytes.Buffer
	metrics.WritePrometheus(&b, false)
	for line := range strings.Lines(b.String()) {
		name, _, _ := strings.Cut(line, " ")
		name, _, _ = strings.Cut(name, "{")
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, suffix)
		}
		if !named[name] {
			t.Errorf("%s is not in the table", name)
		}
		delete(missing, name)
	}
	for name := range missing {
		t.Errorf("%s is in the table and not kept", name)
	}
}
