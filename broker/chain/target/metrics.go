package target

import (
	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker"
)

// Metrics lists the metric families of this package. The slice is the caller's own.
func Metrics() []broker.Metric {
	return []broker.Metric{
		{Name: "gosper_chain_target_refused_total", Help: "Calls refused because the table of services or an address does not allow them."},
		{Name: "gosper_chain_target_broken_total", Help: "Calls not made because their service had failed again and again."},
	}
}

var (
	refusals = vm.NewCounter("gosper_chain_target_refused_total")
	broken   = vm.NewCounter("gosper_chain_target_broken_total")
)
