package mailer

import (
	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker"
)

// Metrics lists the metric families of this package. The slice is the caller's own.
func Metrics() []broker.Metric {
	return []broker.Metric{
		{Name: "gosper_mails_sent_total", Help: "E-mails that the SMTP server took."},
		{Name: "gosper_mails_failed_total", Help: "Tries to send an e-mail that failed."},
		{Name: "gosper_mails_stored_total", Help: "E-mails put in the operator's folder because there is no SMTP server."},
	}
}

var (
	sent   = vm.NewCounter("gosper_mails_sent_total")
	failed = vm.NewCounter("gosper_mails_failed_total")
	stored = vm.NewCounter("gosper_mails_stored_total")
)
