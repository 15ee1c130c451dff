package protocol

import (
	"encoding/binary"
	"unicode/utf8"
)

// Assembler is the receiving half of one websocket connection: it checks frames, unmasks them and joins fragments. Its
// zero value reads what a server sends; set Server to read what clients send. It is small while no message is in
// fragments (40 bytes), so that idle connections cost next to nothing. It belongs to one goroutine at a time.
type Assembler struct {
	Max    int  // longest message in bytes, fragments joined; 0 means DefaultMessage
	Server bool // this side is the server: frames must be masked. false: they must not be

	op   Opcode // of the message under way: OpText, OpBinary; 0 when there is none
	tail uint8  // bytes at the end of parts that start a rune of text and do not end it: 0 to 3
	// parts is the message under way, joined. It is given away with the event that completes the message.
	parts []byte
}

// Event is what one frame came to. With Complete, Payload is a whole message (OpText, OpBinary) or the payload of a
// control frame (OpClose, OpPing, OpPong), valid until the next call: it aliases the bytes given to Next or the
// assembler's own. Without Complete the frame was a fragment, and there is no payload yet; Op is that of its message.
type Event struct {
	Payload  []byte
	Op       Opcode
	Complete bool
}

// Next takes one whole frame from the start of buf and unmasks its payload in place. n is the length of the frame;
// n == 0 with a nil error means that buf does not hold a whole frame yet, and nothing was changed. Errors are *WSError;
// they come as soon as the bytes that tell are there (a header is judged before its payload came, text at the end of each
// fragment), and the stream cannot be continued: do not call Next again. After a close frame no more data may follow:
// stop calling.
//
// A frame in one piece costs no allocation. Control frames may come between fragments. The payload of a close frame
// was checked; read it with ParseClose.
func (a *Assembler) Next(buf []byte) (ev Event, n int, err error) {
	h, n, err := ParseFrameHeader(buf)
	if err != nil || n == 0 {
		return Event{}, 0, err
	}
	if err := a.judge(&h); err != nil {
		return Event{}, 0, err
	}
	if uint64(len(buf)-n) < h.Length {
		return Event{}, 0, nil
	}
	end := n + int(h.Length)
	payload := buf[n:end:end]
	var seen uint64 = highBits
	if h.Masked {
		seen = maskAll(payload, binary.LittleEndian.Uint32(h.Mask[:]))
	}
	if h.Fin && a.op == 0 || h.Op.Control() {
		if err := checkWhole(h.Op, payload, seen); err != nil {
			return Event{}, 0, err
		}
		return Event{Payload: payload, Op: h.Op, Complete: true}, end, nil
	}
	ev, err = a.join(&h, payload)
	if err != nil {
		return Event{}, 0, err
	}
	return ev, end, nil
}

// judge checks a header against the role, the message under way and the limit. No arithmetic is done on the length
// before it is known to be within the limit.
func (a *Assembler) judge(h *FrameHeader) error {
	if h.Masked != a.Server {
		if a.Server {
			return ErrNotMasked
		}
		return ErrMasked
	}
	if h.Op.Control() {
		return nil
	}
	if (h.Op == OpContinuation) != (a.op != 0) {
		return ErrFragment
	}
	room := a.Max - len(a.parts)
	if a.Max <= 0 {
		room = DefaultMessage - len(a.parts)
	}
	if room < 0 || h.Length > uint64(room) { // room < 0: Max was lowered inside a message
		return ErrTooBig
	}
	return nil
}

// checkWhole checks a payload that came in one frame. seen tells whether all of it is ASCII: see maskAll.
func checkWhole(op Opcode, payload []byte, seen uint64) error {
	switch op {
	case OpText:
		if seen&highBits != 0 && !utf8.Valid(payload) {
			return ErrTextUTF8
		}
	case OpClose:
		return checkClose(payload)
	}
	return nil
}

// join adds a fragment to the message under way.
func (a *Assembler) join(h *FrameHeader, payload []byte) (Event, error) {
	if h.Op != OpContinuation {
		a.op = h.Op
	}
	from := len(a.parts) - int(a.tail)
	a.parts = append(a.parts, payload...)
	if a.op == OpText {
		text := a.parts[from:]
		a.tail = 0
		if !h.Fin {
			a.tail = openRune(text)
		}
		if !utf8.Valid(text[:len(text)-int(a.tail)]) {
			return Event{}, ErrTextUTF8
		}
	}
	ev := Event{Op: a.op, Complete: h.Fin}
	if h.Fin {
		ev.Payload = a.parts
		a.parts, a.op, a.tail = nil, 0, 0
	}
	return ev, nil
}

// openRune returns how many bytes at the end of p are a good start of a rune that has not ended: 0 to 3.
func openRune(p []byte) uint8 {
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		if last := p[len(p)-i:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0 // whole, or wrong already: utf8.Valid will tell
			}
			return uint8(i)
		}
	}
	return 0
}
