package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// Breaches of the line protocol. The line door closes at once on each of them, without a word; CloseCodeOf gives the
// code they are counted under.
var (
	ErrLineTooLong    = errors.New("line is longer than the limit")
	ErrUnknownCommand = errors.New("unknown or badly padded command")
	ErrBadUTF8        = errors.New("text is not UTF-8")
	ErrBadLine        = errors.New("line is short, or has a CR or LF of its own")
)

// CutLine cuts the first frame off buf: command, payload, CR LF.
//
// n is the number of bytes of the frame with its CR LF; n == 0 with a nil error means that buf holds no whole frame
// yet. max is the longest frame in bytes, CR LF included. payload aliases buf. The frame is judged as early as its
// bytes allow (an unknown command as soon as its 10 bytes are there), but the same bytes give the same answer however
// they are cut. After an error the stream cannot be continued. CutLine does not allocate.
func CutLine(buf []byte, max int) (cmd Command, payload []byte, n int, err error) {
	if len(buf) < CommandSize {
		return CmdUnknown, nil, 0, judgeShort(buf, max)
	}
	if cmd = ParseCommand(buf); cmd == CmdUnknown {
		return CmdUnknown, nil, 0, judgeUnknown(buf[:CommandSize], max)
	}
	line := buf[CommandSize:]
	if room := max - CommandSize; len(line) > room {
		if room < 0 {
			return CmdUnknown, nil, 0, ErrLineTooLong
		}
		line = line[:room]
	}
	end := bytes.IndexByte(line, '\n')
	if end < 0 {
		if CommandSize+len(line) >= max {
			return CmdUnknown, nil, 0, ErrLineTooLong
		}
		return CmdUnknown, nil, 0, nil
	}
	if end == 0 || line[end-1] != '\r' {
		return CmdUnknown, nil, 0, ErrBadLine
	}
	payload = line[: end-1 : end-1]
	if err = checkText(payload); err != nil {
		return CmdUnknown, nil, 0, err
	}
	return cmd, payload, CommandSize + end + 1, nil
}

// judgeShort judges a buffer that is too short to hold a command: at most its first max bytes count.
func judgeShort(buf []byte, max int) error {
	switch end := bytes.IndexByte(buf, '\n'); {
	case end >= 0 && end < max:
		return ErrBadLine
	case len(buf) >= max:
		return ErrLineTooLong
	}
	return nil
}

// judgeUnknown judges 10 bytes that are no command, just as judgeShort would have judged the first of them alone.
func judgeUnknown(head []byte, max int) error {
	if err := judgeShort(head, max); err != nil {
		return err
	}
	return ErrUnknownCommand
}

// ParseLine reads a frame that comes without CR LF: one websocket message of subprotocol gosper.line.v1. payload
// aliases b. The errors are those of CutLine.
func ParseLine(b []byte) (cmd Command, payload []byte, err error) {
	if len(b) < CommandSize {
		return CmdUnknown, nil, ErrBadLine
	}
	if cmd = ParseCommand(b); cmd == CmdUnknown {
		return CmdUnknown, nil, ErrUnknownCommand
	}
	payload = b[CommandSize:]
	if bytes.IndexByte(payload, '\n') >= 0 {
		return CmdUnknown, nil, ErrBadLine
	}
	if err = checkText(payload); err != nil {
		return CmdUnknown, nil, err
	}
	return cmd, payload, nil
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
	crWord   = lowBits * '\r'
)

// checkText says whether p, which has no LF, is UTF-8 without CR. It reads up to 32 bytes a step and looks at runes only
// when a byte is not ASCII.
func checkText(p []byte) error {
	rest := p
	for len(rest) >= 32 {
		w := rest[:32:32]
		if suspect(binary.LittleEndian.Uint64(w))|suspect(binary.LittleEndian.Uint64(w[8:]))|
			suspect(binary.LittleEndian.Uint64(w[16:]))|suspect(binary.LittleEndian.Uint64(w[24:])) != 0 {
			return checkRunes(p)
		}
		rest = rest[32:]
	}
	for len(rest) >= 8 {
		if suspect(binary.LittleEndian.Uint64(rest)) != 0 {
			return checkRunes(p)
		}
		rest = rest[8:]
	}
	for _, c := range rest {
		if c == '\r' || c >= utf8.RuneSelf {
			return checkRunes(p)
		}
	}
	return nil
}

// suspect is not 0 when a byte of w may be CR or is not ASCII. It may be so too often, never too seldom.
func suspect(w uint64) uint64 {
	x := w ^ crWord
	return (w | (x-lowBits)&^x) & highBits
}

func checkRunes(p []byte) error {
	if bytes.IndexByte(p, '\r') >= 0 {
		return ErrBadLine
	}
	if !utf8.Valid(p) {
		return ErrBadUTF8
	}
	return nil
}

// AppendLine appends one frame with its CR LF. The parts of payload are joined without anything between them and must
// hold UTF-8 without CR and LF: AppendLine does not look at them.
func AppendLine(dst []byte, cmd Command, payload ...[]byte) []byte {
	dst = append(dst, cmd.String()...)
	for _, p := range payload {
		dst = append(dst, p...)
	}
	return append(dst, '\r', '\n')
}

// CutText cuts one line of any UTF-8 text that ends in CR LF off buf: what the gate and its workers speak. n and max
// count the CR LF; n == 0 with a nil error means incomplete. text aliases buf. Errors: ErrLineTooLong, ErrBadLine,
// ErrBadUTF8.
func CutText(buf []byte, max int) (text []byte, n int, err error) {
	line := buf
	if len(line) > max {
		line = line[:max]
	}
	end := bytes.IndexByte(line, '\n')
	if end < 0 {
		if len(line) >= max {
			return nil, 0, ErrLineTooLong
		}
		return nil, 0, nil
	}
	if end == 0 || line[end-1] != '\r' {
		return nil, 0, ErrBadLine
	}
	text = line[: end-1 : end-1]
	if err = checkText(text); err != nil {
		return nil, 0, err
	}
	return text, end + 1, nil
}
