package gate

import (
	"strconv"
	"sync"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker"
	"gosper/protocol"
)

// Metrics lists the metric families of this package. The slice is the caller's own.
func Metrics() []broker.Metric {
	return []broker.Metric{
		{Name: "gosper_gate_requests_total", Help: "Requests at the gate, by who answers: this process, a worker, or nobody because they are malformed."},
		{Name: "gosper_gate_answers_total", Help: "Answers of the gate, by status; those of functions share one label."},
		{Name: "gosper_gate_replies_total", Help: "Replies of workers, by what became of them: taken, handed on to other gates, unknown or answered before, malformed, no response."},
		{Name: "gosper_gate_swept_jobs_total", Help: "Jobs of workers that were deleted because nobody waits for them any more."},
		{Name: "gosper_gate_jobs", Help: "Requests at the gate that wait for workers elsewhere."},
		{Name: "gosper_gate_seconds", Help: "Time from a whole request at the gate to its answer, by who answered: this process or a worker."},
	}
}

func counter(name, label, value string) *vm.Counter {
	return vm.NewCounter(name + "{" + label + "=" + strconv.Quote(value) + "}")
}

var requests = struct{ here, worker, malformed *vm.Counter }{
	counter("gosper_gate_requests_total", "by", "here"),
	counter("gosper_gate_requests_total", "by", "worker"),
	counter("gosper_gate_requests_total", "by", "nobody"),
}

var replies = struct{ taken, passed, unknown, malformed, bad *vm.Counter }{
	counter("gosper_gate_replies_total", "result", "taken"),
	counter("gosper_gate_replies_total", "result", "passed"),
	counter("gosper_gate_replies_total", "result", "unknown"),
	counter("gosper_gate_replies_total", "result", "malformed"),
	counter("gosper_gate_replies_total", "result", "no_response"),
}

var swept = vm.NewCounter("gosper_gate_swept_jobs_total")

// answers by the statuses of the gate itself.
var answers = func() map[protocol.Status]*vm.Counter {
	m := map[protocol.Status]*vm.Counter{}
	for _, s := range []protocol.Status{protocol.StatusOK, protocol.StatusUnknownFunction, protocol.StatusInvalidToken, protocol.StatusNoToken,
		protocol.StatusProgramming, protocol.StatusTimeout} {
		m[s] = counter("gosper_gate_answers_total", "status", strconv.Itoa(int(s)))
	}
	return m
}()

var otherAnswers = counter("gosper_gate_answers_total", "status", "other")

func countAnswer(status protocol.Status) {
	if c := answers[status]; c != nil {
		c.Inc()
		return
	}
	otherAnswers.Inc()
}

var durations = map[string]*vm.PrometheusHistogram{
	"here":   vm.NewPrometheusHistogram(`gosper_gate_seconds{by="here"}`),
	"worker": vm.NewPrometheusHistogram(`gosper_gate_seconds{by="worker"}`),
}

func took(by string, d time.Duration) { durations[by].Update(d.Seconds()) }

// openJobs adds up the open jobs of all gates of the process.
var openJobs = newJobGauge()

type jobGauge struct {
	mu    sync.Mutex
	gates map[*Gate]bool // guarded by mu
}

func newJobGauge() *jobGauge {
	g := &jobGauge{gates: map[*Gate]bool{}}
	vm.NewGauge("gosper_gate_jobs", func() float64 {
		g.mu.Lock()
		defer g.mu.Unlock()
		n := 0
		for gate := range g.gates {
			n += gate.jobs.count()
		}
		return float64(n)
	})
	return g
}

func (g *jobGauge) watch(gate *Gate) {
	g.mu.Lock()
	g.gates[gate] = true
	g.mu.Unlock()
}

func (g *jobGauge) unwatch(gate *Gate) {
	g.mu.Lock()
	delete(g.gates, gate)
	g.mu.Unlock()
}
