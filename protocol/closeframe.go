package protocol

import (
	"encoding/binary"
	"unicode/utf8"
)

// AppendClose appends an unmasked close frame. A code that may not be sent (Sendable) gives a frame without payload;
// the reason is cut to MaxCloseReason bytes at the border of a rune, and left out if it is not UTF-8.
func AppendClose(dst []byte, code CloseCode, reason string) []byte {
	reason = closeReason(code, reason)
	if !code.Sendable() {
		return appendHeader(dst, OpClose, true, 0, 0)
	}
	dst = appendHeader(dst, OpClose, true, 0, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, uint16(code))
	return append(dst, reason...)
}

// AppendMaskedClose is AppendClose for clients.
func AppendMaskedClose(dst []byte, mask [4]byte, code CloseCode, reason string) []byte {
	var payload [MaxControl]byte
	p := payload[:0]
	if code.Sendable() {
		p = binary.BigEndian.AppendUint16(p, uint16(code))
		p = append(p, closeReason(code, reason)...)
	}
	return AppendMaskedFrame(dst, OpClose, mask, p)
}

func closeReason(code CloseCode, reason string) string {
	if !code.Sendable() || !utf8.ValidString(reason) {
		return ""
	}
	if len(reason) <= MaxCloseReason {
		return reason
	}
	end := MaxCloseReason
	for !utf8.RuneStart(reason[end]) {
		end--
	}
	return reason[:end]
}

// ParseClose reads the payload of a close frame. An empty payload gives CloseNoStatus. Errors: ErrClosePayload for one
// byte or a code that may not be sent, ErrCloseUTF8.
func ParseClose(payload []byte) (code CloseCode, reason string, err error) {
	if err := checkClose(payload); err != nil {
		return 0, "", err
	}
	if len(payload) == 0 {
		return CloseNoStatus, "", nil
	}
	return CloseCode(binary.BigEndian.Uint16(payload)), string(payload[2:]), nil
}

func checkClose(payload []byte) error {
	if len(payload) == 0 {
		return nil
	}
	if len(payload) == 1 || !CloseCode(binary.BigEndian.Uint16(payload)).Sendable() {
		return ErrClosePayload
	}
	if !utf8.Valid(payload[2:]) {
		return ErrCloseUTF8
	}
	return nil
}
