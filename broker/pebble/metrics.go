package pebble

import (
	"github.com/VictoriaMetrics/metrics"

	"gosper/broker"
	"gosper/broker/jobs"
)

// Metrics names the metric families of this package with their help texts. They count over all databases of the process.
var Metrics = []broker.Metric{
	{Name: "gosper_broker_commits_total", Help: "Batches that were committed to disk."},
	{Name: "gosper_broker_writes_total", Help: "Writes that were committed, many of them in one batch."},
	{Name: "gosper_broker_batch_writes", Help: "Writes in one batch."},
	{Name: "gosper_broker_commit_seconds", Help: "Time from taking a batch from the queue to its answers, fsync included."},
	{Name: "gosper_broker_fsync_seconds", Help: "Time of one fsync of the write-ahead log."},
	{Name: "gosper_broker_queue_depth", Help: "Writes waiting for the committer or being committed."},
	{Name: "gosper_broker_refused_total", Help: "Writes that were refused, by reason: busy, closed, disk_full, timeout."},
	{Name: "gosper_broker_stalls_total", Help: "Commits that exceeded the commit time-out."},
	{Name: "gosper_broker_background_errors_total", Help: "Errors of flushes and compactions, which Pebble retries by itself."},
	{Name: "gosper_broker_free_bytes", Help: "Free space of the store's disk when it was last looked at."},
	{Name: "gosper_broker_history_bytes", Help: "Memory of the bus histories that are loaded."},
	{Name: "gosper_queue_puts_total", Help: "Jobs that were put, by timers too."},
	{Name: "gosper_queue_reserves_total", Help: "Reservations of jobs."},
	{Name: "gosper_queue_deletes_total", Help: "Jobs that were deleted."},
	{Name: "gosper_queue_releases_total", Help: "Jobs that were given back by their owners: retries."},
	{Name: "gosper_queue_buries_total", Help: "Jobs that were buried, by their owners or by a limit."},
	{Name: "gosper_queue_kicks_total", Help: "Buried and delayed jobs that were made ready."},
	{Name: "gosper_queue_timeouts_total", Help: "Leases of jobs that expired."},
	{Name: "gosper_queue_wait_seconds", Help: "Time from when a job was to be ready until its first reservation."},
	{Name: "gosper_queue_run_seconds", Help: "Time from the reservation of a job until its owner deleted, released or buried it."},
	{Name: "gosper_queue_jobs", Help: "Jobs by tube and state, of the 100 tubes with most."},
	{Name: "gosper_queue_oldest_seconds", Help: "Age of the oldest ready job by tube, of the same tubes."},
	{Name: "gosper_schedule_pending", Help: "Timers that are not due yet."},
	{Name: "gosper_schedule_fired_total", Help: "Timers that became jobs."},
	{Name: "gosper_schedule_late_seconds", Help: "How much later than due a timer became a job."},
	{Name: "gosper_broker_log_entries_total", Help: "Entries that were appended to logs."},
	{Name: "gosper_broker_log_fenced_total", Help: "Writes to logs that were refused because a newer owner writes them."},
}

// The metrics themselves, kept in variables so that no write looks one up.
var (
	commitsTotal     = metrics.NewCounter("gosper_broker_commits_total")
	writesTotal      = metrics.NewCounter("gosper_broker_writes_total")
	batchWrites      = metrics.NewPrometheusHistogramExt("gosper_broker_batch_writes", []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024})
	commitSeconds    = metrics.NewPrometheusHistogramExt("gosper_broker_commit_seconds", diskBuckets)
	fsyncSeconds     = metrics.NewPrometheusHistogramExt("gosper_broker_fsync_seconds", diskBuckets)
	queueDepth       = metrics.NewGauge("gosper_broker_queue_depth", nil)
	refusedBusy      = metrics.NewCounter(`gosper_broker_refused_total{reason="busy"}`)
	refusedClosed    = metrics.NewCounter(`gosper_broker_refused_total{reason="closed"}`)
	refusedDiskFull  = metrics.NewCounter(`gosper_broker_refused_total{reason="disk_full"}`)
	refusedTimeout   = metrics.NewCounter(`gosper_broker_refused_total{reason="timeout"}`)
	stallsTotal      = metrics.NewCounter("gosper_broker_stalls_total")
	backgroundErrors = metrics.NewCounter("gosper_broker_background_errors_total")
	freeBytes        = metrics.NewGauge("gosper_broker_free_bytes", nil)
	putsTotal        = jobs.PutsTotal
	reservesTotal    = jobs.ReservesTotal
	deletesTotal     = jobs.DeletesTotal
	releasesTotal    = jobs.ReleasesTotal
	buriesTotal      = jobs.BuriesTotal
	kicksTotal       = jobs.KicksTotal
	timeoutsTotal    = jobs.TimeoutsTotal
	waitSeconds      = jobs.WaitSeconds
	runSeconds       = jobs.RunSeconds
	timersPending    = jobs.TimersPending
	firedTotal       = jobs.FiredTotal
	lateSeconds      = jobs.LateSeconds
	logEntriesTotal  = metrics.NewCounter("gosper_broker_log_entries_total")
	logFenced        = metrics.NewCounter("gosper_broker_log_fenced_total")
	historyBytes     = metrics.NewGauge("gosper_broker_history_bytes", nil)
)

// diskBuckets go from a fast virtual disk to one that is about to be given up, in seconds.
var diskBuckets = []float64{25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 500e-3, 1, 5}
