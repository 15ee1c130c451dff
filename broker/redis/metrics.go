package redis

import (
	"github.com/VictoriaMetrics/metrics"

	"gosper/broker"
)

var table = []broker.Metric{
	{Name: "gosper_redis_published_total", Help: "Messages that Redis took from this node."},
	{Name: "gosper_redis_local_total", Help: "Messages without history that reached this node's subscribers only, since Redis was away."},
	{Name: "gosper_redis_received_total", Help: "Messages that came from Redis, those of this node too."},
	{Name: "gosper_redis_publish_seconds", Help: "Time of one pipeline of messages, from sending to its answers."},
	{Name: "gosper_redis_queue_depth", Help: "Messages that wait to be sent to Redis."},
	{Name: "gosper_redis_refused_total", Help: "Messages that Redis did not get, by reason: busy (limit redis_queue or redis_queue_bytes), timeout, closed, refused."},
	{Name: "gosper_redis_subscriptions", Help: "Channels and patterns of Redis that this node listens to."},
	{Name: "gosper_redis_links", Help: "Links for listening that are up."},
	{Name: "gosper_redis_link_losses_total", Help: "Links for listening that were lost."},
	{Name: "gosper_redis_gaps_total", Help: "Subscribers that were told that messages may be missing."},
	{Name: "gosper_redis_echoes_missed_total", Help: "Own messages that did not come back in time: local subscribers may have missed them."},
	{Name: "gosper_redis_bad_messages_total", Help: "Messages from Redis that could not be read."},
	{Name: "gosper_redis_calls_failed_total", Help: "Calls of the registry and of histories that failed for want of Redis."},
}

// Metrics names the metric families of this package with their help texts.
func Metrics() []broker.Metric { return table }

var (
	publishedTotal = metrics.NewCounter("gosper_redis_published_total")
	localTotal     = metrics.NewCounter("gosper_redis_local_total")
	receivedTotal  = metrics.NewCounter("gosper_redis_received_total")
	publishSeconds = metrics.NewPrometheusHistogramExt("gosper_redis_publish_seconds", []float64{100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 500e-3, 1, 5})
	queueDepth     = metrics.NewGauge("gosper_redis_queue_depth", nil)
	refusedBusy    = metrics.NewCounter(`gosper_redis_refused_total{reason="busy"}`)
	refusedTimeout = metrics.NewCounter(`gosper_redis_refused_total{reason="timeout"}`)
	refusedClosed  = metrics.NewCounter(`gosper_redis_refused_total{reason="closed"}`)
	refusedOther   = metrics.NewCounter(`gosper_redis_refused_total{reason="refused"}`)
	subscriptions  = metrics.NewGauge("gosper_redis_subscriptions", nil)
	linksUp        = metrics.NewGauge("gosper_redis_links", nil)
	linkLosses     = metrics.NewCounter("gosper_redis_link_losses_total")
	gapsTotal      = metrics.NewCounter("gosper_redis_gaps_total")
	echoesMissed   = metrics.NewCounter("gosper_redis_echoes_missed_total")
	badMessages    = metrics.NewCounter("gosper_redis_bad_messages_total")
	callsFailed    = metrics.NewCounter("gosper_redis_calls_failed_total")
)
