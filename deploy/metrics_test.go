package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	vm "github.com/VictoriaMetrics/metrics"

	"gosper/edge/node"
)

// known is what a node says of its metrics.
type known struct {
	types  map[string]string              // of a family: counter, gauge, histogram
	labels map[string]map[string]struct{} // of a family, as far as a node at rest shows it
}

// fromScrape are the labels that a monitor adds to all it reads.
var fromScrape = []string{"job", "instance", "namespace", "pod"}

// metrics asks the tables of the code for types, and a node that runs for labels.
func metrics(t *testing.T) known {
	t.Helper()
	k := known{map[string]string{"up": "gauge"}, map[string]map[string]struct{}{}}
	for _, m := range node.Metrics() {
		k.types[m.Name] = m.Type
	}
	var process bytes.Buffer
	vm.WriteProcessMetrics(&process)
	for line := range strings.Lines(process.String()) {
		if name := regexp.MustCompile(`^[a-z0-9_]+`).FindString(line); strings.HasSuffix(name, "_total") {
			k.types[name] = "counter"
		} else if name != "" {
			k.types[name] = "gauge"
		}
	}
	sample, label := regexp.MustCompile(`^([a-z0-9_]+)(\{.*\})? `), regexp.MustCompile(`([a-z_]+)="(?:[^"\\]|\\.)*"`)
	for line := range strings.Lines(scrape(t)) {
		m := sample.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		family, _ := k.family(m[1])
		if k.labels[family] == nil {
			k.labels[family] = map[string]struct{}{}
		}
		for _, pair := range label.FindAllStringSubmatch(m[2], -1) {
			k.labels[family][pair[1]] = struct{}{}
		}
	}
	return k
}

// scrape starts a node and reads its metrics.
func scrape(t *testing.T) string {
	t.Helper()
	o := node.DefaultOptions()
	o.Data = t.TempDir()
	const free = "127.0.0.1:0"
	o.LineAddr, o.GateAddr, o.GateWorkerAddr, o.HTTPAddr, o.InternalAddr, o.BeanstalkAddr = free, free, free, free, free, free
	n, err := node.Start(context.Background(), o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}()
	response, err := http.Get("http://" + n.Addr("internal").String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// family returns the family that a sample belongs to, and its type; "" for none.
func (k *known) family(name string) (family, kind string) {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && k.types[base] == "histogram" {
			return base, "histogram"
		}
	}
	return name, k.types[name]
}

// has says whether samples of a family have a label.
func (k *known) has(family, label string) bool {
	_, ok := k.labels[family][label]
	return ok
}

// check returns what is wrong with a query.
func (k *known) check(text string) (wrong []string) {
	text = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h").Replace(text)
	q, err := readQuery(text)
	if err != nil {
		return []string{err.Error()}
	}
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if len(q.selections) == 0 {
		say("it asks for no metric")
	}
	all := map[string]struct{}{"le": {}}
	for _, s := range q.selections {
		family, kind := k.family(s.name)
		if kind == "" || kind == "histogram" && family == s.name {
			say("no node has the metric %s", s.name)
			continue
		}
		for name := range k.labels[family] {
			all[name] = struct{}{}
		}
		for _, name := range s.labels {
			if !k.has(family, name) && !slices.Contains(fromScrape, name) {
				say("%s has no label %s", s.name, name)
			}
		}
		counts := kind == "counter" || kind == "histogram"
		ofCounters := slices.Contains([]string{"rate", "irate", "increase", "resets"}, s.function)
		switch {
		case counts && !ofCounters && s.function != "absent":
			say("%s grows for ever: it needs rate or increase", s.name)
		case !counts && ofCounters:
			say("%s goes up and down: %s means nothing", s.name, s.function)
		case s.ranged != slices.Contains(overRange, s.function):
			say("%s: a range and %q do not go together", s.name, s.function)
		case strings.HasSuffix(s.name, "_bucket") && kind == "histogram" && !slices.Contains(s.around, "histogram_quantile"):
			say("%s: buckets without histogram_quantile", s.name)
		case kind == "histogram" && strings.HasSuffix(s.name, "_bucket") && !k.has(family, "le"):
			say("%s: a node does not tell buckets by le", s.name)
		case slices.Contains(s.around, "histogram_quantile") && !strings.HasSuffix(s.name, "_bucket"):
			say("%s: histogram_quantile needs its _bucket", s.name)
		}
	}
	for _, name := range q.broken {
		say("histogram_quantile of %s: le is not kept", name)
	}
	for _, name := range q.kept {
		if _, ok := all[name]; !ok && !slices.Contains(fromScrape, name) {
			say("nothing in it has the label %s", name)
		}
	}
	return wrong
}

// dashboard is what the test reads of a Grafana dashboard.
type dashboard struct {
	Title      string  `json:"title"`
	UID        string  `json:"uid"`
	Panels     []panel `json:"panels"`
	Templating struct {
		List []struct {
			Name       string `json:"name"`
			Type       string `json:"type"`
			Definition string `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
}

type panel struct {
	ID      int    `json:"id"`
	Type    string `json:"type"`
	Title   string `json:"title"`
	GridPos struct {
		H, W, X, Y int
	} `json:"gridPos"`
	Targets []struct {
		RefID      string `json:"refId"`
		Expr       string `json:"expr"`
		Legend     string `json:"legendFormat"`
		Datasource struct {
			UID string `json:"uid"`
		} `json:"datasource"`
	} `json:"targets"`
}

// Goal: no panel of the dashboard stays empty because of a name, and none shows nonsense. Method: read every query; metrics and
// types by the tables of the code, labels by a node that runs. Panels must have different numbers and places.
func TestDashboard(t *testing.T) {
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/gosper.json")), &d); err != nil {
		t.Fatal("gosper.json:", err)
	}
	k, ids, cells := metrics(t), map[int]bool{}, map[[2]int]string{}
	for _, v := range d.Templating.List {
		if name := regexp.MustCompile(`^label_values\((\w+)[,{]`).FindStringSubmatch(v.Definition); v.Type == "query" && (name == nil || k.types[name[1]] == "") {
			t.Errorf("gosper.json: variable %s: %q asks for no metric of a node", v.Name, v.Definition)
		}
	}
	queries := 0
	for _, p := range d.Panels {
		where := "gosper.json: panel " + p.Title
		if ids[p.ID] || p.Title == "" {
			t.Errorf("%s: id %d is not its own", where, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := cells[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s: gridPos: it lies on %q, or outside", where, other)
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("%s: targets: it asks for nothing", where)
		}
		for _, target := range p.Targets {
			queries++
			for _, wrong := range k.check(target.Expr) {
				t.Errorf("%s: %s: %s", where, target.Expr, wrong)
			}
		}
	}
	if queries < 40 {
		t.Errorf("gosper.json: only %d queries were found", queries)
	}
}

// alarms is a file of rules for Prometheus.
type alarms struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []struct {
			Alert       string            `json:"alert"`
			Expr        string            `json:"expr"`
			For         string            `json:"for"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"rules"`
	} `json:"groups"`
}

// Goal: each alarm can ring, and the runbook says what to do then. Method: read every rule strictly and its query like those of
// the dashboard; each alarm is a heading of RUNBOOK.md, and each such heading an alarm.
func TestAlarms(t *testing.T) {
	a, err := strict[alarms]([]byte(read(t, "deploy/prometheus/alarms.yaml")))
	if err != nil {
		t.Fatal("alarms.yaml:", err)
	}
	k, told := metrics(t), []string{}
	for _, g := range a.Groups {
		for _, r := range g.Rules {
			told = append(told, r.Alert)
			for _, wrong := range k.check(r.Expr) {
				t.Errorf("alarms.yaml: %s: expr: %s: %s", r.Alert, r.Expr, wrong)
			}
			if s := r.Labels["severity"]; s != "page" && s != "ticket" {
				t.Errorf("alarms.yaml: %s: labels: severity %q is neither page nor ticket", r.Alert, s)
			}
			if r.Annotations["summary"] == "" || r.Annotations["runbook"] != "deploy/RUNBOOK.md#"+strings.ToLower(r.Alert) {
				t.Errorf("alarms.yaml: %s: annotations: a summary and the place in the runbook are needed", r.Alert)
			}
		}
	}
	var headings []string
	for _, m := range regexp.MustCompile(`(?m)^### (Gosper\w+)$`).FindAllStringSubmatch(read(t, "deploy/RUNBOOK.md"), -1) {
		headings = append(headings, m[1])
	}
	slices.Sort(told)
	slices.Sort(headings)
	if !slices.Equal(told, headings) {
		t.Errorf("RUNBOOK.md: headings %v are not those of the alarms %v", headings, told)
	}
}

// Goal: the test itself finds what is wrong with a query. Method: table, against a node that runs.
func TestWrongQueries(t *testing.T) {
	k := metrics(t)
	for text, part := range map[string]string{
		`gosper_connection`:                            "no node has",
		`gosper_fsync_seconds`:                         "no node has",
		`gosper_broker_fsync_seconds`:                  "no node has",
		`gosper_deliveries_total`:                      "grows for ever",
		`rate(gosper_connections[5m])`:                 "goes up and down",
		`rate(gosper_deliveries_total)`:                "do not go together",
		`gosper_connections{dor="line"}`:               "no label dor",
		`sum by (dor) (gosper_connections)`:            "nothing in it has the label dor",
		`rate(gosper_broker_fsync_seconds_bucket[5m])`: "buckets without",
		`histogram_quantile(0.9, gosper_connections)`:  "needs its _bucket",
		`histogram_quantile(0.9, sum(rate(gosper_broker_fsync_seconds_bucket[5m])))`: "le is not kept",
		`1 + 1`: "no metric",
	} {
		if wrong := strings.Join(k.check(text), "; "); !strings.Contains(wrong, part) {
			t.Errorf("%s: %q, expected %q", text, wrong, part)
		}
	}
	for _, text := range []string{
		`sum by (instance, door) (gosper_connections{job="gosper"})`,
		`histogram_quantile(0.99, sum by (le) (rate(gosper_broker_fsync_seconds_bucket[$__rate_interval])))`,
		`rate(process_cpu_seconds_total[5m]) > 1 and on (instance) up == 1`,
	} {
		if wrong := k.check(text); wrong != nil {
			t.Errorf("%s: %q", text, wrong)
		}
	}
}
