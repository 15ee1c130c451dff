package protocol

import "bytes"

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
