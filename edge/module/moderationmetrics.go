package module

import (
	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker"
)

// moderationTable lists the metrics of moderation and of the chat log.
var moderationTable = []broker.Metric{
	{Name: "gosper_muted_total", Help: "Chat lines and mails refused because of a mute."},
	{Name: "gosper_banned_total", Help: "Logins and calls refused because of a ban."},
	{Name: "gosper_reports_total", Help: "Reports of players that were taken."},
	{Name: "gosper_sanctions", Help: "Mutes and bans as of the last change of one."},
	{Name: "gosper_chatlog_lines_total", Help: "Chat lines written to the chat log."},
	{Name: "gosper_chatlog_lost_total", Help: "Chat lines left out of the chat log: the disk was too slow or full."},
}

// moderationMetrics is shared by all tables of a process.
var moderationMetrics = struct{ muted, banned, reports *vm.Counter }{
	vm.NewCounter("gosper_muted_total"), vm.NewCounter("gosper_banned_total"), vm.NewCounter("gosper_reports_total"),
}
