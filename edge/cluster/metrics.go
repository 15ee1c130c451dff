package cluster

import (
	"sync"

	"github.com/VictoriaMetrics/metrics"

	"gosper/broker"
)

// Metrics lists the metrics of this package, which are in the default set of github.com/VictoriaMetrics/metrics. They
// count over all clusters of the process. The caller owns the slice.
func Metrics() []broker.Metric { return append([]broker.Metric(nil), metricTable...) }

var metricTable = []broker.Metric{
	{Name: "gosper_cluster_nodes", Help: "other nodes that are alive"},
	{Name: "gosper_cluster_links", Help: "links to other nodes"},
	{Name: "gosper_cluster_streams", Help: "streams of games elsewhere that are watched here, each counted once"},
	{Name: "gosper_cluster_relays", Help: "streams of games here that other nodes watch"},
	{Name: "gosper_cluster_calls_waiting", Help: "calls that wait for a game that moves"},
	{Name: "gosper_cluster_links_lost_total", Help: "links that ended"},
	{Name: "gosper_cluster_links_refused_total", Help: "connections that were no link of a node with our secret, or one too many"},
	{Name: "gosper_cluster_links_slow_total", Help: "links ended because the other node took no answers"},
	{Name: "gosper_cluster_link_failures_total", Help: "tries to reach a node that failed"},
	{Name: "gosper_cluster_link_bytes_total", Help: "bytes on links, by direction"},
	{Name: "gosper_cluster_calls_total", Help: "calls on games that were not where they came in, by what became of them"},
	{Name: "gosper_cluster_frames_total", Help: "frames of streams on links, by direction"},
	{Name: "gosper_cluster_frames_dropped_total", Help: "times that a stream fell behind on a link, and lost what waited"},
	{Name: "gosper_cluster_away_total", Help: "times that this node could not renew its record, and took no edits"},
	{Name: "gosper_cluster_hand_seconds", Help: "time to hand a game to another node, in which it ticked until the last moment"},
	{Name: "gosper_cluster_hands_late_total", Help: "games whose first tick at the other node was more than an interval late"},
}

var (
	linksLost     = metrics.NewCounter("gosper_cluster_links_lost_total")
	linksRefused  = metrics.NewCounter("gosper_cluster_links_refused_total")
	linksSlow     = metrics.NewCounter("gosper_cluster_links_slow_total")
	linkFailures  = metrics.NewCounter("gosper_cluster_link_failures_total")
	bytesIn       = metrics.NewCounter(`gosper_cluster_link_bytes_total{direction="in"}`)
	bytesOut      = metrics.NewCounter(`gosper_cluster_link_bytes_total{direction="out"}`)
	asksHere      = metrics.NewCounter(`gosper_cluster_calls_total{result="here"}`)
	asksThere     = metrics.NewCounter(`gosper_cluster_calls_total{result="there"}`)
	asksUnknown   = metrics.NewCounter(`gosper_cluster_calls_total{result="unknown"}`)
	asksBusy      = metrics.NewCounter(`gosper_cluster_calls_total{result="busy"}`)
	asksLate      = metrics.NewCounter(`gosper_cluster_calls_total{result="late"}`)
	framesIn      = metrics.NewCounter(`gosper_cluster_frames_total{direction="in"}`)
	framesOut     = metrics.NewCounter(`gosper_cluster_frames_total{direction="out"}`)
	framesDropped = metrics.NewCounter("gosper_cluster_frames_dropped_total")
	awayTotal     = metrics.NewCounter("gosper_cluster_away_total")
	handSeconds   = metrics.NewPrometheusHistogramExt("gosper_cluster_hand_seconds", []float64{1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5})
	handsLate     = metrics.NewCounter("gosper_cluster_hands_late_total")
)

// running are the clusters whose gauges count.
var running struct {
	sync.Mutex
	list map[*Cluster]bool
}

func watchMetrics(c *Cluster) {
	running.Lock()
	defer running.Unlock()
	if running.list == nil {
		running.list = map[*Cluster]bool{}
	}
	running.list[c] = true
}

func unwatchMetrics(c *Cluster) {
	running.Lock()
	defer running.Unlock()
	delete(running.list, c)
}

func init() {
	for name, count := range map[string]func(*Cluster) int{
		"gosper_cluster_nodes":         func(c *Cluster) int { return len(c.members.alive()) },
		"gosper_cluster_links":         func(c *Cluster) int { return len(c.links.all()) },
		"gosper_cluster_streams":       func(c *Cluster) int { here, _ := c.streams.count(); return here },
		"gosper_cluster_relays":        func(c *Cluster) int { _, there := c.streams.count(); return there },
		"gosper_cluster_calls_waiting": func(c *Cluster) int { return c.calls.waits() },
	} {
		metrics.NewGauge(name, func() float64 {
			running.Lock()
			defer running.Unlock()
			sum := 0
			for c := range running.list {
				sum += count(c)
			}
			return float64(sum)
		})
	}
}

// count returns how many streams come over links, and how many relays there are.
func (st *streams) count() (remote, relays int) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	for _, list := range st.relays {
		relays += len(list)
	}
	return len(st.remote), relays
}

func (cs *calls) waits() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.count
}
