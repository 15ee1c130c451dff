package bench

import (
	"bytes"
	"fmt"
	"strconv"

	"gosper/protocol"
)

// lineFan is a websocket whose messages are line frames, as phones' code uses behind a browser.
func lineFan(host string, nonces []string) fanProtocol {
	return fanProtocol{
		name:  "line frames",
		greet: func(i int) greeter { return &webGreeting{host: host, sub: subLine, nonce: nonces[i]} },
		cut:   cutWeb(func(p []byte) bool { return bytes.HasPrefix(p, []byte(protocol.CmdPublic.String())) }),
		publish: func(dst, text []byte) []byte {
			line := append([]byte(protocol.CmdPublic.String()), text...)
			return protocol.AppendMaskedFrame(dst, protocol.OpText, clientMask, line)
		},
		answer: pongs,
	}
}

// envelopeFan is a websocket as the page uses it.
func envelopeFan(host string, nonces []string) fanProtocol {
	push := []byte(`{"room":"` + protocol.Room + `","route":"` + protocol.RouteChatPublic + `","status"`)
	return fanProtocol{
		name:  "envelopes",
		greet: func(i int) greeter { return &webGreeting{host: host, sub: subEnvelopes, nonce: nonces[i]} },
		// A reply to a publisher has the msgId where a push has the status.
		cut: cutWeb(func(p []byte) bool { return bytes.HasPrefix(p, push) }),
		publish: func(dst, text []byte) []byte {
			call := fmt.Appendf(nil, `{"route":"%s","msgId":1,"content":{"text":"%s"}}`, protocol.RouteChatPublic, text)
			return protocol.AppendMaskedFrame(dst, protocol.OpText, clientMask, call)
		},
		answer: pongs,
	}
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
func natsFan(subject string) fanProtocol {
	return fanProtocol{
		name:  "nats",
		greet: func(int) greeter { return &natsGreeting{subject: subject} },
		cut:   cutNATS,
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
