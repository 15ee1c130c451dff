package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The house rules: conventions that matter are tests. They read the sources of the whole module from here.

// module is the folder of go.mod.
const moduleRoot = "../.."

// mayImport is the import rule: for a folder (the longest prefix counts) the folders of ours that its code, tests
// aside, may import; a folder stands for all below it that have no row of their own. Imports point down only.
var mayImport = map[string][]string{
	"protocol":     {},
	"grid":         {"grid"},
	"grid/game":    {"grid", "broker", "protocol"},
	"broker":       {"broker", "protocol"},
	"edge/config":  {"edge/config", "broker"},
	"edge/module":  {"edge/config", "grid/game", "grid", "broker", "protocol"},
	"edge":         {"edge/config", "edge/module", "grid/game", "grid", "broker", "protocol"},
	"edge/door":    {"edge", "edge/module", "edge/door", "broker", "protocol"},
	"edge/web":     {},
	"edge/client":  {"grid", "protocol"},
	"edge/apidoc":  {"edge/module", "protocol"},
	"edge/control": {"edge", "edge/apidoc", "edge/config", "edge/module", "edge/web", "edge/control", "broker", "protocol"},
	"edge/cluster": {"grid/game", "grid", "broker", "protocol"},
	"edge/node":    {"edge", "edge/cluster", "edge/config", "edge/module", "edge/door", "edge/control", "edge/web", "grid/game", "grid", "broker", "protocol"},
	"bench":        {"bench", "edge", "edge/module", "edge/door", "edge/client", "edge/node", "grid/game", "grid", "broker", "protocol"},
	"deploy":       {}, // tests alone
	"cmd":          {"cmd", "bench", "edge", "edge/apidoc", "edge/config", "edge/module", "edge/door", "edge/web", "edge/client", "edge/control", "edge/node", "grid/game", "grid", "broker", "protocol"},
}

// topLevel is all that may stand at the top, with what git and a running node leave there.
var topLevel = []string{
	"edge", "protocol", "grid", "broker", "bench", "cmd", "deploy", "go.mod", "go.sum",
	"README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", ".ci", ".gitignore", ".golangci.yml",
	".git", "gosper", "gosper-data",
}

// sleepers are the test files that may call time.Sleep, with the reason why no condition can be waited for.
var sleepers = map[string]string{
	"broker/nats/speed_test.go":        "a rate of messages a second is a matter of time",
	"broker/pebble/faults_test.go":     "the fault is a disk that takes its time",
	"broker/pebble/powercut_test.go":   "looks at the progress of workers that nobody may wake",
	"broker/pebble/queuecrash_test.go": "polls until delays of some milliseconds have ended",
	"broker/pebble/queuemodel_test.go": "waits for a queue at rest, which is no event of its own",
	"edge/fault_test.go":               "clients that dribble one byte at a time, and pieces that should be read apart",
	"edge/hub_test.go":                 "a publisher that must not drown the loop it measures",
	"edge/support_test.go":             "the one loop of these tests that waits for a condition",
	"edge/websocket_test.go":           "lets the kernel hand over some pieces alone; the answers must be the same either way",
}

// source is one parsed Go file.
type source struct {
	path string // slash-separated, from the root
	file *ast.File
}

// sources parses every Go file of the module, except those of the build system.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	files := token.NewFileSet()
	err := filepath.WalkDir(moduleRoot, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "testdata" || name != moduleRoot && strings.HasPrefix(entry.Name(), ".") || entry.Name() == "gosper-data") {
			return fs.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		file, err := parser.ParseFile(files, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(moduleRoot, name)
		all = append(all, source{filepath.ToSlash(relative), file})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// ruleOf returns the row of mayImport that a package falls under, "" for none.
func ruleOf(pkg string) string {
	for dir := pkg; dir != "."; dir = path.Dir(dir) {
		if _, ok := mayImport[dir]; ok {
			return dir
		}
	}
	return ""
}

// Goal: imports point down only. Method: every import of ours in every file that is no test, against the table.
func TestImportsPointDown(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		pkg := path.Dir(s.path)
		rule := ruleOf(pkg)
		if rule == "" {
			t.Errorf("%s: folder %s has no row in the import rule", s.path, pkg)
			continue
		}
		for _, spec := range s.file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
			imported, ours := strings.CutPrefix(name, "gosper/")
			if ours && !slices.Contains(mayImport[rule], ruleOf(imported)) {
				t.Errorf("%s imports %s: %s may import %v only", s.path, imported, rule, mayImport[rule])
			}
		}
	}
}

// Goal: the top level stays as the architecture draws it. Method: compare the folder with the list.
func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(moduleRoot)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !slices.Contains(topLevel, entry.Name()) {
			t.Errorf("%s does not belong at the top level", entry.Name())
		}
	}
	for _, name := range []string{"README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE", "Makefile", ".ci", "go.mod"} {
		if _, err := os.Stat(filepath.Join(moduleRoot, name)); err != nil {
			t.Error(err)
		}
	}
}

// Goal: every package says what it is for. Method: look for one package comment in each folder with code.
func TestPackageDocs(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if s.isTest() || s.file.Name.Name == "main" && strings.Contains(s.path, "/gen") {
			continue
		}
		pkg := path.Dir(s.path)
		documented[pkg] = documented[pkg] || s.file.Doc != nil && len(s.file.Doc.Text()) > 40
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", pkg)
		}
	}
}

// Goal: no test waits for time to pass where it could wait for a condition. Method: find calls of time.Sleep in tests
// outside the allow-list, and entries of the list that nothing needs any more. Sleeps in a synctest bubble take no time.
func TestNoSleeps(t *testing.T) {
	needed := map[string]bool{}
	for _, s := range sources(t) {
		if !s.isTest() || imports(s.file, "testing/synctest") {
			continue
		}
		ast.Inspect(s.file, func(node ast.Node) bool {
			call, ok := node.(*ast.SelectorExpr)
			if !ok || call.Sel.Name != "Sleep" {
				return true
			}
			if pkg, ok := call.X.(*ast.Ident); ok && pkg.Name == "time" {
				needed[s.path] = true
			}
			return true
		})
	}
	for name := range needed {
		if sleepers[name] == "" {
			t.Errorf("%s sleeps: wait for a condition, or give a reason in the allow-list", name)
		}
	}
	for name := range sleepers {
		if !needed[name] {
			t.Errorf("%s is allowed to sleep but does not: take it off the list", name)
		}
	}
}

func imports(file *ast.File, name string) bool {
	return slices.ContainsFunc(file.Imports, func(spec *ast.ImportSpec) bool { return spec.Path.Value == strconv.Quote(name) })
}

// Goal: the project names no machine it was made on and leaves no loose ends. Method: search the text of every file.
func TestNoLooseEnds(t *testing.T) {
	wrong := []string{"/wo" + "rk/main", "/wo" + "rk/shared", "/wo" + "rk/.", "TO" + "DO", "FIX" + "ME"}
	err := filepath.WalkDir(moduleRoot, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "gosper-data") {
			return fs.SkipDir
		}
		if entry.IsDir() || !slices.Contains([]string{".go", ".js", ".md", ".html", ".css", ".yml", ".sh", ""}, filepath.Ext(name)) || entry.Name() == "gosper" {
			return nil
		}
		text, err := os.ReadFile(name)
		for _, word := range wrong {
			if strings.Contains(string(text), word) {
				t.Errorf("%s contains %q", name, word)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
