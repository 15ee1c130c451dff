package nats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"gosper/broker"
)

// groupHeader is on each message of a log's entries. It holds, in decimal:
//
//	token first count low id part parts [from-to …]
//
// The newest message tells all that is known of the log: who may write, which entry comes next, what was trimmed and cut.
const groupHeader = "Gosper-Log"

// bundle is what is written to a log at once: entries, or none, when only something about the log changes. Its entries are
// in one message, or in several that were stored as one atomic batch.
type bundle struct {
	token uint64 // the highest the log has seen
	first uint64 // Seq of its first entry
	count uint64
	low   uint64 // entries below were trimmed
	id    string // tells it from any other group of any node
	part  uint64 // this message's place in it, from 0
	parts uint64
	dead  []span // what was cut
}

// span are the messages of a log's subject with sequences from, up to but without to.
type span struct{ from, to uint64 }

func (s span) holds(seq uint64) bool { return s.from <= seq && seq < s.to }

// next is the Seq of the entry behind the group.
func (g *bundle) next() uint64 { return g.first + g.count }

// holds reports whether one of the spans holds the sequence, and where that span ends.
func holds(spans []span, seq uint64) (uint64, bool) {
	for _, s := range spans {
		if s.holds(seq) {
			return s.to, true
		}
	}
	return 0, false
}

func (g *bundle) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %d %d %d %s %d %d", g.token, g.first, g.count, g.low, g.id, g.part, g.parts)
	for _, s := range g.dead {
		fmt.Fprintf(&b, " %d-%d", s.from, s.to)
	}
	return b.String()
}

// errStranger: a message is there that no node of ours has written.
var errStranger = errors.New("nats: a message of the log is not ours")

// readGroup reads what String has written.
func readGroup(text string) (*bundle, error) {
	fields := strings.Fields(text)
	if len(fields) < 7 {
		return nil, errStranger
	}
	g := &bundle{id: fields[4]}
	for i, to := range map[int]*uint64{0: &g.token, 1: &g.first, 2: &g.count, 3: &g.low, 5: &g.part, 6: &g.parts} {
		var err error
		if *to, err = strconv.ParseUint(fields[i], 10, 64); err != nil {
			return nil, errStranger
		}
	}
	for _, field := range fields[7:] {
		from, to, _ := strings.Cut(field, "-")
		a, err := strconv.ParseUint(from, 10, 64)
		b, err2 := strconv.ParseUint(to, 10, 64)
		if err != nil || err2 != nil {
			return nil, errStranger
		}
		g.dead = append(g.dead, span{a, b})
	}
	if g.part >= g.parts || g.first == 0 || g.count > math.MaxUint64-g.first {
		return nil, errStranger
	}
	return g, nil
}

// messages returns the messages that store the group with these entries behind the message at after.
func (g *bundle) messages(subject string, entries [][]byte, after uint64, part int) []*nats.Msg {
	var data []byte
	for _, e := range entries {
		data = binary.AppendUvarint(data, uint64(len(e)))
		data = append(data, e...)
	}
	g.parts = max(1, uint64((len(data)+part-1)/part))
	var all []*nats.Msg
	for g.part = 0; g.part < g.parts; g.part++ {
		piece := data[:min(part, len(data))]
		data = data[len(piece):]
		h := nats.Header{groupHeader: []string{g.String()}}
		if g.part == 0 {
			h["Nats-Expected-Last-Subject-Sequence"] = []string{strconv.FormatUint(after, 10)}
		}
		all = append(all, &nats.Msg{Subject: subject, Header: h, Data: piece})
	}
	return all
}

// entries reads the entries of a whole group.
func (g *bundle) entries(data []byte) ([]broker.LogEntry, error) {
	if g.count > uint64(len(data)) {
		return nil, errStranger
	}
	found := make([]broker.LogEntry, g.count)
	for i := range found {
		size, n := binary.Uvarint(data)
		if n <= 0 || size > uint64(len(data)-n) {
			return nil, errStranger
		}
		data = data[n:]
		found[i] = broker.LogEntry{Seq: g.first + uint64(i), Data: data[:size:size]}
		data = data[size:]
	}
	if len(data) > 0 {
		return nil, errStranger
	}
	return found, nil
}
