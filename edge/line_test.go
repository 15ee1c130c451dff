package edge_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gosper/edge"
	"gosper/protocol"
)

var limits = edge.DefaultLimits()

var rewrite = flag.Bool("rewrite", false, "write what the server says into testdata instead of comparing")

// Whole conversations on the line door: testdata/*.line holds blocks of sent lines (C who: …), "----" and received lines.
// Clients are named by a letter, and connect when they are first named.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.line")
	if err != nil || len(files) == 0 {
		t.Fatal("no conversations", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) { converse(t, name) })
	}
}

func converse(t *testing.T, name string) {
	script, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, nil)
	clients := map[string]*client{}
	var out strings.Builder
	for i, block := range strings.Split(string(script), "\n\n") {
		commands, _, _ := strings.Cut(block, "\n----")
		if i > 0 {
			out.WriteString("\n")
		}
		out.WriteString(commands + "\n----\n")
		for _, command := range strings.Split(commands, "\n") {
			who, verb, ok := strings.Cut(command, " ")
			if !ok || strings.HasPrefix(command, "#") {
				continue
			}
			c := clients[who]
			if c == nil {
				c = s.line(t)
				clients[who] = c
			}
			switch verb, text, _ := strings.Cut(verb, " "); verb {
			case "send":
				c.send(text + "\r\n")
			case "read":
				fmt.Fprintf(&out, "%s %s\n", who, c.get())
			case "end":
				fmt.Fprintf(&out, "%s end %q\n", who, c.rest())
			default:
				t.Fatalf("unknown verb %q", verb)
			}
		}
	}
	if *rewrite {
		if err := os.WriteFile(name, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if out.String() != string(script) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), script)
	}
}

// Every breach of the line protocol ends the connection without a word, whatever came before is answered, and the next
// player notices nothing.
func TestLineBreaches(t *testing.T) {
	s := shared(t)
	long := strings.Repeat("x", limits.LineBytes)
	for name, bytes := range map[string]string{
		"unknown command":         "0000NOSUCH\r\n",
		"badly padded":            "00000PING0x\r\n",
		"blank padded":            "      PINGx\r\n",
		"short":                   "PING\r\n",
		"empty line":              "\r\n",
		"bare LF":                 "000000PINGx\n",
		"CR inside":               "000000PINGa\rb\r\n",
		"too long":                "0000PUBLIC" + long,
		"bad UTF-8":               "0000PUBLIC\xff\r\n",
		"surrogate":               "0000PUBLIC\xed\xa0\x80\r\n",
		"server command":          "00000000OK\r\n",
		"long ping":               "000000PING" + strings.Repeat("x", 65) + "\r\n",
		"family without a family": "0000FAMILYhello\r\n",
		"exit with payload":       "000000EXITnow\r\n",
		"register, bad nonce":     "00REGISTERnever issued\r\n",
		"register, empty nonce":   "00REGISTER\r\n",
		"register, long nonce":    "00REGISTER" + strings.Repeat("n", 300) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := s.player(t, "w/ann/")
			c.send("000000PINGa\r\n" + bytes)
			if got := c.rest(); got != "000000PONGa\r\n" {
				t.Errorf("got %q", got)
			}
			if name == "register, bad nonce" || strings.HasPrefix(name, "family") {
				return
			}
			c = s.line(t)
			c.send(bytes)
			if got := c.rest(); got != "" {
				t.Errorf("before registration: got %q", got)
			}
		})
	}
	c := s.player(t, "w/bob/")
	c.send("000000PINGstill here\r\n")
	c.want("000000PONGstill here")
}

// The first command has to be REGISTER, whatever else the rest of the line is good for.
func TestFirstCommand(t *testing.T) {
	s := shared(t)
	for _, cmd := range protocol.Commands() {
		if cmd == protocol.CmdRegister {
			continue
		}
		c := s.line(t)
		c.send(cmd.String() + "\r\n")
		if got := c.rest(); got != "" {
			t.Errorf("%v: got %q", cmd, got)
		}
	}
}

// The same bytes give the same answers however they are cut: the whole conversation in two pieces at every position,
// and byte by byte.
func TestCuts(t *testing.T) {
	s := shared(t)
	said := "00REGISTERcut/ann/\r\n000000PINGone\r\n000000PING\r\n000000CALL{\"route\":\"/echo\",\"msgId\":5,\"content\":{\"a\":\"é\"}}\r\n" +
		"000000PINGtwo é\r\n000000CALL{\"route\":\"/later\",\"msgId\":6}\r\n000000EXIT\r\n"
	want := "00000000OK\r\n000000PONGone\r\n000000PONG\r\n" +
		`00000REPLY{"room":"main","route":"/echo","msgId":5,"status":0,"message":"OK","content":{"a":"é"}}` + "\r\n000000PONGtwo é\r\n"
	talk := func(pieces ...string) string {
		c := s.line(t)
		for i, p := range pieces {
			c.send(p)
			if i == 0 && len(p) >= 20 { // let the first piece be read alone
				c.want("00000000OK")
			}
		}
		got := c.rest()
		if len(pieces[0]) >= 20 {
			got = "00000000OK\r\n" + got
		}
		later := `00000REPLY{"room":"main","route":"/later","msgId":6,"status":0,"message":"OK","content":{}}` + "\r\n"
		return strings.Replace(got, later, "", 1) // it may come before the end or not
	}
	if got := talk(said); got != want {
		t.Fatalf("whole: got %q, want %q", got, want)
	}
	for i := 1; i < len(said); i++ {
		if got := talk(said[:i], said[i:]); got != want {
			t.Fatalf("cut at %d: got %q", i, got)
		}
	}
	if got := talk(strings.Split(said, "")...); got != want {
		t.Fatalf("byte by byte: got %q", got)
	}
}

// A run of PINGs of all shapes is answered line by line, across the size of a read.
func TestPingRuns(t *testing.T) {
	s := shared(t)
	c := s.player(t, "w/ann/")
	var sent, want bytes.Buffer
	for i := range 20000 {
		payload := strings.Repeat("p", i%65)
		if i%7 == 0 && i%65 > 2 {
			payload = payload[2:] + "é"
		}
		fmt.Fprintf(&sent, "000000PING%s\r\n", payload)
		fmt.Fprintf(&want, "000000PONG%s\r\n", payload)
	}
	go c.Conn.Write(sent.Bytes())
	for i, line := range strings.SplitAfter(strings.TrimSuffix(want.String(), "\r\n"), "\r\n") {
		if got := c.get(); got != strings.TrimSuffix(line, "\r\n") {
			t.Fatalf("line %d: got %q, want %q", i, got, line)
		}
	}
}

// Calls on a connection are answered in the order they were made, though the first takes long, and more of them than
// wait at once pause the reading instead of being lost.
func TestCallsKeepOrder(t *testing.T) {
	s := start(t, nil)
	c := s.player(t, "w/ann/")
	n := 3 * limits.CallBacklog
	var sent strings.Builder
	sent.WriteString(`000000CALL{"route":"/wait","msgId":0}` + "\r\n")
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&sent, "000000CALL{\"route\":%q,\"msgId\":%d}\r\n", []string{"/echo", "/later"}[i%2], i)
	}
	c.send(sent.String())
	wait(t, "first call", func() bool { return s.mod.calls.Load() == 2 })
	close(s.mod.hold)
	for i := range n + 1 {
		if got := c.get(); !strings.Contains(got, fmt.Sprintf(`"msgId":%d,`, i)) {
			t.Fatalf("reply %d: %s", i, got)
		}
	}
}

// A client that goes away ends the context of its call and leaves nothing behind.
func TestClientGoesDuringCall(t *testing.T) {
	s := start(t, nil)
	c := s.player(t, "w/ann/f")
	c.send(`000000CALL{"route":"/wait"}` + "\r\n")
	wait(t, "call", func() bool { return s.mod.calls.Load() == 2 })
	c.Close()
	wait(t, "session end", func() bool { return s.Sessions() == 0 && s.mod.left.Load() == 1 })
	wait(t, "unsubscribed", func() bool {
		return s.bus.subscribers("chat.w.public") == 0 && s.bus.subscribers("chat.w.family.f") == 0
	})
}

// A panic in a function or in chat ends that connection alone.
func TestPanic(t *testing.T) {
	s := shared(t)
	other := s.player(t, "w/bob/")
	for _, bad := range []string{`000000CALL{"route":"/panic"}`, "0000PUBLICpanic"} {
		c := s.player(t, "w/ann/")
		c.send(bad + "\r\n")
		if got := c.rest(); got != "" {
			t.Errorf("%s: got %q", bad, got)
		}
	}
	other.send("000000PINGx\r\n")
	other.want("000000PONGx")
}

// The limits of length at N and at N+1.
func TestLengthLimits(t *testing.T) {
	s := start(t, func(c *edge.Config) { c.Limits.LineBytes, c.Limits.MessageBytes, c.Limits.PingBytes = 200, 300, 40 })
	for _, test := range []struct {
		line string
		good bool
	}{
		{"0000PUBLIC" + strings.Repeat("x", 188), true},
		{"0000PUBLIC" + strings.Repeat("x", 189), false},
		{"000000PING" + strings.Repeat("x", 40), true},
		{"000000PING" + strings.Repeat("x", 41), false},
		{"000000PING" + strings.Repeat("é", 20), true},
		{"000000PING" + strings.Repeat("é", 20) + "x", false},
	} {
		c := s.player(t, "w/ann/")
		c.send(test.line + "\r\n000000PINGend\r\n000000EXIT\r\n")
		if got := c.rest(); (got != "") != test.good {
			t.Errorf("%d bytes of %.12s: got %q", len(test.line), test.line, got)
		}
		ws := s.socket(t, "gosper.line.v1")
		ws.text("00REGISTERw/ann/")
		ws.frame()
		ws.text(test.line)
		if op, b := ws.frame(); (op == protocol.OpText) != test.good {
			t.Errorf("websocket, %d bytes of %.12s: got %v %q", len(test.line), test.line, op, b)
		}
	}
	for _, n := range []int{300, 301} {
		ws := s.socket(t, "")
		ws.text(`{"route":"/session/register","content":{"nonce":"w/ann/"}}`)
		ws.frame()
		ws.text(`{"route":"/echo","x":"` + strings.Repeat("x", n-24) + `"}`)
		if op, b := ws.frame(); (op == protocol.OpText) != (n == 300) {
			t.Errorf("message of %d bytes: got %v %q", n, op, b)
		}
	}
}

// A client that is not logged in cannot make the server keep much for it, however much it sends.
func TestGuestBacklog(t *testing.T) {
	s := start(t, nil)
	c := s.socket(t, "")
	c.text(`{"route":"/wait"}`)
	call := masked(protocol.OpText, `{"route":"/echo","x":"`+strings.Repeat("x", 1000)+`"}`)
	go c.Conn.Write([]byte(strings.Repeat(call, 20)))
	c.wantClose(protocol.CloseRate)
}

// A frame costs no allocation: batches of PING lines, and of websocket messages with one, are answered without any.
func TestPingAllocations(t *testing.T) {
	s := shared(t)
	const batch = 500
	for name, c := range map[string]*client{"line": s.player(t, "w/ann/"), "ws": s.socket(t, "gosper.line.v1")} {
		one, answer := "000000PINGhello, world\r\n", 24
		if name == "ws" {
			c.text("00REGISTERw/ann/")
			c.frame()
			one, answer = masked(protocol.OpText, "000000PINGhello, world"), 24
		}
		sent, got := []byte(strings.Repeat(one, batch)), make([]byte, batch*answer)
		round := func() {
			if _, err := c.Conn.Write(sent); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c.Conn, got); err != nil {
				t.Fatal(err)
			}
		}
		round()
		least := math.Inf(1) // ticks, and what earlier tests left to be ended, allocate beside it now and then
		for n := 0; n < 10 && least > batch/100; n++ {
			least = min(least, testing.AllocsPerRun(50, round))
		}
		if least > batch/100 {
			t.Errorf("%s: %.1f allocations for %d frames", name, least, batch)
		}
	}
}

func benchmarkPing(b *testing.B, c *client, one string, answer int) {
	const batch = 32
	sent, got := []byte(strings.Repeat(one, batch)), make([]byte, batch*answer)
	b.ReportAllocs()
	for n := 0; n < b.N; n += batch {
		if _, err := c.Conn.Write(sent); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c.Conn, got); err != nil {
			b.Fatal(err)
		}
	}
}

// One PING on a connection with 32 in flight, client and server together.
func BenchmarkPingLine(b *testing.B) {
	benchmarkPing(b, shared(b).player(b, "w/ann/"), "000000PINGhello, world\r\n", 24)
}

func BenchmarkPingWebsocket(b *testing.B) {
	c := shared(b).socket(b, "gosper.line.v1")
	c.text("00REGISTERw/ann/")
	c.frame()
	benchmarkPing(b, c, masked(protocol.OpText, "000000PINGhello, world"), 24)
}

// One call of a function that is done at once, in envelopes.
func BenchmarkCall(b *testing.B) {
	c := shared(b).socket(b, "")
	c.text(`{"route":"/session/register","content":{"nonce":"w/ann/"}}`)
	c.frame()
	answer := `{"room":"main","route":"/echo","msgId":1,"status":0,"message":"OK","content":{}}`
	benchmarkPing(b, c, masked(protocol.OpText, `{"route":"/echo","msgId":1}`), len(answer)+2)
}
