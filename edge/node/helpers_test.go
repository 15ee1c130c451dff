package node

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"gosper/protocol"
)

// patience bounds the wait for a condition. It only costs time when a test fails.
const patience = 30 * time.Second

// process is a node that runs as its own process.
type process struct {
	t                    *testing.T
	cmd                  *exec.Cmd
	line, http, internal string
}

// launch starts a node process on a data folder, at the addresses of another one that has ended, or at new ones.
func launch(t *testing.T, data string, like *process, env ...string) *process {
	t.Helper()
	p := &process{t: t}
	if like != nil {
		p.line, p.http, p.internal = like.line, like.http, like.internal
	} else {
		addrs := freeAddrs(t, 3)
		p.line, p.http, p.internal = addrs[0], addrs[1], addrs[2]
	}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), append(env, "GOSPER_DATA="+data, "GOSPER_LINE_ADDR="+p.line, "GOSPER_HTTP_ADDR="+p.http, "GOSPER_INTERNAL_ADDR="+p.internal)...)
	for _, name := range []string{"GOSPER_GATE_ADDR", "GOSPER_GATE_WORKER_ADDR"} {
		if !slices.ContainsFunc(env, func(set string) bool { return strings.HasPrefix(set, name+"=") }) {
			p.cmd.Env = append(p.cmd.Env, name+"=127.0.0.1:0")
		}
	}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	if _, err := fmt.Fscan(bufio.NewReader(out), &p.line, &p.http, &p.internal); err != nil {
		t.Fatal("the node did not start:", err)
	}
	return p
}

// post sends a JSON body to the internal port and returns the answer.
func (p *process) post(path, body string) string {
	p.t.Helper()
	response, err := http.Post("http://"+p.internal+path, "application/json", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(b)
}

// nonce makes a nonce for a player.
func (p *process) nonce(world, name, family string) string {
	p.t.Helper()
	nonce := "test-" + world + "-" + name + "-" + family
	body := fmt.Sprintf(`{"nonce":%q,"payload":{"world":%q,"gn":%q,"fn":%q}}`, nonce, world, name, family)
	if answer := p.post("/register_nonce", body); answer != `{"status":0}` {
		p.t.Fatal("nonce:", answer)
	}
	return nonce
}

// wire is a raw connection.
type wire struct {
	net.Conn
	t     *testing.T
	r     *bufio.Reader
	early [][]byte // binary messages that came while an envelope was awaited
}

func dial(t *testing.T, addr string) *wire {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(4 * patience)) // of all that a test says
	return &wire{Conn: c, t: t, r: bufio.NewReader(c)}
}

// send writes bytes.
func (w *wire) send(bytes string) {
	w.t.Helper()
	if _, err := io.WriteString(w, bytes); err != nil {
		w.t.Fatal(err)
	}
}

// expect reads one line and compares it.
func (w *wire) expect(want string) {
	w.t.Helper()
	got, err := w.r.ReadString('\n')
	if got != want+"\r\n" {
		w.t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// register opens a line connection as a player.
func (p *process) register(world, name, family string) *wire {
	p.t.Helper()
	w := dial(p.t, p.line)
	w.send("00REGISTER" + p.nonce(world, name, family) + "\r\n")
	w.expect("00000000OK")
	return w
}

// websocket opens a websocket by hand and reads the welcome.
func (p *process) websocket() *wire {
	p.t.Helper()
	w := dial(p.t, p.http)
	w.send("GET /ws HTTP/1.1\r\nHost: " + p.http + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	response, err := http.ReadResponse(w.r, nil)
	if err != nil || response.StatusCode != 101 {
		p.t.Fatal("upgrade:", response, err)
	}
	if e := w.envelope(); e.Route != protocol.RouteWelcome {
		p.t.Fatalf("first message %+v", e)
	}
	return w
}

// frame returns the next frame, those first that envelope has set aside.
func (w *wire) frame() (protocol.Opcode, []byte) {
	w.t.Helper()
	if len(w.early) > 0 {
		b := w.early[0]
		w.early = w.early[1:]
		return protocol.OpBinary, b
	}
	return w.read()
}

// read reads the next frame.
func (w *wire) read() (protocol.Opcode, []byte) {
	w.t.Helper()
	for n := 2; ; n++ {
		b, err := w.r.Peek(n)
		if err != nil {
			w.t.Fatal("frame: ", err)
		}
		h, used, err := protocol.ParseFrameHeader(b)
		if err != nil {
			w.t.Fatal(err)
		}
		if used == 0 {
			continue
		}
		w.r.Discard(used)
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(w.r, payload); err != nil {
			w.t.Fatal(err)
		}
		return h.Op, payload
	}
}

// envelope reads the next envelope. Grid frames may come at any time and are set aside, and pings need no answer in the
// time of a test.
func (w *wire) envelope() protocol.Envelope {
	w.t.Helper()
	op, payload := w.read()
	for ; op == protocol.OpBinary || op == protocol.OpPing; op, payload = w.read() {
		if op == protocol.OpBinary {
			w.early = append(w.early, payload)
		}
	}
	if op != protocol.OpText {
		w.t.Fatalf("frame %v %q", op, payload)
	}
	e, err := protocol.ParseEnvelope(payload)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// call calls a function and decodes the content of its reply; pushes before it are returned.
func (w *wire) call(route, content string, out any) (pushes []protocol.Envelope) {
	w.t.Helper()
	request := fmt.Sprintf(`{"route":%q,"msgId":1,"content":%s}`, route, content)
	w.send(string(protocol.AppendMaskedFrame(nil, protocol.OpText, [4]byte{1, 2, 3, 4}, []byte(request))))
	for {
		e := w.envelope()
		if e.Route != route || e.MsgID == (protocol.MsgID{}) {
			pushes = append(pushes, e)
			continue
		}
		if e.Status != protocol.StatusOK {
			w.t.Fatalf("%s: %d %s", route, e.Status, e.Message)
		}
		if out != nil {
			if err := json.Unmarshal(e.Content, out); err != nil {
				w.t.Fatal(err)
			}
		}
		return pushes
	}
}
