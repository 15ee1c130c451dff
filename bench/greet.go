package bench

import (
	"bytes"
	"errors"
	"fmt"

	"gosper/protocol"
)

// noGreeting is the greeter of a server that expects none: the connection is ready when it is connected.
type noGreeting struct{}

func (noGreeting) advance([]byte) (int, []byte, bool, error) { return 0, nil, true, nil }

// lineGreeting registers on the line door.
type lineGreeting struct {
	nonce string
	sent  bool
}

func (g *lineGreeting) advance(in []byte) (int, []byte, bool, error) {
	if !g.sent {
		g.sent = true
		return 0, protocol.AppendLine(nil, protocol.CmdRegister, []byte(g.nonce)), false, nil
	}
	want := protocol.AppendLine(nil, protocol.CmdOK)
	if len(in) < len(want) {
		return 0, nil, false, nil
	}
	if !bytes.HasPrefix(in, want) {
		return 0, nil, false, fmt.Errorf("REGISTER was answered by %.60q", in)
	}
	return len(want), nil, true, nil
}

// Subprotocols of the websocket door.
const (
	subLine      = "gosper.line.v1" // line frames, one a message
	subEnvelopes = "gosper.v1"      // JSON envelopes
)

// webGreeting upgrades to a websocket and registers on it. With an empty nonce it is ready after the upgrade.
type webGreeting struct {
	host, sub, nonce string
	step             int
}

// handshakeKey is the key of every handshake: the sixteen bytes need not be secret or unlike each other here, they only
// let the client see that it spoke to a websocket server.
const handshakeKey = "Z29zcGVyIGJlbmNoIHJ1bg=="

func (g *webGreeting) advance(in []byte) (int, []byte, bool, error) {
	switch g.step {
	case 0:
		g.step++
		return 0, fmt.Appendf(nil, "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: %s\r\n\r\n", g.host, handshakeKey, g.sub), false, nil
	case 1:
		return g.upgraded(in)
	}
	return g.registered(in)
}

func (g *webGreeting) upgraded(in []byte) (int, []byte, bool, error) {
	end := bytes.Index(in, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil, false, nil
	}
	head := in[:end+4]
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) || !bytes.Contains(head, []byte(protocol.AcceptKey([]byte(handshakeKey)))) {
		return 0, nil, false, fmt.Errorf("the upgrade was answered by %.120q", in)
	}
	g.step++
	if g.nonce == "" {
		return len(head), nil, true, nil
	}
	return len(head), g.register(), false, nil
}

func (g *webGreeting) register() []byte {
	payload := []byte(protocol.CmdRegister.String() + g.nonce)
	if g.sub == subEnvelopes {
		payload = fmt.Appendf(nil, `{"route":"/session/register","msgId":1,"content":{"nonce":%q}}`, g.nonce)
	}
	return protocol.AppendMaskedFrame(nil, protocol.OpText, clientMask, payload)
}

// registered waits for the answer to the registration. What comes before it (a welcome) is passed over.
func (g *webGreeting) registered(in []byte) (int, []byte, bool, error) {
	h, n, err := protocol.ParseFrameHeader(in)
	if err != nil {
		return 0, nil, false, err
	}
	if n == 0 || uint64(len(in)-n) < h.Length {
		return 0, nil, false, nil
	}
	size := n + int(h.Length)
	payload := in[n:size]
	if h.Op == protocol.OpClose {
		return 0, nil, false, fmt.Errorf("the registration was answered by close %q", payload)
	}
	if g.sub == subLine {
		return size, nil, bytes.Equal(payload, []byte(protocol.CmdOK.String())), nil
	}
	if !bytes.Contains(payload, []byte(`"msgId":1,`)) && !bytes.Contains(payload, []byte(`"msgId":1}`)) {
		return size, nil, false, nil
	}
	e, err := protocol.ParseEnvelope(payload)
	if err == nil && e.Status != protocol.StatusOK {
		err = fmt.Errorf("the registration was refused: %d %s", e.Status, e.Message)
	}
	return size, nil, err == nil, err
}

// clientMask masks every frame of the generator. A mask protects proxies from pages that choose bytes; this generator
// is no page, so one mask serves all.
var clientMask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// natsGreeting connects to a NATS server and subscribes to subject as subscription 1 (subject "": does not subscribe).
type natsGreeting struct {
	subject string
	step    int
}

func (g *natsGreeting) advance(in []byte) (int, []byte, bool, error) {
	line, _, whole := bytes.Cut(in, []byte("\r\n"))
	if !whole {
		return 0, nil, false, nil
	}
	used := len(line) + 2
	switch {
	case g.step == 0 && bytes.HasPrefix(line, []byte("INFO ")):
		g.step++
		send := []byte("CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"go\",\"version\":\"1\",\"protocol\":1}\r\n")
		if g.subject != "" {
			send = append(send, "SUB "+g.subject+" 1\r\n"...)
		}
		return used, append(send, "PING\r\n"...), false, nil
	case g.step == 1 && bytes.Equal(line, []byte("PONG")):
		return used, nil, true, nil
	case g.step == 1 && bytes.HasPrefix(line, []byte("INFO ")): // sent again when the topology changes
		return used, nil, false, nil
	}
	return 0, nil, false, errors.New("nats-server said " + string(line))
}
