package protocol

import (
	"bytes"
	"strconv"
)

// Position names a place in the history of one subject, as clients see it. Offset and Epoch are at most 1<<53-1, so that
// every JSON reader holds them exactly. The zero value is no position.
type Position struct {
	Subject string `json:"subject"`
	Epoch   uint64 `json:"epoch"`
	Offset  uint64 `json:"offset"`
}

// ResumeRequest is the content of a call to RouteResume: the session token of an earlier login or resume, and for
// each subject the position of the last message the client has.
type ResumeRequest struct {
	Token     string     `json:"token"`
	Positions []Position `json:"positions,omitempty"`
}

// Resumed is one subject in the content of its reply: where the client is now, and whether nothing is missing between
// the position it named and this one.
type Resumed struct {
	Position
	Recovered bool `json:"recovered"`
}

// appendPosition appends a position member with the comma before it.
func appendPosition(dst []byte, subject string, epoch, offset uint64) []byte {
	dst = append(dst, `,"position":{"subject":`...)
	dst = AppendJSONString(dst, subject)
	dst = append(dst, `,"epoch":`...)
	dst = strconv.AppendUint(dst, epoch, 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendUint(dst, offset, 10)
	return append(dst, '}')
}

// AppendPlaced appends a JSON object with a position as one more member. What is no object is appended as it is.
func AppendPlaced(dst, object []byte, subject string, epoch, offset uint64) []byte {
	body, ok := bytes.CutSuffix(bytes.TrimSpace(object), []byte("}"))
	if !ok {
		return append(dst, object...)
	}
	if body = bytes.TrimSpace(body); len(body) == 1 {
		position := appendPosition(nil, subject, epoch, offset)
		return append(append(append(dst, '{'), position[1:]...), '}') // the first member has no comma
	}
	return append(appendPosition(append(dst, body...), subject, epoch, offset), '}')
}

// position reads the object of a position; null is none.
func (s *scanner) position() (p Position, err error) {
	if c := s.peek(); c != '{' {
		s.value(1)
		if c == 'n' {
			return p, nil
		}
		return p, ErrBadContent
	}
	s.i++
	for first := true; ; first = false {
		key, ok := s.member(first)
		if !ok {
			return p, err
		}
		good := true
		switch string(key.raw) {
		case "subject":
			t, fault := s.stringOr(ErrBadContent, len(s.b))
			p.Subject, good = t.string(), fault == nil
		case "epoch":
			p.Epoch, good = parseUint(s.raw(2))
		case "offset":
			p.Offset, good = parseUint(s.raw(2))
		default:
			s.value(2)
		}
		if !good {
			err = ErrBadContent
		}
	}
}
