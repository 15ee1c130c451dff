package client

import (
	"bufio"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gosper/protocol"
)

// patience bounds the wait for a condition. It only costs time when a test fails.
const patience = 30 * time.Second

// noLeaks fails the test when a goroutine of it is left in the end. It is called first, since clean-ups run backwards.
func noLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		var err error
		for end := time.Now().Add(patience); time.Now().Before(end); { // Find waits a second by itself
			if err = goleak.Find(before); err == nil {
				return
			}
		}
		t.Error(err)
	})
}

// lineServer is a line door by script: each accepted connection is given to the next script.
func lineServer(t *testing.T, scripts ...func(c *lineConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, script := range scripts {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			script(&lineConn{t, conn, bufio.NewReader(conn)})
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return "line://" + l.Addr().String()
}

type lineConn struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

// want reads one line and compares.
func (c *lineConn) want(line string) {
	c.SetReadDeadline(time.Now().Add(patience))
	got, err := c.in.ReadString('\n')
	if err != nil || got != line+"\r\n" {
		c.t.Errorf("the server got %q, %v; want %q", got, err, line)
	}
}

func (c *lineConn) say(lines ...string) {
	for _, l := range lines {
		c.Write([]byte(l + "\r\n"))
	}
}

// untilClosed waits for the client to go.
func (c *lineConn) untilClosed() {
	c.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, err := c.in.ReadString('\n'); err != nil {
			return
		}
	}
}

// recorder keeps what handlers were told, in order.
type recorder chan string

func (r recorder) options() Options {
	return Options{
		OnPush:     func(p Push) { r <- p.Route + " " + string(p.Content) },
		OnGap:      func(g Gap) { r <- "gap " + g.Subject },
		OnState:    func(s State, err error) { r <- "state " + s.String() },
		MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond,
	}
}

func (r recorder) want(t *testing.T, prefixes ...string) {
	t.Helper()
	for _, p := range prefixes {
		select {
		case got := <-r:
			if !strings.HasPrefix(got, p) {
				t.Fatalf("got %q, want %q", got, p)
			}
		case <-time.After(patience):
			t.Fatalf("%q did not come", p)
		}
	}
}

// wantAll is want in any order.
func (r recorder) wantAll(t *testing.T, prefixes ...string) {
	t.Helper()
	for len(prefixes) > 0 {
		select {
		case got := <-r:
			i := slices.IndexFunc(prefixes, func(p string) bool { return strings.HasPrefix(got, p) })
			if i < 0 {
				t.Fatalf("got %q, want one of %q", got, prefixes)
			}
			prefixes = slices.Delete(prefixes, i, i+1)
		case <-time.After(patience):
			t.Fatalf("%q did not come", prefixes)
		}
	}
}

// Goal: registration, calls, chat, and the way back after a close that says so. Method: a door by script on loopback.
func TestLine(t *testing.T) {
	noLeaks(t)
	addr := lineServer(t, func(c *lineConn) {
		c.want("00REGISTERfirst")
		c.say("00000000OK")
		c.want(`000000CALL{"route":"/chat/history","msgId":1,"content":{"limit":2}}`)
		c.say(`0000PUBLICa%3Ab:c:d`, `00000REPLY{"room":"main","route":"/chat/history","msgId":1,"status":0,"message":"OK","content":{"top":7}}`)
		c.want(`000000CALL{"route":"/nothing","msgId":2,"content":{}}`)
		c.say(`00000REPLY{"room":"main","route":"/nothing","msgId":2,"status":1000,"message":"unknown route","content":{"data":null}}`)
		c.say(`0000FAMILYx:hey`, `00000CLOSE1012 restart`)
	}, func(c *lineConn) {
		c.want("00REGISTERsecond")
		c.say("00000000OK", "0000PUBLICa:again")
		c.untilClosed()
	})
	r := make(recorder, 16)
	o := r.options()
	o.Nonce = func(context.Context) (string, error) { return "second", nil }
	c, err := Dial(t.Context(), addr, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Register(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	var out struct{ Top int }
	if err := c.Call(t.Context(), "/chat/history", map[string]int{"limit": 2}, &out); err != nil || out.Top != 7 {
		t.Fatal(out, err)
	}
	var status *StatusError
	if err := c.Call(t.Context(), "/nothing", nil, nil); !errors.As(err, &status) || status.Status != protocol.StatusUnknown {
		t.Fatal(err)
	}
	r.want(t, `/chat/public {"name":"a:b","text":"c:d",`, `/chat/family {"name":"x","text":"hey",`, "state disconnected")
	r.want(t, "gap ")
	r.wantAll(t, "/chat/public", "state connected") // the line may come before the client knows that it is back
	c.Close()
	r.want(t, "state closed")
	if !errors.Is(c.Err(), ErrClosed) {
		t.Error(c.Err())
	}
	if err := c.Call(t.Context(), "/x", nil, nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// Goal: a refused nonce and a close without return end the client with the reason. Method: doors by script.
func TestLineRefusals(t *testing.T) {
	noLeaks(t)
	addr := lineServer(t, func(c *lineConn) { c.want("00REGISTERused") }, func(c *lineConn) {
		c.want("00REGISTERgood")
		c.say("00000000OK", "00000CLOSE4003 replaced")
	})
	c, err := Dial(t.Context(), addr, Options{NoReconnect: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Register(t.Context(), "used"); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	if err := c.Register(t.Context(), "two\r\nlines"); err == nil {
		t.Error("a nonce with a line end was sent")
	}
	<-c.Done()
	c, err = Dial(t.Context(), addr, Options{Nonce: func(context.Context) (string, error) { return "", nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Register(t.Context(), "good"); err != nil {
		t.Error(err)
	}
	<-c.Done()
	var closed *CloseError
	if !errors.As(c.Err(), &closed) || closed.Code != protocol.CloseReplaced {
		t.Error(c.Err())
	}
	c.Close()
}

// Goal: what is judged by positions alone. Method: table.
func TestTracker(t *testing.T) {
	at := func(epoch, offset uint64) protocol.Position {
		return protocol.Position{Subject: "s", Epoch: epoch, Offset: offset}
	}
	for _, c := range []struct {
		last, p protocol.Position
		want    verdict
	}{
		{at(1, 5), at(1, 6), fresh},
		{at(1, 5), at(1, 5), double},
		{at(1, 5), at(1, 2), double},
		{at(1, 5), at(1, 7), afterHole},
		{at(1, 5), at(2, 1), afterHole},
		{at(1, 5), at(2, 6), afterHole},
	} {
		var tr tracker
		tr.init()
		if tr.judge(c.last) != fresh {
			t.Error("the first of a subject is not fresh")
		}
		if got := tr.judge(c.p); got != c.want {
			t.Errorf("%v after %v: %d, want %d", c.p, c.last, got, c.want)
		}
	}
	for _, c := range []struct {
		last      protocol.Position
		at        protocol.Position
		recovered bool
		gap       bool
		next      protocol.Position
	}{
		{at(1, 5), at(1, 9), true, false, at(1, 6)},    // the missed ones are on their way
		{at(1, 5), at(1, 9), false, true, at(1, 10)},   // lost for good
		{at(1, 5), at(2, 9), false, true, at(2, 10)},   // history began anew
		{at(1, 5), at(1, 5), false, false, at(1, 6)},   // nothing was said meanwhile
		{at(1, 12), at(1, 9), false, false, at(1, 13)}, // a live push was faster than the answer
	} {
		var tr tracker
		tr.init()
		tr.set(c.last)
		if reason := tr.resumed(protocol.Resumed{Position: c.at, Recovered: c.recovered}); (reason != "") != c.gap {
			t.Errorf("%+v: %q", c, reason)
		}
		if tr.judge(c.next) != fresh {
			t.Errorf("%+v: the next is not fresh", c)
		}
	}
}
