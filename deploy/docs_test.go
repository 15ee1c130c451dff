package deploy

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gosper/bench"
	"gosper/edge/control"
	"gosper/edge/node"
)

var rewrite = flag.Bool("rewrite", false, "write the figures of bench/report.json into SIZING.md")

// documents are the texts for operators.
var documents = []string{"deploy/PROMISES.md", "deploy/SIZING.md", "deploy/GROWING.md", "deploy/RUNBOOK.md"}

// Goal: SIZING.md quotes what was measured. Method: a figure stands before its name in a comment, <!-- scenario name -->; it is that
// of the committed report, or while there is none, one that the README has.
func TestSizingQuotes(t *testing.T) {
	const name = "deploy/SIZING.md"
	text, readme := read(t, name), read(t, "README.md")
	var report bench.Report
	raw, err := os.ReadFile(filepath.Join(top, "bench", "report.json"))
	measured := !errors.Is(err, fs.ErrNotExist)
	if measured {
		if err != nil || json.Unmarshal(raw, &report) != nil {
			t.Fatal("bench/report.json cannot be read:", err)
		}
	}
	quoted := 0
	is := regexp.MustCompile(`([0-9][0-9.,]*)<!-- (\w+) (\w+) -->`).ReplaceAllStringFunc(text, func(found string) string {
		m := regexp.MustCompile(`^(.*)<!-- (\w+) (\w+) -->$`).FindStringSubmatch(found)
		quoted++
		if !measured {
			if !regexp.MustCompile(`(^|[^0-9.,])` + regexp.QuoteMeta(m[1]) + `([^0-9]|$)`).MatchString(readme) {
				t.Errorf("%s: %s %s: the README has no %s", name, m[2], m[3], m[1])
			}
			return found
		}
		figure, ok := bench.Figure(&report, m[2], "", m[3])
		if !ok {
			t.Errorf("%s: bench/report.json has no %s of %s", name, m[3], m[2])
			return found
		}
		return figure + "<!-- " + m[2] + " " + m[3] + " -->"
	})
	if quoted < 6 || quoted != strings.Count(text, "<!--") {
		t.Errorf("%s: %d figures were found, but there are %d comments", name, quoted, strings.Count(text, "<!--"))
	}
	if is == text {
		return
	}
	if !*rewrite {
		t.Fatalf("%s does not quote what bench/report.json says: go test ./deploy -run TestSizingQuotes -args -rewrite", name)
	}
	if err := os.WriteFile(filepath.Join(top, filepath.FromSlash(name)), []byte(is), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Goal: what an operator is told to type exists. Method: every flag, variable, command, metric, path of the internal port and link of the
// documents is looked up in the code and in the tree.
func TestDocuments(t *testing.T) {
	settings, metrics := map[string]bool{}, map[string]bool{}
	for _, s := range node.Settings() {
		settings["--"+s.Name], settings[s.Env()] = true, true
	}
	for _, m := range node.Metrics() {
		metrics[m.Name] = true
	}
	paths, scenario := map[string]bool{}, map[string]bool{}
	for _, s := range bench.Scenarios() {
		scenario[s.Name] = true
	}
	for _, e := range control.Site("").Internal {
		paths[e.Path] = true
	}
	program := ""
	files, err := filepath.Glob(filepath.Join(top, "cmd", "gosper", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		program += read(t, strings.TrimPrefix(filepath.ToSlash(file), top+"/"))
	}
	known := map[string]func(word string) bool{
		`--[a-z][a-z-]+`:   func(w string) bool { return settings[w] || strings.Contains(program, `"`+w[2:]+`"`) },
		`\bGOSPER_[A-Z_]+`: func(w string) bool { return settings[w] },
		"(?m)(?:`|^ +)gosper [a-z]+": func(w string) bool {
			_, word, _ := strings.Cut(w, "gosper ")
			return strings.Contains(program, "func "+word+"Command()")
		},
		`\bgosper bench [a-z]+`:    func(w string) bool { return scenario[w[13:]] },
		`\bgosper_[a-z_]+[a-z]\b`:  func(w string) bool { return metrics[w] },
		"(?:/admin|/debug)[/a-z]*": func(w string) bool { return paths[w] || paths[w[:strings.LastIndex(w, "/")+1]+"{profile}"] },
		`\]\([^)]+\)`: func(w string) bool {
			file, _, _ := strings.Cut(strings.Trim(w, "]()"), "#")
			_, err := os.Stat(file)
			return file == "" || err == nil
		},
	}
	for _, name := range documents {
		text := read(t, name)
		for pattern, ok := range known {
			for _, word := range regexp.MustCompile(pattern).FindAllString(text, -1) {
				if !ok(word) {
					t.Errorf("%s: %q leads nowhere", name, word)
				}
			}
		}
		for _, place := range regexp.MustCompile(`\]\((\w*\.?\w*)#([a-z0-9-]+)\)`).FindAllStringSubmatch(text, -1) {
			target := name
			if place[1] != "" {
				target = "deploy/" + place[1]
			}
			heading := strings.ReplaceAll(place[2], "-", " ")
			if !regexp.MustCompile(`(?mi)^#+ ` + regexp.QuoteMeta(heading) + `$`).MatchString(read(t, target)) {
				t.Errorf("%s: no heading %q in %s", name, heading, target)
			}
		}
	}
	for _, name := range documents {
		for _, from := range []string{"README.md", "ARCHITECTURE.md"} {
			if !strings.Contains(read(t, from), "]("+name+")") {
				t.Errorf("%s: no link to %s", from, name)
			}
		}
	}
}
