package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// The peers of a fan-out that are programs of others: redis with PUBLISH, and mosquitto with messages of QoS 0. Neither
// keeps what it carries, as nats-server does not; gosper has each message on disk before it delivers it.

// startFanPeer starts a peer of a fan-out, and says how it is spoken to.
func startFanPeer(ctx context.Context, r *Run, subject string) (c *child, addr, version string, proto fanProtocol, err error) {
	switch r.Against {
	case "nats":
		c, addr, version, err = startPeer(ctx, r.Options, "nats")
		return c, addr, version, natsFan(addr, subject), err
	case "redis":
		c, addr, version, err = startDaemon(ctx, r, func(host, port, _ string) []string {
			return []string{"--bind", host, "--port", port, "--save", "", "--appendonly", "no", "--protected-mode", "no",
				"--maxclients", "30000", "--client-output-buffer-limit", "pubsub", "0", "0", "0"}
		}, "--version")
		return c, addr, version, redisFan(addr, subject), err
	}
	c, addr, version, err = startDaemon(ctx, r, func(host, port, dir string) []string {
		file := filepath.Join(dir, "mosquitto.conf")
		text := fmt.Sprintf("listener %s %s\nallow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0\nmax_queued_bytes 0\nlog_type none\n", port, host)
		if os.WriteFile(file, []byte(text), 0o644) != nil {
			return nil
		}
		return []string{"-c", file}
	}, "-h")
	return c, addr, version, mqttFan(addr, subject), err
}

// startDaemon starts the peer's program with arguments that are made from its address and a folder for its files. The
// folder goes when the program has read it: a fan-out keeps nothing.
func startDaemon(ctx context.Context, r *Run, args func(host, port, dir string) []string, versionFlag string) (c *child, addr, version string, err error) {
	path, err := findPeer(r.Against)
	if err != nil {
		return nil, "", "", err
	}
	if addr, err = quietAddr(); err != nil {
		return nil, "", "", err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, "", "", err
	}
	dir, err := os.MkdirTemp("", "gosper-bench-peer-")
	if err != nil {
		return nil, "", "", err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // mosquitto gives up root before it reads
		return nil, "", "", err
	}
	if c, _, err = startChild(r.Against, path, args(host, port, dir), r.Log); err != nil {
		return nil, "", "", err
	}
	if err = waitListening(ctx, addr, c); err != nil {
		c.stop()
		return nil, "", "", err
	}
	return c, addr, versionOf(path, versionFlag), nil
}

// redisFan does the work on a Redis server: SUBSCRIBE and PUBLISH.
func redisFan(addr, subject string) fanProtocol {
	head := fmt.Appendf(nil, "*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%s\r\n$", len(subject), subject)
	return fanProtocol{
		name: "redis",
		greet: func(int) greeter {
			return &askGreeting{ask: fmt.Appendf(nil, "SUBSCRIBE %s\r\n", subject), cut: cutRedis}
		},
		cut:      cutRedis,
		pubAddr:  addr,
		pubGreet: func(int) greeter { return noGreeting{} },
		publish: func(dst, text []byte) []byte {
			dst = append(dst, head...)
			dst = strconv.AppendInt(dst, int64(len(text)), 10)
			dst = append(dst, "\r\n"...)
			dst = append(dst, text...)
			return append(dst, "\r\n"...)
		},
		free: true,
	}
}

// cutRedis cuts a push of three parts, such as a message or the answer to SUBSCRIBE.
func cutRedis(b []byte) (int, frameKind) {
	rest, ok := bytes.CutPrefix(b, []byte("*3\r\n"))
	if !ok {
		return 0, framePartial
	}
	kind := frameOther
	for part := range 3 {
		line, after, whole := bytes.Cut(rest, []byte("\r\n"))
		if !whole || len(line) == 0 {
			return 0, framePartial
		}
		rest = after
		if line[0] != '$' { // a number: the answer to SUBSCRIBE ends with one
			continue
		}
		size, err := strconv.Atoi(string(line[1:]))
		if err != nil || size < 0 || len(rest) < size+2 {
			return 0, framePartial
		}
		if part == 0 && string(rest[:size]) == "message" {
			kind = frameMessage
		}
		rest = rest[size+2:]
	}
	return len(b) - len(rest), kind
}

// Kinds of MQTT 3.1.1 packets, in the upper half of their first byte.
const (
	mqttConnect   = 0x10
	mqttConnAck   = 0x20
	mqttPublish   = 0x30
	mqttSubscribe = 0x82
	mqttSubAck    = 0x90
)

// mqttFan does the work on an MQTT broker with messages of QoS 0.
func mqttFan(addr, subject string) fanProtocol {
	topic := appendMQTTText(nil, subject)
	return fanProtocol{
		name:     "mosquitto",
		greet:    func(i int) greeter { return &mqttGreeting{id: fmt.Sprint("sub", i), topic: topic} },
		cut:      cutMQTT,
		pubAddr:  addr,
		pubGreet: func(i int) greeter { return &mqttGreeting{id: fmt.Sprint("pub", i)} },
		publish: func(dst, text []byte) []byte {
			dst = appendMQTTHead(dst, mqttPublish, len(topic)+len(text))
			return append(append(dst, topic...), text...)
		},
		free: true,
	}
}

func appendMQTTText(dst []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(text))), text...)
}

// appendMQTTHead appends the first byte and the length, seven bits a byte.
func appendMQTTHead(dst []byte, kind byte, size int) []byte {
	dst = append(dst, kind)
	for ; size > 0x7f; size >>= 7 {
		dst = append(dst, byte(size)|0x80)
	}
	return append(dst, byte(size))
}

// cutMQTT cuts one packet.
func cutMQTT(b []byte) (int, frameKind) {
	size := 0
	for i := 1; i < min(len(b), 5); i++ {
		size |= int(b[i]&0x7f) << (7 * (i - 1))
		if b[i] >= 0x80 {
			continue
		}
		if len(b) < i+1+size {
			return 0, framePartial
		}
		if b[0]&0xf0 == mqttPublish {
			return i + 1 + size, frameMessage
		}
		return i + 1 + size, frameOther
	}
	return 0, framePartial
}

// mqttGreeting connects to a broker and subscribes to a topic, if it has one.
type mqttGreeting struct {
	id    string
	topic []byte
	step  int
}

func (g *mqttGreeting) advance(in []byte) (int, []byte, bool, error) {
	if g.step == 0 {
		g.step++
		body := appendMQTTText(nil, "MQTT")
		body = append(body, 4, 2, 0, 0) // protocol 3.1.1, a clean session, no keep-alive
		body = appendMQTTText(body, g.id)
		return 0, append(appendMQTTHead(nil, mqttConnect, len(body)), body...), false, nil
	}
	n, _ := cutMQTT(in)
	if n == 0 {
		return 0, nil, false, nil
	}
	switch kind := in[0] & 0xf0; {
	case g.step == 1 && kind == mqttConnAck && n == 4 && in[3] == 0:
		g.step++
		if g.topic == nil {
			return n, nil, true, nil
		}
		body := append(append([]byte{0, 1}, g.topic...), 0) // packet 1; QoS 0
		return n, append(appendMQTTHead(nil, mqttSubscribe, len(body)), body...), false, nil
	case g.step == 2 && kind == mqttSubAck:
		return n, nil, in[n-1] == 0, nil
	}
	return 0, nil, false, fmt.Errorf("the broker said %x", in[:n])
}

// askGreeting sends a request and waits for one answer that cut recognises.
type askGreeting struct {
	ask  []byte
	cut  func([]byte) (int, frameKind)
	sent bool
}

func (g *askGreeting) advance(in []byte) (int, []byte, bool, error) {
	if !g.sent {
		g.sent = true
		return 0, g.ask, false, nil
	}
	if len(in) > 0 && in[0] == '-' {
		return 0, nil, false, errors.New("refused: " + string(in))
	}
	n, _ := g.cut(in)
	return n, nil, n > 0, nil
}
