package edge

import (
	"sync"

	"gosper/broker"
	"gosper/protocol"
)

// message is one bus message on its way to the sessions of a subject. It is shared by all loops, and so are its encoded
// forms, each made by the first loop that needs it.
type message struct {
	*broker.Message
	subject *subject

	mu   sync.Mutex
	form [formats][]byte // guarded by mu until set, then read only; empty means it cannot be sent
}

// encoded returns the bytes for sessions of format f. They are read only. Nothing is returned for bus data that is not
// a push: bytes of other services do not reach clients unchecked.
func (m *message) encoded(f Format) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.form[f] == nil {
		m.form[f] = m.encode(f)
	}
	return m.form[f]
}

func (m *message) encode(f Format) []byte {
	if f == FormatText || f == FormatTextPlaced {
		return m.text(f == FormatTextPlaced)
	}
	p, err := protocol.ParsePush(m.Data)
	if err != nil {
		badMessages.Inc()
		return []byte{}
	}
	room := len(m.Data) + 192 // envelope, position, subject, frame header: nearly always enough
	switch f {
	case FormatEnvelope:
		b := make([]byte, 0, room+len(m.Subject))
		b = protocol.AppendPushEnvelope(b, p, m.Subject, m.Epoch, m.Offset)
		return frameText(b)
	case FormatFrame:
		b := protocol.AppendPushLine(make([]byte, 0, room), p)
		return frameText(b[:len(b)-2])
	default:
		return protocol.AppendPushLine(make([]byte, 0, room), p)
	}
}

// text is the data as it is, for listeners to events.
func (m *message) text(placed bool) []byte {
	if !protocol.ValidJSON(m.Data) {
		badMessages.Inc()
		return []byte{}
	}
	b := make([]byte, 0, len(m.Data)+128)
	if placed && m.Offset > 0 {
		return frameText(protocol.AppendPlaced(b, m.Data, m.Subject, m.Epoch, m.Offset))
	}
	return protocol.AppendFrame(b, protocol.OpText, m.Data)
}

// frameText puts the header of a text frame before b, in place when b has room for it.
func frameText(b []byte) []byte {
	var head [protocol.MaxFrameHeader]byte
	h := protocol.AppendFrameHeader(head[:0], protocol.OpText, true, len(b))
	n := len(b)
	b = append(b, h...)
	copy(b[len(h):], b[:n])
	copy(b, h)
	return b
}

// after reports whether the message lies behind p in the history of its subject. One without a position always does.
func (m *message) after(p broker.Position) bool {
	return m.Offset == 0 || m.Epoch != p.Epoch || m.Offset > p.Offset
}
