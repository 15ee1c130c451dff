package game

import (
	"bytes"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
)

// Goal: every limit is described once, has its default in its range, and is in force in Limits. Method: the table against
// the struct.
func TestLimitsTable(t *testing.T) {
	l := DefaultLimits()
	mustDo(t, l.Validate())
	fields := reflect.TypeFor[Limits]().NumField()
	if len(limitTable) != fields {
		t.Errorf("%d rows for %d fields", len(limitTable), fields)
	}
	pointers, names := map[any]bool{}, map[string]bool{}
	for _, d := range LimitsTable() {
		p := d.Field(&l)
		if pointers[p] || names[d.Name] || d.Doc == "" || d.Code == "" || d.Unit == "" || d.Default == "" {
			t.Errorf("row %q", d.Name)
		}
		pointers[p], names[d.Name] = true, true
		for _, v := range []int64{d.Min - 1, d.Max + 1} {
			changed := DefaultLimits()
			d.set(&changed, v)
			if err := changed.Validate(); err == nil || !strings.Contains(err.Error(), d.Name) {
				t.Errorf("limit %s of %d: %v", d.Name, v, err)
			}
		}
	}
	l.IntervalMin = l.IntervalMax + 1
	if l.Validate() == nil {
		t.Error("interval_min above interval_max")
	}
}

// Goal: every metric has a help text, and every help text a metric. Method: the table against what the package
// registered.
func TestMetricsTable(t *testing.T) {
	var page bytes.Buffer
	metrics.WritePrometheus(&page, false)
	known := map[string]bool{}
	for _, m := range Metrics() {
		if m.Help == "" || known[m.Name] {
			t.Errorf("metric %q", m.Name)
		}
		known[m.Name] = true
		if !regexp.MustCompile(`(?m)^` + m.Name + `(_bucket|_sum|_count)?[{ ]`).Match(page.Bytes()) {
			t.Errorf("metric %s is not registered", m.Name)
		}
	}
	for _, line := range strings.Split(page.String(), "\n") {
		name := regexp.MustCompile(`^gosper_(game|games|grid)[a-z_]*`).FindString(line)
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, suffix)
		}
		if name != "" && !known[name] {
			t.Errorf("metric %s has no help text", name)
		}
	}
}

// Goal: ids are 10 characters that say the same number. Method: random ids, and texts that are none.
func TestID(t *testing.T) {
	for range 1000 {
		id := newID()
		back, err := ParseID(id.String())
		if err != nil || back != id || id >= 1<<idBits || len(id.String()) != idChars || id.phase() < 0 || id.phase() >= 1 {
			t.Fatalf("%d is %q, back %d, %v", id, id, back, err)
		}
	}
	for _, s := range []string{"", "123456789", "12345678901", "123456789i", "123456789A", "123456789-"} {
		if id, err := ParseID(s); err == nil {
			t.Errorf("%q is %d", s, id)
		}
	}
	if ID(1).Subject() != "game.0000000001" {
		t.Error(ID(1).Subject())
	}
}
