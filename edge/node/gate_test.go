package node

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
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
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
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
	r := ask(t, gate, "0", "enter_world", fmt.Sprintf(`{"token":%q,"name":"Ann"}`, token))
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
			if strings.Contains(r.Message, "post office") { // a node without one says so
				continue
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
