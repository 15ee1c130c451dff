package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gosper/edge/node"
)

// run0 runs a command line and returns its exit code and what it wrote.
func run0(args ...string) (code int, out, err string) {
	var o, e bytes.Buffer
	code = run(context.Background(), args, stdio{strings.NewReader(""), &o, &e})
	return code, o.String(), e.String()
}

// Goal: every command explains itself with an example, and a mistake is one line with exit code 2. Method: help and a
// wrong flag for each.
func TestEveryCommandHasHelp(t *testing.T) {
	_, all, _ := run0("help")
	for _, c := range commands {
		if !strings.Contains(all, "  "+c.name+" ") || c.summary == "" || !strings.Contains(c.example, "gosper "+c.name) {
			t.Errorf("%s is not described", c.name)
		}
		for _, args := range [][]string{{c.name, "--help"}, {"help", c.name}} {
			code, out, err := run0(args...)
			if code != exitOK || !strings.Contains(out, "gosper "+c.name) || err != "" {
				t.Errorf("%v: exit %d, out %.60q, err %q", args, code, out, err)
			}
		}
		code, out, err := run0(c.name, "--no-such-flag")
		if code != exitUsage || out != "" || strings.Count(err, "\n") != 1 || !strings.HasPrefix(err, "gosper "+c.name) {
			t.Errorf("%s with a wrong flag: exit %d, out %.60q, err %q", c.name, code, out, err)
		}
	}
	for _, args := range [][]string{{"no-such"}, {"help", "no-such"}, {"serve", "extra"}, {"config"}, {"config", "no-such"},
		{"token"}, {"token", "burn", "x"}, {"nonce", "x"}, {"nonce", "--ttl", "1ms"}, {"mail"}, {"mail", "send"}, {"version", "x"}} {
		if code, _, err := run0(args...); code != exitUsage || strings.Count(err, "\n") != 1 {
			t.Errorf("%v: exit %d, err %q", args, code, err)
		}
	}
	if code, out, _ := run0(); code != exitOK || out != all {
		t.Errorf("without arguments: exit %d, %q", code, out)
	}
	if code, out, _ := run0("--version"); code != exitOK || !strings.HasPrefix(out, "gosper ") {
		t.Errorf("version: exit %d, %q", code, out)
	}
}

// Goal: what config print prints is a file that gives the same options, in both formats. Method: print, read, print.
func TestConfigRoundTrip(t *testing.T) {
	for _, format := range []string{"yaml", "toml"} {
		code, first, errs := run0("config", "print", "--format", format, "--line-addr", ":9100", "--origins", "https://a.example,https://b.example")
		if code != exitOK || errs != "" {
			t.Fatal(code, errs)
		}
		file := filepath.Join(t.TempDir(), "gosper."+format)
		if err := os.WriteFile(file, []byte(first), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out, errs := run0("config", "check", "--config", file); code != exitOK || out == "" || errs != "" {
			t.Errorf("%s: check: exit %d, %q", format, code, errs)
		}
		if _, second, errs := run0("config", "print", "--format", format, "--config", file); second != first || errs != "" {
			t.Errorf("%s: the second print differs: %q", format, errs)
		}
	}
	if code, _, errs := run0("config", "check", "--limit-line-bytes", "63"); code != exitUsage || !strings.Contains(errs, "limit-line-bytes") {
		t.Errorf("check: exit %d, %q", code, errs)
	}
	if code, _, errs := run0("config", "check", "--https-addr", ":8443"); code != exitError || !strings.Contains(errs, "https-addr") {
		t.Errorf("check: exit %d, %q", code, errs)
	}
	t.Setenv("GOSPER_SECRET", "a secret that nobody sees")
	for _, args := range [][]string{{"config", "print"}, {"serve", "--print-config"}} {
		if _, out, _ := run0(args...); strings.Contains(out, "nobody sees") || !strings.Contains(out, "line-addr") {
			t.Errorf("%v prints the secret, or nothing", args)
		}
	}
	_, docs, _ := run0("config", "docs")
	for _, s := range node.Settings() {
		if !strings.Contains(docs, "`"+s.Env()+"`") {
			t.Errorf("%s is not in the documents", s.Name)
		}
	}
}

// watched is a writer on which a test waits for a text.
type watched struct {
	mu   sync.Mutex
	text strings.Builder
	wake chan struct{}
}

func newWatched() *watched { return &watched{wake: make(chan struct{}, 1)} }

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return len(p), nil
}

// await returns the first match of the pattern's group.
func (w *watched) await(t *testing.T, pattern string) string {
	t.Helper()
	re, limit := regexp.MustCompile(pattern), time.After(time.Minute)
	for {
		w.mu.Lock()
		m := re.FindStringSubmatch(w.text.String())
		text := w.text.String()
		w.mu.Unlock()
		if m != nil {
			return m[1]
		}
		select {
		case <-w.wake:
		case <-limit:
			t.Fatalf("%s is not in %q", pattern, text)
		}
	}
}

// Goal: serve tells where it is, the tools find it there, the end of the context drains it, and the e-mails can be read
// afterwards from its folder. Method: one node in this process, tools beside it.
func TestServeAndTools(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out, errs := newWatched(), newWatched()
	exit := make(chan int, 1)
	go func() {
		exit <- run(ctx, []string{"serve", "--data", data, "--line-addr", "127.0.0.1:0", "--gate-addr", "127.0.0.1:0", "--gate-worker-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0",
			"--internal-addr", "127.0.0.1:0", "--limit-drain-spread", "0s"}, stdio{strings.NewReader(""), out, errs})
	}()
	internal := out.await(t, `internal +http://(\S+)/metrics`)
	site := out.await(t, `page +(http://\S+/)`)
	must := func(args ...string) string {
		t.Helper()
		code, text, errs := run0(append(args, "--internal-addr", internal)...)
		if code != exitOK || errs != "" {
			t.Fatalf("%v: exit %d, %q", args, code, errs)
		}
		return strings.TrimSpace(text)
	}
	token := must("token", "issue", "alfred")
	if uid := must("token", "check", token); uid != "alfred" {
		t.Errorf("token of %q", uid)
	}
	must("token", "issue", "alfred")
	if code, _, errs := run0("token", "check", token, "--internal-addr", internal); code != exitError || strings.Count(errs, "\n") != 1 {
		t.Errorf("a replaced token: exit %d, %q", code, errs)
	}
	nonce := must("nonce", "--world", "7", "--name", "Ann")
	if payload := must("nonce", "redeem", nonce); payload != `{"fn":"","gn":"Ann","world":"7"}` {
		t.Errorf("payload %s", payload)
	}
	if code, _, _ := run0("nonce", "redeem", nonce, "--internal-addr", internal); code != exitError {
		t.Error("a nonce was redeemed twice")
	}
	register(t, site)
	id, _, _ := strings.Cut(must("mail", "outbox"), " ")
	if !strings.Contains(must("mail", "outbox", "--json"), `"to":"ann@example.com"`) || id == "" {
		t.Error("the outbox is empty")
	}
	mail := `{"world":"0","uid":"ann","mail":{"type":"0","from":"Bob","subj":"hello","body":"a glider"}}`
	if answer := post(t, "http://"+internal+"/send", "", mail); !strings.Contains(answer, `"status":0`) {
		t.Error(answer)
	}
	const shown = `unread  type 0  from "Bob"  "hello"  "a glider"`
	must("mail", "reindex", "0", "ann")
	if list := must("mail", "list", "0", "ann"); !strings.Contains(list, shown) {
		t.Error(list)
	}
	if code, _, errs := run0("mail", "list", "0", "../x", "--internal-addr", internal); code != exitError || strings.Count(errs, "\n") != 1 {
		t.Errorf("a bad box: exit %d, %q", code, errs)
	}
	cancel()
	if code := <-exit; code != exitOK {
		t.Errorf("serve: exit %d, %s", code, errs.text.String())
	}
	offline := []string{"mail", "outbox", "--internal-addr", internal, "--data", data}
	if code, text, errs := run0(offline...); code != exitOK || !strings.Contains(text, id) || errs != "" {
		t.Errorf("from the folder: exit %d, %q %q", code, text, errs)
	}
	if code, _, errs := run0("mail", "sent", id, "--internal-addr", internal, "--data", data); code != exitOK {
		t.Errorf("sent: exit %d, %q", code, errs)
	}
	for _, word := range []string{"reindex", "list"} {
		if code, list, errs := run0("mail", word, "0", "ann", "--internal-addr", internal, "--data", data); code != exitOK || errs != "" || word == "list" && !strings.Contains(list, shown) {
			t.Errorf("%s from the folder: exit %d, %q %q", word, code, list, errs)
		}
	}
	if _, text, _ := run0(offline...); text != "" {
		t.Errorf("after it was sent: %q", text)
	}
	if code, _, errs := run0("mail", "outbox", "--internal-addr", internal, "--data", data+"-not"); code != exitError || strings.Count(errs, "\n") != 1 {
		t.Errorf("no node and no folder: exit %d, %q", code, errs)
	}
}

// post calls a function by HTTP and returns the answer.
func post(t *testing.T, address, clientCode, body string) string {
	t.Helper()
	request, err := http.NewRequest("POST", address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Gosper-Client-Code", clientCode)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// register begins a registration by HTTP, so that an e-mail waits.
func register(t *testing.T, site string) {
	t.Helper()
	code := post(t, site+"api/call/user/clientCode", "", `{}`)
	client := regexp.MustCompile(`"clientCode":"([^"]+)"`).FindStringSubmatch(code)
	if client == nil {
		t.Fatal(code)
	}
	if answer := post(t, site+"api/call/user/register", client[1], `{"username":"ann","email":"ann@example.com"}`); !strings.Contains(answer, `"status":0`) {
		t.Fatal(answer)
	}
}

// Goal: a node that cannot start says why in one line. Method: an address that is taken twice, a bad folder.
func TestServeFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := run0("serve", "--data", file, "--line-addr", "127.0.0.1:0", "--gate-addr", "127.0.0.1:0", "--gate-worker-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--internal-addr", "127.0.0.1:0")
	if code != exitError || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "data") {
		t.Errorf("a file as folder: exit %d, %q", code, errs)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, port := range []string{"line-addr", "gate-addr", "gate-worker-addr", "http-addr", "internal-addr"} {
		args := []string{"serve", "--data", t.TempDir()}
		for _, name := range []string{"line-addr", "gate-addr", "gate-worker-addr", "http-addr", "internal-addr"} {
			addr := "127.0.0.1:0"
			if name == port {
				addr = taken.Addr().String()
			}
			args = append(args, "--"+name, addr)
		}
		code, _, errs := run0(args...)
		if last := strings.TrimSpace(errs[strings.LastIndex(strings.TrimSpace(errs), "\n")+1:]); code != exitError ||
			!strings.HasPrefix(last, "gosper serve: "+port) || !strings.Contains(last, "choose another") {
			t.Errorf("%s is taken: exit %d, %q", port, code, last)
		}
	}
	if code, _, errs := run0("serve", "--secret", "0123456789abcdef"); code != exitUsage || strings.Contains(errs, "0123456789abcdef") {
		t.Errorf("a secret as an argument: exit %d, %q", code, errs)
	}
}
