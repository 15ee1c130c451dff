package pebble

import (
	"bytes"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"github.com/cockroachdb/pebble/v2/vfs"

	"gosper/broker"
	"gosper/broker/brokertest"
)

// FuzzRecords parses random bytes as each kind of row: no panic, and what was parsed is written back as it was.
func FuzzRecords(f *testing.F) {
	f.Add([]byte("h1234567812345678"), []byte("12345678data"))
	f.Add([]byte("tsubject"), topicRecord{1, 2, broker.Keep{Messages: 3, Age: 4}}.encode())
	f.Add([]byte("lname"), []byte("1234567812345678owner"))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if m, err := parseMessage("s", 1, key, value); err == nil && !bytes.Equal(appendMessage(nil, m)[8:], value[8:]) {
			t.Errorf("message %x", value)
		}
		if r, err := parseTopic(key, value); err == nil && r.keep.Age >= 0 && r.keep.Messages < 1<<31 && r.keep.Age.Milliseconds() > 0 &&
			!bytes.Equal(r.encode()[:20], value[:20]) {
			t.Errorf("topic %x", value)
		}
		if it, err := parseKey(key, value); err == nil && !bytes.Equal(encodeKey(it)[8:], value[8:]) {
			t.Errorf("key %x", value)
		}
		if it, err := parseLease(key, value); err == nil && !bytes.Equal(encodeLease(it)[8:], value[8:]) {
			t.Errorf("lease %x", value)
		}
		if r, err := record("k", value); err == nil && !bytes.Equal(append(number(r.Revision), r.Value...), value) {
			t.Errorf("record %x", value)
		}
	})
}

// TestAfter checks the end of a prefix, at the carry too.
func TestAfter(t *testing.T) {
	for prefix, want := range map[string]string{"r": "s", "ra": "rb", "r\xff": "s", "r\xff\xff": "s", "ra\xff": "rb"} {
		if got := string(after([]byte(prefix))); got != want {
			t.Errorf("after %q comes %q, want %q", prefix, got, want)
		}
	}
	if after([]byte{0xff}) != nil {
		t.Error("there is nothing after ff")
	}
}

// TestMetricsTable checks that every metric that is kept is in the table, with a help text, and the other way round.
func TestMetricsTable(t *testing.T) {
	db := open(t, "db", Options{FS: vfs.NewMem()})
	brokertest.Verbs{T: t, Q: db.Queue()}.Put("tube", "a job, so that tubes have metrics", 0, 0)
	var text bytes.Buffer
	metrics.WritePrometheus(&text, false)
	for _, m := range Metrics {
		if m.Help == "" || !bytes.Contains(text.Bytes(), []byte("\n"+m.Name)) && !bytes.HasPrefix(text.Bytes(), []byte(m.Name)) {
			t.Errorf("%s is not kept, or has no help", m.Name)
		}
	}
	for _, line := range bytes.Split(text.Bytes(), []byte("\n")) {
		known := len(line) == 0
		for _, m := range Metrics {
			known = known || bytes.HasPrefix(line, []byte(m.Name))
		}
		if !known {
			t.Errorf("%s is not in the table", line)
		}
	}
}
