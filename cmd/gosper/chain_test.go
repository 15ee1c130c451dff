package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gosper/broker/chain"
	"gosper/broker/chain/target/rabbittest"
)

// chainNode is a node whose services and secrets are said, with gosper chain beside it.
type chainNode struct {
	t        *testing.T
	internal string
	dir      string
}

func newChainNode(t *testing.T, services, secrets string, args ...string) *chainNode {
	t.Helper()
	n := &chainNode{t: t, dir: t.TempDir()}
	for name, text := range map[string]string{"config/services.json": services, "secrets.json": secrets} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(n.dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		n.write(name, text)
	}
	ctx, cancel := context.WithCancel(context.Background())
	out, errs := newWatched(), newWatched()
	exit := make(chan int, 1)
	args = append([]string{"serve", "--data", filepath.Join(n.dir, "data"), "--config-dir", filepath.Join(n.dir, "config"), "--chain-secrets", filepath.Join(n.dir, "secrets.json"),
		"--line-addr", "127.0.0.1:0", "--gate-addr", "127.0.0.1:0", "--gate-worker-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--internal-addr", "127.0.0.1:0",
		"--limit-drain-spread", "0s"}, args...)
	go func() { exit <- run(ctx, args, stdio{strings.NewReader(""), out, errs}) }()
	n.internal = out.await(t, `internal +http://(\S+)/metrics`)
	t.Cleanup(func() {
		cancel()
		if code := <-exit; code != exitOK {
			t.Errorf("serve: exit %d", code)
		}
		if log := errs.text.String(); strings.Contains(log, "correct") || strings.Contains(log, "s3same") {
			t.Errorf("a secret is in the log: %s", log)
		}
	})
	return n
}

func (n *chainNode) write(name, text string) string {
	n.t.Helper()
	path := filepath.Join(n.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return path
}

// tool runs gosper chain and returns what it printed.
func (n *chainNode) tool(want int, args ...string) string {
	n.t.Helper()
	code, text, errs := run0(append(append([]string{"chain"}, args...), "--internal-addr", n.internal)...)
	if code != want || want != exitOK && strings.Count(errs, "\n") != 1 {
		n.t.Fatalf("%v: exit %d, %s %s", args, code, text, errs)
	}
	return text + errs
}

// leave interrupts a watch of a chain that goes on.
func (n *chainNode) leave(hash string) {
	n.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out, errs, exit := newWatched(), newWatched(), make(chan int, 1)
	go func() {
		exit <- run(ctx, []string{"chain", "watch", hash, "--internal-addr", n.internal}, stdio{strings.NewReader(""), out, errs})
	}()
	out.await(n.t, "("+hash+")")
	cancel()
	if code, text := <-exit, errs.text.String(); code != exitError || text != "gosper chain: interrupted; the chain goes on\n" {
		n.t.Errorf("interrupted watch: exit %d, %q", code, text)
	}
}

// Goal: an operator submits work, follows it to its end and ends it. Method: a node and a service in this process, every word
// of gosper chain.
func TestChainTools(t *testing.T) {
	inside := make(chan bool, 1)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the end of the client is seen
		switch r.URL.Path {
		case "/hold":
			inside <- true
			<-r.Context().Done()
		case "/no":
			w.WriteHeader(http.StatusForbidden)
		default:
			fmt.Fprint(w, "done")
		}
	}))
	defer service.Close()
	n := newChainNode(t, fmt.Sprintf(`{"services":{%q:{"private":true}}}`, service.URL), `{}`)
	items := func(endpoints ...string) string {
		var all []string
		for i, endpoint := range endpoints {
			all = append(all, fmt.Sprintf(`{"order":%d,"request":{"url":%q,"endpoint":%q,"type":"HTTP","method":"POST","payload":"{}"}}`, i, service.URL, endpoint))
		}
		return `{"work_message":{"items":[` + strings.Join(all, ",") + `]}}`
	}
	text := n.tool(exitOK, "submit", "--seal", n.write("work.json", items("/a", "/b")))
	hash, _, _ := strings.Cut(text, " ")
	if text = n.tool(exitOK, "watch", hash); !strings.Contains(text, hash+"  completed") || strings.Count(text, "/b") == 0 || !strings.Contains(text, `"status":200`) {
		t.Error(text)
	}
	var s chain.Status
	if err := json.Unmarshal([]byte(n.tool(exitOK, "status", "--json", hash)), &s); err != nil || s.State != chain.Completed || s.Items[1].Response.Data != "done" {
		t.Errorf("%+v, %v", s, err)
	}
	if text = n.tool(exitOK, "submit", "--seal", filepath.Join(n.dir, "work.json")); !strings.Contains(text, "completed") {
		t.Error("the same again:", text)
	}
	n.tool(exitError, "submit", filepath.Join(n.dir, "work.json")) // without a hash
	n.tool(exitError, "submit", filepath.Join(n.dir, "no such file"))
	n.tool(exitError, "submit", "--seal", n.write("bad.json", `{"items":[],}`))
	n.tool(exitError, "cancel", hash)
	n.tool(exitError, "status", "no?such/chain")

	hash, _, _ = strings.Cut(n.tool(exitOK, "submit", "--seal", n.write("work.json", items("/no", "/b"))), " ")
	if text = n.tool(exitError, "watch", hash); !strings.Contains(text, "the chain is failed: an item failed") || !strings.Contains(text, "skipped") || !strings.Contains(text, `"status":403`) {
		t.Error(text)
	}
	hash, _, _ = strings.Cut(n.tool(exitOK, "submit", "--seal", n.write("work.json", items("/hold", "/b"))), " ")
	<-inside
	n.leave(hash)
	if text = n.tool(exitOK, "cancel", hash); !strings.Contains(text, "aborted  (cancelled)") {
		t.Error(text)
	}
	for _, args := range [][]string{{"chain"}, {"chain", "submit"}, {"chain", "burn", "x"}, {"chain", "watch", "x", "y"}} {
		if code, _, errs := run0(args...); code != exitUsage || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: exit %d %s", args, code, errs)
		}
	}
}

// Goal: the example that the pattern of work chains is described by completes: a POST to a service, then a message to the
// queue completion-queue of a broker. Method: a service with TLS and a certificate of its own, RabbitMQ as a process, and the
// commands that CHAINS.md tells; the message is read back from RabbitMQ.
func TestPatternExample(t *testing.T) {
	rabbit := rabbittest.New(t)
	rabbit.Start()
	service := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/shop/api/orders/place" || r.Header.Get("Authorization") != "Bearer s3same" || string(body) != `{"article":7}` {
			t.Error(r.URL.Path, r.Header, string(body))
		}
		fmt.Fprint(w, `{"id":4711}`)
	}))
	defer service.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: service.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets, err := json.Marshal(map[string]string{"shop": "s3same", "rabbit": rabbit.User + ":" + rabbit.Password})
	if err != nil {
		t.Fatal(err)
	}
	n := newChainNode(t, fmt.Sprintf(`{"services":{%q:{"private":true,"headers":{"Authorization":"Bearer {secret:shop}"}},%q:{"private":true,"login":"rabbit","declare":true}}}`,
		service.URL, rabbit.Origin()), string(secrets), "--chain-ca", ca)
	work := fmt.Sprintf(`{"work_message":{"items":[
  {"order":1,"request":{"url":%q,"endpoint":"/shop/api/orders/place","type":"HTTPS","method":"POST","payload":"{\"article\":7}"}},
  {"order":2,"request":{"url":%q,"endpoint":"completion-queue","type":"AMQP","method":"publish","payload":"{\"order\":${1.data/id}}"}}]}}`, service.URL, rabbit.Origin())
	hash, _, _ := strings.Cut(n.tool(exitOK, "submit", "--seal", n.write("work.json", work)), " ")
	shown := n.tool(exitOK, "watch", hash)
	if !strings.Contains(shown, hash+"  completed") || !strings.Contains(shown, "/shop/api/orders/place") || !strings.Contains(shown, rabbit.Origin()+" completion-queue") {
		t.Error(shown)
	}
	t.Log("\n" + shown)
	got := rabbit.Drain("completion-queue")
	if len(got) != 1 || string(got[0].Body) != `{"order":4711}` || got[0].MessageId != hash+"-1" || got[0].CorrelationId != hash {
		t.Errorf("%+v", got)
	}
	if all := shown + n.tool(exitOK, "status", "--json", hash); strings.Contains(all, "s3same") || strings.Contains(all, rabbit.Password) {
		t.Error("a secret is shown:", all)
	}
}
