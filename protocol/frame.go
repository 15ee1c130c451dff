package protocol

import "encoding/binary"

// Opcode is the kind of a websocket frame (RFC 6455, section 5.2).
type Opcode uint8

// Opcodes of RFC 6455, section 5.2.
const (
	OpContinuation Opcode = 0x0
	OpText         Opcode = 0x1
	OpBinary       Opcode = 0x2
	OpClose        Opcode = 0x8
	OpPing         Opcode = 0x9
	OpPong         Opcode = 0xA
)

// Control reports whether frames of this kind are control frames: never in fragments, at most MaxControl bytes, and
// allowed between the fragments of a message.
func (op Opcode) Control() bool { return op&8 != 0 }

func (op Opcode) known() bool { return op <= OpBinary || op >= OpClose && op <= OpPong }

// Sizes of RFC 6455, section 5, in bytes.
const (
	MaxControl     = 125       // longest payload of a control frame, in bytes (section 5.5)
	MaxCloseReason = 123       // longest reason in a close frame: MaxControl less the two bytes of the code
	MaxFrameHeader = 14        // longest header of a frame: 2 bytes, 8 of length, 4 of mask
	DefaultMessage = 64 * 1024 // longest message of an Assembler whose Max is 0, in bytes
)

// WSError is a breach of RFC 6455. Code is what the close frame of the answer carries. All are made once: compare
// them with ==, and read them from any goroutine.
type WSError struct {
	Code   CloseCode
	Reason string
}

func (e *WSError) Error() string { return "websocket: " + e.Reason }

// Breaches that frames and messages can have.
var (
	ErrReservedBits   = &WSError{CloseProtocol, "reserved bits are set"}
	ErrReservedOpcode = &WSError{CloseProtocol, "reserved opcode"}
	ErrControlFrame   = &WSError{CloseProtocol, "control frame is fragmented or too long"}
	ErrBadLength      = &WSError{CloseProtocol, "length is not in its shortest form, or has its top bit set"}
	ErrNotMasked      = &WSError{CloseProtocol, "frame of a client is not masked"}
	ErrMasked         = &WSError{CloseProtocol, "frame of a server is masked"}
	ErrFragment       = &WSError{CloseProtocol, "continuation without a start, or a start inside a message"}
	ErrTooBig         = &WSError{CloseTooBig, "message is longer than the limit"}
	ErrTextUTF8       = &WSError{CloseBadData, "text message is not UTF-8"}
	ErrClosePayload   = &WSError{CloseProtocol, "close frame has a bad code or half of one"}
	ErrCloseUTF8      = &WSError{CloseBadData, "close reason is not UTF-8"}
)

// FrameHeader is the header of one frame. The reserved bits are not in it: without an extension they must be 0.
type FrameHeader struct {
	Length uint64 // of the payload in bytes, below 1<<63
	Mask   [4]byte
	Op     Opcode
	Fin    bool
	Masked bool
}

// ParseFrameHeader reads the header at the start of buf. n is its length in bytes; n == 0 with a nil error means that
// buf holds only a part of it. Errors are *WSError: ErrReservedBits, ErrReservedOpcode, ErrControlFrame, ErrBadLength,
// found in the order of the bytes and as soon as they are there, so that cuts do not change the answer. It knows nothing
// of limits, roles and messages: see Assembler.
func ParseFrameHeader(buf []byte) (h FrameHeader, n int, err error) {
	if len(buf) == 0 {
		return h, 0, nil
	}
	first := buf[0]
	h.Fin, h.Op = first&0x80 != 0, Opcode(first&0x0f)
	if first&0x70 != 0 {
		return h, 0, ErrReservedBits
	}
	if !h.Op.known() {
		return h, 0, ErrReservedOpcode
	}
	if h.Op.Control() && !h.Fin {
		return h, 0, ErrControlFrame
	}
	if len(buf) < 2 {
		return h, 0, nil
	}
	short := buf[1] & 0x7f
	h.Masked = buf[1]&0x80 != 0
	n = 2
	switch {
	case short <= MaxControl:
		h.Length = uint64(short)
	case h.Op.Control():
		return h, 0, ErrControlFrame
	case short == 126:
		if n = 4; len(buf) < n {
			return h, 0, nil
		}
		if h.Length = uint64(binary.BigEndian.Uint16(buf[2:])); h.Length < 126 {
			return h, 0, ErrBadLength
		}
	default:
		if n = 10; len(buf) < n {
			return h, 0, nil
		}
		if h.Length = binary.BigEndian.Uint64(buf[2:]); h.Length < 1<<16 || h.Length >= 1<<63 {
			return h, 0, ErrBadLength
		}
	}
	if h.Masked {
		if len(buf) < n+4 {
			return h, 0, nil
		}
		h.Mask = [4]byte(buf[n:])
		n += 4
	}
	return h, n, nil
}

// AppendFrameHeader appends the header of an unmasked frame with a payload of length bytes, length in its shortest
// form. Not for control frames with length above MaxControl.
func AppendFrameHeader(dst []byte, op Opcode, fin bool, length int) []byte {
	return appendHeader(dst, op, fin, 0, length)
}

func appendHeader(dst []byte, op Opcode, fin bool, maskBit byte, length int) []byte {
	first := byte(op)
	if fin {
		first |= 0x80
	}
	switch {
	case length <= 125:
		return append(dst, first, maskBit|byte(length))
	case length <= 0xffff:
		return append(dst, first, maskBit|126, byte(length>>8), byte(length))
	}
	dst = append(dst, first, maskBit|127)
	return binary.BigEndian.AppendUint64(dst, uint64(length))
}

// AppendFrame appends a whole unmasked message in one frame: what servers send.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	dst = appendHeader(dst, op, true, 0, len(payload))
	return append(dst, payload...)
}

// AppendMaskedFrame appends a whole masked message in one frame: what clients send. The mask should be hard to guess
// for those who choose the payload (section 5.3); it comes from the caller because this package has no randomness.
// payload is not changed.
func AppendMaskedFrame(dst []byte, op Opcode, mask [4]byte, payload []byte) []byte {
	dst = appendHeader(dst, op, true, 0x80, len(payload))
	dst = append(dst, mask[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	Mask(dst[start:], mask)
	return dst
}
