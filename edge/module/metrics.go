package module

import (
	"slices"
	"strconv"
	"sync"

	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker"
	"gosper/protocol"
)

// metricTable lists every family of this package.
var metricTable = []broker.Metric{
	{Name: "gosper_calls_total", Help: "Function calls answered, by route and status."},
	{Name: "gosper_call_duration_seconds", Help: "Time from receiving a call to its answer."},
	{Name: "gosper_call_panics_total", Help: "Functions that panicked."},
	{Name: "gosper_call_queue", Help: "Calls that wait for a worker."},
	{Name: "gosper_accounts_online", Help: "Accounts with at least one connection."},
	{Name: "gosper_account_connections", Help: "Connections that speak for an account."},
	{Name: "gosper_worlds_online", Help: "Worlds with at least one player."},
}

// Metrics lists the metric families of this package. The slice is the caller's own.
func Metrics() []broker.Metric { return slices.Concat(metricTable, moderationTable, familyTable) }

// metrics is shared by all tables of a process: there is one set of numbers a process.
var metrics = newMetricSet()

type metricSet struct {
	panics   *vm.Counter
	duration *vm.PrometheusHistogram

	mu     sync.Mutex
	calls  map[callKey]*vm.Counter
	tables map[*Table]bool
}

// callKey is a route of the table and a status, both of bounded number.
type callKey struct {
	route  string
	status protocol.Status
}

func newMetricSet() *metricSet {
	m := &metricSet{calls: make(map[callKey]*vm.Counter), tables: make(map[*Table]bool)}
	m.panics = vm.NewCounter("gosper_call_panics_total")
	m.duration = vm.NewPrometheusHistogram("gosper_call_duration_seconds")
	vm.NewGauge("gosper_call_queue", m.sum(func(t *Table) int { return len(t.pool.jobs) }))
	vm.NewGauge("gosper_accounts_online", m.sum(func(t *Table) int { n, _ := t.tools.online.count(); return n }))
	vm.NewGauge("gosper_account_connections", m.sum(func(t *Table) int { _, n := t.tools.online.count(); return n }))
	vm.NewGauge("gosper_worlds_online", m.sum(func(t *Table) int { return t.tools.presence.count() }))
	vm.NewGauge("gosper_sanctions", m.sum(func(t *Table) int { return t.tools.moderation.mutes.inForce() + t.tools.moderation.bans.inForce() }))
	return m
}

// sum returns a gauge function that adds up a number of every open table.
func (m *metricSet) sum(of func(*Table) int) func() float64 {
	return func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		total := 0
		for t := range m.tables {
			total += of(t)
		}
		return float64(total)
	}
}

func (m *metricSet) watch(t *Table) {
	m.mu.Lock()
	m.tables[t] = true
	m.mu.Unlock()
}

func (m *metricSet) unwatch(t *Table) {
	m.mu.Lock()
	delete(m.tables, t)
	m.mu.Unlock()
}

// countLine notes one answered EDIT line, under a route of its own.
func (m *metricSet) countLine(status protocol.Status) {
	m.counter(callKey{routeEditLine, status}).Inc()
}

// count notes one answered call. Statuses outside the protocol's table share one label.
func (m *metricSet) count(j *job, status protocol.Status) {
	if elapsed := j.elapsed(); elapsed > 0 {
		m.duration.Update(elapsed.Seconds())
	}
	key := callKey{"unknown", status}
	if j.function != nil {
		key.route = j.function.Route
	}
	m.counter(key).Inc()
}

func (m *metricSet) counter(key callKey) *vm.Counter {
	m.mu.Lock()
	defer m.mu.Unlock()
	counter := m.calls[key]
	if counter == nil {
		counter = vm.GetOrCreateCounter(`gosper_calls_total{route="` + key.route + `",status="` + strconv.Itoa(int(key.status)) + `"}`)
		m.calls[key] = counter
	}
	return counter
}
