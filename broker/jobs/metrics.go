package jobs

import "github.com/VictoriaMetrics/metrics"

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
