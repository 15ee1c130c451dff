package chain

import (
	"fmt"
	"sync"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker"
)

// Metrics lists the metric families of this package. The slice is the caller's own.
func Metrics() []broker.Metric {
	return []broker.Metric{
		{Name: "gosper_chain_active", Help: "Chains that have not ended."},
		{Name: "gosper_chain_bytes", Help: "Bytes of the messages of chains that have not ended."},
		{Name: "gosper_chain_running_steps", Help: "Calls under way."},
		{Name: "gosper_chain_ended_total", Help: "Chains that have ended, by state."},
		{Name: "gosper_chain_time_seconds", Help: "Time from the submission of a chain to its end."},
		{Name: "gosper_chain_steps_total", Help: "Calls made, by type and result: ok, failed (the service said no), error (no verdict)."},
		{Name: "gosper_chain_step_seconds", Help: "Time of one call, by type."},
		{Name: "gosper_chain_retries_total", Help: "Calls that were to be made again."},
		{Name: "gosper_chain_panics_total", Help: "Calls that panicked."},
		{Name: "gosper_chain_refused_total", Help: "Chains refused because too many had not ended."},
		{Name: "gosper_chain_unqueued_total", Help: "Completion messages that found no room in their tube."},
	}
}

// chainMetrics are the metrics of all engines of the process.
type chainMetrics struct {
	retries, refused, unqueued, panics *vm.Counter
	time                               *vm.PrometheusHistogram

	mu      sync.Mutex
	engines map[*runner]struct{}
}

var metrics = newMetrics()

func newMetrics() *chainMetrics {
	m := &chainMetrics{
		retries:  vm.NewCounter("gosper_chain_retries_total"),
		refused:  vm.NewCounter("gosper_chain_refused_total"),
		panics:   vm.NewCounter("gosper_chain_panics_total"),
		unqueued: vm.NewCounter("gosper_chain_unqueued_total"),
		time:     vm.NewPrometheusHistogram("gosper_chain_time_seconds"),
		engines:  make(map[*runner]struct{}),
	}
	for name, value := range map[string]func(*runner) float64{
		"gosper_chain_active":        func(e *runner) float64 { return float64(len(e.runs)) },
		"gosper_chain_bytes":         func(e *runner) float64 { return float64(e.memory) },
		"gosper_chain_running_steps": func(e *runner) float64 { return float64(len(e.steps)) },
	} {
		vm.NewGauge(name, func() float64 { return m.sum(value) })
	}
	return m
}

// sum adds a figure of all engines. Their locks are taken one after another.
func (m *chainMetrics) sum(value func(*runner) float64) (total float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for e := range m.engines {
		e.mu.Lock()
		total += value(e)
		e.mu.Unlock()
	}
	return total
}

func (m *chainMetrics) watch(e *runner) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.engines[e] = struct{}{}
}

func (m *chainMetrics) unwatch(e *runner) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.engines, e)
}

// called counts a call.
func (m *chainMetrics) called(kind string, out Outcome, took time.Duration) {
	result := "failed"
	switch {
	case out.Response.OK:
		result = "ok"
	case out.Response.Error:
		result = "error"
	}
	vm.GetOrCreateCounter(fmt.Sprintf("gosper_chain_steps_total{type=%q,result=%q}", kind, result)).Inc()
	vm.GetOrCreatePrometheusHistogram(fmt.Sprintf("gosper_chain_step_seconds{type=%q}", kind)).Update(took.Seconds())
}

// ended counts a chain.
func (m *chainMetrics) ended(s State, took time.Duration) {
	vm.GetOrCreateCounter(fmt.Sprintf("gosper_chain_ended_total{state=%q}", s)).Inc()
	m.time.Update(took.Seconds())
}
