package edge_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gosper/broker/quiet"
	"gosper/edge"
	"gosper/protocol"
)

// A client that sends its line byte by byte, too slowly, is closed at the frame's time limit, on both doors; one that
// is slow but in time is served.
func TestSlowSenders(t *testing.T) {
	s := start(t, func(c *edge.Config) { c.Limits.FrameTimeout = 4 * time.Second })
	dribble := func(c *client, b string, every time.Duration) {
		for i := range b {
			if _, err := c.Conn.Write([]byte(b[i : i+1])); err != nil {
				return
			}
			time.Sleep(every)
		}
	}
	slow, quick := s.player(t, "w/ann/"), s.player(t, "w/bob/")
	socket, pieces := s.socket(t, ""), s.socket(t, "")
	go dribble(slow, "000000PING"+strings.Repeat("slowly", 10)+"\r\n", 100*time.Millisecond)
	go dribble(quick, "000000PINGx\r\n", 10*time.Millisecond)
	go dribble(socket, masked(protocol.OpText, `{"route":"/echo","content":{"x":"`+strings.Repeat("slowly", 10)+`"}}`), 100*time.Millisecond)
	pieces.send(fragment(protocol.OpText, false, `{"route":`))
	quick.want("000000PONGx")
	if got := slow.rest(); got != "" {
		t.Errorf("slow: got %q", got)
	}
	pieces.wantClose(protocol.ClosePolicy)
	if op, b := socket.frame(); op != protocol.OpClose || !bytes.Contains(b, []byte("policy")) {
		t.Errorf("socket: got %v %q", op, b)
	}
}

// More than the allowed bytes before registration end the connection.
func TestGuestBytes(t *testing.T) {
	s := start(t, func(c *edge.Config) { c.Limits.GuestIn = 200 })
	c := s.line(t)
	c.send("00REGISTER" + strings.Repeat("n", 250))
	if got := c.rest(); got != "" {
		t.Errorf("line: got %q", got)
	}
	ws := s.socket(t, "")
	ws.send(masked(protocol.OpText, strings.Repeat(" ", 201))[:20]) // the header is enough
	ws.wantClose(protocol.CloseTooBig)
	ok := s.socket(t, "")
	ok.text(`{"route":"/echo","content":{"t":"` + strings.Repeat("x", 100) + `"}}`)
	ok.frame()
}

// A subscriber who never reads is closed with its code when the budget is used up; the others miss nothing.
func TestNeverReadingSubscriber(t *testing.T) {
	s := start(t, func(c *edge.Config) { c.Limits.OutBytes, c.Limits.CloseTimeout = 64<<10, 200*time.Millisecond })
	stuck, other := s.player(t, "w/ann/"), s.player(t, "w/bob/")
	text := strings.Repeat("y", 4000)
	sent := 0
	for s.Sessions() == 2 {
		other.send(fmt.Sprintf("0000PUBLIC%d %s\r\n", sent, text))
		other.want(fmt.Sprintf("0000PUBLICbob:%d %s", sent, text))
		if sent++; sent > 100000 {
			t.Fatal("the stuck client is still kept")
		}
	}
	got := stuck.rest()
	if n := strings.Count(got, "\r\n"); n == 0 || n >= sent {
		t.Errorf("the stuck client got %d of %d lines", n, sent) // what its socket and the budget held
	}
	other.send("000000PINGx\r\n")
	other.want("000000PONGx")
}

// A client who takes nothing for too long is closed, though its budget is not used up.
func TestWriteTimeout(t *testing.T) {
	s := start(t, func(c *edge.Config) {
		c.Limits.WriteTimeout, c.Limits.CloseTimeout = 300*time.Millisecond, 200*time.Millisecond
		c.Limits.OutBytes = 1 << 30
	})
	stuck := s.player(t, "w/ann/")
	other := s.player(t, "w/bob/")
	text := strings.Repeat("y", 8000)
	for range 2000 {
		other.send("0000PUBLIC" + text + "\r\n")
		other.get()
	}
	wait(t, "end of the stuck client", func() bool { return s.Sessions() == 1 })
	stuck.Close()
}

// A drain takes no new clients, tells each client to come back, answers the call in work first, and ends.
func TestDrain(t *testing.T) {
	s := start(t, nil)
	lines, sockets := []*client{}, []*client{}
	for i := range 20 {
		lines = append(lines, s.player(t, fmt.Sprintf("w/p%d/", i)))
		sockets = append(sockets, s.socket(t, ""))
	}
	busy := s.player(t, "w/busy/")
	busy.send(`000000CALL{"route":"/wait","msgId":1}` + "\r\n")
	wait(t, "call", func() bool { return s.mod.calls.Load() == 22 })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Drain(ctx) }()
	for _, c := range lines {
		c.want("00000CLOSE1001 going_away")
		if got := c.rest(); got != "" {
			t.Errorf("got %q", got)
		}
		c.Close()
	}
	for _, c := range sockets {
		c.wantClose(protocol.CloseGoingAway)
		c.Close()
	}
	if c, err := net.Dial("tcp", s.Addr("line").String()); err == nil {
		c.Close()
		t.Error("a draining node accepts connections")
	}
	near, far := net.Pipe()
	defer near.Close()
	if err := s.Adopt(far, wsDoor, edge.AdoptInfo{}); err == nil {
		t.Error("a draining node adopts connections")
	}
	close(s.mod.hold)
	if got := busy.get(); !strings.Contains(got, `"msgId":1`) {
		t.Errorf("busy: %s", got)
	}
	busy.want("00000CLOSE1001 going_away")
	busy.Close()
	if err := <-done; err != nil || s.Sessions() != 0 {
		t.Errorf("drain: %v, %d sessions left", err, s.Sessions())
	}
}

// A drain is bounded: clients who do not go are left to Close.
func TestDrainIsBounded(t *testing.T) {
	s := start(t, func(c *edge.Config) { c.Limits.CloseTimeout = time.Hour })
	c := s.player(t, "w/ann/") // keeps its half open
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.Drain(ctx) }()
	c.want("00000CLOSE1001 going_away") // Close would not say it
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("drain: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	c.rest()
}

// A server that is started again at once gets the same port, though connections of the former are in TIME-WAIT.
func TestRestartOnSamePort(t *testing.T) {
	addrs, err := quiet.Addrs(1)
	if err != nil {
		t.Fatal(err)
	}
	addr := addrs[0]
	first := start(t, func(cfg *edge.Config) { cfg.Listeners[0].Addr = addr })
	c := first.player(t, "w/ann/")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	c.rest()
	for range 3 {
		s := start(t, func(cfg *edge.Config) { cfg.Listeners[0].Addr = addr })
		s.player(t, "w/ann/")
		s.Close()
		<-s.Done()
		if s.Err() != nil {
			t.Error(s.Err())
		}
	}
}

// A port that is in use is an error that names the listener, and leaves nothing running.
func TestPortInUse(t *testing.T) {
	s := shared(t)
	cfg := edge.Config{Bus: s.bus, Dispatcher: s.mod, Listeners: []edge.Listener{{Name: "line", Addr: s.Addr("line").String(), Door: lineDoor}}}
	if _, err := edge.Start(cfg); err == nil || !strings.Contains(err.Error(), "line-addr") {
		t.Errorf("got %v", err)
	}
}

// PROXY headers, versions 1 and 2, whole and in pieces, name the client; from an address that is not trusted they are
// no line, and from one that is they must come.
func TestProxy(t *testing.T) {
	behind := func(handshake time.Duration) *server {
		return start(t, func(c *edge.Config) {
			c.Listeners[0].ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
			c.Limits.HandshakeTimeout = handshake
		})
	}
	s := behind(patience)
	v2 := func(command, family byte, body string) string {
		return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{0x20 | command, family, 0, byte(len(body))}) + body
	}
	v4, v6 := "\x0a\x01\x02\x03\x7f\x00\x00\x01\x12\x34\x23\x28", "\x20\x01\x0d\xb8"+strings.Repeat("\x00", 11)+"\x07"+strings.Repeat("\x00", 20)
	for header, remote := range map[string]string{
		"PROXY TCP4 203.0.113.9 10.0.0.1 40000 9000\r\n": "203.0.113.9",
		"PROXY TCP6 2001:db8::5 ::1 40000 9000\r\n":      "2001:db8::5",
		"PROXY UNKNOWN\r\n":                              "127.0.0.1",
		v2(1, 0x11, v4):                                  "10.1.2.3",
		v2(1, 0x21, v6+"\x04\x00\x01x"):                  "2001:db8::7",
		v2(0, 0, ""):                                     "127.0.0.1",
	} {
		for _, cut := range []int{0, 5, len(header) - 1} {
			c := s.line(t)
			c.send(header[:cut])
			time.Sleep(time.Millisecond) // the pieces are likely read apart; either way the answer is the same
			c.send(header[cut:] + "00REGISTERw/ann/\r\n000000PINGx\r\n")
			c.want("00000000OK")
			c.want("000000PONGx")
			found := false
			s.mod.mu.Lock()
			for _, session := range s.mod.sessions {
				found = found || session.(*edge.Session).Remote().String() == remote
			}
			clear(s.mod.sessions)
			s.mod.mu.Unlock()
			if !found {
				t.Errorf("%q: no session from %s", header, remote)
			}
			c.Close()
		}
	}
	s = behind(time.Second) // for what never becomes a header
	for _, bad := range []string{
		"", "00REGISTERw/ann/\r\n", "PROXY TCP4 203.0.113.9\r\n", "PROXY TCP4 2001:db8::5 ::1 1 2\r\n", "PROXY " + strings.Repeat("x", 200),
		v2(2, 0x11, v4), v2(1, 0x11, "short"), "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff",
	} {
		c := s.line(t)
		_, _ = c.Write([]byte(bad)) // fails when the second is over already
		if got := c.rest(); got != "" {
			t.Errorf("%q: got %q", bad, got)
		}
	}
	untrusted := start(t, func(c *edge.Config) {
		c.Listeners[0].ProxyFrom = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	c := untrusted.line(t)
	c.send("PROXY TCP4 203.0.113.9 10.0.0.1 40000 9000\r\n00REGISTERw/ann/\r\n")
	if got := c.rest(); got != "" {
		t.Errorf("untrusted: got %q", got)
	}
}

func selfSigned(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, &cert, &cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// The TLS twin of the line door, versions 1.2 and 1.3: lines in records of every size, pushes, and the close at the end.
func TestTLSLine(t *testing.T) {
	cfg := selfSigned(t)
	secure := func(handshake time.Duration) *server {
		return start(t, func(c *edge.Config) { c.Listeners[0].TLS, c.Limits.HandshakeTimeout = cfg, handshake })
	}
	s := secure(patience)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		raw, err := net.Dial("tcp", s.Addr("line").String())
		if err != nil {
			t.Fatal(err)
		}
		tc := tls.Client(&stutter{Conn: raw}, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		c := &client{t, tc, newReader(tc)}
		c.send("00REGISTERw/ann/\r\n")
		c.want("00000000OK")
		for i := range 200 {
			c.send("000000PING" + strings.Repeat("x", i%65) + "\r\n")
			c.want("000000PONG" + strings.Repeat("x", i%65))
		}
		big := strings.Repeat("z", 7000)
		c.send("0000PUBLIC" + big + "\r\n0000PUBLICsmall\r\n")
		c.want("0000PUBLICann:" + big)
		c.want("0000PUBLICann:small")
		c.send("000000EXIT\r\n")
		if got := c.rest(); got != "" {
			t.Errorf("got %q", got)
		}
		tc.Close()
	}
	c := secure(time.Second).line(t) // no handshake at all
	if got := c.rest(); got != "" {
		t.Errorf("got %q", got)
	}
	c = s.line(t)
	c.send("00REGISTERw/ann/\r\n")
	c.rest() // an alert, then the end
}

// A TLS connection that an HTTP server has accepted is adopted with its TLS session.
func TestTLSAdopt(t *testing.T) {
	s := start(t, nil)
	below, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := edge.NewTLSListener(below, selfSigned(t))
	defer ln.Close()
	adopted := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			head := make([]byte, 5) // as the upgrade request would be read
			if _, err = c.Read(head); err == nil {
				err = s.Adopt(c, wsDoor, edge.AdoptInfo{Leftover: head[4:]})
			}
		}
		adopted <- err
	}()
	tc, err := tls.Dial("tcp", below.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tc.Close()
	c := &client{t, tc, newReader(tc)}
	call := masked(protocol.OpText, `{"route":"/echo","msgId":3}`)
	c.send("HEAD" + call[:1])
	if err := <-adopted; err != nil {
		t.Fatal(err)
	}
	c.send(call[1:])
	if _, b := c.frame(); !bytes.Contains(b, []byte("/welcome")) {
		t.Errorf("got %s", b)
	}
	if _, b := c.frame(); !bytes.Contains(b, []byte(`"msgId":3`)) {
		t.Errorf("got %s", b)
	}
	if err := s.Adopt(tls.Server(below0{}, &tls.Config{}), wsDoor, edge.AdoptInfo{}); err == nil {
		t.Error("a foreign TLS connection was adopted")
	}
}

type below0 struct{ net.Conn }
