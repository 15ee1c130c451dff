package node

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker/redis/redistest"
	"gosper/protocol"
)

// pair starts two node processes on one Redis.
func pair(t *testing.T, s *redistest.Server) (a, b *process) {
	t.Helper()
	env := []string{"GOSPER_BUS=" + s.URL(), "GOSPER_SECRET=a secret that both nodes know"}
	return launch(t, t.TempDir(), nil, env...), launch(t, t.TempDir(), nil, env...)
}

// Goal: two nodes on one Redis are one world. Method: two node processes; players on each talk by line and by websocket,
// see each other, and a session goes on at the other node without missing anything or getting it twice.
func TestTwoNodesTalk(t *testing.T) {
	a, b := pair(t, redistest.Start(t))
	twoNodesTalk(t, a, b, a)
}

// twoNodesTalk is the conversation; the page comes in at b with a nonce that was made at maker.
func twoNodesTalk(t *testing.T, a, b, maker *process) {
	t.Helper()
	ann, ben := a.register("0", "Ann", "foxes"), b.register("0", "Ben", "foxes")
	stranger := b.register("1", "Zoe", "foxes")
	page := b.websocket()
	var entered struct {
		Session  string
		Subjects []protocol.Resumed
	}
	page.call("/session/register", fmt.Sprintf(`{"nonce":%q}`, maker.nonce("0", "Cleo", "owls")), &entered)
	ann.send("0000PUBLICone\r\n0000FAMILYpsst\r\n")
	for _, w := range []*wire{ann, ben} {
		w.gather("0000PUBLICAnn:one", "0000FAMILYAnn:psst")
	}
	e := page.envelope()
	if !strings.Contains(string(e.Content), `"one"`) || e.Position.Offset != 1 {
		t.Fatalf("the page got %+v %s", e.Position, e.Content)
	}
	seen, err := json.Marshal(protocol.Position{Subject: e.Position.Subject, Epoch: e.Position.Epoch, Offset: e.Position.Offset})
	if err != nil {
		t.Fatal(err)
	}
	page.Close()
	ben.send("0000PUBLICtwo\r\n")
	ann.gather("0000PUBLICBen:two")
	page = a.websocket()
	var resumed struct {
		Name     string
		Subjects []protocol.Resumed
	}
	pushes := page.call("/session/resume", fmt.Sprintf(`{"token":%q,"positions":[%s]}`, entered.Session, seen), &resumed)
	if len(pushes) == 0 {
		pushes = append(pushes, page.envelope())
	}
	if resumed.Name != "Cleo" || !resumed.Subjects[0].Recovered || len(pushes) != 1 || !strings.Contains(string(pushes[0].Content), `"two"`) {
		t.Errorf("resumed %+v with %+v", resumed, pushes)
	}
	ben.send("0000PUBLICthree\r\n")
	if e := page.envelope(); !strings.Contains(string(e.Content), `"three"`) || e.Position.Offset != 3 {
		t.Errorf("after the change of node came %+v %s", e.Position, e.Content)
	}
	stranger.send("0000PUBLICfar away\r\n")
	stranger.expect("0000PUBLICZoe:far away") // and nothing of world 0 before it
}

// Goal: a nonce that one node was told of lets exactly one connection in, wherever they try. Method: twenty connections
// to two nodes at once, ten times.
func TestNonceOfAnotherNode(t *testing.T) {
	a, b := pair(t, redistest.Start(t))
	for round := range 10 {
		nonce := a.nonce("0", fmt.Sprint("Player", round), "")
		var winners atomic.Int32
		var work sync.WaitGroup
		for i := range 20 {
			w := dial(t, []*process{a, b}[i%2].line)
			work.Go(func() {
				if _, err := io.WriteString(w, "00REGISTER"+nonce+"\r\n"); err != nil {
					t.Error(err)
				}
				if line, err := w.r.ReadString('\n'); err == nil && line == "00000000OK\r\n" { // others are closed
					winners.Add(1)
				}
			})
		}
		work.Wait()
		if winners.Load() != 1 {
			t.Fatalf("%d of 20 connections came in with one nonce", winners.Load())
		}
	}
}

// Goal: while Redis is away a node stays up, says that it is not ready, answers calls that need no Redis, and goes on
// when it is back: its clients are told of the gap. Method: kill and start the server.
func TestBusAway(t *testing.T) {
	s := redistest.Start(t)
	p := launch(t, t.TempDir(), nil, "GOSPER_BUS="+s.URL())
	page := p.websocket()
	page.call("/session/register", fmt.Sprintf(`{"nonce":%q}`, p.nonce("0", "Ann", "")), nil)
	page.call("/chat/public", `{"text":"one"}`, nil)
	s.Kill()
	p.ready(http.StatusServiceUnavailable)
	page.call("/user/clientCode", `{}`, nil)
	s.Run()
	p.ready(http.StatusOK)
	page.await("/session/gap") // what is said before it may be in the gap
	pushes := page.call("/chat/public", `{"text":"two"}`, nil)
	for !slices.ContainsFunc(pushes, func(e protocol.Envelope) bool { return strings.Contains(string(e.Content), `"two"`) }) {
		pushes = append(pushes, page.envelope())
	}
}

// ready waits until /readyz answers with the code.
func (p *process) ready(want int) {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		response, err := http.Get("http://" + p.internal + "/readyz")
		if err != nil {
			p.t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode == want {
			return
		}
	}
	p.t.Fatalf("readyz never answered %d", want)
}
