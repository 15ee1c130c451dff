package apidoc

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"gosper/edge/module"
	"gosper/protocol"
)

// callPath is the path under which the public server offers functions.
const callPath = "/api/call"

// clientCodeHeader carries a client code over HTTP.
const clientCodeHeader = "Gosper-Client-Code"

// OpenAPI returns the OpenAPI 3.1 document of the public server, with every function that can be called by HTTP.
func OpenAPI(s Site) []byte {
	d := newHTTP(s, "gosper: public HTTP", "What everybody can ask a node for by HTTP. A function is called by POST with its content as the body; "+
		"the answer holds its status, message and content. The same functions, and those that need a connection, are called by websocket and line: see the AsyncAPI document.")
	for _, e := range s.Public {
		if e.Path != callPath+"/{route}" { // each function has a path of its own here
			d.endpoint(&e, "")
		}
	}
	for _, f := range s.Functions {
		if f.Needs&module.NeedConnection == 0 {
			d.function(&f)
		}
	}
	return d.text()
}

// InternalOpenAPI returns the OpenAPI 3.1 document of the internal server.
func InternalOpenAPI(s Site) []byte {
	d := newHTTP(s, "gosper: internal HTTP", "What services and operators ask a node for. The port is on loopback, or asks for the bearer token of internal-token.")
	for _, e := range s.Internal {
		d.endpoint(&e, "token")
	}
	return d.text()
}

// httpDocument is an OpenAPI document under construction.
type httpDocument struct {
	doc     object
	paths   map[string]object
	schemas *schemas
	groups  []string
}

func newHTTP(s Site, title, about string) *httpDocument {
	d := &httpDocument{paths: make(map[string]object), schemas: newSchemas("#/components/schemas/")}
	d.doc = object{
		"openapi": "3.1.0",
		"info": object{"title": title, "version": s.Version, "description": about + "\n\n" + statusTable(),
			"license": object{"name": "MIT", "identifier": "MIT"}},
		"servers": []any{object{"url": "/"}},
	}
	d.schemas.all["Failure"] = object{"type": "object", "description": "Why a request was not answered.", "required": []string{"status", "message"},
		"properties": object{"status": object{"type": "integer", "enum": statusNumbers()}, "message": object{"type": "string"}, "content": object{}}}
	return d
}

// statusTable describes the statuses, in Markdown.
func statusTable() string {
	var b strings.Builder
	b.WriteString("Statuses of answers:\n\n| status | name | meaning |\n|---|---|---|\n")
	for _, s := range protocol.Statuses() {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", s.Status, s.Name, s.Meaning)
	}
	return b.String()
}

func statusNumbers() (numbers []int) {
	for _, s := range protocol.Statuses() {
		numbers = append(numbers, int(s.Status))
	}
	return numbers
}

// group notes a heading.
func (d *httpDocument) group(name string) []string {
	for _, g := range d.groups {
		if g == name {
			return []string{name}
		}
	}
	d.groups = append(d.groups, name)
	return []string{name}
}

// enter puts an operation under its path.
func (d *httpDocument) enter(path, method string, operation object) {
	if d.paths[path] == nil {
		d.paths[path] = make(object)
	}
	d.paths[path][strings.ToLower(method)] = operation
}

// operationID makes an id of a method and a path.
func operationID(words ...string) string {
	id := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, strings.Join(words, "_"))
	for strings.Contains(id, "__") {
		id = strings.ReplaceAll(id, "__", "_")
	}
	return strings.Trim(id, "_")
}

// failure is the answer of an HTTP code.
func failure(code int) object {
	return object{"description": http.StatusText(code), "content": object{"application/json": object{"schema": object{"$ref": "#/components/schemas/Failure"}}}}
}

// function enters a function.
func (d *httpDocument) function(f *module.Function) {
	folder, _, _ := strings.Cut(strings.TrimPrefix(f.Route, "/"), "/")
	answer := object{"type": "object", "required": []string{"status", "message"}, "properties": object{
		"status": object{"type": "integer"}, "message": object{"type": "string"}, "content": d.schemas.of(f.Out, false)}}
	responses := object{"200": object{"description": "done", "content": object{"application/json": object{"schema": answer}}}}
	for _, code := range []int{400, 401, 403, 503} {
		responses[fmt.Sprint(code)] = failure(code)
	}
	operation := object{
		"operationId": operationID("call", f.Route), "summary": f.Route, "description": describe(f), "tags": d.group(folder),
		"requestBody": object{"content": object{"application/json": object{"schema": d.schemas.of(f.In, true), "example": json.RawMessage(f.Example)}}},
		"responses":   responses,
		"security":    []any{object{}, object{"session": []string{}}},
		"x-needs":     f.Needs.String(), "x-rate": f.Class.String(),
	}
	if f.Gate != "" {
		operation["x-gate"] = f.Gate
	}
	if f.Needs&(module.NeedLogin|module.NeedWorld) != 0 {
		operation["security"] = []any{object{"session": []string{}}}
	}
	if f.Needs&module.NeedClientCode != 0 {
		operation["parameters"] = []any{object{"name": clientCodeHeader, "in": "header", "required": true, "schema": object{"type": "string"},
			"description": "a client code of /user/clientCode"}}
	}
	d.enter(callPath+f.Route, "POST", operation)
}

// describe says what a function does, needs and counts as.
func describe(f *module.Function) string {
	about := f.Doc + "\n\nNeeds: " + f.Needs.String() + ". Rate: " + f.Class.String() + "."
	if f.Gate != "" {
		about += " At the gate: " + f.Gate + "."
	}
	return about
}

// endpoint enters an endpoint. token is the scheme of those that are not open.
func (d *httpDocument) endpoint(e *Endpoint, token string) {
	ok := object{"description": "done"}
	switch {
	case e.Out != nil:
		ok["content"] = object{kindOr(e.Kind): object{"schema": d.schemas.of(e.Out, false)}}
	case e.Kind != "":
		ok["content"] = object{e.Kind: object{"schema": object{"type": "string"}}}
	}
	code := e.Code
	if code == 0 {
		code = http.StatusOK
	}
	responses := object{fmt.Sprint(code): ok}
	for _, code := range e.Errors {
		if responses[fmt.Sprint(code)] = failure(code); code == http.StatusNotModified {
			responses["304"] = object{"description": "what the client has by its ETag is still so"}
		}
	}
	operation := object{"operationId": operationID(e.Method, e.Path), "summary": e.Method + " " + e.Path, "description": e.Doc, "tags": d.group(e.Group),
		"responses": responses, "security": []any{}}
	if token != "" && !e.Open {
		operation["security"] = []any{object{}, object{token: []string{}}}
		responses["401"], responses["403"] = failure(401), failure(403)
	}
	if parameters := e.parameters(); parameters != nil {
		operation["parameters"] = parameters
	}
	switch {
	case e.Form != nil:
		operation["requestBody"] = object{"content": object{"application/x-www-form-urlencoded": object{"schema": form(e.Form)}}}
	case e.Body != nil:
		operation["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": d.schemas.of(e.Body, true),
			"example": json.RawMessage(e.Example)}}}
	}
	d.enter(e.Path, e.Method, operation)
}

func kindOr(kind string) string {
	if kind == "" {
		return "application/json"
	}
	return kind
}

// parameters lists what stands in path and query.
func (e *Endpoint) parameters() (list []any) {
	if e.Part.Name != "" {
		list = append(list, parameter(e.Part, "path", true))
	}
	for _, p := range e.Query {
		list = append(list, parameter(p, "query", p.Required))
	}
	return list
}

func parameter(p Param, in string, required bool) object {
	o := object{"name": p.Name, "in": in, "required": required, "description": p.Doc, "schema": object{"type": "string"}}
	if p.Example != "" {
		o["example"] = p.Example
	}
	return o
}

// form is the schema of a form.
func form(list []Param) object {
	properties, required := make(object), []string{}
	for _, p := range list {
		properties[p.Name] = object{"type": "string", "description": p.Doc}
		if p.Example != "" {
			properties[p.Name].(object)["examples"] = []string{p.Example}
		}
		if p.Required {
			required = append(required, p.Name)
		}
	}
	return object{"type": "object", "properties": properties, "required": required}
}

// text completes the document.
func (d *httpDocument) text() []byte {
	tags := []any{}
	for _, g := range d.groups {
		tags = append(tags, object{"name": g})
	}
	d.doc["tags"], d.doc["paths"] = tags, d.paths
	d.doc["components"] = object{"schemas": d.schemas.all, "securitySchemes": object{
		"session": object{"type": "http", "scheme": "bearer", "description": "a token of a login"},
		"token":   object{"type": "http", "scheme": "bearer", "description": "the token of the option internal-token; without it the port takes programs of this machine only"},
	}}
	return text(d.doc)
}
