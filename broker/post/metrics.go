package post

import (
	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker"
)

// Metrics lists the metric families of this package. The slice is the caller's own.
func Metrics() []broker.Metric {
	return []broker.Metric{
		{Name: "gosper_post_accepted_total", Help: "Mails that were accepted: they are durable in the spool."},
		{Name: "gosper_post_filed_total", Help: "Accepted mails that have become files."},
		{Name: "gosper_post_folder_syncs_total", Help: "Folders synced after mails had become files: fewer than mails when several of a box came together."},
		{Name: "gosper_post_refused_total", Help: "Mails that were refused, by reason: the box is full, or the mail cannot be."},
		{Name: "gosper_post_errors_total", Help: "Tries to make files of spooled mails that failed; they are repeated."},
		{Name: "gosper_post_scans_total", Help: "Mailboxes read from their folders because those may have changed."},
		{Name: "gosper_post_files_read_total", Help: "Files of mails read because the index did not know them."},
	}
}

var (
	accepted    = vm.NewCounter("gosper_post_accepted_total")
	filed       = vm.NewCounter("gosper_post_filed_total")
	folderSyncs = vm.NewCounter("gosper_post_folder_syncs_total")
	refusedFull = vm.NewCounter(`gosper_post_refused_total{reason="full"}`)
	refusedBad  = vm.NewCounter(`gosper_post_refused_total{reason="bad"}`)
	fileErrors  = vm.NewCounter("gosper_post_errors_total")
	scans       = vm.NewCounter("gosper_post_scans_total")
	filesRead   = vm.NewCounter("gosper_post_files_read_total")
)
