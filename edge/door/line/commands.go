package line

import (
	"strconv"

	"gosper/edge"
	"gosper/edge/module"
	"gosper/protocol"
)

// Commands is what the commands of clients do, whatever frame they came in.
type Commands struct{}

// Command handles one command of a client. A non-empty result names a breach of the protocol, for which the session has
// to be ended. payload is used only until it returns. Loop only.
func (c Commands) Command(s *edge.Session, cmd protocol.Command, payload []byte) (breach string) {
	if !s.Trusted() && cmd != protocol.CmdRegister {
		return "not_registered"
	}
	switch cmd {
	case protocol.CmdPing:
		return c.ping(s, payload)
	case protocol.CmdPublic:
		s.Say(false, payload, refused)
	case protocol.CmdFamily:
		if s.Who().Family == "" {
			return "no_family"
		}
		s.Say(true, payload, refused)
	case protocol.CmdRegister:
		return c.register(s, payload)
	case protocol.CmdCall:
		return c.call(s, payload)
	case protocol.CmdWatch:
		return c.watch(s, payload)
	case protocol.CmdUnwatch:
		return c.unwatch(s, payload)
	case protocol.CmdEdit:
		return c.edit(s, payload)
	case protocol.CmdExit:
		if len(payload) > 0 {
			return "bad_line"
		}
		s.End(protocol.CloseNormal, "exit")
	default: // known, but not for clients to send, or not offered here
		return "unknown_command"
	}
	return ""
}

func (Commands) ping(s *edge.Session, payload []byte) (breach string) {
	if len(payload) > s.Limits().PingBytes {
		edge.LimitHit("ping_bytes")
		return "line_too_long"
	}
	Append(s, protocol.CmdPong, payload)
	return ""
}

// maxNonce bounds what is taken for a nonce.
const maxNonce = 256

// register hands a nonce to the function behind /session/register. Later lines wait for its answer.
func (Commands) register(s *edge.Session, nonce []byte) (breach string) {
	if len(nonce) == 0 || len(nonce) > maxNonce {
		return "bad_nonce"
	}
	content := append(make([]byte, 0, len(nonce)+12), `{"nonce":`...)
	content = append(protocol.AppendJSONString(content, nonce), '}')
	s.Call(edge.Request{Route: protocol.RouteRegister, Content: content, Register: true})
	return ""
}

// call hands an envelope to its function. One that cannot be read is answered, not a breach: the line was good.
func (c Commands) call(s *edge.Session, payload []byte) (breach string) {
	req, err := protocol.ParseRequest(payload)
	if err != nil {
		c.Answer(s, &edge.Request{Route: req.Route, MsgID: req.MsgID}, &module.Reply{Status: protocol.StatusUnknown, Message: err.Error()})
		s.Strike(protocol.CloseAbuse, protocol.CloseAbuse.Name())
		return ""
	}
	s.Call(edge.Request{Route: req.Route, MsgID: req.MsgID, ClientCode: req.ClientCode, Content: append([]byte(nil), req.Content...)})
	return ""
}

// Answer encodes the answer to a call.
func (Commands) Answer(s *edge.Session, req *edge.Request, rep *module.Reply) {
	switch {
	case req.Quiet:
		if rep.Status != protocol.StatusOK {
			Append(s, protocol.CmdPush, Envelope(s, req, rep))
		}
		return
	case !req.Register:
		Append(s, protocol.CmdReply, Envelope(s, req, rep))
		return
	}
	switch {
	case rep.Status == protocol.StatusOK:
	case s.Format() == edge.FormatLine:
		s.Kill("bad_nonce")
		return
	default:
		s.End(protocol.CloseAuth, "bad_nonce")
		return
	}
	Append(s, protocol.CmdOK, nil)
}

// Envelope encodes a reply, in memory of its own.
func Envelope(s *edge.Session, req *edge.Request, rep *module.Reply) []byte {
	b := make([]byte, 0, 128+len(rep.Content)+len(rep.Message)+len(req.Route))
	return protocol.AppendReply(b, req.Route, req.MsgID, rep.Status, rep.Message, rep.Content)
}

// refused tells a client that its chat text was not taken: chat has no reply of its own, so it is told as a push with
// the status.
func refused(s *edge.Session, family bool, status protocol.Status) {
	route := protocol.RouteChatPublic
	if family {
		route = protocol.RouteChatFamily
	}
	b := protocol.AppendError(nil, route, protocol.MsgID{}, status, "", strconv.AppendInt(nil, int64(status), 10))
	Append(s, protocol.CmdPush, b)
}

// Append encodes a command of the server in the form of the session: a line, or a websocket message.
func Append(s *edge.Session, cmd protocol.Command, payload []byte) {
	b := s.Buffer()
	if s.Format() == edge.FormatLine {
		*b = protocol.AppendLine(*b, cmd, payload)
		return
	}
	*b = protocol.AppendFrameHeader(*b, protocol.OpText, true, protocol.CommandSize+len(payload))
	*b = append(*b, cmd.String()...)
	*b = append(*b, payload...)
}
