package control

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"gosper/edge/apidoc"
)

// keysOf returns "METHOD path" of every route of a table, as documents spell it.
func keysOf(table map[string]endpoint) map[string]bool {
	keys := make(map[string]bool)
	for key, e := range table {
		method := e.method
		if method == "" {
			method = "GET"
		}
		keys[method+" "+strings.ReplaceAll(key[strings.IndexByte(key, ' ')+1:], "...}", "}")] = true
	}
	return keys
}

// Goal: documents name every endpoint that a server has, and no other, with the method and openness it has. Method: the tables of
// routes against those of descriptions.
func TestEveryEndpointIsDescribed(t *testing.T) {
	pages := map[string]bool{"GET /": true, "GET /api": true, "GET /api/openapi.json": true, "GET /api/asyncapi.json": true} // served as files
	for name, test := range map[string]struct {
		routes map[string]bool
		table  map[string]endpoint
		list   []apidoc.Endpoint
	}{
		"public": {pages, site, publicEndpoints()}, "internal": {nil, endpoints, internalEndpoints()},
	} {
		routes := keysOf(test.table)
		for key := range test.routes {
			routes[key] = true
		}
		described := make(map[string]bool)
		for _, e := range test.list {
			key := e.Method + " " + e.Path
			if described[key] {
				t.Errorf("%s: %s is described twice", name, key)
			}
			described[key] = true
			if !routes[key] {
				t.Errorf("%s: %s is described, but not served", name, key)
			}
			if row, ok := test.table[e.Path]; ok && row.open != e.Open {
				t.Errorf("%s: %s: open is %v", name, key, row.open)
			}
			if e.Doc == "" || e.Group == "" || strings.Contains(e.Path, "{") != (e.Part.Name != "") || e.Part.Name != "" && !strings.Contains(e.Path, "{"+e.Part.Name+"}") {
				t.Errorf("%s: %s is not described in full", name, key)
			}
			if e.Body != nil {
				if err := json.Unmarshal([]byte(e.Example), reflect.New(e.Body).Interface()); err != nil {
					t.Errorf("%s: the example of %s: %v", name, key, err)
				}
			}
		}
		for key := range routes {
			if !described[key] {
				t.Errorf("%s: %s is served, but not described: see described.go", name, key)
			}
		}
	}
}

// Goal: every member of a form or query that a handler reads is described. Method: the names in the code of this package.
func TestEveryParameterIsDescribed(t *testing.T) {
	described := make(map[string]bool)
	for _, e := range append(publicEndpoints(), internalEndpoints()...) {
		for _, p := range append(e.Query, e.Form...) {
			described[p.Name] = true
			if p.Doc == "" {
				t.Errorf("%s: %s has no text", e.Path, p.Name)
			}
		}
	}
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 1 {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			literal, plain := call.Args[0].(*ast.BasicLit)
			if !ok || !plain || f.Sel.Name != "Peek" && f.Sel.Name != "Has" {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err == nil && text == strings.ToLower(text) && !described[text] { // headers have capitals
				t.Errorf("%s: %q is read and not described", name, text)
			}
			return true
		})
	}
}

// Goal: the documents and their page are served on both ports. Method: requests.
func TestDocumentsAreServed(t *testing.T) {
	r := newRig(t, nil)
	for _, test := range []struct{ port, path, kind, has string }{
		{"http", "/api", "text/html; charset=utf-8", "<!doctype html>"},
		{"http", "/api/page.js", "text/javascript; charset=utf-8", "openapi.json"},
		{"http", "/api/page.css", "text/css; charset=utf-8", "color-scheme"},
		{"http", "/api/openapi.json", "application/json", `"/api/call/user/register"`},
		{"http", "/api/asyncapi.json", "application/json", `"/building/upgraded"`},
		{"internal", "/api/openapi.json", "application/json", `"/issue_token"`},
		{"internal", "/api/asyncapi.json", "application/json", `"00REGISTER"`},
	} {
		response, body := r.request(test.port, "GET", test.path, "")
		if response.StatusCode != 200 || response.Header.Get("Content-Type") != test.kind || !strings.Contains(body, test.has) || response.Header.Get("ETag") == "" {
			t.Errorf("%s %s: %v %.60q", test.port, test.path, response, body)
		}
	}
	if _, body := r.request("http", "GET", "/api/openapi.json", ""); strings.Contains(body, "/issue_token") {
		t.Error("the public document tells of the internal port")
	}
}
