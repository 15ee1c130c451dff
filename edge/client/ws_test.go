package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"gosper/protocol"
)

// webServer is a websocket door by script, spoken by another implementation of RFC 6455.
func webServer(t *testing.T, scripts ...func(ctx context.Context, c *webConn)) string {
	t.Helper()
	var n atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := int(n.Add(1)) - 1
		if i >= len(scripts) {
			http.Error(w, "no more", http.StatusServiceUnavailable)
			return
		}
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"gosper.v1"}, InsecureSkipVerify: true})
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
		defer cancel()
		c := &webConn{t, conn}
		c.say(ctx, `{"room":"main","route":"/welcome","status":0,"message":"OK","content":{}}`)
		scripts[i](ctx, c)
	}))
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http") + "/ws"
}

type webConn struct {
	t *testing.T
	*websocket.Conn
}

func (c *webConn) say(ctx context.Context, messages ...string) {
	for _, m := range messages {
		if err := c.Write(ctx, websocket.MessageText, []byte(m)); err != nil {
			c.t.Errorf("server write: %v", err)
		}
	}
}

func (c *webConn) want(ctx context.Context, message string) {
	_, b, err := c.Read(ctx)
	if err != nil || string(b) != message {
		c.t.Errorf("the server got %q, %v; want %q", b, err, message)
	}
}

func pushAt(offset int, text string) string {
	return fmt.Sprintf(`{"room":"main","route":"/chat/public","status":0,"message":"OK","position":{"subject":"chat.0.public","epoch":3,"offset":%d},"content":{"text":"%s"}}`, offset, text)
}

func reply(route string, id int, content string) string {
	return fmt.Sprintf(`{"room":"main","route":"%s","msgId":%d,"status":0,"message":"OK","content":%s}`, route, id, content)
}

// Goal: a websocket client resumes with its positions, gets nothing twice and is told of what is lost. Method: a door
// by script (coder/websocket) that drops the link twice.
func TestWebResume(t *testing.T) {
	noLeaks(t)
	subject := func(offset int, recovered bool) string {
		return fmt.Sprintf(`{"session":"tok%d","subjects":[{"subject":"chat.0.public","epoch":3,"offset":%d,"recovered":%v}]}`, offset, offset, recovered)
	}
	addr := webServer(t, func(ctx context.Context, c *webConn) {
		c.want(ctx, `{"route":"/session/register","msgId":1,"content":{"nonce":"n1"}}`)
		c.say(ctx, reply("/session/register", 1, subject(10, true)), pushAt(11, "one"), pushAt(12, "two"))
		c.Close(1012, "restart")
	}, func(ctx context.Context, c *webConn) {
		c.want(ctx, `{"route":"/session/resume","msgId":1,"content":{"token":"tok10","positions":[{"subject":"chat.0.public","epoch":3,"offset":12}]}}`)
		// The server sends what was missed, here with a double, and answers.
		c.say(ctx, pushAt(12, "two"), pushAt(13, "three"), reply("/session/resume", 1, subject(13, true)), pushAt(14, "four"))
		c.want(ctx, `{"route":"/now/break","msgId":2,"content":{}}`)
		c.CloseNow()
	}, func(ctx context.Context, c *webConn) {
		c.want(ctx, `{"route":"/session/resume","msgId":1,"content":{"token":"tok13","positions":[{"subject":"chat.0.public","epoch":3,"offset":14}]}}`)
		c.say(ctx, reply("/session/resume", 1, subject(40, false)), pushAt(41, "five"), pushAt(43, "six"))
		c.Read(ctx)
	})
	r := make(recorder, 16)
	c, err := Dial(t.Context(), addr, r.options())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Register(t.Context(), "n1"); err != nil {
		t.Fatal(err)
	}
	r.want(t, `/chat/public {"text":"one"}`, `/chat/public {"text":"two"}`, "state disconnected")
	r.want(t, `/chat/public {"text":"three"}`)
	got := map[string]bool{(<-r): true, (<-r): true} // "four" may come before or after the news of the connection
	if !got[`/chat/public {"text":"four"}`] || !got["state connected"] {
		t.Fatal(got)
	}
	if err := c.Call(t.Context(), "/now/break", nil, nil); !errors.Is(err, ErrDisconnected) {
		t.Error(err)
	}
	r.want(t, "state disconnected", "gap chat.0.public")
	seen := []string{<-r, <-r, <-r, <-r}
	joined := strings.Join(seen, "|")
	for _, order := range []string{"five", "gap", "six"} {
		_, after, ok := strings.Cut(joined, order)
		if !ok {
			t.Fatalf("%q is missing or out of order in %q", order, seen)
		}
		joined = after
	}
}

// Goal: the server's advice is followed: no return after "replaced", nor when the session is gone. Method: scripts.
func TestWebAdvice(t *testing.T) {
	noLeaks(t)
	addr := webServer(t, func(ctx context.Context, c *webConn) { c.Close(4003, "replaced") })
	c, err := Dial(t.Context(), addr, Options{})
	if err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	var closed *CloseError
	if !errors.As(c.Err(), &closed) || closed.Code != protocol.CloseReplaced || closed.Reason != "replaced" {
		t.Error(c.Err())
	}
	c.Close()

	addr = webServer(t, func(ctx context.Context, c *webConn) {
		c.want(ctx, `{"route":"/session/resume","msgId":1,"content":{"token":"old"}}`)
		c.say(ctx, reply("/session/resume", 1, `{"session":"new","subjects":[]}`))
		c.CloseNow()
	}, func(ctx context.Context, c *webConn) {
		c.want(ctx, `{"route":"/session/resume","msgId":1,"content":{"token":"new"}}`)
		c.say(ctx, `{"room":"main","route":"/session/resume","msgId":1,"status":1006,"message":"expired","content":{"data":null}}`)
		c.Read(ctx)
	})
	r := make(recorder, 16)
	c, err = Dial(t.Context(), addr, r.options())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Resume(t.Context(), "old", nil); err != nil {
		t.Error(err)
	}
	<-c.Done()
	var status *StatusError
	if !errors.As(c.Err(), &status) || status.Status != protocol.StatusExpired {
		t.Error(c.Err())
	}
	r.want(t, "state disconnected", "state closed")
	c.Close()
}

// Goal: fragments and pings of the server are understood, long messages refused. Method: script; the ping is answered
// or the script would end with an error.
func TestWebFrames(t *testing.T) {
	noLeaks(t)
	addr := webServer(t, func(ctx context.Context, c *webConn) {
		c.want(ctx, `{"route":"/a","msgId":1,"content":{}}`)
		pinged := make(chan error, 1)
		readCtx := c.CloseRead(ctx) // the peer's reader sees the pong
		go func() { pinged <- c.Ping(ctx) }()
		if err := <-pinged; err != nil {
			t.Error(err)
		}
		w, err := c.Writer(ctx, websocket.MessageText)
		if err != nil {
			t.Error(err)
			return
		}
		whole := reply("/a", 1, `{"x":"é"}`)
		for i := range len(whole) { // every byte a write; the library cuts frames where it likes
			w.Write([]byte(whole[i : i+1]))
		}
		w.Close()
		// The client closes as soon as it has read the length, perhaps in the middle of this.
		_ = c.Write(ctx, websocket.MessageText, []byte(`{"room":"main","route":"/long","status":0,"content":{"x":"`+strings.Repeat("y", 4096)+`"}}`))
		<-readCtx.Done()
	})
	c, err := Dial(t.Context(), addr, Options{MaxMessage: 2048, NoReconnect: true})
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ X string }
	if err := c.Call(t.Context(), "/a", nil, &out); err != nil || out.X != "é" {
		t.Error(out, err)
	}
	<-c.Done()
	if !errors.Is(c.Err(), protocol.ErrTooBig) {
		t.Error(c.Err())
	}
	c.Close()
}

// Goal: an upgrade that is none is refused. Method: table of answers.
func TestCheckUpgrade(t *testing.T) {
	good := func() textproto.MIMEHeader {
		return textproto.MIMEHeader{"Upgrade": {"WebSocket"}, "Connection": {"keep-alive, Upgrade"}, "Sec-Websocket-Accept": {protocol.AcceptKey([]byte("k"))}}
	}
	if err := checkUpgrade("HTTP/1.1 101 Switching Protocols", good(), "k"); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(h textproto.MIMEHeader, status *string){
		"status":     func(h textproto.MIMEHeader, s *string) { *s = "HTTP/1.1 403 Forbidden" },
		"upgrade":    func(h textproto.MIMEHeader, s *string) { h.Del("Upgrade") },
		"connection": func(h textproto.MIMEHeader, s *string) { h.Set("Connection", "close") },
		"accept":     func(h textproto.MIMEHeader, s *string) { h.Set("Sec-Websocket-Accept", "x") },
		"extension":  func(h textproto.MIMEHeader, s *string) { h.Set("Sec-Websocket-Extensions", "permessage-deflate") },
		"protocol":   func(h textproto.MIMEHeader, s *string) { h.Set("Sec-Websocket-Protocol", "mqtt") },
	} {
		h, status := good(), "HTTP/1.1 101 Switching Protocols"
		change(h, &status)
		if checkUpgrade(status, h, "k") == nil {
			t.Errorf("%s was let through", name)
		}
	}
}

// Goal: addresses are read right. Method: table.
func TestParseTarget(t *testing.T) {
	for raw, want := range map[string]string{
		"line://h":           "h:9000 true false",
		"line://h:1":         "h:1 true false",
		"lines://h:2":        "h:2 true true",
		"ws://h/ws":          "h:80 false false",
		"wss://[::1]:8443/x": "[::1]:8443 false true",
	} {
		got, err := parseTarget(raw, nil)
		if s := fmt.Sprint(got.addr, " ", got.line, " ", got.tls != nil); err != nil || s != want {
			t.Errorf("%s: %s, %v", raw, s, err)
		}
	}
	for _, raw := range []string{"http://h", "line://", "lines://h", "h:9000", "ws://%zz"} {
		if _, err := parseTarget(raw, nil); err == nil {
			t.Errorf("%s was taken", raw)
		}
	}
}
