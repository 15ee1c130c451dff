package client

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"

	"gosper/protocol"
)

// maxHead is the longest answer to the upgrade that is taken, in bytes.
const maxHead = 16 << 10

// handshake does TLS and the websocket upgrade on a new connection, as the target wants it. It returns the connection
// to use from now on (to be closed in any case) and the bytes that came after the upgrade.
func (t target) handshake(ctx context.Context, conn net.Conn, origin string) (net.Conn, []byte, error) {
	if t.tls != nil {
		secure := tls.Client(conn, t.tls)
		conn = secure
		if err := secure.HandshakeContext(ctx); err != nil {
			return conn, nil, fmt.Errorf("TLS: %w", err)
		}
	}
	if t.line {
		return conn, nil, nil
	}
	first, err := t.upgrade(conn, origin)
	if err != nil {
		return conn, nil, fmt.Errorf("websocket upgrade: %w", err)
	}
	return conn, first, nil
}

func (t target) upgrade(conn net.Conn, origin string) ([]byte, error) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	var head strings.Builder
	fmt.Fprintf(&head, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", t.path, t.host)
	fmt.Fprintf(&head, "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: gosper.v1\r\n", key)
	if origin != "" {
		fmt.Fprintf(&head, "Origin: %s\r\n", origin)
	}
	head.WriteString("\r\n")
	if _, err := io.WriteString(conn, head.String()); err != nil {
		return nil, err
	}
	in := bufio.NewReader(&io.LimitedReader{R: conn, N: maxHead})
	answer := textproto.NewReader(in)
	status, err := answer.ReadLine()
	if err != nil {
		return nil, err
	}
	header, err := answer.ReadMIMEHeader()
	if err != nil {
		return nil, err
	}
	if err := checkUpgrade(status, header, key); err != nil {
		return nil, err
	}
	first, _ := in.Peek(in.Buffered())
	return append([]byte(nil), first...), nil
}

// checkUpgrade judges the answer as RFC 6455, section 4.1 says.
func checkUpgrade(status string, header textproto.MIMEHeader, key string) error {
	version, rest, _ := strings.Cut(status, " ")
	code, _, _ := strings.Cut(rest, " ")
	switch {
	case version != "HTTP/1.1" || code != "101":
		return fmt.Errorf("the server answered %q", status)
	case !strings.EqualFold(header.Get("Upgrade"), "websocket"), !hasToken(header.Get("Connection"), "upgrade"):
		return fmt.Errorf("the server answered 101 without Upgrade: websocket")
	case header.Get("Sec-Websocket-Accept") != protocol.AcceptKey([]byte(key)):
		return fmt.Errorf("the server's Sec-WebSocket-Accept is wrong")
	case header.Get("Sec-Websocket-Extensions") != "":
		return fmt.Errorf("the server chose an extension that was not offered")
	case header.Get("Sec-Websocket-Protocol") != "" && header.Get("Sec-Websocket-Protocol") != "gosper.v1":
		return fmt.Errorf("the server chose the subprotocol %q", header.Get("Sec-Websocket-Protocol"))
	}
	return nil
}

func hasToken(list, token string) bool {
	for part := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(part), token) {
			return true
		}
	}
	return false
}
