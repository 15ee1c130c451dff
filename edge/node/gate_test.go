package node

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gosper/edge/module"
	"gosper/protocol"
)

// visit asks a gate one thing and returns the whole answer.
func visit(t *testing.T, addr, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(4 * patience))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// ask calls a function of the gate and reads the response.
func ask(t *testing.T, addr, world, function, data string) protocol.GateResponse {
	t.Helper()
	line := visit(t, addr, string(protocol.AppendGateRequest(nil, world, function, []byte(data))))
	text, ended := strings.CutSuffix(line, "\r\n")
	r, err := protocol.ParseGateResponse([]byte(text))
	if err != nil || !ended {
		t.Fatalf("%s was answered %q", function, line)
	}
	return r
}

// Goal: a phone that knows the old server's bytes logs in at the gate and talks on the line port. Method: its lines, real
// ports.
func TestGateToChat(t *testing.T) {
	n, p := startNode(t, quietOptions(t.TempDir()))
	gate := n.Addr("gate").String()
	first := ask(t, gate, "0", "login_unique", `{"unique_id":"phone-1"}`)
	if first.Status != 1 {
		t.Errorf("a new account: %+v", first)
	}
	token := textOf(t, first, "token")
	if r := ask(t, gate, "0", "enter_world", fmt.Sprintf(`{"token":%q}`, token)); r.Status != 98 {
		t.Errorf("without a player: %+v", r)
	}
	if r := ask(t, gate, "0", "create_player", fmt.Sprintf(`{"token":%q,"gn":"Ann"}`, token)); r.Status != 0 {
		t.Fatalf("create_player: %+v", r)
	}
	r := ask(t, gate, "0", "enter_world", fmt.Sprintf(`{"token":%q}`, token))
	session := textOf(t, r, "session")
	for _, with := range []string{session, token} { // the world's token, or the account's with the world of the request
		nonce := textOf(t, ask(t, gate, "0", "get_login_token_chat", fmt.Sprintf(`{"token":%q}`, with)), "token")
		phone := dial(t, p.line)
		phone.send("00REGISTER" + nonce + "\r\n")
		phone.expect("00000000OK")
		phone.send("0000PUBLIChello\r\n")
		phone.expect("0000PUBLICAnn:hello")
		again := dial(t, p.line)
		again.send("00REGISTER" + nonce + "\r\n")
		if b, _ := io.ReadAll(again); len(b) > 0 {
			t.Errorf("a nonce counts twice: %q", b)
		}
	}
}

// Goal: every function of the table answers through the gate, by its name and by its route. Method: walk the table with the
// example of each as a fresh player; nothing may be unknown, break or take too long, and who needs a connection says so.
func TestEveryFunctionThroughTheGate(t *testing.T) {
	o := quietOptions(t.TempDir())
	o.Functions.AuthRate = module.Rate{}
	n, _ := startNode(t, o)
	addr := n.Addr("gate").String()
	names := map[string]bool{}
	for i, f := range n.table.Functions() {
		if names[f.Gate] || f.Gate == "" {
			t.Errorf("%s: gate name %q is empty or taken", f.Route, f.Gate)
		}
		names[f.Gate] = true
		for _, name := range []string{f.Gate, f.Route} {
			var data map[string]any
			if err := json.Unmarshal([]byte(f.Example), &data); err != nil {
				t.Fatalf("%s: example %v", f.Route, err)
			}
			delete(data, "watch") // of the presence, which needs a connection only for that
			if f.Needs&(module.NeedLogin|module.NeedWorld) != 0 || f.Gate == "logout" {
				data["token"] = player(t, addr, fmt.Sprintf("walker-%d-%c", i, name[0]))
			}
			content, err := json.Marshal(data)
			if err != nil {
				t.Fatal(err)
			}
			r := ask(t, addr, "0", name, string(content))
			lasting := strings.Contains(r.Message, "lasting connection")
			if lasting != (f.Needs&module.NeedConnection != 0) {
				t.Errorf("%s: needs %v, was answered %d %s", name, f.Needs, r.Status, r.Message)
			}
			switch r.Status {
			case protocol.StatusUnknownFunction, protocol.StatusProgramming, protocol.StatusTimeout, protocol.StatusInvalidToken, protocol.StatusNoToken:
				t.Errorf("%s %s was answered %d %s", name, f.Example, r.Status, r.Message)
			}
		}
	}
}

// player makes an account with a player in world 0 and returns a token of that world.
func player(t *testing.T, addr, device string) string {
	t.Helper()
	token := textOf(t, ask(t, addr, "0", "login_unique", fmt.Sprintf(`{"unique_id":%q}`, device)), "token")
	return textOf(t, ask(t, addr, "0", "enter_world", fmt.Sprintf(`{"token":%q,"name":%q}`, token, device)), "session")
}

// textOf returns a text of the data of a good answer; status 1 tells of a new account.
func textOf(t *testing.T, r protocol.GateResponse, name string) string {
	t.Helper()
	var data map[string]any
	err := json.Unmarshal(r.Data, &data)
	text, ok := data[name].(string)
	if r.Status != 0 && r.Status != 1 || err != nil || !ok {
		t.Fatalf("no %s in %d %s %s: %v", name, r.Status, r.Message, r.Data, err)
	}
	return text
}

// pythonWorker runs the example worker on a node's ports until the test ends.
func pythonWorker(t *testing.T, beanstalk, gate string) *exec.Cmd {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	worker := exec.Command(python, filepath.Join("..", "door", "gate", "example", "worker.py"), "--beanstalk", beanstalk, "--gate", gate)
	worker.Stderr = os.Stderr
	out, err := worker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		worker.Process.Kill()
		worker.Wait()
	})
	if word, err := bufio.NewReader(out).ReadString('\n'); word != "ready\n" {
		t.Fatal("the worker did not start:", word, err)
	}
	return worker
}

// Goal: a worker in another language serves functions of its own. Method: the Python example against a node process, real
// ports; then it is killed, and its functions are unknown again.
func TestPythonWorker(t *testing.T) {
	addrs := map[string]string{}
	for _, name := range []string{"GATE", "GATE_WORKER", "BEANSTALK"} {
		addrs[name] = freeAddrs(t, 1)[0]
	}
	var env []string
	for name, addr := range addrs {
		env = append(env, "GOSPER_"+name+"_ADDR="+addr)
	}
	launch(t, t.TempDir(), nil, append(env, "GOSPER_GATE_OPEN_FUNCTIONS=shout")...)
	gate := addrs["GATE"]
	if r := ask(t, gate, "0", "shout", `{"text":"hello"}`); r.Status != protocol.StatusUnknownFunction {
		t.Errorf("before there is a worker: %+v", r)
	}
	worker := pythonWorker(t, addrs["BEANSTALK"], addrs["GATE_WORKER"])
	if r := ask(t, gate, "0", "shout", `{"text":"hello ö"}`); textOf(t, r, "text") != "HELLO Ö" {
		t.Errorf("%+v %s", r, r.Data)
	}
	if r := ask(t, gate, "0", "roll_dice", `{"sides":6}`); r.Status != protocol.StatusNoToken {
		t.Errorf("without a token: %+v", r)
	}
	token := textOf(t, ask(t, gate, "0", "login_unique", `{"unique_id":"phone"}`), "token")
	r := ask(t, gate, "0", "roll_dice", fmt.Sprintf(`{"token":%q,"sides":2,"unique_id":"thief"}`, token))
	if account := textOf(t, r, "unique_id"); account == "thief" || len(account) != 32 {
		t.Errorf("the account is %q", account)
	}
	if r := ask(t, gate, "0", "roll_dice", fmt.Sprintf(`{"token":%q,"sides":1}`, token)); r.Status != 99 {
		t.Errorf("a status of its own: %+v", r)
	}
	worker.Process.Kill()
	worker.Wait()
	for end := time.Now().Add(patience); ; {
		if r := ask(t, gate, "0", "shout", `{}`); r.Status == protocol.StatusUnknownFunction {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the node does not notice that the worker has gone")
		}
	}
}

// Goal: the gate's TLS twin speaks the same protocol and ends it in order. Method: one request with TLS 1.2 and 1.3 each; the
// end must be announced, not cut.
func TestGateTLS(t *testing.T) {
	o := quietOptions(t.TempDir())
	var trust *x509.CertPool
	o.TLSCert, o.TLSKey, trust = certificate(t)
	o.TLSGateAddr, o.GateAddr = "127.0.0.1:0", ""
	n, _ := startNode(t, o)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c, err := tls.Dial("tcp", n.Addr("tls-gate").String(), &tls.Config{RootCAs: trust, ServerName: "localhost", MinVersion: version, MaxVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(4 * patience))
		if _, err := c.Write(protocol.AppendGateRequest(nil, "0", "login_unique", []byte(`{"unique_id":"phone"}`))); err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(c)
		if r, bad := protocol.ParseGateResponse(bytes.TrimSpace(b)); err != nil || bad != nil || r.Status != 0 && r.Status != 1 {
			t.Errorf("%x: %q %v", version, b, err)
		}
		c.Close()
	}
}
