package chain

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"gosper/protocol"
)

// A payload can use answers of earlier orders by markers:
//
//	${1.data}               the data of the first item of order 1, as it is
//	${1:2.metadata}         of the third item of that order (they are counted from 0)
//	${1.data/reserve/id}    one value of it, by a JSON pointer (RFC 6901); a text without its quotes
//	${1.data/name|string}   as a JSON string, with quotes
//
// Every other text with a dollar sign stays as it is.
var marker = regexp.MustCompile(`\$\{(\d{1,7})(?::(\d{1,3}))?\.(data|metadata)((?:/[^{}|]*)?)(\|string)?\}`)

// reference is one marker, taken apart.
type reference struct {
	order, place int
	metadata     bool
	pointer      string
	quoted       bool
}

func readReference(m []string) reference {
	order, _ := strconv.Atoi(m[1]) // digits only
	place, _ := strconv.Atoi(m[2]) // "" is 0
	return reference{order, place, m[3] == "metadata", m[4], m[5] != ""}
}

// find returns the index of the item that is meant, -1 when there is none before the order.
func (r reference) find(items []Item, before int) int {
	place := r.place
	for i := range items {
		if items[i].Order != r.order || items[i].Order >= before {
			continue
		}
		if place == 0 {
			return i
		}
		place--
	}
	return -1
}

// checkReferences refuses markers that mean no earlier item.
func (w *Work) checkReferences() error {
	for i := range w.Items {
		it := &w.Items[i]
		for _, m := range marker.FindAllStringSubmatch(it.Request.Payload, -1) {
			if readReference(m).find(w.Items, it.Order) < 0 {
				return refuse("items[%d]: payload: %s means no item of an earlier order", i, m[0])
			}
		}
	}
	return nil
}

// referenced says which items' answers later payloads use.
func (w *Work) referenced() []bool {
	used := make([]bool, len(w.Items))
	for i := range w.Items {
		for _, m := range marker.FindAllStringSubmatch(w.Items[i].Request.Payload, -1) {
			if k := readReference(m).find(w.Items, w.Items[i].Order); k >= 0 {
				used[k] = true
			}
		}
	}
	return used
}

// fill returns the request of item i with its markers replaced by what was answered; nil in answers is no answer. The result
// is at most most bytes long.
func (w *Work) fill(i int, answers []*Response, most int) (Request, error) {
	r := w.Items[i].Request
	matches := marker.FindAllStringSubmatchIndex(r.Payload, -1)
	if matches == nil {
		return r, nil
	}
	var b strings.Builder
	from := 0
	for _, at := range matches {
		b.WriteString(r.Payload[from:at[0]])
		from = at[1]
		text, err := w.value(readReference(groups(r.Payload, at)), w.Items[i].Order, answers)
		if err != nil {
			return r, fmt.Errorf("%s: %w", r.Payload[at[0]:at[1]], err)
		}
		b.WriteString(text)
		if b.Len() > most {
			return r, fmt.Errorf("payload is longer than %d bytes", most)
		}
	}
	b.WriteString(r.Payload[from:])
	r.Payload = b.String()
	if len(r.Payload) > most {
		return r, fmt.Errorf("payload is longer than %d bytes", most)
	}
	return r, nil
}

// groups cuts the groups of a match out of a text.
func groups(s string, at []int) []string {
	all := make([]string, len(at)/2)
	for i := range all {
		if at[2*i] >= 0 {
			all[i] = s[at[2*i]:at[2*i+1]]
		}
	}
	return all
}

// value returns the text that a reference stands for.
func (w *Work) value(r reference, before int, answers []*Response) (string, error) {
	k := r.find(w.Items, before)
	if k < 0 || answers[k] == nil {
		return "", errors.New("that item has no answer")
	}
	text := answers[k].Data
	if r.metadata {
		text = answers[k].Metadata
	}
	if r.pointer != "" {
		var err error
		if text, err = point(text, r.pointer); err != nil {
			return "", err
		}
	}
	if r.quoted {
		text = string(protocol.AppendJSONString(nil, text))
	}
	return text, nil
}

// point returns the value of a JSON text that an RFC 6901 pointer names.
func point(text, pointer string) (string, error) {
	value, err := decode([]byte(text))
	if err != nil {
		return "", errors.New("that answer is not JSON")
	}
	for name := range strings.SplitSeq(pointer[1:], "/") {
		name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
		switch v := value.(type) {
		case map[string]any:
			inner, ok := v[name]
			if !ok {
				return "", errors.New("that answer has no such member")
			}
			value = inner
		case []any:
			n, err := strconv.Atoi(name)
			if err != nil || n < 0 || n >= len(v) || strconv.Itoa(n) != name {
				return "", errors.New("that answer has no such element")
			}
			value = v[n]
		default:
			return "", errors.New("that answer has nothing inside")
		}
	}
	if s, ok := value.(string); ok {
		return s, nil
	}
	b, err := appendCanonical(nil, value)
	return string(b), err
}
