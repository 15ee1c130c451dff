package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"gosper/broker"
	"gosper/edge"
	"gosper/protocol"
)

// Goal: a function that only a worker knows reaches it with the account of the token, and the client gets the worker's line
// as it is. Method: the bytes on both ports, with a client that claims to be another.
func TestWorkerAnswers(t *testing.T) {
	r := newRig(t, nil)
	if got := r.visit(request("roll", "{}")); got != answer(protocol.StatusUnknownFunction, messageUnknown) {
		t.Errorf("without a worker: %q", got)
	}
	w := r.newWorker()
	token, account := r.token("phone")
	c := r.dial(r.client)
	c.send(fmt.Sprintf(`{"world":0,"function":"roll","data":{"unique_id":"thief","sides":6.0,"token":%q,"unique_id":"thief"}}`+"\r\n", token))
	id, body := w.reserve()
	if want := fmt.Sprintf(`{"world":"0","function":"roll","data":{"sides":6.0,"token":%q,"unique_id":%q}}`, token, account); body != want {
		t.Errorf("the job is %s\nwant %s", body, want)
	}
	if gid, err := r.registry.Get(context.Background(), id); err != nil || string(gid) != "0" {
		t.Errorf("gate of the job: %q %v", gid, err)
	}
	const reply = ` {"status": 0, "extra":[1], "message":"ok","data":{"n":4}}`
	w.replies.send(id + "~" + reply + "\r\n")
	if got := c.rest(); got != reply+"\r\n" {
		t.Errorf("answered %q", got)
	}
	w.done()
	if !r.noJobs() {
		t.Error("a job is left")
	}
	open := r.dial(r.client)
	open.send(request("ping", `{"unique_id":"mine"}`))
	id, body = w.reserve()
	if !strings.Contains(body, `"data":{"unique_id":"mine"}`) {
		t.Errorf("an open function got %s", body)
	}
	w.replies.send(id + "~{\n\"status\":7}\r\n")
	if got := open.rest(); got != `{ "status":7}`+"\r\n" {
		t.Errorf("answered %q", got)
	}
}

// Goal: replies that nobody waits for do no harm, and a worker that breaks the protocol is closed. Method: unknown, second,
// malformed and endless replies, and one that is no response.
func TestReplies(t *testing.T) {
	r := newRig(t, func(l *edge.Limits, _ *Config) { l.Strikes = 5; l.GateReplyBytes = 4096 })
	w := r.newWorker()
	c := r.dial(r.client)
	c.send(request("ping", "{}"))
	id, _ := w.reserve()
	w.replies.send(strings.Repeat("f", 32) + `~{"status":0}` + "\r\n" + id + `~{"status":1}` + "\r\n" + id + `~{"status":2}` + "\r\n")
	if got := c.rest(); got != `{"status":1}`+"\r\n" {
		t.Errorf("answered %q", got)
	}
	w.done()
	for _, bad := range []string{"no JSON", "[]", `{"message":"no status"}`, `{"status":"0"}`, `{"status":0`, `{"status":0}{}`} {
		c := r.dial(r.client)
		c.send(request("ping", "{}"))
		id, _ := w.reserve()
		r.dial(r.worker).send(id + "~" + bad + "\r\n")
		if got := c.rest(); got != answer(protocol.StatusProgramming, messageProgram) {
			t.Errorf("%s: answered %q", bad, got)
		}
		w.done()
	}
	for name, text := range map[string]string{"no job": strings.Repeat("hello\r\n", 20), "endless": strings.Repeat("x", 5000),
		"a long line": strings.Repeat("x", 4095) + "\r\n"} {
		s := r.dial(r.worker)
		_, _ = s.Write([]byte(text)) // a reset may come while it is sent
		if got := s.rest(); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Goal: a flooded worker port keeps nobody from an answer. Method: replies to nobody as fast as they go on several
// connections, while clients ask.
func TestFlood(t *testing.T) {
	r := newRig(t, nil)
	w := r.newWorker()
	line := strings.Repeat("0", 32) + `~{"status":0}` + "\r\n"
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	for range 4 {
		s := r.dial(r.worker)
		go func() {
			defer func() { ended <- struct{}{} }()
			for text := []byte(strings.Repeat(line, 1000)); ctx.Err() == nil; {
				if _, err := s.Write(text); err != nil {
					return
				}
			}
		}()
	}
	for i := range 50 {
		c := r.dial(r.client)
		c.send(request("ping", "{}"))
		id, _ := w.reserve()
		w.replies.send(fmt.Sprintf(`%s~{"status":%d}`+"\r\n", id, i))
		if got := c.rest(); got != fmt.Sprintf(`{"status":%d}`+"\r\n", i) {
			t.Fatalf("answered %q", got)
		}
		w.done()
	}
	stop()
	for range 4 {
		<-ended
	}
	s := r.dial(r.worker) // as many as are allowed, and one more: read on in the next second
	most := edge.DefaultLimits().GateStrays
	s.send(strings.Repeat(line, most))
	c := r.dial(r.client)
	c.send(request("ping", "{}"))
	id, _ := w.reserve()
	s.send(line + id + `~{"status":3}` + "\r\n")
	if got := c.rest(); got != `{"status":3}`+"\r\n" {
		t.Errorf("after a pause: %q", got)
	}
}

// Goal: a worker that dies in mid-job is replaced and the client gets one answer. Method: the first worker's connection to
// the queue ends after it took the job; both answer.
func TestWorkerDies(t *testing.T) {
	r := newRig(t, nil)
	first, second := r.newWorker(), r.newWorker()
	c := r.dial(r.client)
	c.send(request("ping", "{}"))
	id, body := first.reserve()
	first.queue.Close()
	again, same := second.reserve()
	if again != id || same != body {
		t.Errorf("the second worker got %s %s", again, same)
	}
	second.replies.send(id + `~{"status":2}` + "\r\n")
	if got := c.rest(); got != `{"status":2}`+"\r\n" {
		t.Errorf("answered %q", got)
	}
	first.replies.send(id + `~{"status":1}` + "\r\n")
	second.done()
	r.eventually("no job left", r.noJobs)
}

// Goal: no more jobs wait than allowed, and none for a client that has gone. Method: one more job than that; its client goes.
func TestJobLimit(t *testing.T) {
	r := newRig(t, func(l *edge.Limits, _ *Config) { l.GateJobs = 1 })
	r.newWorker()
	gone := r.dial(r.client)
	gone.send(request("ping", "{}"))
	r.eventually("the job", func() bool { return r.gate.jobs.count() == 1 && !r.noJobs() })
	if got := r.visit(request("ping", "{}")); got != answer(protocol.StatusTimeout, messageBusy) {
		t.Errorf("a job too many: %q", got)
	}
	gone.Close()
	r.eventually("no job left", r.noJobs)
}

// Goal: no client waits for ever. Method: a worker that takes nothing, then one that hangs, and a request too large
// for the queue.
func TestLimits(t *testing.T) {
	r := newRig(t, func(l *edge.Limits, _ *Config) { l.GateTimeout = 3 * time.Second })
	w := r.newWorker()
	if got := r.visit(request("ping", "{}")); got != answer(protocol.StatusTimeout, messageTimedOut) {
		t.Errorf("without a reply: %q", got)
	}
	r.eventually("no job left", r.noJobs)

	late := r.dial(r.client)
	late.send(request("ping", "{}"))
	w.reserve()
	if got := late.rest(); got != answer(protocol.StatusTimeout, messageTimedOut) {
		t.Errorf("a worker that hangs: %q", got)
	}
	r.eventually("its job is swept", r.noJobs)

	most := edge.DefaultLimits().GateBytes
	if got := r.visit(request("ping", `{"x":"`+strings.Repeat("x", most-60)+`"}`)); got != answer(protocol.StatusProgramming, messageTooBig) {
		t.Errorf("a request too large: %q", got)
	}
	if r.gate.Busy() || r.gate.jobs.count() != 0 {
		t.Error("something is open")
	}
}

// Goal: the registry says where gates are, as long as they are there. Method: two gates of one registry; a key that is lost
// comes back; a closed gate has none.
func TestRegistry(t *testing.T) {
	r := newRig(t, nil)
	other := New(Config{Table: r.gate.config.Table, Registry: r.registry, Timeout: time.Second})
	if err := other.Enter(context.Background(), "127.0.0.1:99"); err != nil {
		t.Fatal(err)
	}
	want := func(key, value string) {
		t.Helper()
		if got, err := r.registry.Get(context.Background(), key); err != nil || string(got) != value {
			t.Errorf("%s: %q %v, want %q", key, got, err, value)
		}
	}
	want("gates.id.0", r.worker)
	want("gates.id.1", "127.0.0.1:99")
	if err := r.registry.Delete(context.Background(), "gates.id.1"); err != nil {
		t.Fatal(err)
	}
	r.eventually("the key is back", func() bool {
		_, err := r.registry.Get(context.Background(), "gates.id.1")
		return err == nil
	})
	other.Close()
	if _, err := r.registry.Get(context.Background(), "gates.id.1"); !errors.Is(err, broker.ErrNotFound) {
		t.Errorf("after the end: %v", err)
	}
	want("gates.id.0", r.worker)
}

// Goal: a drain answers what is open and lets workers work so long. Method: drain while a worker has a job and another job
// waits for it.
func TestDrain(t *testing.T) {
	r := newRig(t, func(l *edge.Limits, _ *Config) { l.DrainSpread = 0 })
	w := r.newWorker()
	first, second := r.dial(r.client), r.dial(r.client)
	first.send(request("ping", "{}"))
	id, _ := w.reserve()
	second.send(request("ping", "{}"))
	r.eventually("two jobs", func() bool { return r.gate.jobs.count() == 2 })
	drained := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), waitMost)
		defer cancel()
		drained <- r.engine.Drain(ctx)
	}()
	r.eventually("no new clients", func() bool {
		c, err := net.Dial("tcp", r.client)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	w.replies.send(id + `~{"status":1}` + "\r\n")
	w.done()
	id, _ = w.reserve()
	w.replies.send(id + `~{"status":2}` + "\r\n")
	if a, b := first.rest(), second.rest(); a != `{"status":1}`+"\r\n" || b != `{"status":2}`+"\r\n" {
		t.Errorf("answered %q and %q", a, b)
	}
	if err := <-drained; err != nil {
		t.Error("drain:", err)
	}
}

// Goal: a job names its account once, whatever a client wrote. Method: any object; the other members stay as they were.
func FuzzIdentified(f *testing.F) {
	f.Add([]byte(`{"unique_id":1,"a":{"unique_id":2},"\u0075nique_id":3}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"more than a float holds":1e999}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		req, err := protocol.ParseGateRequest(append(append([]byte(`{"function":"f","data":`), data...), '}'))
		if err != nil {
			return
		}
		b, err := identified(req.Data, "me")
		if err != nil {
			t.Fatalf("%q: %v", req.Data, err)
		}
		if strings.Count(string(b), `"unique_id":"me"`) < 1 {
			t.Fatalf("%q became %q", req.Data, b)
		}
		members := func(object []byte) (m map[string]any) {
			d := json.NewDecoder(bytes.NewReader(object))
			d.UseNumber() // some are larger than a float
			if d.Decode(&m) != nil {
				t.Fatalf("%q became %q", req.Data, b)
			}
			return m
		}
		before, after := members(req.Data), members(b)
		if after["unique_id"] != "me" {
			t.Fatalf("%q became %q", req.Data, b)
		}
		before["unique_id"] = "me"
		if x, y := fmt.Sprint(before), fmt.Sprint(after); x != y {
			t.Errorf("%s became %s", x, y)
		}
	})
}
