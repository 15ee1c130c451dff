package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"gosper/bench"
)

func benchCommand() command {
	return command{
		name:    "bench",
		summary: "load a server and measure it, beside a peer if you like",
		example: "gosper bench echo --against gnet\n" +
			"gosper bench fanout --against nats --duration 20s --json > fanout.json\n" +
			"gosper bench idle --report idle.html",
		run: runBench,
	}
}

// runBench runs one scenario. It fails when a message is missing or came twice; an interrupt ends it early and prints
// what it has.
func runBench(ctx context.Context, args []string, std stdio) int {
	if len(args) > 0 && args[0] == bench.PeerArg {
		if err := bench.PeerMain(ctx, args[1:], std.out); err != nil {
			return failure(std, "gosper bench", err)
		}
		return exitOK
	}
	o := bench.NewOptions()
	flags := newFlags(benchCommand(), "SCENARIO [flags]", std.out)
	flags.StringVar(&o.Target, "target", o.Target, "self starts a server; or host, or host:line,http,internal ports of one that runs")
	flags.StringVar(&o.Against, "against", "", "peer that does the same work in the same run")
	flags.DurationVar(&o.Duration, "duration", o.Duration, "measured time of each side, over all repeats")
	flags.IntVar(&o.Repeat, "repeat", o.Repeat, "how often each side is measured, in turns")
	flags.BoolVar(&o.Quick, "quick", false, "a short run with fewer connections: a check, not a measurement")
	asJSON := flags.Bool("json", false, "print one JSON object")
	report := flags.String("report", "", "write a page with the results to this file")
	verbose := flags.Bool("verbose", false, "show what the started servers write to standard error")
	usage := flags.Usage
	flags.Usage = func() { usage(); fmt.Fprint(std.out, "\n"+scenarioList()) }
	words, code, done := parseMixed(flags, args, std)
	if done {
		return code
	}
	if len(words) != 1 {
		return usageError(std, "gosper bench", wantWords("one SCENARIO", "bench"))
	}
	if isTerminal(std.err) {
		o.Progress = std.err
	}
	if *verbose {
		o.Log = std.err
	}
	result, err := bench.Execute(ctx, words[0], o)
	if result == nil {
		return usageError(std, "gosper bench", err)
	}
	if err != nil && len(result.Figures) == 0 && !*asJSON {
		return failure(std, "gosper bench", err)
	}
	if fault := publish(std.out, result, *asJSON, *report); fault != nil {
		return failure(std, "gosper bench", fault)
	}
	if err == nil && !result.OK {
		err = bench.ErrUnbalanced
	}
	if err != nil {
		return failure(std, "gosper bench", err)
	}
	return exitOK
}

func scenarioList() string {
	text := "Scenarios:\n"
	for _, s := range bench.Scenarios() {
		text += fmt.Sprintf("  %-9s %s\n", s.Name, s.Summary)
	}
	return text
}

// publish prints a result, and writes its page if one is wanted.
func publish(w io.Writer, r *bench.Result, asJSON bool, report string) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
	} else {
		bench.WriteTable(w, r)
	}
	if report == "" {
		return nil
	}
	var page strings.Builder
	if err := bench.WriteReport(&page, r); err != nil {
		return err
	}
	return os.WriteFile(report, []byte(page.String()), 0o644)
}
