package nats

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"gosper/broker"
)

// markHeader is on messages that are not just a value: `deleted`, or `parts N`.
const markHeader = "Gosper-Record"

// mark is what it says.
type mark struct {
	deleted bool
	parts   uint16
}

func (m mark) String() string {
	if m.deleted {
		return "deleted"
	}
	return "parts " + strconv.Itoa(int(m.parts))
}

func readMark(h nats.Header) mark {
	text := h.Get(markHeader)
	if number, ok := strings.CutPrefix(text, "parts "); ok {
		n, err := strconv.ParseUint(number, 10, 16)
		if err == nil {
			return mark{parts: uint16(n)}
		}
	}
	return mark{deleted: text == "deleted"}
}

// errReplaced: a newer value has taken the place of the one that was to be read, or a replica is behind.
var errReplaced = errors.New("nats: the value was replaced while it was read")

// record makes a record of its newest message, and reads the parts of a large value.
func (s *Store) record(ctx context.Context, key string, m item) (broker.Record, error) {
	r := broker.Record{Key: key, Value: m.data, Revision: m.seq}
	n := uint64(readMark(m.header).parts)
	if n == 0 {
		return r, nil
	}
	parts := make([][]byte, n, n+1)
	err := each(int(n), func(i int) error {
		part, err := s.vault.at(ctx, m.seq-n+uint64(i))
		parts[i] = part.data
		return err
	})
	if errors.Is(err, broker.ErrNotFound) {
		return r, errReplaced
	}
	if err != nil {
		return r, err
	}
	r.Value = join(append(parts, m.data))
	return r, nil
}

func join(parts [][]byte) []byte {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	whole := make([]byte, 0, size)
	for _, p := range parts {
		whole = append(whole, p...)
	}
	return whole
}

// messages returns what stores op: the parts of a large value, then the record itself, with the condition that its
// subject's newest message is at after, unless that is broker.AnyRevision.
func (s *Store) messages(op broker.Op, after uint64) []*nats.Msg {
	name := token(op.Key)
	var all []*nats.Msg
	value := op.Value
	for i := 0; len(value) > s.part; i++ {
		all = append(all, &nats.Msg{Subject: partPrefix + name + "." + strconv.Itoa(i), Data: value[:s.part]})
		value = value[s.part:]
	}
	head := &nats.Msg{Subject: recordPrefix + name, Data: value}
	if after != broker.AnyRevision {
		head.Header = expect(after)
	}
	switch {
	case op.Value == nil:
		head.Header = also(head.Header, markHeader, mark{deleted: true}.String())
		head.Header = also(head.Header, "Nats-TTL", strconv.Itoa(int(tombAge.Seconds())))
	case len(all) > 0:
		head.Header = also(head.Header, markHeader, mark{parts: uint16(len(all))}.String())
	}
	return append(all, head)
}

func also(h nats.Header, name, value string) nats.Header {
	if h == nil {
		h = make(nats.Header, 1)
	}
	h[name] = []string{value}
	return h
}
