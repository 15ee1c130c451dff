package node

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	library "github.com/beanstalkd/go-beanstalk"

	"gosper/broker/chain"
	"gosper/broker/redis/redistest"
	"gosper/protocol"
)

// site is what the nodes of one site share.
type site struct {
	t        *testing.T
	env      []string
	settings string // folder of config files
}

// newSite starts a NATS server and a Redis server, and returns what nodes on them need to know.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, settings: t.TempDir()}
	kinds := filepath.Join(s.settings, "kinds")
	if err := os.WriteFile(kinds, []byte(`{"house":[{"seconds":3,"pattern":"block"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = []string{"GOSPER_BUS=" + redistest.Start(t).URL(), "GOSPER_STORE=" + natsServer(t, t.TempDir(), 0).ClientURL(), "GOSPER_MAIL_DIR=" + t.TempDir(),
		"GOSPER_SECRET=a secret that all nodes know", "GOSPER_CONFIG_DIR=" + s.settings, "GOSPER_BUILDINGS_FILE=" + kinds, "GOSPER_LOG_LEVEL=warn",
		"GOSPER_SEVERAL_LOGINS=true"}
	return s
}

// node starts a node process.
func (s *site) node(env ...string) *process {
	s.t.Helper()
	return launch(s.t, s.t.TempDir(), nil, append(env, s.env...)...)
}

func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait() // it was killed
}

// enter logs a device in by websocket and enters world 0; it returns the session's token and the account.
func (p *process) enter(name string) (web *wire, session, account string) {
	p.t.Helper()
	web = p.websocket()
	web.call("/user/loginUnique", fmt.Sprintf(`{"unique_id":"device-%s"}`, name), nil)
	var entered struct{ Account, Session string }
	web.call("/user/enterWorld", fmt.Sprintf(`{"world":"0","name":%q}`, name), &entered)
	return web, entered.Session, entered.Account
}

// Goal: what one node has written is there at the other as soon as it was answered. Method: two node processes; accounts, sessions,
// mails, families and jobs are made at one and used at the other.
func TestNodesShareWhatLasts(t *testing.T) {
	s := newSite(t)
	addrs := freeAddrs(t, 2)
	a := s.node("GOSPER_BEANSTALK_ADDR=" + addrs[0])
	b := s.node("GOSPER_BEANSTALK_ADDR=" + addrs[1])

	annA, session, account := a.enter("Ann")
	annB, _, same := b.enter("Ann")
	if account == "" || same != account {
		t.Errorf("the account is %q at one node and %q at the other", account, same)
	}
	var resumed struct{ Name, World string }
	b.websocket().call("/session/resume", fmt.Sprintf(`{"token":%q}`, session), &resumed)
	if resumed.Name != "Ann" || resumed.World != "0" {
		t.Errorf("resumed at the other node: %+v", resumed)
	}

	benA, _, _ := a.enter("Ben")
	benA.call("/mail/send", `{"gn_target":"Ann","subj":"hello","body":"from the other node"}`, nil)
	var box struct{ Mail []struct{ Body, Key string } }
	annB.call("/mail/all", `{}`, &box)
	if len(box.Mail) != 1 || box.Mail[0].Body != "from the other node" {
		t.Errorf("mails at the other node: %+v", box)
	}

	phone := dial(t, b.line) // of Ann, at b
	var nonce struct{ Token string }
	annB.call("/chat/token", `{}`, &nonce)
	phone.send("00REGISTER" + nonce.Token + "\r\n")
	phone.expect("00000000OK")
	annA.call("/family/create", `{"name":"foxes"}`, nil)
	var family struct{ Name string }
	annB.call("/family/getAll", `{}`, &family)
	if family.Name != "foxes" {
		t.Errorf("the family at the other node: %+v", family)
	}
	phone.gather(`"change":"created"`)

	if _, err := http.PostForm("http://"+a.internal+"/admin/moderation/mute", url.Values{"uid": {account}, "for": {"1h"}}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; <-time.After(rest) {
		annB.send(string(protocol.AppendMaskedFrame(nil, protocol.OpText, [4]byte{}, []byte(`{"route":"/chat/public","msgId":9,"content":{"text":"la"}}`))))
		if e := annB.await("/chat/public"); e.MsgID != (protocol.MsgID{}) && e.Status == protocol.StatusRefused && strings.Contains(e.Message, "muted") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a mute that one node was told of does not hold at the other")
		}
	}
	jobsMeet(t, addrs[0], addrs[1])
}

// jobsMeet puts jobs at one node and takes them at the other.
func jobsMeet(t *testing.T, from, to string) {
	t.Helper()
	put, err := library.Dial("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	defer put.Close()
	take, err := library.Dial("tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	defer take.Close()
	for i := range 10 {
		if _, err := (&library.Tube{Conn: put, Name: "crossing"}).Put(fmt.Append(nil, i), 5, 0, time.Minute); err != nil {
			t.Fatal("put:", err)
		}
	}
	tubes := library.NewTubeSet(take, "crossing")
	for want := range 10 {
		id, body, err := tubes.Reserve(patience)
		if err == nil {
			err = take.Delete(id)
		}
		if err != nil || string(body) != fmt.Sprint(want) {
			t.Fatalf("took %q, want %d, %v", body, want, err)
		}
	}
}

// Goal: a chain that a node has accepted comes to its end on another when it is killed. Method: a service notes the calls of a chain of
// three steps; the node that runs it is killed in the second. It was submitted to the other.
func TestChainOutlivesNode(t *testing.T) {
	s := newSite(t)
	var calls atomic.Int32
	second := make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the caller may be gone
		if calls.Add(1) == 2 {
			close(second)
			<-r.Context().Done() // until the node is killed
			return
		}
		_, _ = w.Write(body)
	}))
	defer service.Close()
	table := fmt.Sprintf(`{"services":{%q:{"private":true}}}`, service.URL)
	if err := os.WriteFile(filepath.Join(s.settings, "services.json"), []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	a := s.node("GOSPER_NODE=first")
	b := s.node("GOSPER_NODE=second")

	var work chain.Work
	for i := range 3 {
		work.Items = append(work.Items, chain.Item{Order: i + 1, Request: chain.Request{URL: service.URL, Endpoint: "/", Type: chain.TypeHTTP, Method: "POST", Payload: fmt.Sprint("step ", i)}})
	}
	work.Seal()
	if answer := b.post("/work", string(chain.AppendWork(nil, &work))); !strings.Contains(answer, `"new":true`) {
		t.Fatal("submitted:", answer)
	}
	select {
	case <-second:
	case <-time.After(patience):
		t.Fatal("the second step is not called")
	}
	a.kill()

	var status chain.Status
	for deadline := time.Now().Add(patience); !status.Over(); {
		response, err := http.Get("http://" + b.internal + "/work/" + work.Hash + "?wait=5")
		if err != nil {
			t.Fatal(err)
		}
		err = json.NewDecoder(response.Body).Decode(&status)
		response.Body.Close()
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the chain is %s, %v", status.State, err)
		}
	}
	if status.State != chain.Completed || status.Items[2].Response.Data != "step 2" {
		t.Errorf("the chain has ended %s: %+v", status.State, status.Items)
	}
}

// Goal: while the store is away a node stays up and says why it is not ready; it goes on when the store is back. One with another secret
// does not start. Method: stop the NATS server and start it again with its folder; a second node with a secret of its own.
func TestStoreAway(t *testing.T) {
	s := newSite(t)
	dir := t.TempDir()
	server := natsServer(t, dir, 0)
	port := server.Addr().(*net.TCPAddr).Port
	where := server.ClientURL()
	s.env = append(s.env, "GOSPER_STORE="+where)
	p := s.node()
	page, _, _ := p.enter("Ann")
	if metrics := p.get("/metrics"); !strings.Contains(metrics, `engine="nats",promise="JetStream`) {
		t.Error("the metrics do not tell where what lasts is")
	}
	stopNATS(server)
	p.ready(http.StatusServiceUnavailable)
	if why := p.get("/readyz"); !strings.Contains(why, "store: ") {
		t.Errorf("not ready because of %s", why)
	}
	page.call("/user/clientCode", `{}`, nil)
	natsServer(t, dir, port)
	p.ready(http.StatusOK)
	p.enter("Ben")

	o := quietOptions(t.TempDir())
	o.Bus, o.Store, o.Post.Dir = where, where, t.TempDir()
	o.Secret = "a secret that nobody else has"
	if n, err := Start(t.Context(), o, nil); err == nil {
		n.Close()
		t.Error("a node with another secret has started")
	} else if !strings.Contains(err.Error(), "secret: ") {
		t.Error("a node with another secret:", err)
	}
}

// Goal: several nodes of a machine open the same ports of clients. Method: two nodes with --reuse-port, a third one without; clients come
// until each node has some.
func TestReusePort(t *testing.T) {
	o := quietOptions(t.TempDir())
	shared := freeAddrs(t, 2)
	o.LineAddr, o.HTTPAddr, o.ReusePort = shared[0], shared[1], true
	var nodes []*Node
	for range 2 {
		o.Data = t.TempDir()
		n, _ := startNode(t, o)
		nodes = append(nodes, n)
	}
	o.Data, o.ReusePort = t.TempDir(), false
	if n, err := Start(t.Context(), o, nil); err == nil {
		n.Close()
		t.Error("a node that does not share its ports has opened them")
	}
	seen := make(map[string]bool)
	for deadline := time.Now().Add(patience); len(seen) < len(nodes); {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d nodes get clients", len(seen), len(nodes))
		}
		c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := c.Get("http://" + o.HTTPAddr + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		dial(t, o.LineAddr)
		for i, n := range nodes {
			if n.engine.Sessions() > 0 {
				seen[fmt.Sprint(i)] = true
			}
		}
	}
}
