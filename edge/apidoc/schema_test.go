package apidoc

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

type inner struct {
	Shared int    `json:"shared"`
	Name   string `json:"name"`
}

type node struct {
	inner
	Name  string   `json:"name,omitempty"` // hides the one of inner
	Next  *node    `json:"next"`
	Many  []node   `json:"many,omitempty"`
	Texts []string `json:"texts"`
	Left  string   `json:"-"`
	quiet bool
}

type named struct{ text string }

func (n named) MarshalText() ([]byte, error) { return []byte(n.text), nil }

type own struct{ A int }

func (own) MarshalJSON() ([]byte, error) { return []byte("1"), nil }

// Goal: what the schema of a type says. Method: a table of types, in both directions where they differ.
func TestSchemas(t *testing.T) {
	_ = node{}.quiet
	for _, test := range []struct {
		of   reflect.Type
		in   bool
		want string
	}{
		{Type[string](), false, `{"type":"string"}`},
		{Type[bool](), true, `{"type":"boolean"}`},
		{Type[float64](), false, `{"type":"number"}`},
		{Type[uint8](), false, `{"maximum":255,"minimum":0,"type":"integer"}`},
		{Type[int32](), false, `{"format":"int32","maximum":2147483647,"minimum":-2147483648,"type":"integer"}`},
		{Type[int](), false, `{"format":"int64","type":"integer"}`},
		{Type[uint64](), false, `{"minimum":0,"type":"integer"}`},
		{Type[[]byte](), false, `{"contentEncoding":"base64","type":"string"}`},
		{Type[[2]int8](), false, `{"items":{"maximum":127,"minimum":-128,"type":"integer"},"type":"array"}`},
		{Type[map[string]bool](), false, `{"additionalProperties":{"type":"boolean"},"type":"object"}`},
		{Type[time.Time](), false, `{"format":"date-time","type":"string"}`},
		{Type[json.RawMessage](), false, `{}`},
		{Type[any](), false, `{}`},
		{Type[named](), false, `{"type":"string"}`},
		{Type[own](), false, `{}`},
		{Type[struct{}](), false, `{"type":"object"}`},
		{Type[struct {
			A int `json:"a,string"`
			B *int
		}](), false, `{"properties":{"B":{"format":"int64","type":["integer","null"]},"a":{"type":"string"}},"required":["B","a"],"type":"object"}`},
		{Type[struct{ A []any }](), true, `{"properties":{"A":{"items":{},"type":["array","null"]}},"type":"object"}`},
		{Type[*node](), false, `{"$ref":"#/s/Node"}`},
		{Type[[]node](), true, `{"items":{"$ref":"#/s/NodeIn"},"type":"array"}`},
	} {
		got, err := json.Marshal(newSchemas("#/s/").of(test.of, test.in))
		if err != nil || string(got) != test.want {
			t.Errorf("%v: %s, want %s", test.of, got, test.want)
		}
	}
	s := newSchemas("#/s/")
	s.of(Type[node](), false)
	got, err := json.Marshal(s.all)
	want := `{"Node":{"properties":{"many":{"items":{"$ref":"#/s/Node"},"type":"array"},"name":{"type":"string"},"next":{"anyOf":[{"$ref":"#/s/Node"},{"type":"null"}]},` +
		`"shared":{"format":"int64","type":"integer"},"texts":{"items":{"type":"string"},"type":["array","null"]}},"required":["next","shared","texts"],"type":"object"}}`
	if err != nil || string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// Goal: types of one name in two packages, and of two directions, have schemas of their own. Method: three of them.
func TestSchemaNames(t *testing.T) {
	s := newSchemas("#/s/")
	type Endpoint struct{ A int }
	for _, test := range []struct {
		of   reflect.Type
		in   bool
		want string
	}{
		{Type[Param](), false, "#/s/Param"}, {Type[Param](), true, "#/s/ParamIn"}, {Type[Param](), false, "#/s/Param"},
		{Type[Endpoint](), false, "#/s/Endpoint"},
	} {
		if got := s.of(test.of, test.in)["$ref"]; got != test.want {
			t.Errorf("%v: %v, want %s", test.of, got, test.want)
		}
	}
	type Param struct{ B int }
	if got := s.of(Type[Param](), false)["$ref"]; got != "#/s/apidoc.Param" {
		t.Error(got)
	}
}
