package nats

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"gosper/broker"
)

// Goal: every key is one token, and comes back. Method: a table; the fuzzer for the rest.
func TestToken(t *testing.T) {
	for name, want := range map[string]string{"a": "a", "a/b": "a/b", "a.b": "a%2Eb", "*": "%2A", ">": "%3E", "a b": "a%20b", "100%": "100%25", "é": "é"} {
		if got := token(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
		if back, ok := untoken(want); !ok || back != name {
			t.Errorf("%q came back as %q", want, back)
		}
	}
	for _, bad := range []string{"", "a.b", "%", "%2", "%2e", "%41", "a%ZZ"} {
		if name, ok := untoken(bad); ok {
			t.Errorf("%q was taken for %q", bad, name)
		}
	}
	if long := token(strings.Repeat(".", broker.MaxSubject)); len(long) > 3*broker.MaxSubject {
		t.Errorf("%d bytes", len(long))
	}
}

// FuzzToken takes any text: a key makes a token that comes back, and what is taken for a token is one.
func FuzzToken(f *testing.F) {
	for _, text := range []string{"a/b", "a.b", "%2E", "%", "a%2", "é %25*"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if broker.ValidKey(text) {
			made := token(text)
			if back, ok := untoken(made); !ok || back != text || strings.ContainsAny(made, ".*> ") {
				t.Errorf("%q is %q, then %q", text, made, back)
			}
		}
		if name, ok := untoken(text); ok && token(name) != text {
			t.Errorf("%q was taken for %q", text, name)
		}
	})
}

// Goal: the messages of a log's group say all that they must, in one part and in many. Method: there and back.
func TestBundle(t *testing.T) {
	entries := [][]byte{[]byte("a"), {}, bytes.Repeat([]byte("x"), 1000)}
	for _, part := range []int{1 << 20, 100} {
		g := &bundle{token: 7, first: 40, count: 3, low: 30, id: "n-1", dead: []span{{5, 9}, {12, 20}}}
		var data []byte
		messages := g.messages("s", entries, 99, part)
		for i, m := range messages {
			got, err := readGroup(m.Header.Get(groupHeader))
			if err != nil || got.part != uint64(i) || got.parts != uint64(len(messages)) || got.token != 7 || got.low != 30 || !slices.Equal(got.dead, g.dead) {
				t.Fatalf("%q: %+v, %v", m.Header.Get(groupHeader), got, err)
			}
			if conditional := m.Header.Get("Nats-Expected-Last-Subject-Sequence") == "99"; conditional != (i == 0) {
				t.Errorf("message %d has a condition: %v", i, conditional)
			}
			data = append(data, m.Data...)
		}
		found, err := g.entries(data)
		if err != nil || len(found) != 3 || found[2].Seq != 42 || !bytes.Equal(found[2].Data, entries[2]) {
			t.Errorf("%v, %v", found, err)
		}
	}
}

// FuzzGroup reads any header and data: no panic, and what is taken is written back the same.
func FuzzGroup(f *testing.F) {
	for _, text := range []string{"", "7 40 3 30 n-1 0 1", "7 40 3 30 n-1 0 2 5-9 12-20", "0 1 0 1 x 0 1", "0 0 0 0 x 0 1", "1 18446744073709551615 2 1 x 0 1", "1 1 1 1 x 1 1"} {
		f.Add(text, []byte("\x01a\x00"))
	}
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		g, err := readGroup(text)
		if err != nil {
			return
		}
		if again, err := readGroup(g.String()); err != nil || again.String() != g.String() {
			t.Errorf("%q is %q, then %v", text, g, err)
		}
		if found, err := g.entries(data); err == nil && uint64(len(found)) != g.count {
			t.Errorf("%d entries of %d", len(found), g.count)
		}
	})
}

// Goal: a mark is read as it was written, and strangers' are none. Method: a table.
func TestMark(t *testing.T) {
	for _, m := range []mark{{deleted: true}, {parts: 1}, {parts: 65535}} {
		if got := readMark(nats.Header{markHeader: {m.String()}}); got != m {
			t.Errorf("%v came back as %v", m, got)
		}
	}
	for _, text := range []string{"", "parts", "parts x", "parts 65536", "gone"} {
		if got := readMark(nats.Header{markHeader: {text}}); got != (mark{}) {
			t.Errorf("%q was taken for %v", text, got)
		}
	}
}
