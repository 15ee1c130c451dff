package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"gosper/edge"
	"gosper/edge/apidoc"
	"gosper/edge/config"
	"gosper/edge/control"
	"gosper/edge/module"
	"gosper/edge/node"
	"gosper/grid/game"
	"gosper/protocol"
)

var rewrite = flag.Bool("rewrite", false, "write the tables of REFERENCE.md anew")

// table is one table of REFERENCE.md, made from the code. It stands between the lines <!-- name --> and <!-- end -->.
type table struct {
	name string
	head []string
	rows [][]string
}

func referenceTables(t *testing.T) []table {
	return []table{optionRows(), functionRows(t), pushRows(), endpointRows("public", control.Site("").Public), endpointRows("internal", control.Site("").Internal), configRows(t), limitRows(), closeRows(), statusRows()}
}

// machineDefaults are the defaults that depend on the machine, in words.
var machineDefaults = map[string]string{"password-workers": "half the CPUs"}

func functionRows(t *testing.T) table {
	functions, stop, err := memoryTable(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	rows := table{name: "functions", head: []string{"route", "gate", "what it does", "needs", "class", "content"}}
	for _, f := range functions.Functions() {
		rows.rows = append(rows.rows, []string{"`" + f.Route + "`", code(f.Gate), f.Doc, f.Needs.String(), f.Class.String(), code(f.Example)})
	}
	return rows
}

func pushRows() table {
	t := table{name: "pushes", head: []string{"route", "when", "to", "subject", "kept", "content"}}
	for _, p := range module.Pushes() {
		kept := ""
		if p.Kept {
			kept = "yes"
		}
		t.rows = append(t.rows, []string{code(p.Route), p.Doc, p.To, code(p.Subject), kept, code(p.Example)})
	}
	return t
}

// endpointRows lists what a HTTP server answers.
func endpointRows(server string, list []apidoc.Endpoint) table {
	t := table{name: server + " endpoints", head: []string{"endpoint", "what it does", "query or form", "body"}}
	for _, e := range list {
		var names []string
		for _, p := range append(e.Query, e.Form...) {
			names = append(names, code(p.Name))
		}
		t.rows = append(t.rows, []string{code(e.Method + " " + e.Path), e.Doc, strings.Join(names, " "), code(e.Example)})
	}
	return t
}

// configRows lists the config files that functions follow, with what counts without them.
func configRows(t *testing.T) table {
	folder, err := config.Open(config.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if _, err := boundNames(folder); err != nil {
		t.Fatal(err)
	}
	rows := table{name: "config files", head: []string{"file", "without it"}}
	for _, b := range folder.Bindings() {
		rows.rows = append(rows.rows, []string{code(b.Name + ".json"), code(string(b.Fallback))})
	}
	return rows
}

// code marks text as code; nothing stays nothing.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// optionRows leaves the options of limits to the table of limits.
func optionRows() table {
	t := table{name: "options", head: []string{"option", "default", "meaning"}}
	group := ""
	for _, s := range node.Settings() {
		if strings.HasPrefix(s.Name, "limit-") {
			continue
		}
		if s.Group != group {
			group = s.Group
			t.rows = append(t.rows, []string{"**" + group + "**", "", ""})
		}
		value := machineDefaults[s.Name]
		if value == "" {
			value = code(s.Default)
		}
		t.rows = append(t.rows, []string{code(s.Name), value, s.Help})
	}
	return t
}

func limitRows() table {
	t := table{name: "limits", head: []string{"limit", "default", "unit", "meaning", "who exceeds it"}}
	for _, l := range edge.LimitsTable() {
		t.rows = append(t.rows, []string{"`" + l.Name + "`", l.Default, l.Unit, l.Doc, l.Code})
	}
	for _, l := range game.LimitsTable() {
		t.rows = append(t.rows, []string{"`" + l.Name + "`", l.Default, l.Unit, l.Doc, l.Code})
	}
	return t
}

func closeRows() table {
	t := table{name: "close codes", head: []string{"code", "name", "meaning", "reconnect"}}
	for _, c := range protocol.CloseCodes() {
		reconnect := "no"
		if c.Reconnect {
			reconnect = "yes"
		}
		t.rows = append(t.rows, []string{fmt.Sprint(uint16(c.Code)), "`" + c.Name + "`", c.Meaning, reconnect})
	}
	return t
}

func statusRows() table {
	t := table{name: "statuses", head: []string{"status", "name", "meaning"}}
	for _, s := range protocol.Statuses() {
		t.rows = append(t.rows, []string{fmt.Sprint(int(s.Status)), "`" + s.Name + "`", s.Meaning})
	}
	return t
}

// markdown renders the table.
func (t table) markdown() string {
	var b strings.Builder
	line := func(cells []string) {
		for _, cell := range cells {
			b.WriteString("| " + strings.ReplaceAll(strings.ReplaceAll(cell, "|", `\|`), "\n", " ") + " ")
		}
		b.WriteString("|\n")
	}
	line(t.head)
	b.WriteString(strings.Repeat("|---", len(t.head)) + "|\n")
	for _, row := range t.rows {
		line(row)
	}
	return b.String()
}

// Goal: the tables of REFERENCE.md say what the code does. Method: make each table from the code and compare; `make docs`
// writes them.
func TestReference(t *testing.T) {
	const name = "REFERENCE.md"
	read, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text := string(read)
	for _, table := range referenceTables(t) {
		head, rest, ok := strings.Cut(text, "<!-- "+table.name+" -->\n")
		old, after, closed := strings.Cut(rest, "<!-- end -->\n")
		if !ok || !closed {
			t.Fatalf("%s has no place for the table of %s", name, table.name)
		}
		now := table.markdown()
		if old != now && !*rewrite {
			t.Errorf("%s: the table of %s is not what the code says; run make docs", name, table.name)
			for _, row := range strings.Split(now, "\n") {
				if !strings.Contains(old, row) {
					t.Logf("missing: %s", row)
				}
			}
		}
		text = head + "<!-- " + table.name + " -->\n" + now + "<!-- end -->\n" + after
	}
	if *rewrite {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Goal: the README names every port with the option that sets it and its default. Method: the options whose names end in -addr.
func TestReadmeNamesEveryPort(t *testing.T) {
	read, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range node.Settings() {
		if s.Group != "Ports" || !strings.HasSuffix(s.Name, "-addr") {
			continue
		}
		value := "off"
		if s.Default != "" {
			value = code(s.Default)
		}
		if row := "| " + code("--"+s.Name) + " | " + value + " | "; !strings.Contains(string(read), row) {
			t.Errorf("README.md: the table of ports has no row %q", row)
		}
	}
}
