// Package line is the door of phones and bots: fixed-width command lines over raw TCP.
//
// A line is a command of 10 characters, a payload and CR LF (package protocol). The first has to be REGISTER with a
// nonce. Any breach of the protocol closes the connection at once and without a word, counted by its reason.
//
// The commands themselves are in Commands, because the websocket door speaks them too (subprotocol gosper.line.v1).
package line

import (
	"encoding/binary"
	"errors"

	"gosper/edge"
	"gosper/edge/module"
	"gosper/protocol"
)

// Door is the line door. It has no state: one serves all listeners.
type Door struct{ Commands }

// New returns a line door.
func New() *Door { return &Door{} }

// Name returns "line".
func (*Door) Name() string { return "line" }

// Open says nothing: the client speaks first.
func (*Door) Open(s *edge.Session, _ *edge.AdoptInfo) { s.SetFormat(edge.FormatLine) }

// Frames handles the whole lines at the start of b.
func (d *Door) Frames(s *edge.Session, b []byte) (n int) {
	if s.Closing() {
		return len(b)
	}
	lim := s.Limits()
	if !s.Trusted() && s.GuestIn() > lim.GuestIn {
		edge.LimitHit("guest_in")
		s.Kill("guest_in")
		return 0
	}
	for n < len(b) {
		if s.Trusted() {
			n += d.pings(s, b[n:], lim.PingBytes)
			if s.Closing() {
				return len(b)
			}
			if n == len(b) {
				return n
			}
		}
		cmd, payload, size, err := protocol.CutLine(b[n:], lim.LineBytes)
		if err != nil {
			s.Count(edge.FrameBad, 1)
			s.Kill(breach(err))
			return n
		}
		if size == 0 {
			return n
		}
		n += size
		s.Count(edge.Frame(cmd), 1)
		if reason := d.Command(s, cmd, payload); reason != "" {
			s.Kill(reason)
		}
		if s.Paused() || s.Closed() {
			return n
		}
		if s.Closing() {
			return len(b)
		}
		if s.Full() {
			s.Flush()
		}
	}
	return n
}

// breach names an error of CutLine for the metrics.
func breach(err error) string {
	switch {
	case errors.Is(err, protocol.ErrLineTooLong):
		edge.LimitHit("line_bytes")
		return "line_too_long"
	case errors.Is(err, protocol.ErrUnknownCommand):
		return "unknown_command"
	case errors.Is(err, protocol.ErrBadUTF8):
		return "bad_utf8"
	}
	return "bad_line"
}

// The first eight bytes of "000000PING", as a number.
var pingHead = binary.LittleEndian.Uint64([]byte("000000PI"))

// pings answers a run of PING lines at the start of b and returns its length. The answer to a PING is the same line with
// one letter changed, so a whole run is answered by changing those letters and sending the bytes back: the cost of a
// frame is that of looking at it. Anything odd ends the run and is left to the common way.
func (d *Door) pings(s *edge.Session, b []byte, most int) (n int) {
	count := 0
	for {
		size := pingLine(b[n:], most)
		if size == 0 {
			break
		}
		b[n+7] = 'O'
		n += size
		count++
	}
	if count == 0 {
		return 0
	}
	s.Count(edge.Frame(protocol.CmdPing), count)
	out := s.Buffer()
	if n == len(b) && len(*out) == 0 {
		s.Send(b)
		return n
	}
	*out = append(*out, b[:n]...)
	return n
}

// pingLine returns the length of the PING line at the start of b, or 0 if there is no whole and plain one: printable
// ASCII of at most most bytes.
func pingLine(b []byte, most int) int {
	const head = protocol.CommandSize
	if len(b) < head+2 || binary.LittleEndian.Uint64(b) != pingHead || b[8] != 'N' || b[9] != 'G' {
		return 0
	}
	i := head
	for len(b)-i >= 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		if odd := controlOrHigh(w); odd != 0 {
			break
		}
		i += 8
	}
	for i < len(b) && b[i] >= ' ' && b[i] < 0x80 {
		i++
	}
	if i+1 >= len(b) || b[i] != '\r' || b[i+1] != '\n' || i-head > most {
		return 0
	}
	return i + 2
}

// controlOrHigh is not 0 if a byte of w is below ' ' or above 0x7f. It may be not 0 too often, never too seldom.
func controlOrHigh(w uint64) uint64 {
	const low, high = 0x0101010101010101, 0x8080808080808080
	return (w | (w-low*' ')&^w) & high
}

// Reply answers a call: OK to REGISTER, silence and the end to a bad one, REPLY to a CALL.
func (d *Door) Reply(s *edge.Session, req *edge.Request, rep *module.Reply) { d.Answer(s, req, rep) }

// Goodbye tells a registered client why it is closed, unless it asked for it; to others nothing is said.
func (*Door) Goodbye(s *edge.Session, code protocol.CloseCode) (answered bool) {
	if s.Trusted() && code != protocol.CloseNormal {
		b := s.Buffer()
		*b = protocol.AppendCloseLine(*b, code)
	}
	return false
}

// Beats is false: dead peers are found by TCP keep-alive.
func (*Door) Beats() bool { return false }

// Beat does nothing.
func (*Door) Beat(*edge.Session) {}

// TooSlow is 0: a line that does not end is closed without a word.
func (*Door) TooSlow() protocol.CloseCode { return 0 }
