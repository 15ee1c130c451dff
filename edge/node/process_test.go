package node

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"gosper/protocol"
)

// TestMain runs a node instead of the tests when a test started this program as one.
func TestMain(m *testing.M) {
	if os.Getenv("GOSPER_DATA") != "" {
		os.Exit(child())
	}
	os.Exit(m.Run())
}

// child is a node as its own process: it prints its addresses, and drains and ends on SIGTERM.
func child() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	o := DefaultOptions()
	_, err := o.Parse(nil, nil)
	var n *Node
	if err == nil {
		n, err = Start(ctx, o, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(n.Addr("line"), n.Addr("http"), n.Addr("internal"))
	<-ctx.Done()
	if n.Drain(context.Background()) != nil || n.Close() != nil {
		return 1
	}
	return 0
}

// Goal: phones on lines and browsers on websocket share one talk. Method: real bytes on both ports of a process.
func TestLineAndWebsocketTalk(t *testing.T) {
	p := launch(t, t.TempDir(), nil)
	phone, other := p.register("0", "Ann", "foxes"), p.register("0", "B:ö", "owls")
	browser := p.websocket()
	browser.call("/session/register", fmt.Sprintf(`{"nonce":%q}`, p.nonce("0", "Cleo", "foxes")), nil)
	phone.send("0000PUBLIChello\r\n0000FAMILYpsst\r\n")
	phone.expect("0000PUBLICAnn:hello")
	phone.expect("0000FAMILYAnn:psst")
	other.expect("0000PUBLICAnn:hello")
	for _, want := range []string{"hello", "psst"} {
		e := browser.envelope()
		if !strings.Contains(string(e.Content), want) || e.Position.Offset != 1 {
			t.Errorf("browser got %+v %s, want %s", e.Position, e.Content, want)
		}
	}
	browser.call("/chat/public", `{"text":"from the web"}`, nil)
	phone.expect("0000PUBLICCleo:from the web")
	other.expect("0000PUBLICCleo:from the web")
	other.send("0000PUBLICö\r\n")
	phone.expect("0000PUBLICB%3Aö:ö")
	phone.send("000000PINGx\r\n000000CALL{\"route\":\"/chat/presence\",\"msgId\":5}\r\n")
	phone.expect("000000PONGx")
	phone.expect(`00000REPLY{"room":"main","route":"/chat/presence","msgId":5,"status":0,"message":"OK","content":{"world":"0","count":3,"names":["Ann","B:ö","Cleo"]}}`)
}

// Goal: accounts, tokens, nonces, e-mails and positions survive kill -9, and a client that comes back misses nothing
// and gets nothing twice. Method: kill a process in the middle of a talk and start it again on the same ports.
func TestKillAndRestart(t *testing.T) {
	data := t.TempDir()
	p := launch(t, data, nil)
	browser := p.websocket()
	var code struct{ ClientCode string }
	browser.call("/user/clientCode", `{}`, &code)
	register := fmt.Sprintf(`{"route":"/user/register","msgId":7,"clientCode":%q,"content":{"username":"alfred","email":"alfred@example.com"}}`, code.ClientCode)
	browser.send(string(protocol.AppendMaskedFrame(nil, protocol.OpText, [4]byte{}, []byte(register))))
	if e := browser.envelope(); e.Status != protocol.StatusOK {
		t.Fatalf("register: %+v", e)
	}
	browser.call("/user/loginUnique", `{"unique_id":"device"}`, nil)
	var entered struct {
		Session  string
		Subjects []protocol.Resumed
	}
	browser.call("/user/enterWorld", `{"world":"0","name":"Ann"}`, &entered)
	if pushes := browser.call("/chat/public", `{"text":"one"}`, nil); len(pushes) == 0 {
		browser.envelope() // the push of it came behind the reply
	}
	seen := entered.Subjects[0].Position
	seen.Offset = 1
	phone := p.register("0", "Ben", "")
	phone.send("0000PUBLICtwo\r\n")
	phone.expect("0000PUBLICBen:two")
	open := p.nonce("0", "Dora", "")

	p.cmd.Process.Signal(syscall.SIGKILL)
	p.cmd.Wait()
	p = launch(t, data, p)

	back := p.websocket()
	position, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	var resumed struct {
		Name, World string
		Subjects    []protocol.Resumed
	}
	pushes := back.call("/session/resume", fmt.Sprintf(`{"token":%q,"positions":[%s]}`, entered.Session, position), &resumed)
	if resumed.Name != "Ann" || resumed.World != "0" || !resumed.Subjects[0].Recovered || resumed.Subjects[0].Offset != 2 {
		t.Errorf("resumed %+v", resumed)
	}
	if len(pushes) != 1 || !strings.Contains(string(pushes[0].Content), `"two"`) {
		t.Errorf("missed messages: %+v", pushes)
	}
	late := dial(t, p.line)
	late.send("00REGISTER" + open + "\r\n")
	late.expect("00000000OK")
	response, err := http.Get("http://" + p.internal + "/admin/mail/outbox")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if b, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(b), `"to":"alfred@example.com"`) {
		t.Errorf("outbox %s, %v", b, err)
	}
}

// Goal: SIGTERM lets every client go with the advice to come back, and the process ends with 0 in bounded time.
// Method: one client of each door; the spread is short.
func TestTermDrains(t *testing.T) {
	p := launch(t, t.TempDir(), nil, "GOSPER_LIMIT_DRAIN_SPREAD=200ms")
	phone := p.register("0", "Ann", "")
	browser := p.websocket()
	browser.call("/session/register", fmt.Sprintf(`{"nonce":%q}`, p.nonce("0", "Cleo", "")), nil)
	begin := time.Now()
	p.cmd.Process.Signal(syscall.SIGTERM)
	op, payload := browser.frame()
	code, _, err := protocol.ParseClose(payload)
	info, known := code.Info()
	if op != protocol.OpClose || err != nil || !known || !info.Reconnect {
		t.Errorf("websocket: %v %v %v", op, code, err)
	}
	browser.send(string(protocol.AppendMaskedFrame(nil, protocol.OpClose, [4]byte{}, payload)))
	line, err := phone.r.ReadString('\n')
	if !strings.HasPrefix(line, "00000CLOSE") {
		t.Errorf("line: %q %v", line, err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Error("exit:", err)
	}
	if took := time.Since(begin); took > patience {
		t.Errorf("took %v", took)
	}
}

// Goal: two nodes never share a data folder. Method: start a second one.
func TestFolderIsLocked(t *testing.T) {
	data := t.TempDir()
	launch(t, data, nil)
	o := quietOptions(data)
	if n, err := Start(t.Context(), o, nil); err == nil {
		n.Close()
		t.Error("a second node started")
	} else if !strings.Contains(err.Error(), "in use") {
		t.Error("the message does not help:", err)
	}
}

// quietOptions are options of a node on free ports.
func quietOptions(data string) Options {
	o := DefaultOptions()
	o.Data, o.LineAddr, o.HTTPAddr, o.InternalAddr = data, "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	o.GateAddr, o.GateWorkerAddr = "127.0.0.1:0", "127.0.0.1:0"
	return o
}

// Goal: a start that fails leaves nothing open, and says which option is to blame. Method: take a port first, then
// start again without that fault.
func TestFailedStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	data := t.TempDir()
	for name, change := range map[string]func(*Options){
		"line":          func(o *Options) { o.LineAddr = taken.Addr().String() },
		"http-addr":     func(o *Options) { o.HTTPAddr = taken.Addr().String() },
		"internal-addr": func(o *Options) { o.InternalAddr = taken.Addr().String() },
		"tls-cert":      func(o *Options) { o.TLSCert, o.TLSKey = "/no/such", "/no/such" },
		"secret-file":   func(o *Options) { o.SecretFile = "/no/such" },
	} {
		o := quietOptions(data)
		change(&o)
		if n, err := Start(t.Context(), o, nil); err == nil {
			n.Close()
			t.Errorf("%s: started", name)
		} else if !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	begin := time.Now()
	n, err := Start(t.Context(), quietOptions(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v", time.Since(begin))
	if _, err := http.Get("http://" + n.Addr("internal").String() + "/readyz"); err != nil {
		t.Error(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if err := n.Close(); err != nil {
		t.Error("second Close:", err)
	}
}

// Goal: every metric that is ours has a help text. Method: read /metrics of a node with one client of each door.
func TestEveryMetricIsDescribed(t *testing.T) {
	p := launch(t, t.TempDir(), nil)
	p.register("0", "Ann", "")
	p.websocket().call("/user/clientCode", `{}`, nil)
	response, err := http.Get("http://" + p.internal + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	described := map[string]bool{}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		line := lines.Text()
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, _, _ := strings.Cut(rest, " ")
			described[name] = true
			continue
		}
		if !strings.HasPrefix(line, "gosper_") {
			continue
		}
		name := line[:strings.IndexAny(line, "{ ")]
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base = strings.TrimSuffix(base, suffix)
		}
		if !described[name] && !described[base] {
			t.Errorf("%s has no help text before its first sample", name)
		}
	}
}
