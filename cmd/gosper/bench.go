package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gosper/bench"
)

func benchCommand() command {
	return command{
		name:    "bench",
		summary: "load a server and measure it, beside a peer if you like",
		example: "gosper bench all --quick --report report.html\n" +
			"gosper bench echo --against gnet\n" +
			"gosper bench fanout --against nats --duration 20s --json > fanout.json\n" +
			"gosper bench soak --time 1h --json > soak.json\n" +
			"gosper bench all --with soak.json --report report.html\n" +
			"gosper bench page report.json --report report.html",
		run: runBench,
	}
}

// Words in the place of a scenario.
const (
	benchAll  = "all"  // every scenario beside every peer
	benchPage = "page" // no run: the page of a report that was made before
)

// benchRequest is what the command line asks for.
type benchRequest struct {
	bench.Options
	words  []string
	json   bool
	report string
	with   []string // files of Have
}

// runBench runs one scenario or all. It fails when a message is missing or came twice; an interrupt ends it early and
// prints what it has.
func runBench(ctx context.Context, args []string, std stdio) int {
	if len(args) > 0 && args[0] == bench.PeerArg {
		if err := bench.PeerMain(ctx, args[1:], std.out); err != nil {
			return failure(std, "gosper bench", err)
		}
		return exitOK
	}
	q := benchRequest{Options: bench.NewOptions()}
	code, done := q.parse(args, std)
	if done {
		return code
	}
	switch {
	case q.words[0] == benchPage && len(q.words) == 2:
		return q.page(std)
	case len(q.words) != 1 || q.words[0] == benchPage:
		return usageError(std, "gosper bench", wantWords("one SCENARIO, or page and a FILE.json", "bench"))
	case q.words[0] == benchAll:
		return q.all(ctx, std)
	}
	return q.one(ctx, std)
}

func (q *benchRequest) parse(args []string, std stdio) (code int, done bool) {
	flags := newFlags(benchCommand(), "SCENARIO|all [flags]", std.out)
	flags.StringVar(&q.Target, "target", q.Target, "self starts a server; or host, or host:line,http,internal ports of one that runs")
	flags.StringVar(&q.Against, "against", "", "peer that does the same work in the same run")
	flags.DurationVar(&q.Duration, "duration", q.Duration, "measured time of each side, over all repeats")
	flags.IntVar(&q.Repeat, "repeat", q.Repeat, "how often each side is measured, in turns")
	flags.DurationVar(&q.Time, "time", q.Time, "how long a soak lasts")
	flags.IntVar(&q.Nodes, "nodes", 0, "nodes of the crowd of the cluster scenario; 0 is 6, or 2 in a short run")
	flags.StringVar(&q.Profile, "profile", "", "folder for the CPU profiles that scenario profile takes, as go tool pprof reads them")
	flags.Func("with", "JSON of a run that was made before, which all takes in the place of one of its own; may be given again", q.have)
	flags.BoolVar(&q.Quick, "quick", false, "a short run with fewer connections: a check, not a measurement")
	flags.BoolVar(&q.json, "json", false, "print one JSON object")
	flags.StringVar(&q.report, "report", "", "write a page with the results to this file, and the JSON beside it")
	verbose := flags.Bool("verbose", false, "show what the started servers write to standard error")
	usage := flags.Usage
	flags.Usage = func() { usage(); fmt.Fprint(std.out, "\n"+scenarioList()) }
	q.words, code, done = parseMixed(flags, args, std)
	if !done && len(q.words) == 0 {
		return usageError(std, "gosper bench", wantWords("one SCENARIO", "bench")), true
	}
	if isTerminal(std.err) {
		q.Progress = std.err
	}
	if *verbose {
		q.Log = std.err
	}
	return code, done
}

// have takes the runs in a file.
func (q *benchRequest) have(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	runs, err := bench.ReadRuns(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	q.Have = append(q.Have, runs...)
	q.with = append(q.with, filepath.Base(file))
	return nil
}

// one runs one scenario.
func (q *benchRequest) one(ctx context.Context, std stdio) int {
	result, err := bench.Execute(ctx, q.words[0], q.Options)
	if result == nil {
		return usageError(std, "gosper bench", err)
	}
	if err != nil && len(result.Figures) == 0 && !q.json {
		return failure(std, "gosper bench", err)
	}
	if q.json {
		if fault := benchJSON(std.out, result); fault != nil {
			return failure(std, "gosper bench", fault)
		}
	} else {
		bench.WriteTable(std.out, result)
	}
	if err == nil && !result.OK {
		err = bench.ErrUnbalanced
	}
	return q.end(bench.NewReport(q.command(), result), err, std)
}

// all runs every scenario beside every peer that is there.
func (q *benchRequest) all(ctx context.Context, std stdio) int {
	told := func(r *bench.Result) {
		if !q.json {
			fmt.Fprintln(std.out, bench.Summary(r))
		}
	}
	report, err := bench.ExecuteAll(ctx, q.command(), q.Options, told)
	if report == nil {
		return usageError(std, "gosper bench", err)
	}
	if q.json {
		if fault := benchJSON(std.out, report); fault != nil {
			return failure(std, "gosper bench", fault)
		}
	} else {
		for _, a := range report.Absent {
			fmt.Fprintf(std.out, "absent: %s for %s: %s\n", a.Peer, a.Scenario, a.Why)
		}
	}
	return q.end(report, err, std)
}

// command is what makes such a run again, without what only says where the results go.
func (q *benchRequest) command() string {
	words := append([]string{"gosper bench"}, q.words...)
	usual := bench.NewOptions()
	for _, flag := range []struct {
		name  string
		value any
		usual bool
	}{
		{"target", q.Target, q.Target == usual.Target},
		{"against", q.Against, q.Against == ""},
		{"duration", q.Duration, q.Duration == usual.Duration},
		{"repeat", q.Repeat, q.Repeat == usual.Repeat},
		{"time", q.Time, q.Time == usual.Time},
		{"nodes", q.Nodes, q.Nodes == usual.Nodes},
	} {
		if !flag.usual {
			words = append(words, fmt.Sprintf("--%s %v", flag.name, flag.value))
		}
	}
	if q.Quick {
		words = append(words, "--quick")
	}
	for _, file := range q.with {
		words = append(words, "--with "+file)
	}
	return strings.Join(words, " ")
}

// end writes the files of a report and returns the exit code.
func (q *benchRequest) end(report *bench.Report, err error, std stdio) int {
	if q.report != "" {
		if fault := writeReport(report, q.report); fault != nil {
			return failure(std, "gosper bench", fault)
		}
		if !q.json {
			fmt.Fprintf(std.out, "written: %s and %s\n", q.report, jsonBeside(q.report))
		}
	}
	if err != nil {
		return failure(std, "gosper bench", err)
	}
	return exitOK
}

// page writes the page of a report that was made before.
func (q *benchRequest) page(std stdio) int {
	raw, err := os.ReadFile(q.words[1])
	if err != nil {
		return failure(std, "gosper bench", err)
	}
	var report bench.Report
	if err := json.Unmarshal(raw, &report); err != nil {
		return failure(std, "gosper bench", fmt.Errorf("%s is no report of gosper bench all: %w", q.words[1], err))
	}
	if q.report == "" {
		return usageError(std, "gosper bench", errors.New("page: --report FILE.html says where the page goes"))
	}
	if err := writePage(&report, q.report); err != nil {
		return failure(std, "gosper bench", err)
	}
	return exitOK
}

func scenarioList() string {
	text := "Scenarios:\n"
	for _, s := range bench.Scenarios() {
		text += fmt.Sprintf("  %-9s %s\n", s.Name, s.Summary)
	}
	return text + fmt.Sprintf("  %-9s %s\n", benchAll, "every scenario above, each beside every peer that this machine has") +
		fmt.Sprintf("  %-9s %s\n", benchPage, "no run: makes the page of a FILE.json again")
}

func benchJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// writeReport writes the page of a report and the JSON beside it.
func writeReport(r *bench.Report, file string) error {
	var raw strings.Builder
	if err := benchJSON(&raw, r); err != nil {
		return err
	}
	if err := os.WriteFile(jsonBeside(file), []byte(raw.String()), 0o644); err != nil {
		return err
	}
	return writePage(r, file)
}

func writePage(r *bench.Report, file string) error {
	var page strings.Builder
	if err := bench.WriteReport(&page, r); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(page.String()), 0o644)
}

// jsonBeside is the name of the JSON of a page.
func jsonBeside(file string) string { return strings.TrimSuffix(file, filepath.Ext(file)) + ".json" }
