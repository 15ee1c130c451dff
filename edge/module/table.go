package module

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"

	"gosper/protocol"
)

// Need is what a call must bring before its function runs. Needs are checked in the order of the constants.
type Need uint8

// Needs, in the order in which they are checked.
const (
	NeedClientCode Need = 1 << iota // a clientCode with a good tag
	NeedLogin                       // a logged-in account
	NeedWorld                       // a name in a world: after /user/enterWorld or a nonce
	NeedConnection                  // a lasting connection: not the gate, not HTTP
)

// String lists the needs for documentation, "nothing" when there are none.
func (n Need) String() string {
	var words []string
	for i, word := range []string{"clientCode", "login", "world", "connection"} {
		if n&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	if words == nil {
		return "nothing"
	}
	return strings.Join(words, ", ")
}

// Function is one entry of the table. Everything but run is description: documents, the HTTP list and schemas are
// made from it.
type Function struct {
	Route   string // "/user/register"
	Gate    string // "register"; "" when the gate does not offer it
	Needs   Need
	Class   Class
	Doc     string // one line
	Example string // content of a call, a JSON object

	In, Out reflect.Type // structs behind content in and content out
	world   bool         // In has a member "world"

	// run works on a pool goroutine and may block until the call's context ends.
	run func(*Tools, *Call) (any, error)
	// inline, when set, is used instead of run: it works on the caller's goroutine, never blocks and calls done once.
	inline func(t *Tools, c *Call, done func(any, error))
}

// withWorld returns content with the world that a request of the gate names, for functions that read one. A world in the
// content stands behind it and counts. f may be nil.
func (f *Function) withWorld(content []byte, world string) []byte {
	if f == nil || !f.world || world == "" || len(content) < len("{}") {
		return content
	}
	b := protocol.AppendJSONString([]byte(`{"world":`), world)
	rest := bytes.TrimLeft(content[1:], " \t\r\n")
	if rest[0] != '}' {
		b = append(b, ',')
	}
	return append(b, rest...)
}

// readsWorld says whether a struct has a member "world", its own or of a struct that is part of it.
func readsWorld(in reflect.Type) bool {
	for _, field := range reflect.VisibleFields(in) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name == "world" {
			return true
		}
	}
	return false
}

// gateStatus is implemented by results that have a status of their own under their gate name (login_unique: 1 for a
// new account).
type gateStatus interface{ gateStatus() protocol.Status }

// empty is content without members.
type empty struct{}

// define makes a table entry from a function with typed content.
func define[In, Out any](f Function, run func(*Tools, *Call, *In) (Out, error)) Function {
	f.In, f.Out = reflect.TypeFor[In](), reflect.TypeFor[Out]()
	f.world = readsWorld(f.In)
	f.run = func(t *Tools, c *Call) (any, error) {
		in, err := decode[In](c.Content)
		if err != nil {
			return nil, err
		}
		return run(t, c, in)
	}
	return f
}

// defineInline makes a table entry from a function that answers without blocking. See Function.
func defineInline[In, Out any](f Function, run func(t *Tools, c *Call, in *In, done func(Out, error))) Function {
	f.In, f.Out = reflect.TypeFor[In](), reflect.TypeFor[Out]()
	f.world = readsWorld(f.In)
	f.inline = func(t *Tools, c *Call, done func(any, error)) {
		in, err := decode[In](c.Content)
		if err != nil {
			done(nil, err)
			return
		}
		run(t, c, in, func(out Out, err error) { done(out, err) })
	}
	return f
}

// decode reads content into In. Unknown members are ignored, so that newer clients can talk to older nodes.
func decode[In any](content []byte) (*In, error) {
	in := new(In)
	if len(content) == 0 {
		return in, nil
	}
	if content[0] != '{' {
		return nil, refuse(protocol.StatusUnknown, "content must be an object")
	}
	if err := json.Unmarshal(content, in); err != nil {
		return nil, refuse(protocol.StatusUnknown, "content does not fit this function"+misfit(err))
	}
	return in, nil
}

// misfit tells which member of a content has the wrong type, "" when that is not known.
func misfit(err error) string {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) || wrong.Field == "" {
		return ""
	}
	kind, value, _ := strings.Cut(wrong.Value, " ")
	if value != "" && wrong.Type.Kind() >= reflect.Int && wrong.Type.Kind() <= reflect.Uint64 {
		return ": " + wrong.Field + " is not a whole number in its range"
	}
	return ": " + wrong.Field + " must not be " + kind
}

// first returns the first text that is not empty: clients of two generations spell some members differently.
func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// allFunctions lists the table. A new module file adds its list here.
func allFunctions() []Function {
	var all []Function
	for _, list := range [][]Function{accountFunctions(), gateAccountFunctions(), playerFunctions(), sessionFunctions(), chatFunctions(), moderationFunctions(), mailFunctions(), giftFunctions(), friendFunctions(), buildingFunctions(), familyFunctions(), bindFunctions(), chainFunctions(), engineFunctions(),
		gameFunctions(), gameEditFunctions(), gamePatternFunctions(), gameWatchFunctions()} {
		all = append(all, list...)
	}
	return all
}

// index finds functions by route and by gate name.
type index map[string]*Function

// newIndex enters every function under its route, its folded route and its gate name.
func newIndex(all []Function) index {
	ix := make(index, 2*len(all))
	for i := range all {
		f := &all[i]
		ix[f.Route] = f
		if f.Gate != "" {
			ix[f.Gate] = f
		}
	}
	return ix
}

// find returns the function of a route or a gate name. The folder words of a route are matched without regard to
// case, its last word exactly, as clients of the first generation expect.
func (ix index) find(route string) (f *Function, gate bool) {
	if f = ix[route]; f != nil {
		return f, route[0] != '/'
	}
	cut := strings.LastIndexByte(route, '/')
	if cut < 0 {
		return nil, true
	}
	return ix[strings.ToLower(route[:cut])+route[cut:]], false
}
