package chain

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"gosper/protocol"
)

// The messages as JSON has them. Their names are those of the pattern; options are ours.
type (
	jsonWork struct {
		Message *struct {
			Hash    string          `json:"hash"`
			Items   json.RawMessage `json:"items"`
			Options jsonOptions     `json:"options"`
		} `json:"work_message"`
	}
	jsonItem struct {
		Order   *int            `json:"order"`
		Request Request         `json:"request"`
		Options jsonItemOptions `json:"options"`
	}
	jsonOptions struct {
		Deadline int64  `json:"deadline_ms,omitempty"`
		Webhook  string `json:"webhook,omitempty"`
	}
	jsonItemOptions struct {
		Timeout    int64     `json:"timeout_ms,omitempty"`
		Attempts   int       `json:"attempts,omitempty"`
		Backoff    int64     `json:"backoff_ms,omitempty"`
		MaxBackoff int64     `json:"max_backoff_ms,omitempty"`
		OnFailure  OnFailure `json:"on_failure,omitempty"`
		Compensate *Request  `json:"compensate,omitempty"`
		Await      bool      `json:"await_notification,omitempty"`
	}
)

// ParseWork reads a work message, JSON or protobuf (see Protobuf). The result owns its memory. Errors wrap ErrBadWork and
// say what is wrong and where.
func ParseWork(b []byte, l Limits) (Work, error) {
	l = l.WithDefaults()
	if len(b) > l.Message {
		return Work{}, refuse("%d bytes, at most %d", len(b), l.Message)
	}
	if Protobuf(b) {
		return parseProto(b, l)
	}
	return parseJSON(b, l)
}

// Protobuf says whether a message is protobuf: it begins with a field's tag, one of which is a line feed, and is no JSON.
func Protobuf(b []byte) bool {
	return len(b) > 0 && (b[0] == tagWork || b[0] == tagNotification || b[0] == tagCompletion) && !protocol.ValidJSON(b)
}

func parseJSON(b []byte, l Limits) (Work, error) {
	if !protocol.ValidJSON(b) {
		return Work{}, refuse("neither valid JSON (a comma before a closing bracket is not allowed) nor protobuf")
	}
	var m jsonWork
	if err := json.Unmarshal(b, &m); err != nil {
		return Work{}, refuse("%s", misfit(err))
	}
	if m.Message == nil {
		return Work{}, refuse("work_message is missing")
	}
	var items []jsonItem
	if len(m.Message.Items) > 0 {
		if err := json.Unmarshal(m.Message.Items, &items); err != nil {
			return Work{}, refuse("items: %s", misfit(err))
		}
	}
	w := Work{Hash: m.Message.Hash, Options: Options{millis(m.Message.Options.Deadline), m.Message.Options.Webhook}}
	for i, it := range items {
		if it.Order == nil {
			return Work{}, refuse("items[%d]: order is missing", i)
		}
		w.Items = append(w.Items, Item{*it.Order, it.Request, it.Options.options()})
	}
	return w, w.finish(m.Message.Items, l)
}

// finish checks what was read from items, whose JSON text the hash is made of, and puts them in order.
func (w *Work) finish(items []byte, l Limits) error {
	if err := w.check(l); err != nil {
		return err
	}
	if err := w.checkHash(items, l.Lax); err != nil {
		return err
	}
	slices.SortStableFunc(w.Items, func(a, b Item) int { return a.Order - b.Order })
	return nil
}

func (w *Work) checkHash(items []byte, lax bool) error {
	if lax {
		if len(w.Hash) == 0 || len(w.Hash) > maxHash || !plain(w.Hash) {
			return refuse("hash: must be 1 to %d printable ASCII characters without blanks and slashes", maxHash)
		}
		return nil
	}
	want, err := HashOf(items)
	if err != nil {
		return refuse("items: %s", err)
	}
	if w.Hash != want {
		return refuse("hash: is not the MD5 of the canonical items, %s", want)
	}
	return nil
}

// plain says whether a text can stand in a path and a header.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '/' {
			return false
		}
	}
	return true
}

func (o jsonItemOptions) options() ItemOptions {
	return ItemOptions{millis(o.Timeout), o.Attempts, millis(o.Backoff), millis(o.MaxBackoff), o.OnFailure, o.Compensate, o.Await}
}

// jsonOptionsOf is the way back from options.
func jsonOptionsOf(o ItemOptions) jsonItemOptions {
	return jsonItemOptions{o.Timeout.Milliseconds(), o.Attempts, o.Backoff.Milliseconds(), o.MaxBackoff.Milliseconds(), o.OnFailure, o.Compensate, o.Await}
}

// millis makes a duration of milliseconds; what would not fit becomes too large to be allowed.
func millis(ms int64) time.Duration {
	if ms > maxTime.Milliseconds() {
		return maxTime + 1
	}
	if ms < 0 {
		return -1
	}
	return time.Duration(ms) * time.Millisecond
}

// misfit tells which member has the wrong type.
func misfit(err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return wrong.Field + " must not be " + wrong.Value
	}
	return err.Error()
}

// message is what notifications and completions have in common.
type message struct {
	Hash  string   `json:"hash"`
	Items []Result `json:"items"`
}

// AppendNotification appends a notification message as JSON: what is answered so far.
func AppendNotification(dst []byte, hash string, items []Result) []byte {
	return appendMessage(dst, "notification_message", hash, items)
}

// AppendCompletion appends a completion message as JSON: every item with its answer.
func AppendCompletion(dst []byte, hash string, items []Result) []byte {
	return appendMessage(dst, "completion_message", hash, items)
}

func appendMessage(dst []byte, name, hash string, items []Result) []byte {
	dst = append(append(append(dst, `{"`...), name...), `":`...)
	return append(AppendResults(dst, hash, items), '}')
}

// AppendResults appends the inside of both messages: the hash and the items.
func AppendResults(dst []byte, hash string, items []Result) []byte {
	if items == nil {
		items = []Result{}
	}
	return appendJSON(dst, message{hash, items})
}

// appendJSON appends what cannot fail to encode: texts, numbers and booleans.
func appendJSON(dst []byte, v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// ParseNotification reads a notification message, JSON or protobuf: answers that a service gives later than its call.
func ParseNotification(b []byte, l Limits) (hash string, items []Result, err error) {
	l = l.WithDefaults()
	if len(b) > l.Message {
		return "", nil, refuse("%d bytes, at most %d", len(b), l.Message)
	}
	if Protobuf(b) {
		hash, items, err = parseProtoResults(b, tagNotification)
	} else {
		hash, items, err = parseJSONResults(b)
	}
	if err == nil && (len(items) == 0 || len(items) > l.Items) {
		err = refuse("items: %d, must be 1 to %d", len(items), l.Items)
	}
	return hash, items, err
}

func parseJSONResults(b []byte) (string, []Result, error) {
	if !protocol.ValidJSON(b) {
		return "", nil, refuse("neither valid JSON nor protobuf")
	}
	var m struct {
		Message *message `json:"notification_message"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return "", nil, refuse("%s", misfit(err))
	}
	if m.Message == nil {
		return "", nil, refuse("notification_message is missing")
	}
	return m.Message.Hash, m.Message.Items, nil
}
