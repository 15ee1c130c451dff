package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Message is what the body of a job says.
type Message struct {
	Route   string          `json:"route"`             // the function, as /email/registrationCode
	Content json.RawMessage `json:"content,omitempty"` // a JSON object; {} when it is missing
	UserID  string          `json:"user_id,omitempty"` // the account it is about
	MsgID   json.RawMessage `json:"msgId,omitempty"`   // of the client's call behind it
}

// Encode makes the body of a job.
func Encode(route string, content any) ([]byte, error) {
	c, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	return json.Marshal(Message{Route: route, Content: c})
}

// errBody is the reason of a job whose body is no message.
var errBody = errors.New("the body is not a JSON object with a route")

// parse reads the body of a job. Older producers leave content out and put its members beside the route; the function then
// gets the whole object.
func parse(body []byte) (m Message, err error) {
	if err := json.Unmarshal(body, &m); err != nil || m.Route == "" {
		return m, errBody
	}
	switch {
	case len(m.Content) == 0 || string(m.Content) == "null":
		m.Content = body
	case m.Content[0] != '{':
		return m, errBody
	}
	return m, nil
}

// Namespace keeps functions apart by who may call them.
type Namespace string

// Namespaces of tubes. Functions of clients are in none of them.
const (
	Background Namespace = "bg" // work behind a client's call
	Messages   Namespace = "mq" // messages between services
)

// namespaceOf returns the namespace of a tube.
func namespaceOf(tube string) (Namespace, bool) {
	prefix, _, ok := strings.Cut(tube, "_")
	n := Namespace(prefix)
	return n, ok && (n == Background || n == Messages)
}

// Routes are the functions of one tube. The folder words of a route are matched without regard to case, its last word
// exactly.
type Routes map[string]Function

// find returns the function of a route.
func (r Routes) find(route string) (Function, error) {
	f := r[route]
	if cut := strings.LastIndexByte(route, '/'); f == nil && cut >= 0 {
		f = r[strings.ToLower(route[:cut])+route[cut:]]
	}
	if f == nil {
		return nil, fmt.Errorf("no function %q in this tube", route)
	}
	return f, nil
}
