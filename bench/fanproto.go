package bench

import (
	"bytes"
	"strconv"

	"gosper/protocol"
)

// fanNonces lets the players of one side in.
type fanNonces struct{ subscribers, publishers []string }

// linePublisher publishes from the line door, as a phone does.
func linePublisher(p *fanProtocol, s *node, nonces fanNonces) {
	p.pubAddr = s.line
	p.pubGreet = func(i int) greeter { return &lineGreeting{nonce: nonces.publishers[i]} }
	p.publish = func(dst, text []byte) []byte { return protocol.AppendLine(dst, protocol.CmdPublic, text) }
}

// lineFan subscribes with websockets whose messages are line frames.
func lineFan(s *node, nonces fanNonces) fanProtocol {
	p := fanProtocol{
		name:   "line frames",
		greet:  func(i int) greeter { return &webGreeting{host: s.web, sub: subLine, nonce: nonces.subscribers[i]} },
		cut:    cutWeb(func(p []byte) bool { return bytes.HasPrefix(p, []byte(protocol.CmdPublic.String())) }),
		answer: pongs,
	}
	linePublisher(&p, s, nonces)
	return p
}

// envelopeFan subscribes with websockets as the page uses them.
func envelopeFan(s *node, nonces fanNonces) fanProtocol {
	push := []byte(`{"room":"` + protocol.Room + `","route":"` + protocol.RouteChatPublic + `","status"`)
	p := fanProtocol{
		name:   "envelopes",
		greet:  func(i int) greeter { return &webGreeting{host: s.web, sub: subEnvelopes, nonce: nonces.subscribers[i]} },
		cut:    cutWeb(func(p []byte) bool { return bytes.HasPrefix(p, push) }),
		answer: pongs,
	}
	linePublisher(&p, s, nonces)
	return p
}

// cutWeb cuts websocket frames of a server; isMessage tells published messages by their payload.
func cutWeb(isMessage func(payload []byte) bool) func([]byte) (int, frameKind) {
	return func(b []byte) (int, frameKind) {
		h, n, err := protocol.ParseFrameHeader(b)
		if err != nil || n == 0 || uint64(len(b)-n) < h.Length {
			return 0, framePartial
		}
		end := n + int(h.Length)
		switch {
		case h.Op == protocol.OpPing:
			return end, framePing
		case h.Op == protocol.OpText && isMessage(b[n:end]):
			return end, frameMessage
		}
		return end, frameOther
	}
}

// pongs answers one or more whole ping frames.
func pongs(pings []byte) (out []byte) {
	for len(pings) > 0 {
		h, n, err := protocol.ParseFrameHeader(pings)
		if err != nil || n == 0 {
			return out
		}
		end := n + int(h.Length)
		out = protocol.AppendMaskedFrame(out, protocol.OpPong, clientMask, pings[n:end])
		pings = pings[end:]
	}
	return out
}

// natsFan does the same work on a NATS server in its own protocol: the same subject, the same sizes.
func natsFan(addr, subject string) fanProtocol {
	return fanProtocol{
		name:     "nats",
		greet:    func(int) greeter { return &natsGreeting{subject: subject} },
		cut:      cutNATS,
		pubAddr:  addr,
		pubGreet: func(int) greeter { return &natsGreeting{} },
		publish: func(dst, text []byte) []byte {
			dst = append(dst, "PUB "...)
			dst = append(dst, subject...)
			dst = append(dst, ' ')
			dst = strconv.AppendInt(dst, int64(len(text)), 10)
			dst = append(dst, "\r\n"...)
			dst = append(dst, text...)
			return append(dst, "\r\n"...)
		},
		answer: func([]byte) []byte { return []byte("PONG\r\n") },
		free:   true,
	}
}

func cutNATS(b []byte) (int, frameKind) {
	line, _, whole := bytes.Cut(b, []byte("\r\n"))
	if !whole {
		return 0, framePartial
	}
	n := len(line) + 2
	switch {
	case bytes.Equal(line, []byte("PING")):
		return n, framePing
	case !bytes.HasPrefix(line, []byte("MSG ")):
		return n, frameOther
	}
	size, err := strconv.Atoi(string(line[bytes.LastIndexByte(line, ' ')+1:]))
	if n += size + 2; err != nil || len(b) < n {
		return 0, framePartial
	}
	return n, frameMessage
}
