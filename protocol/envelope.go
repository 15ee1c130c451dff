package protocol

import "strconv"

// Room is the "room" member of everything a server sends.
const Room = "main"

// Routes that this package or both sides of a connection know by themselves.
const (
	RouteWelcome    = "/welcome"
	RouteRegister   = "/session/register"
	RouteResume     = "/session/resume"
	RouteChatPublic = "/chat/public"
	RouteChatFamily = "/chat/family"
)

// AppendReply appends a reply envelope:
//
//	{"room":"main","route":"/x","msgId":1,"status":0,"message":"OK","content":{…}}
//
// msgId stands there only if one was sent. An empty message becomes "OK" when the status is, else the name of the
// status. content must be a valid JSON object, or nil for "{}". The result is one line: fit for websocket text and for
// the payload of REPLY.
func AppendReply(dst []byte, route string, id MsgID, status Status, message string, content []byte) []byte {
	return appendContent(appendHead(dst, route, id, status, message), content)
}

// AppendError appends a reply envelope whose content is {"data":…}. data must be valid JSON, or nil for null.
func AppendError(dst []byte, route string, id MsgID, status Status, message string, data []byte) []byte {
	dst = appendHead(dst, route, id, status, message)
	dst = append(dst, `,"content":{"data":`...)
	if len(data) == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = appendObject(dst, data)
	}
	return append(dst, '}', '}')
}

func appendHead(dst []byte, route string, id MsgID, status Status, message string) []byte {
	dst = append(dst, `{"room":"`+Room+`","route":`...)
	dst = AppendJSONString(dst, route)
	dst = appendMsgID(dst, id)
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, `,"message":`...)
	switch {
	case message != "":
		return AppendJSONString(dst, message)
	case status == StatusOK:
		return append(dst, `"OK"`...)
	}
	return AppendJSONString(dst, status.Name())
}

// AppendReplyLine is AppendReply as a frame of the line door (00000REPLY).
func AppendReplyLine(dst []byte, route string, id MsgID, status Status, message string, content []byte) []byte {
	dst = append(dst, commandText[CmdReply]...)
	dst = AppendReply(dst, route, id, status, message, content)
	return append(dst, '\r', '\n')
}

// Envelope is one message of a server, as a client reads it: a reply (MsgID as sent), a push or the welcome (no
// MsgID). Strings are copies; Content aliases the bytes parsed and is any valid JSON, "{}" when there was none.
type Envelope struct {
	Room     string
	Route    string
	MsgID    MsgID
	Status   Status
	Message  string
	Content  []byte
	Position Position // zero unless the message is of a subject with history
}

// ParseEnvelope reads a message of a server. Unknown members are ignored; of doubles the last counts. Errors:
// ErrBadJSON, ErrBadRoute, ErrBadMsgID, ErrBadContent (a status, message or position of a wrong kind).
func ParseEnvelope(buf []byte) (Envelope, error) {
	s := scanner{b: buf}
	e := Envelope{Content: emptyObject}
	var fault error
	s.take('{')
	for first := true; ; first = false {
		key, ok := s.member(first)
		if !ok {
			break
		}
		if err := e.take(&s, envelopeKey(key)); err != nil && fault == nil {
			fault = err
		}
	}
	if !s.end() {
		return Envelope{}, ErrBadJSON
	}
	return e, fault
}

func (e *Envelope) take(s *scanner, key memberKey) (err error) {
	var t text
	switch key {
	case keyRoute:
		t, err = s.stringOr(ErrBadRoute, len(s.b))
		e.Route = internRoute(t)
	case keyRoom:
		t, err = s.stringOr(ErrBadContent, len(s.b))
		if e.Room = Room; string(t.raw) != Room {
			e.Room = t.string()
		}
	case keyMessage:
		t, err = s.stringOr(ErrBadContent, len(s.b))
		if e.Message = "OK"; string(t.raw) != "OK" {
			e.Message = t.string()
		}
	case keyMsgID:
		var ok bool
		if e.MsgID, ok = parseMsgID(s.raw(1)); !ok {
			return ErrBadMsgID
		}
	case keyStatus:
		v, ok := parseInt(s.raw(1))
		if e.Status = Status(v); !ok {
			return ErrBadContent
		}
	case keyContent:
		e.Content = s.raw(1)
	case keyPosition:
		e.Position, err = s.position()
	default:
		s.value(1)
	}
	return err
}
