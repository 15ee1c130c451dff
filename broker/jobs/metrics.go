package jobs

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/VictoriaMetrics/metrics"

	"gosper/broker"
)

// What every engine counts. broker/pebble describes them.
var (
	PutsTotal     = metrics.NewCounter("gosper_queue_puts_total")
	ReservesTotal = metrics.NewCounter("gosper_queue_reserves_total")
	DeletesTotal  = metrics.NewCounter("gosper_queue_deletes_total")
	ReleasesTotal = metrics.NewCounter("gosper_queue_releases_total")
	BuriesTotal   = metrics.NewCounter("gosper_queue_buries_total")
	KicksTotal    = metrics.NewCounter("gosper_queue_kicks_total")
	TimeoutsTotal = metrics.NewCounter("gosper_queue_timeouts_total")
	WaitSeconds   = metrics.NewPrometheusHistogramExt("gosper_queue_wait_seconds", workBuckets)
	RunSeconds    = metrics.NewPrometheusHistogramExt("gosper_queue_run_seconds", workBuckets)
	TimersPending = metrics.NewGauge("gosper_schedule_pending", nil)
	FiredTotal    = metrics.NewCounter("gosper_schedule_fired_total")
	LateSeconds   = metrics.NewPrometheusHistogramExt("gosper_schedule_late_seconds", workBuckets)
)

// workBuckets go from a job that somebody waits for to a backlog of a day, in seconds.
var workBuckets = []float64{100e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 50e-3, 250e-3, 1, 5, 30, 120, 600, 3600, 86400}

// metricTubes is how many tubes have metrics of their own: those with most jobs.
const metricTubes = 100

// WriteTubes writes the metrics of single tubes.
func WriteTubes(w io.Writer, tubes []string, stats func(tube string) (broker.TubeStats, error)) {
	var all []broker.TubeStats
	for _, name := range tubes {
		if s, err := stats(name); err == nil {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b broker.TubeStats) int {
		return cmp.Or(cmp.Compare(b.Ready+b.Delayed, a.Ready+a.Delayed), cmp.Compare(a.Tube, b.Tube))
	})
	for _, s := range all[:min(len(all), metricTubes)] {
		for state, n := range map[string]uint64{"ready": s.Ready, "reserved": s.Reserved, "delayed": s.Delayed, "buried": s.Buried} {
			metrics.WriteGaugeUint64(w, fmt.Sprintf("gosper_queue_jobs{tube=%q,state=%q}", s.Tube, state), n)
		}
		metrics.WriteGaugeFloat64(w, fmt.Sprintf("gosper_queue_oldest_seconds{tube=%q}", s.Tube), s.Oldest.Seconds())
	}
}
