//go:build ignore

// Command summary reads the events of `go test -json`, says what failed or was skipped and why, and prints one line
// "N passed, N failed, N skipped". A test that was skipped in one run and passed in another (without the race
// detector, say) counts as passed. What a test reports (": report: …" in its log) is repeated with -list. It ends with
// code 1 when a test or a package failed, and with CI=true also when one was skipped.
//
//	summary [-list] FILE.json…
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

// event is one line of go test -json.
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

// outcome of a test or a package over all runs; the larger one counts.
type outcome int

const (
	skipped outcome = iota + 1
	passed
	failed
)

type test struct {
	outcome outcome
	output  []string
}

func main() {
	list := flag.Bool("list", false, "only list packages with their seconds, and what failed with its output")
	flag.Parse()
	tests := map[string]*test{}
	for _, path := range flag.Args() {
		if err := read(path, tests, *list); err != nil {
			fmt.Fprintln(os.Stderr, "summary:", err)
			os.Exit(1)
		}
	}
	count := report(tests, *list)
	if *list {
		return
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", count[passed], count[failed], count[skipped])
	if count[failed] > 0 || count[skipped] > 0 && os.Getenv("CI") == "true" || count[passed] == 0 {
		os.Exit(1)
	}
}

func read(path string, tests map[string]*test, list bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue // what a test wrote past the testing package
		}
		e.note(tests, list)
	}
	return lines.Err()
}

// note enters an event. Packages have the key "package" and count only when they fail (a build, a panic).
func (e *event) note(tests map[string]*test, list bool) {
	key := e.Package
	if key == "" {
		key, _, _ = strings.Cut(e.ImportPath, " ")
	}
	if e.Test != "" {
		key += " " + e.Test
	}
	t := tests[key]
	if t == nil {
		t = &test{}
		tests[key] = t
	}
	switch e.Action {
	case "output", "build-output":
		t.output = append(t.output, e.Output)
	case "fail", "build-fail":
		t.outcome = failed
	case "pass":
		if e.Test != "" {
			t.outcome = max(t.outcome, passed)
			t.reported(e.Test, list)
		}
	case "skip":
		if e.Test != "" {
			t.outcome = max(t.outcome, skipped)
		}
	}
	if list && e.Test == "" && (e.Action == "pass" || e.Action == "fail") {
		fmt.Printf("  %-4s %-40s %6.1f s\n", e.Action, key, e.Elapsed)
	}
}

// reported prints the line in which a test that kills or cuts says how often and what came of it.
func (t *test) reported(name string, list bool) {
	for _, line := range t.output {
		if _, text, ok := strings.Cut(line, ": report: "); ok && list {
			fmt.Printf("       %s: %s", name, text)
		}
	}
}

// report prints what did not pass and counts. A failed package whose tests say why is not counted again.
func report(tests map[string]*test, list bool) map[outcome]int {
	keys := make([]string, 0, len(tests))
	explained := map[string]bool{}
	for key, t := range tests {
		keys = append(keys, key)
		if pkg, name, isTest := strings.Cut(key, " "); isTest && name != "" && t.outcome == failed {
			explained[pkg] = true
		}
	}
	slices.Sort(keys)
	count := map[outcome]int{}
	for _, key := range keys {
		t := tests[key]
		if t.outcome == failed && explained[key] {
			continue
		}
		count[t.outcome]++
		switch {
		case t.outcome == failed && list:
			fmt.Printf("--- FAIL %s\n%s", key, strings.Join(t.output, ""))
		case t.outcome == failed:
			fmt.Println("FAIL", key)
		case t.outcome == skipped && !list:
			fmt.Printf("skip %s: %s\n", key, reason(t.output))
		}
	}
	return count
}

// reason finds the line in which a test says why it was skipped.
func reason(output []string) string {
	for _, line := range output {
		if trimmed := strings.TrimSpace(line); strings.Contains(trimmed, ".go:") {
			return trimmed
		}
	}
	return "no reason given"
}
