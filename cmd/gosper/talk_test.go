package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"gosper/edge/node"
)

// testNode starts a node on free ports and points the environment of the commands at it.
func testNode(t *testing.T, changes ...func(*node.Options)) *node.Node {
	t.Helper()
	o := node.DefaultOptions()
	o.Data = t.TempDir()
	o.LineAddr, o.HTTPAddr, o.InternalAddr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	o.GateAddr, o.GateWorkerAddr = "127.0.0.1:0", "127.0.0.1:0"
	for _, change := range changes {
		change(&o)
	}
	n, err := node.Start(t.Context(), o, newLog(io.Discard, &o))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	t.Setenv("GOSPER_INTERNAL_ADDR", n.Addr("internal").String())
	return n
}

// syncBuffer is a writer whose content a test can wait for.
type syncBuffer struct {
	mu   sync.Mutex
	cond *sync.Cond
	buf  bytes.Buffer
}

func newSyncBuffer() *syncBuffer {
	b := &syncBuffer{}
	b.cond = sync.NewCond(&b.mu)
	return b
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.cond.Broadcast()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// want waits until the text is there.
func (b *syncBuffer) want(t *testing.T, text string) {
	t.Helper()
	late := time.AfterFunc(31*time.Second, b.cond.Broadcast)
	defer late.Stop()
	start := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for !strings.Contains(b.buf.String(), text) {
		if time.Since(start) > 30*time.Second {
			t.Fatalf("%q did not come; there is %q", text, b.buf.String())
		}
		b.cond.Wait()
	}
}

// runWith runs one command line to its end.
func runWith(ctx context.Context, input string, args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	code = run(ctx, args, stdio{strings.NewReader(input), &o, &e})
	return code, o.String(), e.String()
}

// Goal: two players talk, one on a websocket and one on a line; a third follows the subject; who is there is listed.
// Method: the commands as a shell would run them, against a real node.
func TestChatAndTail(t *testing.T) {
	n := testNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	start := func(in io.Reader, args ...string) *syncBuffer {
		out := newSyncBuffer()
		running.Go(func() {
			if code := run(ctx, args, stdio{in, out, out}); code != exitOK {
				t.Errorf("%v: exit code %d, %s", args, code, out)
			}
		})
		return out
	}
	tail := start(strings.NewReader(""), "tail", "chat.>")
	annIn, annType := io.Pipe()
	bobIn, bobType := io.Pipe()
	url := "ws://" + n.Addr("http").String() + "/ws"
	ann := start(annIn, "chat", "--url", url, "--world", "7", "--name", "ann", "--family", "foxes")
	bob := start(bobIn, "chat", "--line", n.Addr("line").String(), "--world", "7", "--name", "bob", "--family", "foxes")
	// Who is listed is subscribed: from then on both hear everything.
	for _, typed := range []*io.PipeWriter{annType, bobType} {
		io.WriteString(typed, "/who\n")
	}
	ann.want(t, "here: ")
	bob.want(t, "here: ")
	again := time.NewTicker(100 * time.Millisecond) // fewer than the rate of chat lines
	defer again.Stop()
	for n := 0; !strings.Contains(tail.String(), "ann: try"); n++ { // nobody says when a tail follows
		io.WriteString(annType, fmt.Sprintf("try %d\n", n))
		ann.want(t, fmt.Sprintf("ann: try %d\n", n))
		<-again.C
	}
	io.WriteString(annType, "hello world\n")
	ann.want(t, "ann: hello world")
	bob.want(t, "ann: hello world")
	io.WriteString(bobType, "/family secret\n")
	ann.want(t, "[family] bob: secret")
	tail.want(t, "chat.7.family.foxes")
	io.WriteString(bobType, "/who\n")
	bob.want(t, "* 2 here: ann, bob")
	io.WriteString(bobType, "/nothing\n")
	bob.want(t, "* commands: ")
	io.WriteString(bobType, "/quit\n")
	annType.Close()
	cancel()
	running.Wait()
}

// Goal: gosper call prints envelopes and says by its exit code whether it worked. Method: table against a real node.
func TestCall(t *testing.T) {
	n := testNode(t)
	nonce := func() string {
		code, out, errs := runWith(t.Context(), "", "nonce", "--world", "7", "--name", "ann")
		if code != exitOK {
			t.Fatal(errs)
		}
		return strings.TrimSpace(out)
	}
	web, line := "ws://"+n.Addr("http").String()+"/ws", n.Addr("line").String()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--url", web, "/user/clientCode"}, exitOK, `"status":0`},
		{[]string{"--url", web, "/no/such"}, exitError, `"status":1000`},
		{[]string{"--url", web, "/chat/presence"}, exitError, `"status":1002`},
		{[]string{"--url", web, "--nonce", nonce(), "/chat/presence", "{}"}, exitOK, `"ann"`},
		{[]string{"--line", line, "--nonce", nonce(), "/chat/public", `{"text":"hi"}`}, exitOK, `"offset":1`},
		{[]string{"--url", web, "--nonce", "invented", "/chat/presence"}, exitError, `"route":"/session/register"`},
		{[]string{"--line", line, "--nonce", "invented", "/chat/presence"}, exitError, "refused the nonce"},
		{[]string{"--url", web, "/x", "[1]"}, exitUsage, "JSON object"},
		{[]string{"--url", web}, exitUsage, "ROUTE"},
		{[]string{"--url", "ws://127.0.0.1:1/ws", "/x"}, exitError, "connect"},
		{[]string{"--url", "x", "/x"}, exitError, "address"},
		{[]string{"--bad"}, exitUsage, "bad"},
		{[]string{"--help"}, exitOK, "Example:"},
	} {
		code, out, errs := runWith(t.Context(), "", append([]string{"call"}, c.args...)...)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("%v: exit code %d, out %q, err %q; want %d and %q", c.args, code, out, errs, c.code, c.want)
		}
		if strings.Count(errs, "\n") > 1 {
			t.Errorf("%v: the error has several lines: %q", c.args, errs)
		}
	}
}

// Goal: wrong command lines of the commands here are answered with 2 and one line. Method: table.
func TestTalkUsage(t *testing.T) {
	for _, args := range [][]string{{"bench"}, {"bench", "nothing"}, {"bench", "echo", "--against", "nobody"}, {"bench", "echo", "--repeat", "0"}, {"bench", "echo", "--target", "x:1"},
		{"tail"}, {"tail", "a", "b"}, {"chat", "word"}} {
		code, out, errs := runWith(t.Context(), "", args...)
		if code != exitUsage || out != "" || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: exit code %d, out %q, err %q", args, code, out, errs)
		}
	}
}
