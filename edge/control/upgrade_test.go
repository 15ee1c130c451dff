package control

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const goodUpgrade = "GET /ws HTTP/1.1\r\nHost: play.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// Goal: only a strict handshake becomes a websocket (RFC 6455, section 4.2.1). Method: the good one, changed in one
// place at a time.
func TestUpgradeIsStrict(t *testing.T) {
	r := newRig(t, nil)
	listed := newRig(t, func(c *Config) { c.Origins = []string{"https://play.example.com"} })
	swap := func(old, new string) string { return strings.Replace(goodUpgrade, old, new, 1) }
	for _, test := range []struct {
		name, request string
		rig           *rig
		want          int
	}{
		{"good", goodUpgrade, r, 101},
		{"own origin", goodUpgrade + "Origin: https://play.example.com\r\n", r, 101},
		{"other case and lists", swap("Connection: Upgrade", "Connection: keep-alive, upgrade"), r, 101},
		{"no key", swap("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), r, 400},
		{"short key", swap("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), r, 400},
		{"loose key", swap("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="), r, 400},
		{"two keys", goodUpgrade + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", r, 400},
		{"no host", swap("Host: play.example.com\r\n", ""), r, 400},
		{"two hosts", goodUpgrade + "Host: evil.example.com\r\n", r, 400},
		{"version 8", swap("Version: 13", "Version: 8"), r, 426},
		{"no version", swap("Sec-WebSocket-Version: 13\r\n", ""), r, 426},
		{"two versions", goodUpgrade + "Sec-WebSocket-Version: 13\r\n", r, 426},
		{"no upgrade", swap("Upgrade: websocket\r\n", ""), r, 426},
		{"other upgrade", swap("Upgrade: websocket", "Upgrade: h2c"), r, 426},
		{"no connection", swap("Connection: Upgrade\r\n", ""), r, 426},
		{"connection close", swap("Connection: Upgrade", "Connection: close"), r, 426},
		{"post", swap("GET", "POST"), r, 400},
		{"http/1.0", swap("HTTP/1.1", "HTTP/1.0"), r, 400},
		{"body", goodUpgrade + "Content-Length: 0\r\n", r, 400},
		{"chunked", goodUpgrade + "Transfer-Encoding: chunked\r\n\r\n0\r\n", r, 400},
		{"foreign origin", goodUpgrade + "Origin: https://evil.example.com\r\n", r, 403},
		{"origin with our name in it", goodUpgrade + "Origin: https://play.example.com.evil.org\r\n", r, 403},
		{"origin null", goodUpgrade + "Origin: null\r\n", r, 403},
		{"two origins", goodUpgrade + "Origin: https://play.example.com\r\nOrigin: https://evil.example.com\r\n", r, 403},
		{"listed origin", goodUpgrade + "Origin: https://play.example.com\r\n", listed, 101},
		{"not the listed scheme", goodUpgrade + "Origin: http://play.example.com\r\n", listed, 403},
		{"listed as part", goodUpgrade + "Origin: https://play.example.com:8443\r\n", listed, 403},
	} {
		answer := test.rig.raw("http", test.request+"\r\n")
		if !strings.HasPrefix(answer, fmt.Sprintf("HTTP/1.1 %d ", test.want)) {
			t.Errorf("%s: want %d, got %.200q", test.name, test.want, answer)
		}
		if test.want == 101 && !strings.Contains(answer, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") {
			t.Errorf("%s: no or wrong accept key: %q", test.name, answer)
		}
	}
	for _, x := range []*rig{r, listed} {
		x.noPlacesHeld()
	}
}

// noPlacesHeld waits until every connection has given its place back.
func (r *rig) noPlacesHeld() {
	r.t.Helper()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for deadline := time.Now().Add(patience); r.room.held.Load() != 0 || r.room.known.Load() != 0; {
		if time.Now().After(deadline) {
			r.t.Fatalf("%d places are held, %d of an address", r.room.held.Load(), r.room.known.Load())
		}
	}
}

// Goal: the first known subprotocol is taken, and no other named. Method: offers.
func TestSubprotocols(t *testing.T) {
	r := newRig(t, nil)
	for offer, want := range map[string]string{
		"":                                 "",
		"gosper.v1":                        "gosper.v1",
		"gosper.line.v1":                   "gosper.line.v1",
		"other, gosper.line.v1, gosper.v1": "gosper.line.v1",
		"GOSPER.V1":                        "",
		"other":                            "",
	} {
		request := goodUpgrade
		if offer != "" {
			request += "Sec-WebSocket-Protocol: " + offer + "\r\n"
		}
		answer := r.raw("http", request+"\r\n")
		if !strings.Contains(answer, fmt.Sprintf("subprotocol %q", want)) || strings.Contains(answer, "Sec-WebSocket-Protocol") != (want != "") {
			t.Errorf("offer %q: %q", offer, answer)
		}
	}
}

// Goal: bytes behind the handshake reach the event loop, in whatever pieces they came. Method: pipeline them.
func TestBytesBehindTheHandshake(t *testing.T) {
	r := newRig(t, nil)
	behind := strings.Repeat("frame", 300)
	if answer := r.raw("http", goodUpgrade+"\r\n"+behind); !strings.Contains(answer, fmt.Sprintf("leftover %q", behind)) {
		t.Errorf("got %q", answer)
	}
}

// Goal: behind a balancer the client's address is the one in the PROXY header, exactly that header is read, and nobody
// else may send one. Method: both versions, cut and bent ones, from a trusted and from an untrusted peer.
func TestProxyHeader(t *testing.T) {
	trusted := newRig(t, func(c *Config) { c.ProxyFrom = prefixes("127.0.0.0/8") })
	untrusted := newRig(t, nil)
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\x7f\x00\x00\x01\x30\x39\x1f\x90"
	upgrade := goodUpgrade + "\r\n"
	for _, test := range []struct {
		name, bytes string
		rig         *rig
		want        string
	}{
		{"version 1", "PROXY TCP4 203.0.113.7 127.0.0.1 12345 8080\r\n" + upgrade + "X", trusted, `remote 203.0.113.7 subprotocol "" leftover "X"`},
		{"version 2", v2 + upgrade + "X", trusted, `remote 203.0.113.7 subprotocol "" leftover "X"`},
		{"unknown", "PROXY UNKNOWN\r\n" + upgrade, trusted, "remote 127.0.0.1 "},
		{"missing", upgrade, trusted, ""},
		{"bent", "PROXY TCP4 203.0.113.7\r\n" + upgrade, trusted, ""},
		{"too long", "PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n" + upgrade, trusted, ""},
		{"rest too long", v2[:14] + "\xff\xff" + strings.Repeat("x", 7000), trusted, ""},
		{"crowded", "PROXY TCP4 192.0.2.7 127.0.0.1 12345 8080\r\n" + upgrade, trusted, ""},
		{"untrusted", "PROXY TCP4 203.0.113.7 127.0.0.1 12345 8080\r\n" + upgrade, untrusted, "HTTP/1.1 400 "},
	} {
		answer := test.rig.raw("http", test.bytes)
		if test.want == "" && strings.Contains(answer, "101") || !strings.Contains(answer, test.want) {
			t.Errorf("%s: %q", test.name, answer)
		}
	}
	trusted.noPlacesHeld()
}
