package worker

import (
	"fmt"

	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker"
)

// Metrics lists the metric families of this package. The slice is the caller's own.
func Metrics() []broker.Metric {
	return []broker.Metric{
		{Name: "gosper_worker_jobs_total", Help: "Jobs worked on, by tube and result: done, retry, buried, returned."},
		{Name: "gosper_worker_wait_seconds", Help: "Time from the put of a job to the begin of a try, by tube."},
		{Name: "gosper_worker_run_seconds", Help: "Time of one try, by tube."},
		{Name: "gosper_worker_running", Help: "Jobs under way, by tube."},
		{Name: "gosper_worker_panics_total", Help: "Functions of jobs that panicked."},
	}
}

var panics = vm.NewCounter("gosper_worker_panics_total")

// tubeMetrics are the metrics of one tube, shared by all runtimes of the process.
type tubeMetrics struct {
	running   *vm.Gauge
	wait, run *vm.PrometheusHistogram
	results   [outcomes]*vm.Counter
}

// String returns the label of an outcome.
func (o outcome) String() string { return [outcomes]string{"done", "retry", "buried", "returned"}[o] }

func newTubeMetrics(tube string) *tubeMetrics {
	m := &tubeMetrics{
		running: vm.GetOrCreateGauge(fmt.Sprintf("gosper_worker_running{tube=%q}", tube), nil),
		wait:    vm.GetOrCreatePrometheusHistogram(fmt.Sprintf("gosper_worker_wait_seconds{tube=%q}", tube)),
		run:     vm.GetOrCreatePrometheusHistogram(fmt.Sprintf("gosper_worker_run_seconds{tube=%q}", tube)),
	}
	for o := range outcomes {
		m.results[o] = vm.GetOrCreateCounter(fmt.Sprintf("gosper_worker_jobs_total{tube=%q,result=%q}", tube, o.String()))
	}
	return m
}
