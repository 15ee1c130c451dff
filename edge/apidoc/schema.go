package apidoc

import (
	"encoding"
	"encoding/json"
	"math"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"
)

// schemas gathers the JSON Schemas of named types. Content of clients has no member that must be there: what is missing is
// decided by the function. Content of servers always has the members that it does not leave out when they are empty.
type schemas struct {
	root  string // where the schemas stand in the document
	names map[direction]string
	all   object
}

// direction is a type and the way it goes.
type direction struct {
	t  reflect.Type
	in bool // from clients
}

func newSchemas(root string) *schemas {
	return &schemas{root: root, names: make(map[direction]string), all: make(object)}
}

var (
	timeType       = reflect.TypeFor[time.Time]()
	rawType        = reflect.TypeFor[json.RawMessage]()
	textMarshaler  = reflect.TypeFor[encoding.TextMarshaler]()
	textReader     = reflect.TypeFor[encoding.TextUnmarshaler]()
	valueMarshaler = reflect.TypeFor[json.Marshaler]()
	valueReader    = reflect.TypeFor[json.Unmarshaler]()
)

// has says whether a type, or a pointer to it, has the methods of an interface.
func has(t, methods reflect.Type) bool {
	return t.Implements(methods) || reflect.PointerTo(t).Implements(methods)
}

// of returns the schema of a type: a reference for a named struct.
func (s *schemas) of(t reflect.Type, in bool) object {
	switch {
	case t == timeType:
		return object{"type": "string", "format": "date-time"}
	case t == rawType:
		return object{}
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem(), in)
	case has(t, valueMarshaler) || in && has(t, valueReader):
		return object{} // its own form
	case has(t, textMarshaler) || in && has(t, textReader):
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Struct:
		return s.structure(t, in)
	case reflect.Slice, reflect.Array:
		if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
			return object{"type": "string", "contentEncoding": "base64"}
		}
		return object{"type": "array", "items": s.of(t.Elem(), in)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem(), in)}
	}
	return plain(t.Kind())
}

// plain returns the schema of a number, text or truth value.
func plain(kind reflect.Kind) object {
	switch kind {
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Int8:
		return object{"type": "integer", "minimum": math.MinInt8, "maximum": math.MaxInt8}
	case reflect.Int16:
		return object{"type": "integer", "minimum": math.MinInt16, "maximum": math.MaxInt16}
	case reflect.Int32:
		return object{"type": "integer", "format": "int32", "minimum": math.MinInt32, "maximum": math.MaxInt32}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer", "format": "int64"}
	case reflect.Uint8:
		return object{"type": "integer", "minimum": 0, "maximum": math.MaxUint8}
	case reflect.Uint16:
		return object{"type": "integer", "minimum": 0, "maximum": math.MaxUint16}
	case reflect.Uint32:
		return object{"type": "integer", "minimum": 0, "maximum": math.MaxUint32}
	case reflect.Uint, reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	}
	return object{} // an interface: anything
}

// structure returns a reference to a named struct, or the schema of one without a name.
func (s *schemas) structure(t reflect.Type, in bool) object {
	if t.Name() == "" || t.NumField() == 0 {
		return s.members(t, in)
	}
	key := direction{t, in}
	name, known := s.names[key]
	if !known {
		name = s.name(t, in)
		s.names[key], s.all[name] = name, object{} // taken, also for a type that holds itself
		s.all[name] = s.members(t, in)
	}
	return object{"$ref": s.root + name}
}

// name finds a free name for a type.
func (s *schemas) name(t reflect.Type, in bool) string {
	name, _, _ := strings.Cut(t.Name(), "[")
	name = strings.ToUpper(name[:1]) + name[1:]
	if in && !strings.HasSuffix(name, "In") {
		name += "In"
	}
	if s.all[name] != nil {
		name = path.Base(t.PkgPath()) + "." + name
	}
	for s.all[name] != nil {
		name += "_"
	}
	return name
}

// members returns the schema of a struct itself.
func (s *schemas) members(t reflect.Type, in bool) object {
	properties, required := make(object), []string{}
	s.add(t, in, properties, &required)
	schema := object{"type": "object"}
	if len(properties) > 0 {
		schema["properties"] = properties
	}
	if slices.Sort(required); len(required) > 0 && !in {
		schema["required"] = slices.Compact(required)
	}
	return schema
}

// add enters the fields of a struct as package json names them. Fields of the struct itself win over embedded ones.
func (s *schemas) add(t reflect.Type, in bool, properties object, required *[]string) {
	var embedded []reflect.Type
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case name == "-":
			continue
		case f.Anonymous && name == "" && inner.Kind() == reflect.Struct && inner != timeType:
			embedded = append(embedded, inner)
			continue
		case !f.IsExported():
			continue
		case name == "":
			name = f.Name
		}
		if properties[name] != nil {
			continue
		}
		words := strings.Split(options, ",")
		schema := s.of(f.Type, in)
		if slices.Contains(words, "string") {
			schema = object{"type": "string"}
		}
		if slices.Contains(words, "omitempty") || slices.Contains(words, "omitzero") {
			properties[name] = schema
			continue
		}
		*required = append(*required, name)
		properties[name] = orNull(schema, f.Type)
	}
	for _, inner := range embedded {
		s.add(inner, in, properties, required)
	}
}

// orNull adds null to what can be nil in Go.
func orNull(schema object, t reflect.Type) object {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
	default:
		return schema
	}
	if kind, plain := schema["type"].(string); plain {
		schema["type"] = []string{kind, "null"}
		return schema
	}
	if len(schema) == 0 {
		return schema
	}
	return object{"anyOf": []any{schema, object{"type": "null"}}}
}
