package nats

import (
	"github.com/VictoriaMetrics/metrics"

	"gosper/broker"
)

// Metrics returns the metric families of this package with their help texts. They count over all buses of the process.
func Metrics() []broker.Metric {
	return []broker.Metric{
		{Name: "gosper_nats_connected", Help: "Links to NATS that are up."},
		{Name: "gosper_nats_disconnects_total", Help: "Links to NATS that were lost."},
		{Name: "gosper_nats_sent_total", Help: "Messages and questions handed to the link."},
		{Name: "gosper_nats_received_total", Help: "Messages of nodes that came over the link, copies included."},
		{Name: "gosper_nats_kept_total", Help: "Messages that were stored with history."},
		{Name: "gosper_nats_conflicts_total", Help: "Writes with history that lost the race for an offset and were tried again."},
		{Name: "gosper_nats_refused_total", Help: "Publishes that were refused or given up, by reason: busy, away, timeout, error."},
		{Name: "gosper_nats_local_total", Help: "Messages without history that stayed on this node because the link was away."},
		{Name: "gosper_nats_gaps_total", Help: "Gaps that were announced to subscriptions."},
		{Name: "gosper_nats_dropped_total", Help: "Times that messages were dropped because this node took them too slowly."},
		{Name: "gosper_nats_strangers_total", Help: "Messages that were not taken because no node of ours sent them."},
		{Name: "gosper_nats_queue_leading", Help: "Queues of this process that lead: 1 on one node of all."},
		{Name: "gosper_nats_queue_leads_total", Help: "Times that this process took the lead of the jobs."},
		{Name: "gosper_nats_queue_far_total", Help: "Calls of other nodes that came to this one while it led the jobs."},
		{Name: "gosper_nats_log_entries_total", Help: "Entries that were appended to logs."},
		{Name: "gosper_nats_log_reads_total", Help: "Entries that were read from logs."},
		{Name: "gosper_nats_lost_total", Help: "Times that the stream of records or logs came back with less than this node had seen of it."},
		{Name: "gosper_nats_store_commits_total", Help: "Commits of the store that were written."},
		{Name: "gosper_nats_store_lists_total", Help: "Rounds of reading that lists of the store took."},
	}
}

var (
	connected      = metrics.NewGauge("gosper_nats_connected", nil)
	disconnects    = metrics.NewCounter("gosper_nats_disconnects_total")
	sentTotal      = metrics.NewCounter("gosper_nats_sent_total")
	receivedTotal  = metrics.NewCounter("gosper_nats_received_total")
	keptTotal      = metrics.NewCounter("gosper_nats_kept_total")
	conflictsTotal = metrics.NewCounter("gosper_nats_conflicts_total")
	refusedBusy    = metrics.NewCounter(`gosper_nats_refused_total{reason="busy"}`)
	refusedAway    = metrics.NewCounter(`gosper_nats_refused_total{reason="away"}`)
	refusedTimeout = metrics.NewCounter(`gosper_nats_refused_total{reason="timeout"}`)
	refusedError   = metrics.NewCounter(`gosper_nats_refused_total{reason="error"}`)
	localTotal     = metrics.NewCounter("gosper_nats_local_total")
	gapsTotal      = metrics.NewCounter("gosper_nats_gaps_total")
	droppedTotal   = metrics.NewCounter("gosper_nats_dropped_total")
	strangersTotal = metrics.NewCounter("gosper_nats_strangers_total")
	leading        = metrics.NewGauge("gosper_nats_queue_leading", nil)
	leadsTotal     = metrics.NewCounter("gosper_nats_queue_leads_total")
	farCalls       = metrics.NewCounter("gosper_nats_queue_far_total")

	logEntriesTotal = metrics.NewCounter("gosper_nats_log_entries_total")
	logReadsTotal   = metrics.NewCounter("gosper_nats_log_reads_total")
	lostTotal       = metrics.NewCounter("gosper_nats_lost_total")
	commitsTotal    = metrics.NewCounter("gosper_nats_store_commits_total")
	listRoundsTotal = metrics.NewCounter("gosper_nats_store_lists_total")
)
