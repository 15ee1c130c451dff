package protocol

import "strconv"

// maxMsgID is the longest msgId in bytes as it stands in JSON: the longest 64-bit integer in quotes.
const maxMsgID = 22

// MsgID is the number by which a client tells its calls apart: an integer or a string of one. It keeps the exact bytes
// the client sent, without allocating, and can be compared and used as a map key. The zero value is "none sent".
type MsgID struct {
	n int8
	b [maxMsgID + 1]byte
}

// NewMsgID returns the id that stands as the integer v on the wire.
func NewMsgID(v int64) MsgID {
	var id MsgID
	id.n = int8(len(strconv.AppendInt(id.b[:0], v, 10)))
	return id
}

// parseMsgID reads the raw JSON of a msgId. null is the same as none. ok is false for what is not an integer of at most
// 64 bits or a string of one.
func parseMsgID(raw []byte) (id MsgID, ok bool) {
	if string(raw) == "null" {
		return MsgID{}, true
	}
	if len(raw) == 0 || len(raw) > maxMsgID {
		return MsgID{}, false
	}
	digits := raw
	if raw[0] == '"' {
		digits = raw[1 : len(raw)-1]
	}
	if _, ok := parseInt(digits); !ok {
		return MsgID{}, false
	}
	id.n = int8(copy(id.b[:], raw))
	return id, true
}

// Present reports whether there is an id.
func (id MsgID) Present() bool { return id.n > 0 }

// Int returns the id as a number, and false when there is none.
func (id MsgID) Int() (int64, bool) {
	raw := id.b[:id.n]
	if id.n > 0 && raw[0] == '"' {
		raw = raw[1 : id.n-1]
	}
	return parseInt(raw)
}

// String returns the id as it stands in JSON, or "" for none.
func (id MsgID) String() string { return string(id.b[:id.n]) }

// parseInt reads a decimal integer of 64 bits with an optional "-".
func parseInt(b []byte) (int64, bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	v, ok := parseUint(b)
	switch {
	case !ok:
		return 0, false
	case negative && v <= 1<<63:
		return -int64(v), true
	case !negative && v < 1<<63:
		return int64(v), true
	}
	return 0, false
}

// parseUint reads a decimal integer of 64 bits.
func parseUint(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	var v uint64
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || v > (1<<64-1)/10 {
			return 0, false
		}
		if v = v*10 + d; v < d {
			return 0, false
		}
	}
	return v, true
}

func isUint(b []byte) bool {
	_, ok := parseUint(b)
	return ok
}
