package bench

import "html"

// bound is a figure beside what the machine allows at most, measured in the same run. Texts have figures as those of quotes.
type bound struct {
	scenario, against string
	what              string
	asked             string // of the server; "" when nobody asked for a number
	got, limit        string
	why               string // what the limit is
}

var bounds = []bound{
	{"fanout", "", "one message to {setting:burst_subscribers} websockets, 99 % have it after", "20 ms", "{burst10k_p99_ms} ms", "{burst10k_floor_ms} ms",
		"10,000 writes and reads on all cores, without any server"},
	{"fanout", "", "deliveries that cannot be joined, a second", "", "{single_deliveries_per_s}", "{single_ceiling_deliveries_per_s}", "a write and a read for each, on all cores"},
	{"queue", "", "a durable put of one producer, in fsyncs of the disk", "1.2", "{ratio:put1_vs_fsync}", "{ratio:floor1_vs_fsync}",
		"a bare server: one thread that reads, writes a file with fsync, and answers"},
	{"queue", "", "256 producers at full speed, 99 % of puts are answered within so many fsyncs", "3", "{put256_p99_vs_fsync}", "{ratio:put256_floor_vs_fsync}",
		"the writes and reads of 256 puts at both ends, on all cores, without a disk; paced at {setting:paced_per_s} a second the server needs {put256_paced_p99_vs_fsync}"},
	{"queue", "", "durable puts of 64 producers, a second", "", "{put64_per_s}", "{put64_ceiling_per_s}", "the writes and reads at both ends, on all cores, without a disk"},
	{"queue", "redis", "durable puts of 64 producers, to those of redis with appendfsync always", "1.1", "{ratio:vs_redis_64}", "{put64_ceiling_per_s}/s",
		"the writes and reads at both ends, of either server; redis appends to one file, where this one keeps priorities, delays and leases: {put64_in_process_per_s} a second without sockets"},
	{"games", "", "an edit is durable and acknowledged, 99 % within so much more than an fsync", "10 ms", "{edit_p99_over_fsync_ms} ms", "{fsync_ms} ms", "an fsync of the disk"},
	{"mail", "", "files of mails, in what the disk itself takes", "0.8", "{ratio:vs_disk}", "1", "files and folders made and synced, nothing else"},
}

// limits writes figures beside what the machine allows.
func (p *page) limits(r *Report) {
	open := false
	for _, b := range bounds {
		run := r.Run(b.scenario, b.against)
		if run == nil {
			continue
		}
		var cells []string
		known := true
		for _, text := range []string{b.what, b.got, b.limit, b.why} {
			filled, ok := fill(text, run)
			cells, known = append(cells, html.EscapeString(filled)), known && ok
		}
		if !known {
			continue
		}
		if !open {
			open = true
			p.f("<h2>What the machine allows</h2>\n<p>The bound beside each figure was measured in the same run, on the same cores. Where more was asked for than the machine can do, no server can do it here.</p>\n" +
				"<table><tr><th>work<th class=\"n\">asked<th class=\"n\">measured<th class=\"n\">bound\n")
		}
		p.f("<tr><td>%s<div class=\"quiet\">bound: %s</div><td class=\"n\">%s<td class=\"n\">%s<td class=\"n\">%s\n", cells[0], cells[3], html.EscapeString(b.asked), cells[1], cells[2])
	}
	if open {
		p.f("</table>\n")
	}
}
