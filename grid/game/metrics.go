package game

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"

	"gosper/broker"
)

// Metrics lists the metrics of this package, which are in the default set of github.com/VictoriaMetrics/metrics. They
// count over all hosts of the process. The caller owns the slice.
func Metrics() []broker.Metric { return append([]broker.Metric(nil), metricTable...) }

var metricTable = []broker.Metric{
	{Name: "gosper_games", Help: "games of this node"},
	{Name: "gosper_games_running", Help: "games that tick"},
	{Name: "gosper_grid_memory_bytes", Help: "memory that grids of games hold"},
	{Name: "gosper_game_ticks_total", Help: "ticks that were computed"},
	{Name: "gosper_game_ticks_skipped_total", Help: "ticks left out because the one before was a whole interval late"},
	{Name: "gosper_game_tick_lateness_seconds", Help: "time from when a tick was due to when it was computed"},
	{Name: "gosper_game_tick_seconds", Help: "time to compute a tick of all grids of a game and to encode its frames"},
	{Name: "gosper_game_edits_total", Help: "edits that were applied"},
	{Name: "gosper_game_edits_refused_total", Help: "edits that were refused, by reason"},
	{Name: "gosper_game_commit_seconds", Help: "time from appending edits to a log to their being durable"},
	{Name: "gosper_game_commits_failed_total", Help: "appends to logs of games that failed, by reason"},
	{Name: "gosper_game_frames_total", Help: "frames made for watchers, by kind; each is sent to many"},
	{Name: "gosper_game_frame_bytes_total", Help: "bytes of frames made for watchers, before they are multiplied"},
	{Name: "gosper_game_snapshots_total", Help: "snapshots of games that were saved"},
	{Name: "gosper_game_snapshot_failures_total", Help: "snapshots of games that could not be saved"},
	{Name: "gosper_game_panics_total", Help: "panics in a game, each of which paused that game alone"},
	{Name: "gosper_game_recovered_total", Help: "games that came back from their logs"},
	{Name: "gosper_game_adopted_total", Help: "games that this node took over from others"},
	{Name: "gosper_game_handed_total", Help: "games that this node handed to others"},
	{Name: "gosper_game_prepared_total", Help: "games that were handed to this node when it had loaded them already"},
	{Name: "gosper_game_fenced_total", Help: "games that this node dropped because another node had taken them over"},
	{Name: "gosper_game_relaxed_lost_total", Help: "batches of edits, answered by games of relaxed durability, that never came to the log"},
	{Name: "gosper_game_unavailable_total", Help: "games that could not be loaded from their logs"},
	{Name: "gosper_game_limit_hits_total", Help: "how often a limit of games was met, by limit"},
}

var (
	gamesGauge       = metrics.NewGauge("gosper_games", nil)
	runningGauge     = metrics.NewGauge("gosper_games_running", nil)
	memoryGauge      = metrics.NewGauge("gosper_grid_memory_bytes", nil)
	ticksTotal       = metrics.NewCounter("gosper_game_ticks_total")
	ticksSkipped     = metrics.NewCounter("gosper_game_ticks_skipped_total")
	tickLateness     = metrics.NewPrometheusHistogramExt("gosper_game_tick_lateness_seconds", timeBuckets)
	tickSeconds      = metrics.NewPrometheusHistogramExt("gosper_game_tick_seconds", timeBuckets)
	editsTotal       = metrics.NewCounter("gosper_game_edits_total")
	editsCell        = refusedEdits("cell")
	editsRate        = refusedEdits("rate")
	editsBusy        = refusedEdits("busy")
	editsBad         = refusedEdits("bad")
	editsLog         = refusedEdits("log")
	commitSeconds    = metrics.NewPrometheusHistogramExt("gosper_game_commit_seconds", timeBuckets)
	commitsFull      = failedCommits("disk_full")
	commitsTimeout   = failedCommits("timeout")
	commitsOther     = failedCommits("other")
	frameBytes       = metrics.NewCounter("gosper_game_frame_bytes_total")
	snapshotsTotal   = metrics.NewCounter("gosper_game_snapshots_total")
	snapshotFailures = metrics.NewCounter("gosper_game_snapshot_failures_total")
	panicsTotal      = metrics.NewCounter("gosper_game_panics_total")
	recoveredTotal   = metrics.NewCounter("gosper_game_recovered_total")
	adoptedTotal     = metrics.NewCounter("gosper_game_adopted_total")
	handedTotal      = metrics.NewCounter("gosper_game_handed_total")
	preparedTotal    = metrics.NewCounter("gosper_game_prepared_total")
	fencedTotal      = metrics.NewCounter("gosper_game_fenced_total")
	relaxedLost      = metrics.NewCounter("gosper_game_relaxed_lost_total")
	unavailableTotal = metrics.NewCounter("gosper_game_unavailable_total")
)

// timeBuckets go from a settled grid to a tick that is about to be skipped, in seconds.
var timeBuckets = []float64{1e-6, 5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 500e-3, 1, 5}

func refusedEdits(reason string) *metrics.Counter {
	return metrics.NewCounter(fmt.Sprintf(`gosper_game_edits_refused_total{reason=%q}`, reason))
}

func failedCommits(reason string) *metrics.Counter {
	return metrics.NewCounter(fmt.Sprintf(`gosper_game_commits_failed_total{reason=%q}`, reason))
}

var framesTotal = func() (c [frameKinds]*metrics.Counter) {
	for k := range c {
		c[k] = metrics.NewCounter(fmt.Sprintf(`gosper_game_frames_total{kind=%q}`, FrameKind(k)))
	}
	return c
}()

var limitHits = func() map[string]*metrics.Counter {
	m := make(map[string]*metrics.Counter, len(limitTable))
	for i := range limitTable {
		name := limitTable[i].Name
		m[name] = metrics.NewCounter(fmt.Sprintf(`gosper_game_limit_hits_total{limit=%q}`, name))
	}
	return m
}()

// limitHit counts that the named limit was met.
func limitHit(name string) { limitHits[name].Inc() }
