package module

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// inside are routes in the code that are neither called nor pushed, with the reason.
var inside = map[string]string{
	"/building/finishUpgrade": "a job",
	"/family/end":             "a job",
	"/game/edit":              "stands for EDIT lines in metrics",
	"/rooms/changed":          "from node to node; no client can follow its subject",
	"/nodes/presence":         "likewise",
	"/nodes/logins":           "likewise",
}

// Goal: every route that the code pushes is in the table of pushes. Method: every text in the code of the engine and of this
// package that looks like a route is that of a function, a push, or known to stay inside.
func TestPushesAreListed(t *testing.T) {
	known := make(map[string]bool)
	for _, f := range Functions() {
		known[f.Route] = true
	}
	pushes := make(map[string]bool)
	for _, p := range Pushes() {
		if pushes[p.Route] {
			t.Errorf("%s is listed twice", p.Route)
		}
		known[p.Route], pushes[p.Route] = true, true
	}
	route := regexp.MustCompile(`^/[a-z]+/[a-zA-Z]+$`)
	seen := make(map[string]bool)
	for _, dir := range []string{".", ".."} {
		names, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatal(dir, err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") || name == "pushes.go" {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				literal, ok := n.(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					return true
				}
				text, err := strconv.Unquote(literal.Value)
				if err != nil || !route.MatchString(text) {
					return true
				}
				if seen[text] = true; !known[text] && inside[text] == "" {
					t.Errorf("%s: %s is no function: enter it in Pushes", name, text)
				}
				return true
			})
		}
	}
	for text := range pushes {
		if !seen[text] && text != "/welcome" && text != "/chat/public" && text != "/chat/family" { // those that package protocol writes
			t.Errorf("%s is listed and nowhere in the code", text)
		}
	}
}

// Goal: the example of a push is one, and its description is complete. Method: strict decoding into the type of its content.
func TestPushExamples(t *testing.T) {
	for _, p := range Pushes() {
		d := json.NewDecoder(strings.NewReader(p.Example))
		d.DisallowUnknownFields()
		if err := d.Decode(reflect.New(p.Content).Interface()); err != nil || p.Doc == "" || p.To == "" || p.Kept && p.Subject == "" {
			t.Errorf("%s: %v", p.Route, err)
		}
	}
}
