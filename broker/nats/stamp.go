package nats

import (
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
)

// stampHeader is the header that every message of a node carries: blank-separated fields, three of them without history,
// eight with it.
const stampHeader = "Gosper"

// anchorEvery is the distance of anchors: each message with history names the stream sequence of the newest earlier
// message whose offset is a multiple of it, so a reader finds an old offset in a few steps back.
const anchorEvery = 64

// maxStamp is the longest header that is read: a node's name and seven numbers of at most 13 digits, with room.
const maxStamp = 160

// stamp is what the header says.
type stamp struct {
	node string    // random, made when the node connected first
	n    uint64    // grows with each message of the node that has no history; tells copies. 0 with history
	at   time.Time // when the node took the message

	// With history only; else 0.
	broker.Position
	first  uint64        // lowest offset that Keep.Messages lets readers see
	age    time.Duration // Keep.Age
	anchor uint64        // stream sequence; 0: none yet
}

// header returns the message header with the stamp.
func (s *stamp) header() nats.Header {
	b := make([]byte, 0, 96)
	b = append(b, s.node...)
	fields := [...]uint64{s.n, uint64(s.at.UnixMicro()), s.Epoch, s.Offset, s.first, uint64(s.age), s.anchor}
	used := fields[:]
	if s.Offset == 0 {
		used = fields[:2]
	}
	for _, f := range used {
		b = strconv.AppendUint(append(b, ' '), f, 36)
	}
	return nats.Header{stampHeader: {string(b)}}
}

// readStamp reads the stamp of a message; false when it has none of ours.
func readStamp(h nats.Header) (s stamp, ok bool) {
	values := h[stampHeader]
	if len(values) != 1 || len(values[0]) > maxStamp {
		return s, false
	}
	parts := strings.Split(values[0], " ")
	n := len(parts) - 1
	var fields [7]uint64
	if parts[0] == "" || n != 2 && n != len(fields) {
		return s, false
	}
	s.node = parts[0]
	for i, part := range parts[1:] {
		v, err := strconv.ParseUint(part, 36, 63)
		if err != nil {
			return s, false
		}
		fields[i] = v
	}
	s.n, s.at = fields[0], time.UnixMicro(int64(fields[1]))
	if n == 2 {
		return s, true
	}
	s.Position = broker.Position{Epoch: fields[2], Offset: fields[3]}
	s.first, s.age, s.anchor = fields[4], time.Duration(fields[5]), fields[6]
	return s, s.Epoch > 0 && s.Offset > 0 && s.first <= s.Offset
}
