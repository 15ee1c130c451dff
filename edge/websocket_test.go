package edge_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"gosper/edge"
	"gosper/protocol"
)

var mask = [4]byte{0x12, 0x34, 0x56, 0x78}

func masked(op protocol.Opcode, payload string) string {
	return string(protocol.AppendMaskedFrame(nil, op, mask, []byte(payload)))
}

// fragment is a masked frame with its own fin bit.
func fragment(op protocol.Opcode, fin bool, payload string) string {
	b := []byte(masked(op, payload))
	if !fin {
		b[0] &^= 0x80
	}
	return string(b)
}

// Envelopes: the welcome comes first, msgId is echoed as sent, calls reach the table, pushes carry their position.
func TestEnvelopes(t *testing.T) {
	s := start(t, nil)
	s.mod.keep.Messages = 10
	c := s.socket(t, "")
	c.text(`{"route":"/session/register","msgId":1,"content":{"nonce":"w/ann/"}}`)
	c.text(`{"route":"/echo","msgId":"2","content":{"é":1}}`)
	c.text(`{"route":"/nosuch"}`)
	for _, want := range []string{
		`{"room":"main","route":"/session/register","msgId":1,"status":0,"message":"OK","content":{}}`,
		`{"room":"main","route":"/echo","msgId":"2","status":0,"message":"OK","content":{"é":1}}`,
		`{"room":"main","route":"/nosuch","status":10,"message":"unknown_function","content":{}}`,
	} {
		if _, got := c.frame(); string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	s.player(t, "w/bob/").send("0000PUBLIChi\r\n")
	_, got := c.frame()
	want := `{"room":"main","route":"/chat/public","status":0,"message":"OK","position":{"subject":"chat.w.public","epoch":7,"offset":1},"content":{"name":"bob","text":"hi","time":1}}`
	if string(got) != want {
		t.Errorf("push: got %s", got)
	}
}

// Subprotocol gosper.line.v1: the line door's commands, one a message, without CR LF, in both directions.
func TestLineSubprotocol(t *testing.T) {
	s := shared(t)
	c := s.socket(t, "gosper.line.v1")
	for _, talk := range [][2]string{
		{"00REGISTERsub/ann/", "00000000OK"},
		{"000000PINGé", "000000PONGé"},
		{"0000PUBLIChello", "0000PUBLICann:hello"},
		{`000000CALL{"route":"/echo","msgId":1}`, `00000REPLY{"room":"main","route":"/echo","msgId":1,"status":0,"message":"OK","content":{}}`},
	} {
		c.text(talk[0])
		if op, got := c.frame(); op != protocol.OpText || string(got) != talk[1] {
			t.Errorf("%s: got %s", talk[0], got)
		}
	}
	c.text("000000EXIT")
	c.wantClose(protocol.CloseNormal)

	for text, code := range map[string]protocol.CloseCode{
		"000000PINGfirst": protocol.ClosePolicy, "nonsense": protocol.ClosePolicy, "00REGISTERx\r\n": protocol.ClosePolicy,
		"00REGISTERinvented": protocol.CloseAuth,
	} {
		c := s.socket(t, "gosper.line.v1")
		c.text(text)
		c.wantClose(code)
	}
}

// RFC 6455, sections 5 and 7: what breaks the protocol is answered with its close code, and the end.
func TestWebsocketBreaches(t *testing.T) {
	s := shared(t)
	huge := func(n uint64) string {
		return string(binary.BigEndian.AppendUint64([]byte{0x81, 0xff}, n)) + "\x00\x00\x00\x00"
	}
	for name, bad := range map[string]struct {
		bytes string
		code  protocol.CloseCode
	}{
		"5.1 unmasked":                   {string(protocol.AppendFrame(nil, protocol.OpText, []byte("{}"))), protocol.CloseProtocol},
		"5.2 reserved bit":               {"\xc1" + masked(protocol.OpText, "{}")[1:], protocol.CloseProtocol},
		"5.2 reserved opcode":            {"\x83" + masked(protocol.OpText, "{}")[1:], protocol.CloseProtocol},
		"5.2 length of 2^63":             {huge(1 << 63), protocol.CloseProtocol},
		"5.2 length of 2^62":             {huge(1 << 62), protocol.CloseTooBig},
		"5.2 length over the limit":      {huge(65537), protocol.CloseTooBig},
		"5.2 length not in its shortest": {"\x81\xfe\x00\x02\x00\x00\x00\x00{}", protocol.CloseProtocol},
		"5.4 continuation without start": {fragment(protocol.OpContinuation, true, "x"), protocol.CloseProtocol},
		"5.4 start inside a message":     {fragment(protocol.OpText, false, "x") + masked(protocol.OpText, "y"), protocol.CloseProtocol},
		"5.5 control in fragments":       {fragment(protocol.OpPing, false, "x"), protocol.CloseProtocol},
		"5.5 control over 125 bytes":     {masked(protocol.OpPing, strings.Repeat("x", 126)), protocol.CloseProtocol},
		"5.5.1 close with half a code":   {masked(protocol.OpClose, "\x03"), protocol.CloseProtocol},
		"5.5.1 close with code 1005":     {masked(protocol.OpClose, "\x03\xed"), protocol.CloseProtocol},
		"5.6 binary":                     {masked(protocol.OpBinary, "x"), protocol.CloseUnsupported},
		"8.1 bad UTF-8":                  {masked(protocol.OpText, "{\xff}"), protocol.CloseBadData},
		"8.1 bad UTF-8 over a border":    {fragment(protocol.OpText, false, "\xe2\x82") + fragment(protocol.OpContinuation, true, "\xff"), protocol.CloseBadData},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.socket(t, "")
			c.send(bad.bytes)
			c.wantClose(bad.code)
		})
	}
}

// RFC 6455, section 5.4: control frames between fragments, UTF-8 across fragments, and all of it cut at every position.
func TestFragments(t *testing.T) {
	s := shared(t)
	text := `{"route":"/echo","msgId":9,"content":{"t":"€uro"}}`
	at := strings.Index(text, "€") + 1 // inside the rune
	said := fragment(protocol.OpText, false, text[:3]) + masked(protocol.OpPing, "p") + fragment(protocol.OpContinuation, false, text[3:at]) +
		fragment(protocol.OpContinuation, false, "") + masked(protocol.OpPong, "") + fragment(protocol.OpContinuation, true, text[at:]) +
		masked(protocol.OpClose, "\x03\xe8bye")
	for cut := range len(said) {
		c := s.socket(t, "")
		c.send(said[:cut])
		if cut > 0 && cut%8 == 0 {
			time.Sleep(time.Millisecond) // let some pieces be read alone; the answer is the same either way
		}
		c.send(said[cut:])
		if op, b := c.frame(); op != protocol.OpPong || string(b) != "p" {
			t.Fatalf("cut at %d: got %v %q", cut, op, b)
		}
		if _, b := c.frame(); !bytes.Contains(b, []byte(`"content":{"t":"€uro"}`)) {
			t.Fatalf("cut at %d: got %s", cut, b)
		}
		c.wantClose(protocol.CloseNormal)
	}
}

// Invalid JSON is answered with status 1000, and ends the connection after repeated abuse.
func TestInvalidEnvelopes(t *testing.T) {
	s := start(t, func(c *edge.Config) { c.Limits.Strikes = 5 })
	c := s.socket(t, "")
	for _, bad := range []string{"", "x", "[]", `{"route":5}`, `{"route":"/echo"`} {
		c.text(bad)
		if _, b := c.frame(); !bytes.Contains(b, []byte(`"route":"","status":1000`)) {
			t.Errorf("%q: got %s", bad, b)
		}
	}
	c.send(strings.Repeat(masked(protocol.OpText, "x"), 50)) // at once: one a second is forgiven
	c.wantClose(protocol.CloseAbuse)
}

// A flood of pings is answered up to the rate, then the connection ends with its code.
func TestPingFlood(t *testing.T) {
	s := start(t, func(c *edge.Config) { c.Limits.ControlRate, c.Limits.ControlBurst = 1, 20 })
	c := s.socket(t, "")
	c.send(strings.Repeat(masked(protocol.OpPing, "x"), 100))
	for range 20 {
		if op, _ := c.frame(); op != protocol.OpPong {
			t.Fatalf("got %v", op)
		}
	}
	c.wantClose(protocol.CloseRate)
}

// Calls over the rate are refused with status 1010, then end the connection; its neighbour is served.
func TestCallRate(t *testing.T) {
	s := start(t, func(c *edge.Config) { c.Limits.CallRate, c.Limits.CallBurst, c.Limits.Strikes = 1, 3, 4 })
	c, other := s.socket(t, ""), s.socket(t, "")
	c.send(strings.Repeat(masked(protocol.OpText, `{"route":"/echo"}`), 9)) // at once: one more is allowed each second
	for i := range 7 {
		_, b := c.frame()
		if refused := bytes.Contains(b, []byte(`"status":1010`)); refused != (i >= 3) {
			t.Errorf("call %d: %s", i, b)
		}
	}
	c.wantClose(protocol.CloseRate)
	other.text(`{"route":"/echo"}`)
	if _, b := other.frame(); !bytes.Contains(b, []byte(`"status":0`)) {
		t.Errorf("other: %s", b)
	}
}

// A client that answers pings stays; one that does not is given up after the misses.
func TestHeartbeat(t *testing.T) {
	s := start(t, func(c *edge.Config) {
		c.Limits.Heartbeat, c.Limits.HeartbeatMisses, c.Limits.AuthTimeout = 500*time.Millisecond, 6, time.Minute
	})
	silent, alive := s.socket(t, ""), s.socket(t, "")
	done := make(chan struct{})
	go func() { // it stays well beyond the time the silent one is given
		defer close(done)
		for range 10 {
			if op, _, err := alive.tryFrame(); err != nil || op != protocol.OpPing {
				t.Errorf("alive: got %v, %v", op, err)
				return
			}
			alive.Conn.Write([]byte(masked(protocol.OpPong, "")))
		}
	}()
	pings := 0
	for {
		op, b := silent.frame()
		if op == protocol.OpClose {
			if code, _, _ := protocol.ParseClose(b); code != protocol.CloseTimeout || pings != 6 {
				t.Fatalf("closed with %v after %d pings", code, pings)
			}
			break
		}
		pings++
	}
	<-done
}

// A websocket has to make its first call within the short time and to log in within the long one.
func TestWebsocketAuthTimeouts(t *testing.T) {
	long := start(t, func(c *edge.Config) { c.Limits.AuthTimeout, c.Limits.GuestTimeout = 4*time.Second, time.Hour })
	guest := long.socket(t, "")
	echo := func() {
		t.Helper()
		guest.text(`{"route":"/echo"}`)
		if op, b := guest.frame(); op != protocol.OpText || !bytes.Contains(b, []byte(`"route":"/echo"`)) {
			t.Fatalf("guest: got %v %s", op, b)
		}
	}
	echo()
	long.socket(t, "").wantClose(protocol.CloseAuthTimeout)
	echo() // the short time of the guest, who came first, is over as well

	short := start(t, func(c *edge.Config) { c.Limits.AuthTimeout, c.Limits.GuestTimeout = 2*time.Second, 3*time.Second })
	guest = short.socket(t, "")
	guest.text(`{"route":"/echo"}`)
	guest.wantClose(protocol.CloseAuthTimeout)
}

// An independent client implementation talks to the door, through a real HTTP upgrade.
func TestOtherClient(t *testing.T) {
	s := shared(t)
	hijacked := make(chan error, 1)
	web := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			hijacked <- err
			return
		}
		key := protocol.AcceptKey([]byte(r.Header.Get("Sec-WebSocket-Key")))
		buf.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + key + "\r\n\r\n")
		buf.Flush()
		hijacked <- s.Adopt(c, wsDoor, edge.AdoptInfo{})
	})}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go web.Serve(ln)
	defer web.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+ln.Addr().String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-hijacked; err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("ü", 1500)
	for i, want := range []string{"/welcome", big} {
		if i == 1 {
			if err := c.Write(ctx, websocket.MessageText, []byte(`{"route":"/echo","content":{"t":"`+big+`"}}`)); err != nil {
				t.Fatal(err)
			}
		}
		if _, b, err := c.Read(ctx); err != nil || !strings.Contains(string(b), want) {
			t.Fatalf("got %s, %v", b, err)
		}
	}
	if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Error(err)
	}
}

// A run of PING messages of all shapes and masks is answered one by one, across the size of a read, also when other
// messages stand between them.
func TestWebsocketPingRuns(t *testing.T) {
	s := shared(t)
	c := s.socket(t, "gosper.line.v1")
	c.text("00REGISTERw/ann/")
	c.frame()
	var sent []byte
	var want []string
	for i := range 20000 {
		payload := strings.Repeat("p", i%65)
		switch {
		case i%7 == 0 && i%65 > 2:
			payload = payload[2:] + "é"
		case i%1000 == 999:
			sent = append(sent, fragment(protocol.OpText, false, "0000")...)
			sent = append(sent, fragment(protocol.OpContinuation, true, "00PING"+payload)...)
			want = append(want, "000000PONG"+payload)
			continue
		}
		sent = protocol.AppendMaskedFrame(sent, protocol.OpText, [4]byte{byte(i), byte(i >> 3), byte(7 * i), 5}, []byte("000000PING"+payload))
		want = append(want, "000000PONG"+payload)
	}
	go c.Conn.Write(sent)
	for i, w := range want {
		if op, got := c.frame(); op != protocol.OpText || string(got) != w {
			t.Fatalf("message %d: got %v %q, want %q", i, op, got, w)
		}
	}
}
