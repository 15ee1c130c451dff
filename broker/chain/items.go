package chain

import "encoding/json"

// itemsJSON returns the JSON form of items: all members of a request, options only where one is set. The hash of a
// message that came as protobuf is made of it.
func itemsJSON(items []Item) []byte {
	type item struct {
		Order   int              `json:"order"`
		Request Request          `json:"request"`
		Options *jsonItemOptions `json:"options,omitempty"`
	}
	all := make([]item, len(items))
	for i := range items {
		all[i] = item{Order: items[i].Order, Request: items[i].Request}
		if o := jsonOptionsOf(items[i].Options); o != (jsonItemOptions{}) {
			all[i].Options = &o
		}
	}
	return appendJSON(nil, all)
}

// Seal sets the hash that the items have.
func (w *Work) Seal() {
	w.Hash, _ = HashOf(itemsJSON(w.Items)) // itemsJSON is always valid
}

// AppendWork appends a work message as JSON: what clients in Go and tests send.
func AppendWork(dst []byte, w *Work) []byte {
	type body struct {
		Hash    string          `json:"hash"`
		Items   json.RawMessage `json:"items"`
		Options *jsonOptions    `json:"options,omitempty"`
	}
	m := body{Hash: w.Hash, Items: itemsJSON(w.Items)}
	if o := (jsonOptions{w.Options.Deadline.Milliseconds(), w.Options.Webhook}); o != (jsonOptions{}) {
		m.Options = &o
	}
	return appendJSON(dst, map[string]body{"work_message": m})
}
