package node

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

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
	member := func(r protocol.GateResponse, name string) string {
		t.Helper()
		_, rest, _ := strings.Cut(string(r.Data), `"`+name+`":"`)
		value, _, found := strings.Cut(rest, `"`)
		if r.Status != 0 && r.Status != 1 || !found {
			t.Fatalf("no %s in %+v %s", name, r, r.Data)
		}
		return value
	}
	first := ask(t, gate, "0", "login_unique", `{"unique_id":"phone-1"}`)
	if first.Status != 1 {
		t.Errorf("a new account: %+v", first)
	}
	token := member(first, "token")
	r := ask(t, gate, "0", "enter_world", fmt.Sprintf(`{"token":%q,"world":"0","name":"Ann"}`, token))
	session := member(r, "session")
	for _, with := range []string{session, token} { // the world's token, or the account's with the world of the request
		nonce := member(ask(t, gate, "0", "get_login_token_chat", fmt.Sprintf(`{"token":%q}`, with)), "token")
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
