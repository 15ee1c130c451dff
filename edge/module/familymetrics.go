package module

import (
	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker"
)

// familyTable lists the metrics of families.
var familyTable = []broker.Metric{
	{Name: "gosper_family_moves_total", Help: "Connections that were moved to another family's room, or out of one."},
	{Name: "gosper_family_moves_failed_total", Help: "Connections that were closed because they could not be moved."},
	{Name: "gosper_family_letters_lost_total", Help: "Invitations and requests that no longer count although their answer failed."},
	{Name: "gosper_family_limits_total", Help: "Calls refused because a family is full or a limit of the day is reached."},
}

// familyMetrics is shared by all tables of a process.
var familyMetrics = struct{ moves, failed, lost, limits *vm.Counter }{
	vm.NewCounter("gosper_family_moves_total"), vm.NewCounter("gosper_family_moves_failed_total"),
	vm.NewCounter("gosper_family_letters_lost_total"), vm.NewCounter("gosper_family_limits_total"),
}

// familyLimit is a refusal because of a limit.
func familyLimit(f *Fault) *Fault {
	familyMetrics.limits.Inc()
	return f
}
