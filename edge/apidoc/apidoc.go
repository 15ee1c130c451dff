// Package apidoc writes the documents of the API from the tables of the program: OpenAPI 3.1 of the public and the internal
// HTTP, AsyncAPI 3.0 of the websocket, the line door and the gate. Nothing in them is written by hand twice: functions,
// pushes, statuses, close codes and commands come from their tables, content from the Go types that are decoded and
// encoded. The package also holds the page that shows them.
//
// Documents are plain JSON texts, made once; everything here may be called from any goroutine.
package apidoc

import (
	"encoding/json"
	"reflect"

	"gosper/edge/module"
)

// Endpoint describes one path and method of an HTTP server.
type Endpoint struct {
	Method  string // GET, POST, …
	Path    string // with a part in braces, as /config/{name}
	Group   string // heading in documents
	Doc     string // one or two sentences
	Open    bool   // without a token
	Part    Param  // the part in braces, if any
	Query   []Param
	Form    []Param      // of a POST form
	Body    reflect.Type // of a JSON body; nil without one
	Example string       // of that body
	Out     reflect.Type // of a JSON answer; nil for another kind of answer
	Kind    string       // content type of the answer; "" is application/json
	Code    int          // of success; 0 is 200
	Errors  []int        // other codes that the endpoint itself answers with
}

// Param is one member of a query or form, or the part of a path.
type Param struct {
	Name     string
	Doc      string
	Required bool
	Example  string
}

// Type returns the type behind a content, for tables.
func Type[T any]() reflect.Type { return reflect.TypeFor[T]() }

// Site is what documents are made from.
type Site struct {
	Version   string
	Functions []module.Function
	Pushes    []module.Push
	Public    []Endpoint
	Internal  []Endpoint
}

// object is a JSON object. Its members come out sorted, so a document is the same bytes each time.
type object = map[string]any

// text encodes a document.
func text(doc object) []byte {
	b, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		panic("apidoc: " + err.Error()) // the tables of the program hold an example that is no JSON: a test finds it first
	}
	return append(b, '\n')
}
