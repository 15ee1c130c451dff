package control

import (
	"bytes"
	"io"
	"strings"

	vm "github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"
)

// Metric describes one family of metrics.
type Metric struct {
	Name string
	Type string // "counter", "gauge" or "histogram"
	Help string
}

// Metrics lists the metric families of this package. The slice is the caller's own.
func Metrics() []Metric { return append([]Metric(nil), metricTable...) }

// metrics answers GET /metrics in the text format of Prometheus.
func (s *Server) metrics(ctx *fasthttp.RequestCtx) {
	var plain bytes.Buffer
	vm.WritePrometheus(&plain, true)
	families := make(map[string]Metric)
	for _, table := range [][]Metric{s.config.Metrics, metricTable} {
		for _, m := range table {
			families[m.Name] = m
		}
	}
	ctx.SetContentType("text/plain; version=0.0.4; charset=utf-8")
	ctx.Response.Header.Set("Cache-Control", "no-store")
	describe(ctx, plain.Bytes(), families)
}

// describe copies samples and writes HELP and TYPE before the first sample of every family that is described.
func describe(w io.Writer, samples []byte, families map[string]Metric) {
	told := make(map[string]bool)
	var out bytes.Buffer
	for line := range bytes.Lines(samples) {
		if m, ok := familyOf(string(line), families); ok && !told[m.Name] {
			told[m.Name] = true
			out.WriteString("# HELP " + m.Name + " " + strings.ReplaceAll(m.Help, "\n", " ") + "\n")
			out.WriteString("# TYPE " + m.Name + " " + m.Type + "\n")
		}
		out.Write(line)
	}
	_, _ = w.Write(out.Bytes()) // a response in memory: cannot fail
}

// familyOf returns the family of a sample line; false when it is not described.
func familyOf(line string, families map[string]Metric) (Metric, bool) {
	name := line
	if end := strings.IndexAny(line, "{ \n"); end >= 0 {
		name = line[:end]
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if m, ok := families[strings.TrimSuffix(name, suffix)]; ok && m.Type == "histogram" {
			return m, true
		}
	}
	m, ok := families[name]
	return m, ok
}
