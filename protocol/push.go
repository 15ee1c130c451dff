package protocol

import (
	"bytes"
	"errors"
	"strconv"
	"unicode/utf8"
)

// ErrBadPush is returned for bus data that is no push.
var ErrBadPush = errors.New("not a push: want an object with route and content")

// Push is a message for clients as it travels on the bus: {"route":"/chat/public","content":{…}}. Content aliases the
// bytes parsed.
type Push struct {
	Route   string
	Content []byte // a JSON object on one line
}

// AppendPush appends a push in the form of the bus. content must be a valid JSON object, or nil for "{}".
func AppendPush(dst []byte, route string, content []byte) []byte {
	dst = append(dst, `{"route":`...)
	dst = AppendJSONString(dst, route)
	return appendContent(dst, content)
}

// ParsePush reads what AppendPush or another service put on the bus: one valid JSON object without CR and LF whose route
// is a string and whose content is an object or missing; other members are ignored, of doubles the last counts. Anything
// else is ErrBadPush, so that no bytes of another service reach a client unchecked. The routes of chat cost no
// allocation.
func ParsePush(data []byte) (Push, error) {
	s := scanner{b: data}
	p := Push{Content: emptyObject}
	good := bytes.IndexByte(data, '\n') < 0 && bytes.IndexByte(data, '\r') < 0
	s.take('{')
	for first := true; ; first = false {
		key, ok := s.member(first)
		if !ok {
			break
		}
		switch envelopeKey(key) {
		case keyRoute:
			t, err := s.stringOr(ErrBadPush, MaxRoute)
			p.Route = internRoute(t)
			good = good && err == nil
		case keyContent:
			good = good && s.peek() == '{'
			p.Content = s.raw(1)
		default:
			s.value(1)
		}
	}
	if !s.end() || !good || p.Route == "" {
		return Push{}, ErrBadPush
	}
	return p, nil
}

// AppendPushEnvelope appends the push as websocket clients get it: a reply envelope of status 0 without msgId. If offset
// is not 0, the subject keeps history, and the member "position" names the message's place in it.
func AppendPushEnvelope(dst []byte, p Push, subject string, epoch, offset uint64) []byte {
	dst = appendHead(dst, p.Route, MsgID{}, StatusOK, "")
	if offset != 0 {
		dst = appendPosition(dst, subject, epoch, offset)
	}
	return appendContent(dst, p.Content)
}

// AppendPushLine appends the push as a frame of the line door. Chat becomes 0000PUBLIC or 0000FAMILY with
// <name>:<text>, where "%", ":" and control characters of the name stand as %XX. Any other push, and chat whose text has
// a CR or LF and so cannot be a payload as it is, becomes 000000PUSH with the envelope. Nothing is lost either way.
func AppendPushLine(dst []byte, p Push) []byte {
	switch p.Route {
	case RouteChatPublic, RouteChatFamily:
		if line, ok := appendChatLine(dst, p); ok {
			return line
		}
	}
	dst = append(dst, commandText[CmdPush]...)
	dst = AppendPushEnvelope(dst, p, "", 0, 0)
	return append(dst, '\r', '\n')
}

func appendChatLine(dst []byte, p Push) ([]byte, bool) {
	c, ok := findChat(p.Content)
	if !ok {
		return dst, false
	}
	cmd := CmdPublic
	if p.Route == RouteChatFamily {
		cmd = CmdFamily
	}
	line := append(dst, commandText[cmd]...)
	line = appendChatName(line, c.name)
	line = append(line, ':')
	from := len(line)
	line = c.text.append(line)
	if bytes.IndexByte(line[from:], '\n') >= 0 || bytes.IndexByte(line[from:], '\r') >= 0 {
		return dst, false
	}
	return append(line, '\r', '\n'), true
}

// appendChatName appends a name with what would break the line or end the name early as %XX.
func appendChatName(dst []byte, t text) []byte {
	from := len(dst)
	dst = t.append(dst)
	for i := from; i < len(dst); i++ {
		if plainInName(dst[i]) {
			continue
		}
		name := append([]byte(nil), dst[i:]...) // rare: a name with odd characters
		dst = dst[:i]
		for _, c := range name {
			if plainInName(c) {
				dst = append(dst, c)
			} else {
				dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
			}
		}
		break
	}
	return dst
}

func plainInName(c byte) bool { return c > ' '-1 && c != '%' && c != ':' && c != 0x7f }

// Chat is the content of a chat push.
type Chat struct {
	Name string // display name of who speaks
	Text string
	Time int64 // when it was said: milliseconds since 1970-01-01 UTC
}

// AppendChat appends the content of a chat push: {"name":…,"text":…,"time":…}. Bytes that are not UTF-8 become U+FFFD.
func AppendChat[T string | []byte](dst []byte, name string, said T, unixMilli int64) []byte {
	dst = append(dst, `{"name":`...)
	dst = AppendJSONString(dst, name)
	dst = append(dst, `,"text":`...)
	dst = AppendJSONString(dst, said)
	dst = append(dst, `,"time":`...)
	dst = strconv.AppendInt(dst, unixMilli, 10)
	return append(dst, '}')
}

// AppendChatPush appends a whole chat push in the form of the bus, for the world or for a family. It allocates only to
// grow dst.
func AppendChatPush[T string | []byte](dst []byte, family bool, name string, said T, unixMilli int64) []byte {
	if family {
		dst = append(dst, `{"route":"`+RouteChatFamily+`","content":`...)
	} else {
		dst = append(dst, `{"route":"`+RouteChatPublic+`","content":`...)
	}
	return append(AppendChat(dst, name, said, unixMilli), '}')
}

// ParseChat reads the content of a chat push: name and text are strings, time an integer or missing. Error: ErrBadPush.
func ParseChat(content []byte) (Chat, error) {
	c, ok := findChat(content)
	if !ok {
		return Chat{}, ErrBadPush
	}
	return Chat{Name: c.name.string(), Text: c.text.string(), Time: c.time}, nil
}

// chatText is a Chat that still stands in its source.
type chatText struct {
	name, text text
	time       int64
}

func findChat(content []byte) (c chatText, ok bool) {
	s := scanner{b: content}
	var named, said, timed = false, false, true
	s.take('{')
	for first := true; ; first = false {
		key, more := s.member(first)
		if !more {
			break
		}
		switch string(key.raw) {
		case "name":
			c.name, named = s.chatString()
		case "text":
			c.text, said = s.chatString()
		case "time":
			c.time, timed = parseInt(s.raw(1))
		default:
			s.value(1)
		}
	}
	return c, s.end() && named && said && timed
}

func (s *scanner) chatString() (text, bool) {
	t, err := s.stringOr(ErrBadPush, len(s.b))
	return t, err == nil
}

// ParseChatLine reads the payload of 0000PUBLIC or 0000FAMILY as a client gets it. text aliases payload. Error:
// ErrBadLine when there is no ":" or the name is not well escaped.
func ParseChatLine(payload []byte) (name string, said []byte, err error) {
	colon := bytes.IndexByte(payload, ':')
	if colon < 0 {
		return "", nil, ErrBadLine
	}
	raw := payload[:colon]
	if bytes.IndexByte(raw, '%') < 0 {
		return string(raw), payload[colon+1:], nil
	}
	b := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			var ok bool
			if c, ok = unhex(raw[i+1:]); !ok {
				return "", nil, ErrBadLine
			}
			i += 2
		}
		b = append(b, c)
	}
	if !utf8.Valid(b) {
		return "", nil, ErrBadLine
	}
	return string(b), payload[colon+1:], nil
}
