package node

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"gosper/protocol"
)

// startHere runs a node in this process, and returns it with its addresses.
func startHere(t *testing.T, change func(*Options)) (*Node, *process) {
	t.Helper()
	o := quietOptions(t.TempDir())
	if change != nil {
		change(&o)
	}
	n, err := Start(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return n, &process{t: t, line: n.Addr("line").String(), http: n.Addr("http").String(), internal: n.Addr("internal").String()}
}

// shake sends a websocket handshake with further header lines and returns the answer.
func shake(t *testing.T, addr, path, headers string) (*wire, *http.Response) {
	t.Helper()
	w := dial(t, addr)
	w.send("GET " + path + " HTTP/1.1\r\nHost: " + addr + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + headers + "\r\n")
	response, err := http.ReadResponse(w.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w, response
}

// bearer is the header that offers a token as the reference's pages do.
func bearer(token string) string {
	return "Sec-WebSocket-Protocol: base64.bearer.token, " + token + "\r\n"
}

// listener opens a connection of the events door and waits until it hears.
func (p *process) listener(path, headers string) *wire {
	p.t.Helper()
	w, response := shake(p.t, p.http, path, headers)
	if response.StatusCode != http.StatusSwitchingProtocols {
		p.t.Fatal("handshake:", response.Status)
	}
	return w
}

// text sends a text message.
func (w *wire) text(text string) {
	w.t.Helper()
	w.send(string(protocol.AppendMaskedFrame(nil, protocol.OpText, [4]byte{1, 2, 3, 4}, []byte(text))))
}

// message reads the next text message. Pings are answered.
func (w *wire) message() string {
	w.t.Helper()
	for {
		switch op, payload := w.read(); op {
		case protocol.OpText:
			return string(payload)
		case protocol.OpPing:
			w.send(string(protocol.AppendMaskedFrame(nil, protocol.OpPong, [4]byte{}, payload)))
		default:
			w.t.Fatalf("frame %v %q, want a text", op, payload)
		}
	}
}

// messages reads text messages, which must be these.
func (w *wire) messages(want ...string) {
	w.t.Helper()
	for i := range want {
		if got := w.message(); got != want[i] {
			w.t.Fatalf("message %d: got %s\nwant %s", i, got, want[i])
		}
	}
}

// until reads text messages until one is this, and returns those before it.
func (w *wire) until(want string) (before []string) {
	w.t.Helper()
	for {
		got := w.message()
		if got == want {
			return before
		}
		before = append(before, got)
	}
}

// calm reads messages until none has come for a time in which all that is held back was told, twice, with an answer of the
// node between: one that did not run for a while has fired its timers by then.
func (w *wire) calm() {
	w.t.Helper()
	for quiet := 0; quiet < 2; {
		w.SetReadDeadline(time.Now().Add(400 * time.Millisecond))
		_, err := w.r.Peek(1)
		w.SetReadDeadline(time.Now().Add(patience))
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			quiet++
			w.text("__ping__")
			if before := w.until("__pong__"); len(before) > 0 {
				quiet = 0
			}
		case err != nil:
			w.t.Fatal(err)
		default:
			quiet = 0
			w.read() // also a ping, behind which nothing needs to come
		}
	}
}

// closed reads the close frame, which must have this code, and then the end.
func (w *wire) closed(want protocol.CloseCode) {
	w.t.Helper()
	op, payload := w.read()
	code, _, err := protocol.ParseClose(payload)
	if op != protocol.OpClose || err != nil || code != want {
		w.t.Fatalf("got frame %v, code %d, %v; want close %d", op, code, err, want)
	}
	w.send(string(protocol.AppendMaskedFrame(nil, protocol.OpClose, [4]byte{}, payload)))
	if _, err := w.r.Peek(1); err == nil {
		w.t.Error("bytes after the close frame")
	}
}

// heard has the node answer something behind everything sent before, so that a listener is known to hear.
func (w *wire) heard() {
	w.t.Helper()
	w.text("__ping__")
	w.until("__pong__")
}

// token issues a login token for an account.
func (p *process) token(account string) string {
	p.t.Helper()
	response, err := http.Post("http://"+p.internal+"/issue_token", "application/x-www-form-urlencoded", strings.NewReader("uid="+account))
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	var out struct{ Token string }
	if err := json.NewDecoder(response.Body).Decode(&out); err != nil || out.Token == "" {
		p.t.Fatal("no token: ", err)
	}
	return out.Token
}

// request sends a request to the internal port and returns status and body.
func (p *process) request(method, path, body string) (int, string) {
	p.t.Helper()
	request, err := http.NewRequest(method, "http://"+p.internal+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(b)
}
