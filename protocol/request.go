package protocol

import "errors"

// Longest texts of an envelope, in bytes.
const (
	MaxRoute      = 128 // longest route of a request in bytes
	MaxClientCode = 128 // longest clientCode of a request in bytes
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
// valid, as the client wrote it; "{}" when there was none. Do not write to it.
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

// AppendCallLine is AppendRequest as a frame of the line door (000000CALL).
func AppendCallLine(dst []byte, route string, id MsgID, clientCode string, content []byte) []byte {
	dst = append(dst, commandText[CmdCall]...)
	dst = AppendRequest(dst, route, id, clientCode, content)
	return append(dst, '\r', '\n')
}
