package node

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"gosper/broker/quiet"
	"gosper/protocol"
)

// freeAddrs returns addresses of this machine where nobody listens, and nobody will who does not ask for them.
func freeAddrs(t *testing.T, n int) []string {
	t.Helper()
	addrs, err := quiet.Addrs(n)
	if err != nil {
		t.Fatal(err)
	}
	return addrs
}

// mailServer runs an SMTP server until the test ends, and returns its address and what it gets.
func mailServer(t *testing.T) (addr string, got chan string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	post := letters{make(chan string, 10)}
	server := smtp.NewServer(post)
	server.Domain = "localhost"
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	t.Cleanup(func() {
		server.Close()
		<-ended
	})
	return ln.Addr().String(), post.got
}

// Goal: the roles as processes of their own are one world. Method: a visitor registers at the edge, gets an e-mail from the worker,
// logs in with its code, talks, and plays a game that lives in the game process; a request at the gate is answered by a worker
// at the beanstalkd port of the worker process, at whichever gate it comes. Each port of a role is on its processes only.
func TestRolesAsProcesses(t *testing.T) {
	s := newSite(t)
	smtpAddr, got := mailServer(t)
	addrs := freeAddrs(t, 4)
	gates, answersAddr, beanstalkAddr := addrs[:2], addrs[2], addrs[3]
	page := s.node("GOSPER_ROLES=edge,auth,config")
	games := s.node("GOSPER_ROLES=game")
	worker := s.node("GOSPER_ROLES=worker,scheduler,mail", "GOSPER_BEANSTALK_ADDR="+beanstalkAddr,
		"GOSPER_SMTP_ADDR="+smtpAddr, "GOSPER_SMTP_TLS=none", "GOSPER_MAIL_FROM=game@example.com")
	s.node("GOSPER_ROLES=gate", "GOSPER_GATE_ADDR="+gates[0], "GOSPER_GATE_WORKER_ADDR="+answersAddr, "GOSPER_GATE_OPEN_FUNCTIONS=shout")
	s.node("GOSPER_ROLES=gate", "GOSPER_GATE_ADDR="+gates[1], "GOSPER_GATE_OPEN_FUNCTIONS=shout")
	for _, p := range []*process{page, games, worker} {
		p.ready(http.StatusOK)
	}
	if games.line != "<nil>" || worker.http != "<nil>" {
		t.Errorf("ports of clients are open without the role: %s, %s", games.line, worker.http)
	}

	visitor := newStranger(page)
	if e := visitor.ask("/user/register", `{"username":"alfred","email":"alfred@example.com"}`); e.Status != protocol.StatusOK {
		t.Fatalf("register: %+v", e)
	}
	var letter string
	select {
	case letter = <-got:
	case <-time.After(patience):
		t.Fatal("the worker process sends no e-mail")
	}
	if e := visitor.ask("/user/loginWithEmailCode", fmt.Sprintf(`{"emailCode":%q}`, emailCode.FindString(letter))); e.Status != protocol.StatusOK {
		t.Fatalf("login: %+v %s", e, e.Content)
	}
	web, _, _ := page.enter("Ann")
	phone := page.register("0", "Ben", "")
	web.call("/chat/public", `{"text":"hello"}`, nil)
	phone.gather("0000PUBLICAnn:hello")

	var created struct{ Game struct{ ID string } }
	web.call("/game/create", `{"name":"pond","color":"3cfaa0","interval":500,"grids":[{"width":32,"height":32,"rule":"B3/S23","topology":"torus","mode":"owners","owners":16}]}`, &created)
	if here := games.get("/admin/state"); !strings.Contains(here, created.Game.ID) {
		t.Errorf("the game %s does not live at the game process: %s", created.Game.ID, here)
	}
	web.call("/game/cells", fmt.Sprintf(`{"game":%q,"grid":0,"cells":[[1,1],[2,1],[3,1]]}`, created.Game.ID), nil)

	for p, path := range map[*process]string{games: "/register_nonce", page: "/send", worker: "/issue_token"} {
		if answer := p.post(path, `{}`); !strings.Contains(answer, "has not the role") {
			t.Errorf("%s at a process without the role: %s", path, answer)
		}
	}
	pythonWorker(t, beanstalkAddr, answersAddr)
	for _, gate := range gates { // the worker answers at the first
		for deadline := time.Now().Add(patience); ; <-time.After(500 * time.Millisecond) { // calls of one address have a rate
			r := ask(t, gate, "0", "shout", `{"text":"hello"}`)
			if r.Status == 0 && strings.Contains(string(r.Data), "HELLO") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the gate's request to a worker at the worker process: %+v", r)
			}
		}
	}
}

// get reads a path of the internal port.
func (p *process) get(path string) string {
	p.t.Helper()
	response, err := http.Get("http://" + p.internal + path)
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

// Goal: a node that cannot do its part alone says what it needs, as does one that shares without what belongs to it. Method: a table
// of options.
func TestRolesNeedAStore(t *testing.T) {
	for _, c := range []struct {
		roles             []string
		bus, store, mails string
		want              string
	}{
		{nil, "", "", "", ""},
		{[]string{"edge", "gate", "worker", "auth", "config", "mail", "game", "scheduler"}, "", "", "", ""},
		{[]string{"edge"}, "", "", "", "roles: a node without gate, worker, auth, config, mail, game, scheduler"},
		{[]string{"edge", "cook"}, "", "", "", `roles: "cook" is none of edge`},
		{[]string{"edge"}, "redis://a", "nats://b", "/mail", ""},
		{[]string{"edge"}, "redis://a", "nats://b", "", "mail-dir: "},
		{[]string{"edge"}, "", "nats://b", "/mail", "store: nodes that share"},
		{nil, "redis://a", "nats://b?replicas=9", "/mail", "store: nats: replicas"},
	} {
		o := DefaultOptions()
		o.Roles, o.Bus, o.Store, o.Post.Dir = c.roles, c.bus, c.store, c.mails
		if err := o.Validate(); (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c, err, c.want)
		}
	}
}
