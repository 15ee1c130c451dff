package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/chain"
	"gosper/broker/memory"
)

// answering is an Executor: endpoint /no says no, /wait waits for the end of the call, others say what they were sent.
type answering struct{ calls atomic.Int64 }

func (a *answering) Do(ctx context.Context, s chain.Step) chain.Outcome {
	a.calls.Add(1)
	switch s.Request.Endpoint {
	case "/no":
		return chain.Outcome{Response: chain.Response{Data: "no"}}
	case "/wait":
		<-ctx.Done()
		return chain.Outcome{Response: chain.Response{Error: true}, Retry: true}
	}
	return chain.Outcome{Response: chain.Response{OK: true, Data: s.Request.Payload}}
}

// chainRig is a server with an engine of work chains.
func chainRig(t *testing.T, change ...func(*Config)) (*rig, *answering) {
	t.Helper()
	store, queue, executor := memory.NewStore(), memory.NewQueue(broker.QueueOptions{}), new(answering)
	e, err := chain.Open(t.Context(), chain.EngineOptions{Store: store, Queue: queue, Executor: executor})
	if err != nil {
		t.Fatal(err)
	}
	e.Start()
	t.Cleanup(func() {
		e.Close()
		queue.Close()
		store.Close()
	})
	return newRig(t, func(c *Config) {
		c.Chains, c.Queue = e, queue
		for _, change := range change {
			change(c)
		}
	}), executor
}

// chainOf is a sealed chain of endpoints, in this order.
func chainOf(endpoints ...string) chain.Work {
	w := chain.Work{}
	for i, endpoint := range endpoints {
		w.Items = append(w.Items, chain.Item{Order: i + 1, Request: chain.Request{URL: "https://a.example", Endpoint: endpoint, Type: chain.TypeHTTPS, Method: "POST", Payload: "sent to " + endpoint}})
	}
	w.Seal()
	return w
}

// work sends a work message and returns the code and the answer.
func (r *rig) work(message []byte) (int, string) {
	r.t.Helper()
	response, body := r.request("internal", "POST", "/work", string(message))
	return response.StatusCode, body
}

// Goal: a chain is submitted once, in both forms, followed to its end, and its completion is taken once. Method: exact answers.
func TestWork(t *testing.T) {
	r, executor := chainRig(t)
	w := chainOf("/a", "/b")
	code, body := r.work(chain.AppendWork(nil, &w))
	var out workOut
	if err := json.Unmarshal([]byte(body), &out); code != 202 || err != nil || !out.New || out.Hash != w.Hash || len(out.Items) != 2 {
		t.Fatal(code, body, err)
	}
	_, body = r.request("internal", "GET", "/work/"+w.Hash+"?wait=30", "")
	var s chain.Status
	if err := json.Unmarshal([]byte(body), &s); err != nil || s.State != chain.Completed || s.Items[1].Response.Data != "sent to /b" || s.Items[1].Target != "https://a.example/b" {
		t.Fatal(body, err)
	}
	for _, message := range [][]byte{chain.AppendWork(nil, &w), chain.AppendProtoWork(nil, &w)} {
		code, body = r.work(message)
		if code != 200 || !strings.Contains(body, `"new":false`) || !strings.Contains(body, `"state":"completed"`) {
			t.Error("the same again:", code, body)
		}
	}
	if n := executor.calls.Load(); n != 2 {
		t.Errorf("%d calls", n)
	}
	response, body := r.request("internal", "GET", "/work/"+w.Hash, "", "Accept", mimeProtobuf)
	if want := string(chain.AppendProtoCompletion(nil, w.Hash, s.Results())); body != want || response.Header.Get("Content-Type") != mimeProtobuf {
		t.Errorf("%q, want %q", body, want)
	}
	want := fmt.Sprintf(`{"completion_message":{"hash":%q,"items":[{"order":1,"response":{"error":false,"ok":true,"data":"sent to /a","metadata":""}},`+
		`{"order":2,"response":{"error":false,"ok":true,"data":"sent to /b","metadata":""}}]}}`, w.Hash)
	receipt := r.completion(want)
	if got := r.form("/completions/ack", "receipt", receipt); got != `{"status":0}` {
		t.Error("acknowledged:", got)
	}
	if response, got := r.request("internal", "POST", "/completions/ack", "receipt="+receipt, "Content-Type", "application/x-www-form-urlencoded"); response.StatusCode != 409 {
		t.Error("twice:", response.Status, got)
	}
	if _, got := r.request("internal", "GET", "/completions", ""); got != `{"completions":[]}` {
		t.Error("empty:", got)
	}
}

// completion takes one completion message and returns its receipt.
func (r *rig) completion(want string) string {
	r.t.Helper()
	_, body := r.request("internal", "GET", "/completions?wait=30", "")
	var list struct{ Completions []completion }
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Completions) != 1 || string(list.Completions[0].Message) != want {
		r.t.Fatalf("%s\nwant %s, %v", body, want, err)
	}
	return list.Completions[0].Receipt
}

// Goal: bad messages are refused with what is wrong, and never with 500. Method: each fault of a message, in JSON and protobuf.
func TestBadWork(t *testing.T) {
	r, executor := chainRig(t)
	changed := func(change func(w *chain.Work)) string {
		w := chainOf("/a")
		change(&w)
		w.Seal()
		return string(chain.AppendWork(nil, &w))
	}
	good := chainOf("/a")
	for _, c := range []struct{ name, message, want string }{
		{"nothing", "", "neither valid JSON"},
		{"no JSON", "hello", "neither valid JSON"},
		{"trailing comma", strings.Replace(string(chain.AppendWork(nil, &good)), "]}}", "],}}", 1), "a comma before a closing bracket is not allowed"},
		{"another message", `{"notification_message":{}}`, "work_message is missing"},
		{"no items", `{"work_message":{"hash":"x"}}`, "at least one is needed"},
		{"wrong hash", strings.Replace(string(chain.AppendWork(nil, &good)), good.Hash, strings.Repeat("0", 32), 1), "hash: is not the MD5 of the canonical items, " + good.Hash},
		{"order is missing", `{"work_message":{"hash":"x","items":[{"request":{}}]}}`, "items[0]: order is missing"},
		{"order is text", `{"work_message":{"hash":"x","items":[{"order":"1"}]}}`, "order must not be string"},
		{"negative order", changed(func(w *chain.Work) { w.Items[0].Order = -1 }), "items[0]: order: -1"},
		{"unknown type", changed(func(w *chain.Work) { w.Items[0].Request.Type = "FTP" }), `request.type: \"FTP\"`},
		{"a payload of 1 MiB", changed(func(w *chain.Work) { w.Items[0].Request.Payload = strings.Repeat("x", 1<<20) }), "body is too large"},
		{"a payload of 300 KiB", changed(func(w *chain.Work) { w.Items[0].Request.Payload = strings.Repeat("x", 300<<10) }), "payload: 307200 bytes, at most 262144"},
		{"1,000 items", changed(func(w *chain.Work) {
			for range 999 {
				w.Items = append(w.Items, w.Items[0])
			}
		}), "items: 1000, at most 100"},
		{"a marker that means nothing", changed(func(w *chain.Work) { w.Items[0].Request.Payload = "${1.data}" }), "means no item of an earlier order"},
		{"protobuf garbage", "\x0a\xff\xff\xff\xff\xff", "protobuf"},
		{"protobuf cut short", string(chain.AppendProtoWork(nil, &good)[:40]), "protobuf"},
		{"protobuf of another message", string(chain.AppendProtoNotification(nil, "x", nil)), "work_message is missing"},
	} {
		code, body := r.work([]byte(c.message))
		if code != 400 && (code != 413 || len(c.message) < 1<<20) || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %.300s", c.name, code, body)
		}
	}
	if n := executor.calls.Load(); n != 0 {
		t.Errorf("%d calls", n)
	}
	for path, want := range map[string]int{"GET /work/unknown": 404, "GET /work/" + good.Hash + "?wait=-1": 400, "GET /work/" + good.Hash + "?wait=NaN": 400, "GET /work/" + good.Hash + "?wait=31": 400,
		"POST /work/unknown/cancel": 404, "GET /completions?max=0": 400, "GET /completions?max=101": 400, "GET /completions?wait=x": 400, "POST /completions/ack": 400, "POST /notifications": 400} {
		method, path, _ := strings.Cut(path, " ")
		if response, body := r.request("internal", method, path, ""); response.StatusCode != want {
			t.Errorf("%s %s: %d %s", method, path, response.StatusCode, body)
		}
	}
	none := newRig(t, nil)
	for _, path := range []string{"POST /work", "GET /work/x", "POST /work/x/cancel", "POST /notifications"} {
		method, path, _ := strings.Cut(path, " ")
		if response, _ := none.request("internal", method, path, ""); response.StatusCode != 503 {
			t.Errorf("%s %s of a node without chains: %d", method, path, response.StatusCode)
		}
	}
}

// Goal: an answer may come later than its call, by another way. Method: an item that awaits its notification, in both forms,
// and notifications that nobody waits for.
func TestNotifications(t *testing.T) {
	r, _ := chainRig(t)
	for name, encode := range map[string]func([]byte, string, []chain.Result) []byte{"json": chain.AppendNotification, "protobuf": chain.AppendProtoNotification} {
		w := chainOf("/a", "/"+name)
		w.Items[0].Options.Await = true
		w.Seal()
		if code, body := r.work(chain.AppendWork(nil, &w)); code != 202 {
			t.Fatal(name, code, body)
		}
		post := func(hash string, order int) (int, string) {
			response, body := r.request("internal", "POST", "/notifications", string(encode(nil, hash, []chain.Result{{Order: order, Response: chain.Response{OK: true, Data: "late"}}})))
			return response.StatusCode, body
		}
		if code, body := post(w.Hash, 2); code != 409 {
			t.Error(name, "for an item that waits for nothing:", code, body)
		}
		if code, body := post("unknown", 1); code != 404 {
			t.Error(name, "for no chain:", code, body)
		}
		if code, body := post(w.Hash, 1); code != 200 || body != `{"taken":1}` {
			t.Error(name, code, body)
		}
		if _, body := r.request("internal", "GET", "/work/"+w.Hash+"?wait=30", ""); !strings.Contains(body, `"state":"completed"`) || !strings.Contains(body, `"data":"late"`) {
			t.Error(name, body)
		}
		if code, body := post(w.Hash, 1); code != 409 {
			t.Error(name, "twice:", code, body)
		}
	}
}

// Goal: long polls do not hold up a server that closes. Method: one of each kind, under way.
func TestLongPollsEnd(t *testing.T) {
	r, _ := chainRig(t)
	w := chainOf("/wait")
	if code, body := r.work(chain.AppendWork(nil, &w)); code != 202 {
		t.Fatal(code, body)
	}
	ended, before := make(chan string, 2), httpRequests.Get()
	for _, path := range []string{"/work/" + w.Hash + "?wait=30", "/completions?wait=30"} {
		c, err := net.Dial("tcp", r.s.Addr("internal").String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path)
		go func() {
			b, _ := io.ReadAll(c) // the server closes it
			ended <- string(b)
		}()
	}
	eventually(t, func() bool { return httpRequests.Get() == before+2 }) // what has not reached its handler is not answered
	begun := time.Now()
	if err := r.s.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if text := <-ended; !strings.HasPrefix(text, "HTTP/1.1 200") {
			t.Errorf("%q", text)
		}
	}
	if took := time.Since(begun); took >= longPoll {
		t.Errorf("it took %v", took)
	}
}

// Goal: a long poll answers when there is news and not before, and a chain can be ended. Method: polls that wait for a chain
// that is cancelled meanwhile.
func TestLongPoll(t *testing.T) {
	r, _ := chainRig(t)
	w := chainOf("/wait", "/b")
	if code, body := r.work(chain.AppendWork(nil, &w)); code != 202 {
		t.Fatal(code, body)
	}
	begun := time.Now()
	if _, body := r.request("internal", "GET", "/work/"+w.Hash+"?wait=0.05", ""); !strings.Contains(body, `"state":"running"`) || time.Since(begun) < 50*time.Millisecond {
		t.Error(body, time.Since(begun))
	}
	news := make(chan string, 2)
	for _, path := range []string{"/work/" + w.Hash + "?wait=30", "/completions?wait=30"} {
		go func() {
			_, body := r.request("internal", "GET", path, "")
			news <- body
		}()
	}
	_, body := r.request("internal", "POST", "/work/"+w.Hash+"/cancel", "")
	if !strings.Contains(body, `"state":"aborted"`) || !strings.Contains(body, `"state":"skipped"`) {
		t.Error(body)
	}
	for range 2 {
		if body := <-news; !strings.Contains(body, w.Hash) || strings.Contains(body, "running") {
			t.Error(body)
		}
	}
	if response, body := r.request("internal", "POST", "/work/"+w.Hash+"/cancel", ""); response.StatusCode != 409 {
		t.Error("twice:", response.Status, body)
	}
}
