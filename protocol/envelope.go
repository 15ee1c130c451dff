package protocol

import (
	"bytes"
	"errors"
	"strconv"
)

// Room is the "room" member of everything a server sends.
const Room = "main"

const (
	MaxRoute      = 128 // longest route of a request in bytes
	MaxClientCode = 128 // longest clientCode of a request in bytes
)

// Routes that this package or both sides of a connection know by themselves.
const (
	RouteWelcome    = "/welcome"
	RouteRegister   = "/session/register"
	RouteResume     = "/session/resume"
	RouteChatPublic = "/chat/public"
	RouteChatFamily = "/chat/family"
)

// Faults of a request, all answered with StatusUnknown. ErrBadJSON: not one JSON object (or nested deeper than
// MaxDepth). The others leave Route and MsgID in the returned Request when they were good, so that the answer finds its
// caller.
var (
	ErrBadJSON       = errors.New("not a JSON object")
	ErrBadRoute      = errors.New("route is missing, not a string or too long")
	ErrBadMsgID      = errors.New("msgId is not an integer")
	ErrBadClientCode = errors.New("clientCode is not a string or too long")
	ErrBadContent    = errors.New("content is not an object")
	ErrTwice         = errors.New("a member stands twice in the envelope")
)

// Request is one call of a client. Strings are copies; Content aliases the bytes parsed. Content is a JSON object,
// valid, as the client wrote it; "{}" when there was none.
type Request struct {
	Route      string
	MsgID      MsgID
	ClientCode string
	Content    []byte
}

var emptyObject = []byte("{}")

// members of a request as they were found, to notice doubles.
type seenMembers struct{ route, id, code, content bool }

// ParseRequest reads a request envelope:
//
//	{"route":"/user/register","msgId":123,"clientCode":"…","content":{…}}
//
// All members but route may be missing or null. msg_id and client_code are other spellings of msgId and clientCode, and
// count when they stand in the content too, for older clients, unless the envelope names them itself. A member that stands
// twice is refused, so that no two readers can disagree about it; members of other names are ignored. The whole text must
// be valid JSON.
//
// A Request without clientCode, whose route is one of the constants above, costs no allocation.
func ParseRequest(buf []byte) (Request, error) {
	s := scanner{b: buf}
	req := Request{Content: emptyObject}
	var seen seenMembers
	var fault error
	var inner dialect
	s.take('{')
	for first := true; ; first = false {
		key, ok := s.member(first)
		if !ok {
			break
		}
		if err := req.take(&s, envelopeKey(key), &seen, &inner); err != nil && fault == nil {
			fault = err
		}
	}
	if !s.end() {
		return Request{}, ErrBadJSON
	}
	if !seen.route && fault == nil {
		fault = ErrBadRoute
	}
	if !seen.id {
		req.MsgID = inner.id
	}
	if !seen.code {
		req.ClientCode = inner.code.string()
	}
	return req, fault
}

// take reads the value of one member of the envelope.
func (req *Request) take(s *scanner, key memberKey, seen *seenMembers, inner *dialect) (err error) {
	switch key {
	case keyRoute:
		var t text
		if t, err = s.stringOr(ErrBadRoute, MaxRoute); err == nil && len(t.raw) == 0 {
			err = ErrBadRoute
		}
		err = once(&seen.route, err)
		req.Route = internRoute(t)
	case keyMsgID:
		id, ok := parseMsgID(s.raw(1))
		if !ok {
			err = ErrBadMsgID
		}
		err = once(&seen.id, err)
		req.MsgID = id
	case keyClientCode:
		var t text
		if s.peek() == 'n' {
			s.value(1)
		} else {
			t, err = s.stringOr(ErrBadClientCode, MaxClientCode)
		}
		err = once(&seen.code, err)
		req.ClientCode = t.string()
	case keyContent:
		switch s.peek() {
		case '{':
			req.Content = s.content(inner)
		case 'n':
			s.value(1)
		default:
			s.value(1)
			err = ErrBadContent
		}
		err = once(&seen.content, err)
	default:
		s.value(1)
	}
	return err
}

// once marks a member as seen; it returns ErrTwice if it was seen before, or else err.
func once(seen *bool, err error) error {
	if *seen {
		return ErrTwice
	}
	*seen = true
	return err
}

// memberKey is a name that envelopes know.
type memberKey uint8

const (
	keyOther memberKey = iota
	keyRoute
	keyMsgID
	keyClientCode
	keyContent
	keyRoom
	keyStatus
	keyMessage
	keyPosition
)

// longestKey is the longest way to write a key that envelopes know: every byte as \uXXXX.
const longestKey = 6 * len("client_code")

// envelopeKey tells which member a key names, in either spelling.
func envelopeKey(key text) memberKey {
	name := key.raw
	if key.escaped {
		var buf [longestKey]byte
		if len(name) > len(buf) {
			return keyOther
		}
		name = key.append(buf[:0])
	}
	switch string(name) {
	case "route":
		return keyRoute
	case "msgId", "msg_id":
		return keyMsgID
	case "clientCode", "client_code":
		return keyClientCode
	case "content":
		return keyContent
	case "room":
		return keyRoom
	case "status":
		return keyStatus
	case "message":
		return keyMessage
	case "position":
		return keyPosition
	}
	return keyOther
}

// stringOr reads a string of at most max bytes; any other value is skipped and gives err.
func (s *scanner) stringOr(err error, max int) (text, error) {
	if s.peek() != '"' {
		s.value(1)
		return text{}, err
	}
	t := s.str()
	if len(t.raw) > max {
		return text{}, err
	}
	return t, nil
}

// dialect is what older clients put into the content.
type dialect struct {
	id   MsgID
	code text
}

// content skips the object of the content, looking for msg_id and client_code on the way. Odd values of theirs are
// left to the function that was called.
func (s *scanner) content(d *dialect) []byte {
	from := s.i
	s.i++
	for first := true; ; first = false {
		key, ok := s.member(first)
		if !ok {
			break
		}
		switch string(key.raw) {
		case "msg_id":
			if id, ok := parseMsgID(s.raw(2)); ok {
				d.id = id
			}
		case "client_code":
			if s.peek() != '"' {
				s.value(2)
			} else if t := s.str(); len(t.raw) <= MaxClientCode {
				d.code = t
			}
		default:
			s.value(2)
		}
	}
	if s.bad {
		return nil
	}
	return s.b[from:s.i:s.i]
}

// internRoute returns the route as a string, without allocating for those that come often.
func internRoute(t text) string {
	switch string(t.raw) {
	case RouteChatPublic:
		return RouteChatPublic
	case RouteChatFamily:
		return RouteChatFamily
	case RouteRegister:
		return RouteRegister
	case RouteResume:
		return RouteResume
	case RouteWelcome:
		return RouteWelcome
	}
	return t.string()
}

// AppendRequest appends a request envelope: the client's side of ParseRequest. clientCode may be empty. content must be
// a valid JSON object or nil.
func AppendRequest(dst []byte, route string, id MsgID, clientCode string, content []byte) []byte {
	dst = append(dst, `{"route":`...)
	dst = AppendJSONString(dst, route)
	dst = appendMsgID(dst, id)
	if clientCode != "" {
		dst = append(dst, `,"clientCode":`...)
		dst = AppendJSONString(dst, clientCode)
	}
	return appendContent(dst, content)
}

func appendMsgID(dst []byte, id MsgID) []byte {
	if !id.Present() {
		return dst
	}
	dst = append(dst, `,"msgId":`...)
	return append(dst, id.b[:id.n]...)
}

// appendContent appends the last member and the closing brace.
func appendContent(dst, content []byte) []byte {
	dst = append(dst, `,"content":`...)
	return append(appendObject(dst, content), '}')
}

// appendObject appends JSON that is valid already, on one line: a CR or LF in it can only be a blank.
func appendObject(dst, object []byte) []byte {
	if len(object) == 0 {
		return append(dst, "{}"...)
	}
	from := len(dst)
	dst = append(dst, object...)
	oneLine(dst[from:])
	return dst
}

// oneLine replaces every CR and LF in b, which is valid JSON, by a blank.
func oneLine(b []byte) {
	for _, c := range []byte{'\n', '\r'} {
		for rest := b; ; {
			i := bytes.IndexByte(rest, c)
			if i < 0 {
				break
			}
			rest[i] = ' '
			rest = rest[i+1:]
		}
	}
}

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

// AppendCallLine is AppendRequest as a frame of the line door (000000CALL).
func AppendCallLine(dst []byte, route string, id MsgID, clientCode string, content []byte) []byte {
	dst = append(dst, commandText[CmdCall]...)
	dst = AppendRequest(dst, route, id, clientCode, content)
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
