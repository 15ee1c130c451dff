package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gosper/bench"
	"gosper/broker/redis/redistest"
)

// TestMain lets the test binary be the gosper that the load generator starts as its server and peers.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == "serve" || os.Args[1] == "bench") {
		os.Exit(run(untilSignal(), os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr}))
	}
	os.Exit(m.Run())
}

// Goal: every scenario of the edge runs against a real server, loses and doubles nothing, and has the figures whose
// names are kept. Method: quick runs with the peers.
func TestScenarios(t *testing.T) {
	for _, c := range []struct {
		args    []string
		figures []string
		ratios  []string
		slow    bool
	}{
		{[]string{"echo", "--against", "gnet"}, []string{"line_per_s", "line_per_cpu_s", "line_allocs", "line_p50_us", "line_p99_us", "line_p999_us", "ws_per_cpu_s", "ws_allocs"},
			[]string{"line_vs_gnet", "ws_vs_gnet"}, false},
		{[]string{"fanout", "--against", "nats"}, []string{"single_deliveries_per_s", "joined_deliveries_per_s", "burst10k_p99_ms"}, []string{"vs_nats"}, false},
		{[]string{"queue", "--against", "jetstream"}, []string{"put64_per_s", "put64_in_process_per_s", "syncs_per_put64", "cycle64_per_s", "put256_p99_vs_fsync", "put256_p99_vs_fsync_slow", "put256_paced_p99_vs_fsync", "aged_slowdown", "put64_ceiling_per_s"},
			[]string{"vs_jetstream_64", "put1_vs_fsync", "put1_vs_floor1", "floor1_vs_fsync", "put256_floor_vs_fsync"}, false},
		{[]string{"gate"}, []string{"here_p50_us", "here_p99_us", "here_per_s", "here_cpu_us_per_request", "worker_p50_us", "worker_p99_us", "worker_per_s"}, nil, false},
		{[]string{"chain"}, []string{"paced_per_s", "paced_p50_ms", "paced_p99_ms", "flat_per_s", "flat_p99_ms", "flat_cpu_us_per_chain", "event_p50_ms", "event_p99_ms"}, nil, false},
		{[]string{"mail"}, []string{"accepts_per_s", "deliveries_per_s", "list_ms"}, []string{"accept_vs_synced", "vs_disk"}, false},
		{[]string{"idle", "--against", "gnet"}, []string{"line_bytes", "ws_bytes", "cpu_us_per_conn_s", "start_ms"}, nil, true},
		{[]string{"games"}, []string{"lateness_p99_ms", "cores", "watch5000_p99_ms", "edits_mode_bytes_per_s", "edit_p99_over_fsync_ms", "edits_per_s",
			"games_skipped", "watch5000_skipped", "soup_skipped", "soup_snapshots", "quiet_alone_p99_ms", "quiet_soup_p99_ms", "chat_soup_p99_ms", "lateness_soup_p99_ms"}, nil, true},
		{[]string{"curves"}, []string{"grid_tick_exponent", "echo_round_exponent", "connections_memory_exponent", "connections_admit_exponent", "subscribers_cpu_exponent",
			"games_cpu_exponent", "jobs_put_exponent", "jobs_cycle_exponent", "timers_set_exponent", "timers_restart_exponent"}, nil, true},
		{[]string{"cluster"}, []string{"redis_chat_p50_ms", "redis_chat_p99_ms", "nats_chat_p99_ms", "nats3_chat_p99_ms", "redis_commands_per_message", "failover_s", "handover_late_ticks", "undisturbed_late_ticks", "crowd_connections", "crowd_node_bytes"},
			[]string{"redis_second_vs_first", "nats_second_vs_first"}, true},
		{[]string{"profile"}, []string{"loopback_write_us", "loopback_read_us"}, nil, true},
		{[]string{"soak", "--time=4s"}, []string{"lives", "heap_bytes_first", "heap_bytes_last", "sockets_last", "goroutines_last", "files_last"}, nil, false},
	} {
		t.Run(c.args[0], func(t *testing.T) {
			if c.slow && testing.Short() {
				t.Skip("waits until memory or games have settled")
			}
			if c.args[0] == "cluster" {
				redistest.Need(t)
			}
			code, out, errs := runWith(t.Context(), "", append([]string{"bench", "--quick", "--json", "--repeat=1", "--duration=400ms"}, c.args...)...)
			if code != exitOK || errs != "" {
				t.Fatalf("exit code %d: %s\n%s", code, errs, out)
			}
			var r bench.Result
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Fatal(err)
			}
			if !r.OK || r.Sent == 0 || r.Sent != r.Received || r.Missing+r.Doubled != 0 {
				t.Errorf("sent %d, received %d, missing %d, doubled %d, ok %v", r.Sent, r.Received, r.Missing, r.Doubled, r.OK)
			}
			for _, name := range c.figures {
				if _, ok := r.Figures[name]; !ok {
					t.Errorf("figure %s is missing", name)
				}
			}
			for _, name := range c.ratios {
				if r.Ratios[name] <= 0 {
					t.Errorf("ratio %s is missing", name)
				}
			}
			if against := slices.Contains(c.args, "--against"); len(r.Peers) != map[bool]int{true: 1}[against] {
				t.Errorf("peers %v", r.Peers)
			}
		})
	}
}

// Goal: an interrupted run ends soon, prints what it has, and is not ok. Method: the context of the command ends while
// the first side is measured.
func TestBenchInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(2*time.Second, cancel)
	defer cancel()
	start := time.Now()
	code, out, _ := runWith(ctx, "", "bench", "echo", "--json", "--duration=1h", "--repeat=2")
	var r bench.Result
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if code != exitError || r.OK || time.Since(start) > time.Minute || len(r.Notes) == 0 {
		t.Errorf("exit code %d after %v: %s", code, time.Since(start), out)
	}
}

// Goal: one scenario leaves a page and a JSON beside it, from which the same page is made again; what is no report is refused.
// Method: the quickest scenario, and files.
func TestBenchReport(t *testing.T) {
	dir := t.TempDir()
	page, again := filepath.Join(dir, "r.html"), filepath.Join(dir, "again.html")
	code, out, errs := runWith(t.Context(), "", "bench", "machine", "--quick", "--duration=500ms", "--report", page)
	if code != exitOK || errs != "" || !strings.Contains(out, "fsync_us") || !strings.Contains(out, "r.json") {
		t.Fatalf("exit code %d: %s\n%s", code, errs, out)
	}
	var report bench.Report
	raw, err := os.ReadFile(filepath.Join(dir, "r.json"))
	if err == nil {
		err = json.Unmarshal(raw, &report)
	}
	if err != nil || len(report.Runs) != 1 || report.Command != "gosper bench machine --duration 500ms --quick" || !report.Quick || !report.OK {
		t.Errorf("%v: %s", err, raw)
	}
	if code, out, errs := runWith(t.Context(), "", "bench", "page", filepath.Join(dir, "r.json"), "--report", again); code != exitOK {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	first, err1 := os.ReadFile(page)
	second, err2 := os.ReadFile(again)
	if err1 != nil || err2 != nil || string(first) != string(second) {
		t.Errorf("the page made again has %d bytes, not %d: %v %v", len(second), len(first), err1, err2)
	}
	for _, args := range [][]string{{"page"}, {"page", page, "--report", again}, {"page", filepath.Join(dir, "r.json")}, {"page", filepath.Join(dir, "none"), "--report", again}, {"all", "--against", "gnet"}} {
		if code, _, errs := runWith(t.Context(), "", append([]string{"bench"}, args...)...); code == exitOK || errs == "" {
			t.Errorf("%v is taken", args)
		}
	}
}
