package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"gosper/broker/quiet"
	"gosper/edge/client"
	"gosper/edge/node"
	"gosper/protocol"
)

// startNode starts a real node on the data folder and addresses of o.
func startNode(t *testing.T, o *node.Options) *node.Node {
	t.Helper()
	n, err := node.Start(t.Context(), *o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func nodeOptions(t *testing.T) *node.Options {
	o := node.DefaultOptions()
	o.Data = t.TempDir()
	addrs, err := quiet.Addrs(3) // which it finds again after a restart
	if err != nil {
		t.Fatal(err)
	}
	o.LineAddr, o.HTTPAddr, o.InternalAddr = addrs[0], addrs[1], addrs[2]
	o.GateAddr, o.GateWorkerAddr = "", ""
	// How fast these tests may talk is not their subject.
	o.Functions.ChatRate.PerSecond, o.Limits.CallRate, o.Limits.ChatRate = 0, 0, 0
	return &o
}

// newNonce asks the internal port to let a player into world 0.
func newNonce(t *testing.T, o *node.Options, name string) string {
	t.Helper()
	nonce := fmt.Sprintf("%s-%d", name, time.Now().UnixNano())
	body := fmt.Sprintf(`{"nonce":%q,"payload":{"world":"0","gn":%q,"fn":"foxes"}}`, nonce, name)
	resp, err := http.Post("http://"+o.InternalAddr+"/register_nonce", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return nonce
}

// Goal: lines and websockets of a real node hear each other, and a used nonce is refused. Method: one node, two clients.
func TestAgainstNode(t *testing.T) {
	o := nodeOptions(t)
	n := startNode(t, o)
	defer n.Close()
	heard := make(chan string, 64)
	join := func(url, name string) *client.Client {
		nonce := newNonce(t, o, name)
		c, err := client.Dial(t.Context(), url, client.Options{NoReconnect: true, OnPush: func(p client.Push) {
			if chat, err := protocol.ParseChat(p.Content); err == nil {
				heard <- name + " " + p.Route + " " + chat.Name + " " + chat.Text
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Register(t.Context(), nonce); err != nil {
			t.Fatal(err)
		}
		again, err := client.Dial(t.Context(), url, client.Options{NoReconnect: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Register(t.Context(), nonce); !errors.Is(err, client.ErrRefused) {
			t.Errorf("a used nonce: %v", err)
		}
		again.Close()
		return c
	}
	line := join("line://"+o.LineAddr, "ann")
	defer line.Close()
	web := join("ws://"+o.HTTPAddr+"/ws", "bob")
	defer web.Close()
	for _, say := range []struct {
		c                 *client.Client
		route, name, text string
	}{
		{line, "/chat/public", "ann", "from a line"},
		{web, "/chat/public", "bob", "from a websocket: ü%:\"\\"},
		{web, "/chat/family", "bob", "to the family"},
	} {
		var at protocol.Position
		if err := say.c.Call(t.Context(), say.route, map[string]string{"text": say.text}, &at); err != nil || at.Offset == 0 {
			t.Fatal(at, err)
		}
		want := say.route + " " + say.name + " " + say.text
		got := map[string]bool{<-heard: true, <-heard: true}
		if !got["ann "+want] || !got["bob "+want] {
			t.Errorf("%q was heard as %v", want, got)
		}
	}
	var status *client.StatusError
	if err := web.Call(t.Context(), "/chat/history", map[string]int{"limit": -1}, nil); !errors.As(err, &status) || status.Status != protocol.StatusRange {
		t.Error(err)
	}
}

// Goal: when a node goes and comes back, clients return by themselves and hear every message that was acknowledged
// exactly once, in order. Method: a writer numbers its messages and repeats none; the node is stopped and started
// on the same data and ports three times meanwhile.
func TestResumeAcrossRestarts(t *testing.T) {
	o := nodeOptions(t)
	n := startNode(t, o)
	defer func() { n.Close() }()
	url := "ws://" + o.HTTPAddr + "/ws"
	fast := client.Options{MinBackoff: 5 * time.Millisecond, MaxBackoff: 50 * time.Millisecond}

	heard := make(chan int, 4096)
	reader := fast
	reader.OnPush = func(p client.Push) {
		var chat struct{ Text string }
		var number int
		if json.Unmarshal(p.Content, &chat) == nil {
			if _, err := fmt.Sscan(chat.Text, &number); err == nil {
				heard <- number
			}
		}
	}
	reader.OnGap = func(g client.Gap) { t.Errorf("a gap: %+v", g) }
	r, err := client.Dial(t.Context(), url, reader)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w, err := client.Dial(t.Context(), url, fast)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := errors.Join(r.Register(t.Context(), newNonce(t, o, "reader")), w.Register(t.Context(), newNonce(t, o, "writer"))); err != nil {
		t.Fatal(err)
	}

	restart := make(chan struct{})
	written := make(chan map[int]bool)
	go func() {
		acknowledged := map[int]bool{}
		for i := range 400 {
			if i%100 == 50 {
				restart <- struct{}{}
			}
			if w.Call(t.Context(), "/chat/public", map[string]string{"text": fmt.Sprint(i)}, nil) == nil {
				acknowledged[i] = true
			}
		}
		for w.Call(t.Context(), "/chat/public", map[string]string{"text": "100000"}, nil) != nil && t.Context().Err() == nil {
		}
		close(restart)
		written <- acknowledged
	}()
	for range restart {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		n = startNode(t, o)
	}
	acknowledged := <-written
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	last := -1
	for last < 100000 {
		select {
		case i := <-heard:
			if i <= last {
				t.Fatalf("%d came after %d", i, last)
			}
			last = i
			delete(acknowledged, i)
		case <-ctx.Done():
			t.Fatalf("nothing more came after %d", last)
		}
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged messages were never heard: %v", len(acknowledged), acknowledged)
	}
}
