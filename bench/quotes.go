package bench

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// quote is one row of the table of figures in the README.
type quote struct {
	scenario, against string // against "": the first run of the scenario
	what              string
	// says is what was measured. {NAME} stands for a figure, {ratio:NAME} for a ratio and {setting:NAME} for a setting of the
	// run; a row with a name that the run does not have is left out.
	says string
}

var quotes = []quote{
	{"machine", "", "an fsync of the disk, a write and a read of a loopback socket", "{fsync_us} µs, {loopback_write_us} and {loopback_read_us} µs"},
	{"echo", "gnet", "line PING in pipelines of 16, to a bare gnet echo", "{ratio:line_vs_gnet}; {line_per_cpu_s} messages a CPU second, {line_allocs} allocations a frame"},
	{"echo", "gnet", "websocket, the same frames", "{ratio:ws_vs_gnet}; one by one {ratio:ws_single_vs_gnet}"},
	{"echo", "gnet", "99 % of lines at 20,000 a second are answered within", "{line_p99_us} µs"},
	{"idle", "", "resident memory of one of {setting:connections} idle connections", "line {line_bytes} bytes, websocket with a subscription and presence {ws_bytes} bytes"},
	{"fanout", "", "{setting:subscribers} websockets, one message at a time", "{single_deliveries_per_s} deliveries/s; the machine's own ceiling for a write and a read is {single_ceiling_deliveries_per_s}"},
	{"fanout", "", "the same, messages that can be joined", "{joined_deliveries_per_s} deliveries/s"},
	{"fanout", "nats", "per CPU second, to nats-server", "{ratio:vs_nats_single} one at a time, {ratio:vs_nats_joined} joined"},
	{"fanout", "redis", "to redis PUBLISH, which keeps nothing", "{ratio:vs_redis_single} one at a time, {ratio:vs_redis_joined} joined"},
	{"fanout", "mosquitto", "to mosquitto with QoS 0, which keeps nothing", "{ratio:vs_mosquitto_single} one at a time, {ratio:vs_mosquitto_joined} joined"},
	{"fanout", "", "one message to {setting:burst_subscribers} websockets, 99 % have it after", "{burst10k_p99_ms} ms; {burst10k_floor_ms} ms is the least for 10,000 writes and reads here"},
	{"grid", "", "512×512 dense, a generation", "{dense512_us} µs"},
	{"grid", "", "4096×4096 dense", "{dense4096_gcells_per_s} G cells/s"},
	{"grid", "", "16 owners, a generation of a 512×512 soup", "{owners16_512_us} µs"},
	{"grid", "bgolly", "to bgolly's QuickLife, 1024×1024 torus", "{ratio:vs_bgolly_1024} times as fast"},
	{"games", "", "{setting:games} games of 320×320 at 2 Hz, a watcher each", "{cores} cores, 99 % of ticks less than {lateness_p99_ms} ms late"},
	{"games", "", "one game of 1024×1024 at 10 Hz, {setting:watchers} websockets", "99 % have the frame {watch5000_p99_ms} ms after the tick"},
	{"games", "", "acknowledged (that is durable) edits in one game", "{edits_per_s}/s; 99 % within {edit_p99_ms} ms when alone"},
	{"gate", "", "a request on a connection of its own, {setting:requests_per_s} a second, answered within", "{here_p99_us} µs (99 %); by a worker in another process through the durable queue {worker_p99_us} µs"},
	{"queue", "", "durable puts, 64 producers over TCP", "{put64_per_s}/s; whole cycles {cycle64_per_s}/s"},
	{"queue", "beanstalkd", "to beanstalkd -f0", "{ratio:vs_beanstalkd_64} times its puts, {ratio:cycle_vs_beanstalkd_64} times its cycles"},
	{"queue", "redis", "to redis, appendfsync always", "{ratio:vs_redis_64} times its puts"},
	{"queue", "jetstream", "to JetStream, sync_interval always", "{ratio:vs_jetstream_64} times its puts"},
	{"schedule", "", "durable timers, {setting:timers} pending", "99 % less than {lateness_p99_ms} ms late; all are back {restart_s} s after a start"},
	{"mail", "", "mails accepted (that is durable)", "{accepts_per_s}/s"},
	{"curves", "", "exponents of growth (1 is linear): CPU of a generation over cells, of admitting over connections, of a message over subscribers, of running over games, of putting over jobs, of setting over timers",
		"{grid_tick_exponent}, {connections_admit_exponent}, {subscribers_cpu_exponent}, {games_cpu_exponent}, {jobs_put_exponent}, {timers_set_exponent}"},
	{"soak", "", "{setting:time_s} s of clients that come and go", "{lives} clients; sockets {sockets_first} before and {sockets_last} after, goroutines {goroutines_first} and {goroutines_last}"},
	{"idle", "", "start to ready", "{start_ms} ms"},
}

var quoteName = regexp.MustCompile(`\{(ratio:|setting:)?([a-z0-9_]+)\}`)

// fill puts the values of a run into a text.
func fill(text string, r *Result) (filled string, ok bool) {
	ok = true
	filled = quoteName.ReplaceAllStringFunc(text, func(word string) string {
		part := quoteName.FindStringSubmatch(word)
		var v float64
		var there bool
		switch part[1] {
		case "ratio:":
			v, there = r.Ratios[part[2]]
		case "setting:":
			v, there = settingNumber(r.Settings[part[2]])
		default:
			v, there = r.Figures[part[2]]
		}
		ok = ok && there
		return rounded(v)
	})
	return filled, ok
}

// settingNumber reads a setting that is a number. After a trip through JSON it is always a float64.
func settingNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int:
		return float64(v), true
	}
	return 0, false
}

// rounded prints a value as prose does: two digits that count below ten, three above, thousands apart; next to nothing is 0.
func rounded(v float64) string {
	if math.Abs(v) < 0.0005 {
		return "0"
	}
	digits := 3
	if math.Abs(v) < 10 {
		digits = 2
	}
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', digits, 64), 64)
	if math.Abs(v) < 1000 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strings.ReplaceAll(number(v), " ", ",")
}

// Quotes is what the README says of a report: where and how it was made, and a table of its figures in the order of the
// README. A figure that the report does not have is left out.
func Quotes(r *Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s by `%s` on %s, %d cores, %.0f GiB, %s, %s, the load generator on\nthe same machine. ",
		r.Made.Format("2006-01-02"), r.Command, r.Machine.CPU, r.Machine.Cores, float64(r.Machine.MemoryBytes)/(1<<30), r.Machine.Kernel, r.Machine.Go)
	if r.Quick {
		b.WriteString("It was a quick run: a check and no measurement. ")
	}
	b.WriteString("Every run counts what was sent and what arrived and fails when one message is\nmissing. ")
	b.WriteString("Ratios are of work in the same run, the sides taking turns; more than 1 means that gosper does more.\n\n| scenario | what | measured |\n|---|---|---|\n")
	last := ""
	for _, q := range quotes {
		run := r.Run(q.scenario, q.against)
		if run == nil || !run.OK {
			continue
		}
		what, ok1 := fill(q.what, run)
		says, ok2 := fill(q.says, run)
		if !ok1 || !ok2 {
			continue
		}
		name := "`" + q.scenario + "`"
		if q.scenario == last {
			name = ""
		}
		last = q.scenario
		fmt.Fprintf(&b, "| %s | %s | %s |\n", name, what, says)
	}
	return b.String()
}

// Figure returns a figure of a report as prose has it, by the scenario, its peer ("" for the first run) and the name of the
// figure, which may begin with ratio: or setting: as in quotes; false when the report does not have it.
func Figure(r *Report, scenario, against, name string) (text string, ok bool) {
	run := r.Run(scenario, against)
	if run == nil || !run.OK {
		return "", false
	}
	return fill("{"+name+"}", run)
}
