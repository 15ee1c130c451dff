package control

import (
	"bytes"
	"io"
	"strings"

	vm "github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"gosper/broker"
)

// Metrics lists the metric families of this package. The slice is the caller's own.
func Metrics() []broker.Metric { return append([]broker.Metric(nil), metricTable...) }

// metrics answers GET /metrics in the text format of Prometheus.
func (s *Server) metrics(ctx *fasthttp.RequestCtx) {
	var plain bytes.Buffer
	vm.WritePrometheus(&plain, true)
	help := make(map[string]string)
	for _, table := range [][]broker.Metric{s.config.Metrics, metricTable} {
		for _, m := range table {
			help[m.Name] = m.Help
		}
	}
	ctx.SetContentType("text/plain; version=0.0.4; charset=utf-8")
	ctx.Response.Header.Set("Cache-Control", "no-store")
	describe(ctx, plain.Bytes(), help)
}

// describe copies samples and writes HELP and TYPE before the first sample of every family that has a help text.
func describe(w io.Writer, samples []byte, help map[string]string) {
	told := make(map[string]bool)
	var out bytes.Buffer
	for line := range bytes.Lines(samples) {
		if family, kind := familyOf(string(line), help); family != "" && !told[family] {
			told[family] = true
			out.WriteString("# HELP " + family + " " + strings.ReplaceAll(help[family], "\n", " ") + "\n")
			out.WriteString("# TYPE " + family + " " + kind + "\n")
		}
		out.Write(line)
	}
	w.Write(out.Bytes()) // a response in memory: cannot fail
}

// familyOf returns the family of a sample line and its type, "" when it has no help text.
func familyOf(line string, help map[string]string) (family, kind string) {
	name := line
	if end := strings.IndexAny(line, "{ \n"); end >= 0 {
		name = line[:end]
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && help[base] != "" {
			return base, "histogram"
		}
	}
	switch {
	case help[name] == "":
		return "", ""
	case strings.HasSuffix(name, "_total"):
		return name, "counter"
	}
	return name, "gauge"
}
