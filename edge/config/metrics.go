package config

import (
	"sync"

	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker"
)

// metricTable lists every family of this package.
var metricTable = []broker.Metric{
	{Name: "gosper_config_files", Help: "Config names with content in force."},
	{Name: "gosper_config_broken", Help: "Config files whose newest content is broken, and folders that cannot be read."},
	{Name: "gosper_config_changes_total", Help: "Contents of config files that were read and found good."},
	{Name: "gosper_config_refused_total", Help: "Contents of config files that were found broken."},
}

// Metrics lists the metric families of this package. The slice is the caller's own.
func Metrics() []broker.Metric { return append([]broker.Metric(nil), metricTable...) }

// metrics is shared by all folders of a process.
var metrics = newMetricSet()

type metricSet struct {
	changes, refused *vm.Counter

	mu      sync.Mutex
	folders map[*Folder]bool
}

func newMetricSet() *metricSet {
	m := &metricSet{changes: vm.NewCounter("gosper_config_changes_total"), refused: vm.NewCounter("gosper_config_refused_total"),
		folders: make(map[*Folder]bool)}
	vm.NewGauge("gosper_config_files", m.sum(func(f *Folder) (n int) { return len(f.Names()) }))
	vm.NewGauge("gosper_config_broken", m.sum((*Folder).troubles))
	return m
}

// troubles counts what is broken in a folder.
func (f *Folder) troubles() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.paths {
		if p.broken != nil {
			n++
		}
	}
	if f.trouble != "" {
		n++
	}
	return n
}

// sum returns a gauge function that adds up a number of every open folder.
func (m *metricSet) sum(of func(*Folder) int) func() float64 {
	return func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		total := 0
		for f := range m.folders {
			total += of(f)
		}
		return float64(total)
	}
}

func (m *metricSet) watch(f *Folder) {
	m.mu.Lock()
	m.folders[f] = true
	m.mu.Unlock()
}

func (m *metricSet) unwatch(f *Folder) {
	m.mu.Lock()
	delete(m.folders, f)
	m.mu.Unlock()
}
