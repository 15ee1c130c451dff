package module

import (
	"encoding/binary"
	"errors"

	"gosper/protocol"
)

// What nodes ask each other about games. Texts and bytes stand behind their length as a varint, so that nothing a client sends
// can be taken for something else.
//
//	question  u8 version, u8 kind, u8 flags (1: by gate name, 2: logged in), then texts: route, door, remote, clientCode, world,
//	          of who: account, login, name, world, family, clientCode; at last content
//	answer    u8 version, u8 flags (1: the caller is a user of the game), varint game, varint status (zigzag), message, content
type question struct {
	kind questionKind
	gate bool
	call Call
}

// questionKind says what content of a question is.
type questionKind uint8

const (
	askFunction questionKind = 1 + iota // that of a call
	askLine                             // the payload of an EDIT line
	askList                             // a gameListAsk
	askStamp                            // a stampAsk

	questionKinds
)

// answer is the answer to a question.
type answer struct {
	status  protocol.Status
	message string
	content []byte
	member  bool
	game    uint64
}

const wireVersion = 1

var errWire = errors.New("malformed question or answer of another node")

// texts of a question, in their order.
func (q *question) texts() [11]*string {
	c, w := &q.call, &q.call.Who
	return [...]*string{&c.Route, &c.Door, &c.Remote, &c.ClientCode, &c.World, &w.Account, &w.Login, &w.Name, &w.World, &w.Family, &w.ClientCode}
}

func (q *question) append(dst []byte) []byte {
	var flags byte
	if q.gate {
		flags |= 1
	}
	if q.call.Who.LoggedIn {
		flags |= 2
	}
	dst = append(dst, wireVersion, byte(q.kind), flags)
	for _, text := range q.texts() {
		dst = appendWire(dst, *text)
	}
	return appendWire(dst, q.call.Content)
}

// parseQuestion reads what append wrote. Content is a part of b.
func parseQuestion(b []byte) (q question, err error) {
	if len(b) < 3 || b[0] != wireVersion || b[1] == 0 || b[1] >= byte(questionKinds) || b[2] > 3 {
		return q, errWire
	}
	q.kind, q.gate, q.call.Who.LoggedIn = questionKind(b[1]), b[2]&1 != 0, b[2]&2 != 0
	b = b[3:]
	for _, text := range q.texts() {
		var part []byte
		if part, b, err = cutWire(b); err != nil {
			return question{}, err
		}
		*text = string(part)
	}
	if q.call.Content, b, err = cutWire(b); err != nil || len(b) != 0 {
		return question{}, errWire
	}
	return q, nil
}

func (a *answer) append(dst []byte) []byte {
	var flags byte
	if a.member {
		flags = 1
	}
	dst = binary.AppendUvarint(append(dst, wireVersion, flags), a.game)
	dst = binary.AppendVarint(dst, int64(a.status))
	return appendWire(appendWire(dst, a.message), a.content)
}

// parseAnswer reads what append wrote. content is a part of b.
func parseAnswer(b []byte) (a answer, err error) {
	if len(b) < 2 || b[0] != wireVersion || b[1] > 1 {
		return a, errWire
	}
	a.member = b[1] == 1
	b = b[2:]
	var n int
	if a.game, n = binary.Uvarint(b); n <= 0 {
		return answer{}, errWire
	}
	b = b[n:]
	status, n := binary.Varint(b)
	if n <= 0 {
		return answer{}, errWire
	}
	message, b, err := cutWire(b[n:])
	if err != nil {
		return answer{}, err
	}
	if a.content, b, err = cutWire(b); err != nil || len(b) != 0 {
		return answer{}, errWire
	}
	a.status, a.message = protocol.Status(status), string(message)
	return a, nil
}

func (a *answer) reply() Reply {
	return Reply{Status: a.status, Message: a.message, Content: a.content}
}

func appendWire[T string | []byte](dst []byte, b T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func cutWire(b []byte) (part, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, errWire
	}
	b = b[size:]
	return b[:n:n], b[n:], nil
}
