package apidoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"gosper/edge/module"
	"gosper/protocol"
)

// table is a site with the functions and pushes of the program and one endpoint of each kind.
func table() Site {
	return Site{Version: "1.2.3", Functions: module.Functions(), Pushes: module.Pushes(),
		Public: []Endpoint{{Method: "GET", Path: "/things/{id}", Group: "things", Doc: "A thing.", Open: true, Part: Param{Name: "id", Doc: "of it"}, Out: Type[map[string]int](), Errors: []int{304, 404}}},
		Internal: []Endpoint{
			{Method: "GET", Path: "/things", Group: "things", Doc: "Things.", Query: []Param{{Name: "after", Doc: "behind", Example: "7"}}, Out: Type[[]string]()},
			{Method: "POST", Path: "/things", Group: "things", Doc: "A new thing.", Form: []Param{{Name: "name", Doc: "of it", Required: true}}, Kind: "text/plain", Code: 201},
			{Method: "PUT", Path: "/things/{id}", Group: "things", Doc: "A thing.", Part: Param{Name: "id", Doc: "of it"}, Body: Type[struct{ A int }](), Example: `{"A":1}`},
		}}
}

// document is a parsed document that a test walks.
type document struct {
	t    *testing.T
	name string
	root map[string]any
}

func parse(t *testing.T, name string, text []byte) *document {
	t.Helper()
	d := &document{t: t, name: name}
	if err := json.Unmarshal(text, &d.root); err != nil {
		t.Fatal(name, err)
	}
	return d
}

// at returns what a path of members leads to.
func (d *document) at(path ...string) any {
	d.t.Helper()
	var now any = d.root
	for _, member := range path {
		m, ok := now.(map[string]any)
		if !ok || m[member] == nil {
			d.t.Fatalf("%s has no %s", d.name, strings.Join(path, "/"))
		}
		now = m[member]
	}
	return now
}

func (d *document) object(path ...string) map[string]any {
	d.t.Helper()
	return d.at(path...).(map[string]any)
}

// walk visits every object.
func walk(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(v)
		for _, inner := range v {
			walk(inner, visit)
		}
	case []any:
		for _, inner := range v {
			walk(inner, visit)
		}
	}
}

// references checks that every reference leads somewhere and every component is used.
func (d *document) references() {
	used := make(map[string]bool)
	walk(d.root, func(o map[string]any) {
		target, ok := o["$ref"].(string)
		if !ok {
			return
		}
		used[target] = true
		if !strings.HasPrefix(target, "#/") {
			d.t.Errorf("%s: %s leads out of the document", d.name, target)
			return
		}
		d.at(strings.Split(target, "/")[1:]...)
	})
	for kind, list := range d.object("components") {
		for name := range list.(map[string]any) {
			if kind != "securitySchemes" && !used["#/components/"+kind+"/"+name] {
				d.t.Errorf("%s: nothing uses %s %s", d.name, kind, name)
			}
		}
	}
}

// compiler returns what checks content against schemas of the document, by the rules of JSON Schema 2020-12.
func (d *document) compiler() *jsonschema.Compiler {
	d.t.Helper()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("doc.json", d.root); err != nil {
		d.t.Fatal(d.name, err)
	}
	return c
}

// compile returns the schema at a place of the document.
func (d *document) compile(c *jsonschema.Compiler, path ...string) *jsonschema.Schema {
	d.t.Helper()
	for i := range path {
		path[i] = strings.ReplaceAll(strings.ReplaceAll(path[i], "~", "~0"), "/", "~1")
	}
	s, err := c.Compile("doc.json#/" + strings.Join(path, "/"))
	if err != nil {
		d.t.Fatalf("%s: %v", d.name, err)
	}
	return s
}

// value parses content as the checker wants it.
func value(t *testing.T, content []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Fatalf("%s: %v", content, err)
	}
	return v
}

// Goal: both OpenAPI documents keep the rules of OpenAPI 3.1. Method: a walk: ids that are unique, parameters of paths, answers,
// tags, security schemes and references that exist, schemas that are JSON Schemas.
func TestOpenAPIRules(t *testing.T) {
	for name, text := range map[string][]byte{"public": OpenAPI(table()), "internal": InternalOpenAPI(table())} {
		d := parse(t, name, text)
		if d.at("openapi") != "3.1.0" || d.at("info", "title") == "" || d.at("info", "version") != "1.2.3" {
			t.Errorf("%s: head %v", name, d.at("info"))
		}
		d.references()
		tags := []string{}
		for _, tag := range d.at("tags").([]any) {
			tags = append(tags, tag.(map[string]any)["name"].(string))
		}
		ids := make(map[string]bool)
		for path, item := range d.object("paths") {
			for method, o := range item.(map[string]any) {
				d.operation(method+" "+path, o.(map[string]any), ids, tags)
			}
		}
		c := d.compiler()
		for schema := range d.object("components", "schemas") {
			d.compile(c, "components", "schemas", schema)
		}
	}
}

// operation checks one operation.
func (d *document) operation(key string, o map[string]any, ids map[string]bool, tags []string) {
	method, path, _ := strings.Cut(key, " ")
	id, _ := o["operationId"].(string)
	if id == "" || ids[id] || strings.ContainsAny(id, " /{}.") {
		d.t.Errorf("%s: the id %q is taken or bad", key, id)
	}
	ids[id] = true
	if !strings.HasPrefix(path, "/") || !slices.Contains([]string{"get", "post", "put", "delete"}, method) || o["description"] == "" {
		d.t.Errorf("%s: method, path or description", key)
	}
	for _, tag := range o["tags"].([]any) {
		if !slices.Contains(tags, tag.(string)) {
			d.t.Errorf("%s: tag %v", key, tag)
		}
	}
	inPath := []string{}
	parameters, _ := o["parameters"].([]any)
	for _, p := range parameters {
		p := p.(map[string]any)
		if p["schema"] == nil || p["name"] == "" {
			d.t.Errorf("%s: parameter %v", key, p)
		}
		if p["in"] == "path" {
			inPath = append(inPath, p["name"].(string))
			if p["required"] != true {
				d.t.Errorf("%s: a part of the path may not be missing", key)
			}
		}
	}
	for _, part := range strings.Split(path, "{")[1:] {
		name, _, _ := strings.Cut(part, "}")
		inPath = slices.DeleteFunc(inPath, func(p string) bool { return p == name })
	}
	if len(inPath) > 0 || strings.Count(path, "{") != strings.Count(fmt.Sprint(parameters), "in:path") {
		d.t.Errorf("%s: parameters of the path", key)
	}
	answers, _ := o["responses"].(map[string]any)
	if len(answers) == 0 {
		d.t.Errorf("%s: no answers", key)
	}
	for code, answer := range answers {
		if len(code) != 3 || answer.(map[string]any)["description"] == "" {
			d.t.Errorf("%s: answer %s", key, code)
		}
	}
	for _, need := range o["security"].([]any) {
		for scheme := range need.(map[string]any) {
			d.at("components", "securitySchemes", scheme)
		}
	}
}

// Goal: every function stands in both documents, one that needs a connection only in AsyncAPI, every push and command in AsyncAPI,
// and nothing else. Method: counts and names, both ways.
func TestEveryFunctionIsDocumented(t *testing.T) {
	site := table()
	open, async := parse(t, "openapi", OpenAPI(site)), parse(t, "asyncapi", AsyncAPI(site))
	want := map[string]bool{"grid_frame": true, "worker_reply": true}
	paths := map[string]bool{"/things/{id}": true}
	for _, f := range site.Functions {
		want["call_"+operationID(f.Route)] = true
		if f.Gate != "" {
			want["gate_"+operationID(f.Gate)] = true
		}
		if f.Needs&module.NeedConnection == 0 {
			paths["/api/call"+f.Route] = true
		}
	}
	for _, p := range site.Pushes {
		want["push_"+operationID(p.Route)] = true
	}
	for _, f := range lineFrames {
		from := map[bool]string{false: "client", true: "node"}[f.server]
		want["line_"+from+"_"+strings.TrimLeft(f.command.String(), "0")] = true
	}
	compare(t, "operation", want, async.object("operations"))
	compare(t, "path", paths, open.object("paths"))
	for c := protocol.CmdUnknown + 1; c.String() != protocol.CmdUnknown.String(); c++ {
		if !slices.ContainsFunc(lineFrames, func(f lineFrame) bool { return f.command == c }) {
			t.Errorf("the command %s is not documented", c)
		}
	}
}

func compare(t *testing.T, what string, want map[string]bool, got map[string]any) {
	t.Helper()
	for name := range want {
		if got[name] == nil {
			t.Errorf("%s %s is missing", what, name)
		}
	}
	for name := range got {
		if !want[name] {
			t.Errorf("%s %s is of nothing", what, name)
		}
	}
}

// Goal: the AsyncAPI document keeps the rules of AsyncAPI 3.0. Method: a walk: references, channels of servers, messages of
// operations that are messages of their channels, schemas, and examples that fit them.
func TestAsyncAPIRules(t *testing.T) {
	d := parse(t, "asyncapi", AsyncAPI(table()))
	if d.at("asyncapi") != "3.0.0" || d.at("info", "title") == "" || d.at("info", "version") != "1.2.3" {
		t.Errorf("head %v", d.at("info"))
	}
	d.references()
	for name, server := range d.object("servers") {
		if s := server.(map[string]any); s["host"] == "" || s["protocol"] == "" {
			t.Errorf("server %s", name)
		}
	}
	for id, o := range d.object("operations") {
		o := o.(map[string]any)
		channel := o["channel"].(map[string]any)["$ref"].(string)
		if o["action"] != "send" && o["action"] != "receive" {
			t.Errorf("%s: action %v", id, o["action"])
		}
		messages := o["messages"].([]any)
		if reply, ok := o["reply"].(map[string]any); ok {
			messages = append(messages, reply["messages"].([]any)...)
		}
		for _, m := range messages {
			if target := m.(map[string]any)["$ref"].(string); !strings.HasPrefix(target, channel+"/messages/") {
				t.Errorf("%s: %s is no message of %s", id, target, channel)
			}
		}
	}
	c := d.compiler()
	for name, m := range d.object("components", "messages") {
		schema := d.compile(c, "components", "messages", name, "payload")
		examples, _ := m.(map[string]any)["examples"].([]any)
		for _, example := range examples {
			if err := schema.Validate(example.(map[string]any)["payload"]); err != nil {
				t.Errorf("the example of %s: %v", name, err)
			}
		}
	}
}

// Goal: the example of a function is content that the function reads whole. Method: strict decoding into its type.
func TestFunctionExamples(t *testing.T) {
	for _, f := range module.Functions() {
		d := json.NewDecoder(strings.NewReader(f.Example))
		d.DisallowUnknownFields()
		if err := d.Decode(reflect.New(f.In).Interface()); err != nil {
			t.Errorf("%s: %s: %v", f.Route, f.Example, err)
		}
	}
}

// Goal: the same program gives the same bytes. Method: twice each.
func TestDocumentsAreStable(t *testing.T) {
	for _, document := range []func(Site) []byte{OpenAPI, InternalOpenAPI, AsyncAPI} {
		if !bytes.Equal(document(table()), document(table())) {
			t.Error("two documents differ")
		}
	}
}
