// Package websocket is the door of browsers: RFC 6455 frames that carry route envelopes or, under the subprotocol
// gosper.line.v1, command lines. The HTTP upgrade happens elsewhere; the connection comes through edge.Engine.Adopt.
package websocket

import (
	"strconv"

	"gosper/edge"
	"gosper/edge/module"
	"gosper/protocol"
)

// SubprotocolLine is the subprotocol under which each text message is one command line without CR LF.
const SubprotocolLine = "gosper.line.v1"

// Commands is what command lines do: the line door's part that both doors share.
type Commands interface {
	// Command handles one command; a non-empty result names a breach, for which the session has to be ended.
	Command(s *edge.Session, cmd protocol.Command, payload []byte) (breach string)
	// Answer encodes the answer to a call that came as a command.
	Answer(s *edge.Session, req *edge.Request, rep *module.Reply)
}

// Door is the websocket door. It has no state of connections: one serves all.
type Door struct{ commands Commands }

// New returns a websocket door that gives command lines to commands.
func New(commands Commands) *Door { return &Door{commands} }

// state is what a session of this door has of its own.
type state struct {
	frames   protocol.Assembler
	lines    bool                               // speaks command lines
	farewell bool                               // the peer has closed too
	text     func(s *edge.Session, text []byte) // takes text messages of a door that speaks neither lines nor envelopes

	// of the events door
	listening *edge.Listening
	hears     bool // subscribed to everything
	pings     int  // that wait for it
}

// Name returns "ws".
func (*Door) Name() string { return "ws" }

// Open welcomes a client that speaks envelopes.
func (d *Door) Open(s *edge.Session, info *edge.AdoptInfo) {
	st := &state{lines: info.Subprotocol == SubprotocolLine}
	st.frames.Server = true
	st.frames.Max = s.Limits().MessageBytes
	s.State = st
	if st.lines {
		s.SetFormat(edge.FormatFrame)
		return
	}
	s.SetFormat(edge.FormatEnvelope)
	welcome := info.Welcome
	if welcome == nil {
		welcome = append([]byte(nil), `{"connection":"`...)
		welcome = strconv.AppendUint(welcome, s.ID(), 10)
		welcome = append(welcome, `","heartbeat":`...)
		welcome = strconv.AppendFloat(welcome, s.Limits().Heartbeat.Seconds(), 'g', -1, 64)
		welcome = append(welcome, '}')
	}
	envelope(s, &edge.Request{Route: protocol.RouteWelcome}, &module.Reply{Content: welcome})
}

// Frames handles the whole frames at the start of b.
func (d *Door) Frames(s *edge.Session, b []byte) (n int) {
	st := s.State.(*state)
	for n < len(b) {
		if st.farewell {
			return len(b)
		}
		if !s.Trusted() {
			if !guest(s, st, b[n:]) {
				return n
			}
		} else if st.lines && !s.Fragmented() && !s.Closing() {
			if n += pings(s, b[n:], s.Limits().PingBytes); n == len(b) {
				return n
			}
		}
		ev, size, err := st.frames.Next(b[n:])
		if err != nil {
			if s.Closing() { // it has been told already
				return len(b)
			}
			s.Count(edge.FrameBad, 1)
			code := protocol.CloseCodeOf(err)
			if code == protocol.CloseTooBig {
				edge.LimitHit("message_bytes")
			}
			st.farewell = true // what follows cannot be understood, an answer to our close neither
			s.End(code, code.Name())
			return len(b)
		}
		if size == 0 {
			return n
		}
		n += size
		d.event(s, st, ev)
		if s.Paused() || s.Closed() {
			return n
		}
		if s.Full() {
			s.Flush()
		}
	}
	return n
}

// guest judges the length of a frame of a client that has not logged in, before its bytes are waited for.
func guest(s *edge.Session, st *state, b []byte) bool {
	h, _, err := protocol.ParseFrameHeader(b)
	if err != nil || s.Closing() || h.Length <= uint64(s.Limits().GuestIn) {
		return true
	}
	edge.LimitHit("guest_in")
	st.farewell = true // its payload is not waited for, so what follows cannot be read
	s.End(protocol.CloseTooBig, "guest_in")
	return false
}

// event handles what one frame came to.
func (d *Door) event(s *edge.Session, st *state, ev protocol.Event) {
	if ev.Op == protocol.OpClose {
		s.Count(edge.FrameClose, 1)
		d.farewell(s, st, ev.Payload)
		return
	}
	if s.Closing() {
		return
	}
	switch ev.Op {
	case protocol.OpPing:
		s.Count(edge.FramePing, 1)
		if !s.TakeControl() {
			s.End(protocol.CloseRate, "control_rate")
			return
		}
		out := s.Buffer()
		*out = protocol.AppendFrame(*out, protocol.OpPong, ev.Payload)
	case protocol.OpPong:
		s.Count(edge.FramePong, 1)
		if !s.TakeControl() {
			s.End(protocol.CloseRate, "control_rate")
		}
	case protocol.OpBinary:
		s.Count(edge.FrameBinary, 1)
		s.End(protocol.CloseUnsupported, protocol.CloseUnsupported.Name())
	case protocol.OpText:
		d.text(s, st, ev)
	}
}

// text handles a text message, or its fragment.
func (d *Door) text(s *edge.Session, st *state, ev protocol.Event) {
	switch {
	case !ev.Complete:
		s.Fragment(true)
		return
	case st.text != nil:
		st.text(s, ev.Payload)
	case st.lines:
		d.line(s, ev.Payload)
	default:
		d.call(s, ev.Payload)
	}
	s.Fragment(false)
}

// line handles a command line.
func (d *Door) line(s *edge.Session, text []byte) {
	cmd, payload, err := protocol.ParseLine(text)
	if err != nil || len(text)+2 > s.Limits().LineBytes {
		s.Count(edge.FrameBad, 1)
		s.End(protocol.ClosePolicy, "bad_line")
		return
	}
	s.Count(edge.Frame(cmd), 1)
	if reason := d.commands.Command(s, cmd, payload); reason != "" {
		s.End(protocol.ClosePolicy, reason)
	}
}

// call handles an envelope. One that cannot be read is answered, and ends the session when there are too many.
func (d *Door) call(s *edge.Session, text []byte) {
	s.Count(edge.FrameEnvelope, 1)
	req, err := protocol.ParseRequest(text)
	if err != nil {
		envelope(s, &edge.Request{Route: req.Route, MsgID: req.MsgID}, &module.Reply{Status: protocol.StatusUnknown, Message: err.Error()})
		s.Strike(protocol.CloseAbuse, protocol.CloseAbuse.Name())
		return
	}
	s.Call(edge.Request{Route: req.Route, MsgID: req.MsgID, ClientCode: req.ClientCode, Content: append([]byte(nil), req.Content...)})
}

// farewell handles a close frame: it is answered once, then the connection ends.
func (d *Door) farewell(s *edge.Session, st *state, payload []byte) {
	st.farewell = true
	if s.Closing() { // the answer to ours
		s.Hangup()
		return
	}
	code, _, err := protocol.ParseClose(payload)
	if err != nil {
		code = protocol.CloseProtocol
	}
	s.End(code, "client")
}

// Reply encodes the answer to a call.
func (d *Door) Reply(s *edge.Session, req *edge.Request, rep *module.Reply) {
	if s.State.(*state).lines {
		d.commands.Answer(s, req, rep)
		return
	}
	envelope(s, req, rep)
}

// envelope sends a reply as a text message.
func envelope(s *edge.Session, req *edge.Request, rep *module.Reply) {
	out := s.Buffer()
	start := len(*out)
	*out = protocol.AppendReply(*out, req.Route, req.MsgID, rep.Status, rep.Message, rep.Content)
	*out = insertHeader(*out, start)
}

// insertHeader puts the header of a text frame before b[start:].
func insertHeader(b []byte, start int) []byte {
	var head [protocol.MaxFrameHeader]byte
	size := len(b) - start
	h := protocol.AppendFrameHeader(head[:0], protocol.OpText, true, size)
	b = append(b, h...)
	copy(b[start+len(h):], b[start:start+size])
	copy(b[start:], h)
	return b
}

// Goodbye sends a close frame. The peer is expected to answer it, unless it closed first.
func (*Door) Goodbye(s *edge.Session, code protocol.CloseCode) (answered bool) {
	out := s.Buffer()
	*out = protocol.AppendClose(*out, code, code.Name())
	st, ok := s.State.(*state)
	return ok && !st.farewell
}

// Beats is true: browsers cannot ping by themselves.
func (*Door) Beats() bool { return true }

// Beat sends a ping.
func (*Door) Beat(s *edge.Session) {
	out := s.Buffer()
	*out = protocol.AppendFrame(*out, protocol.OpPing, nil)
}

// TooSlow is the code for a message that does not become complete.
func (*Door) TooSlow() protocol.CloseCode { return protocol.ClosePolicy }
