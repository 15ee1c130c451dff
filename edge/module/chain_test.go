package module

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"gosper/broker/chain"
	"gosper/protocol"
)

// shop is an Executor: /orders/api/stock/reserve has an id for everybody, .../hold answers when it is let, others say what
// they were sent.
type shop struct{ let chan string }

func (x *shop) Do(ctx context.Context, s chain.Step) chain.Outcome {
	data := s.Request.Payload
	switch {
	case strings.HasSuffix(s.Request.Endpoint, "/reserve"):
		data = `{"id":17}`
	case strings.HasSuffix(s.Request.Endpoint, "/hold"):
		select {
		case data = <-x.let:
		case <-ctx.Done():
			return chain.Outcome{Response: chain.Response{Error: true}, Retry: true}
		}
	}
	return chain.Outcome{Response: chain.Response{OK: true, Data: data, Metadata: `{"status":200}`}}
}

// openChains gives the table an engine of work chains.
func (r *rig) openChains(x chain.Executor) *chain.Engine {
	r.t.Helper()
	e, err := chain.Open(r.t.Context(), chain.EngineOptions{Store: r.store, Executor: x, Now: r.clock,
		Completed: func(ctx context.Context, s chain.Status) error { return r.table.ChainCompleted(ctx, s) }})
	if err != nil {
		r.t.Fatal(err)
	}
	e.Start()
	r.t.Cleanup(e.Close)
	r.table.tools.chains = e
	return e
}

// heard waits for the first push of a route and returns it without its subject.
func (p *peer) heard(route string) (push string) {
	p.await(route, func(got []string) bool {
		for _, text := range got {
			subject, data, _ := strings.Cut(text, " ")
			if strings.HasPrefix(data, `{"route":"`+route+`"`) {
				push = strings.Split(subject, ".")[0] + " " + data
				return true
			}
		}
		return false
	})
	return push
}

// held is a work message whose only item waits in the shop.
func held(payload string) (message string, hash string) {
	w := chain.Work{Items: []chain.Item{{Order: 1, Request: chain.Request{URL: "https://shop.example", Endpoint: "/orders/api/stock/hold",
		Type: chain.TypeHTTPS, Method: "POST", Payload: payload}}}}
	w.Seal()
	return string(chain.AppendWork(nil, &w)), w.Hash
}

// Goal: who is away when a chain ends is told on return, and answers of any size do not stand in the way. Method: a chain that
// ends between two connections of its account, with a short answer and a long one.
func TestChainCompletedWhileAway(t *testing.T) {
	r, x := newRig(t, nil), &shop{make(chan string)}
	e := r.openChains(x)
	for n, answer := range []string{"short", strings.Repeat("long", chainNewsMost)} {
		p := r.connect()
		p.must("/user/loginUnique", fmt.Sprintf(`{"unique_id":"away-%d"}`, n), nil)
		var entered struct {
			Session  string
			Subjects []protocol.Resumed
		}
		p.must("/user/enterWorld", fmt.Sprintf(`{"world":"0","name":"Ann%d"}`, n), &entered)
		message, hash := held(fmt.Sprint(n))
		p.must("/chain/submit", message, nil)
		other := r.play("0", fmt.Sprint("Ben", n), "")
		if reply := other.call("/chain/status", `{"hash":"`+hash+`"}`); reply.Status == protocol.StatusOK {
			t.Error("the status of another account's chain")
		}
		if reply := other.call("/chain/submit", message); reply.Status != protocol.StatusRefused {
			t.Error("another account's message:", reply.Status, reply.Message)
		}
		p.hangUp()
		x.let <- answer
		if s, err := e.Wait(t.Context(), hash); err != nil || s.State != chain.Completed {
			t.Fatal(s.State, err)
		}
		var seen []protocol.Position
		for _, s := range entered.Subjects {
			seen = append(seen, s.Position)
		}
		positions, err := json.Marshal(seen)
		if err != nil {
			t.Fatal(err)
		}
		back := r.connect()
		back.must("/session/resume", fmt.Sprintf(`{"token":%q,"positions":%s}`, entered.Session, positions), nil)
		push := back.heard("/chain/completed")
		if !strings.Contains(push, hash) || strings.Contains(push, "completion_message") != (answer == "short") || len(push) > 2*chainNewsMost {
			t.Errorf("%d bytes: %.300s", len(push), push)
		}
		var s chain.Status
		if back.must("/chain/status", `{"hash":"`+hash+`"}`, &s); len(s.Items) != 1 || s.Items[0].Response.Data != answer {
			t.Errorf("%+v", s)
		}
	}
}

// Goal: a node without chains, and one that is full, say so; its account can end a chain. Method: a call to each.
func TestChainsRefused(t *testing.T) {
	r := newRig(t, nil)
	p := r.play("0", "Ann", "")
	message, hash := held("x")
	for route, content := range map[string]string{"/chain/submit": message, "/chain/status": `{"hash":"` + hash + `"}`, "/chain/cancel": `{"hash":"` + hash + `"}`} {
		if reply := p.call(route, content); reply.Status != protocol.StatusBusy {
			t.Errorf("%s: %d %s", route, reply.Status, reply.Message)
		}
	}
	e, err := chain.Open(t.Context(), chain.EngineOptions{Store: r.store, Executor: new(shop), Active: 1})
	if err != nil {
		t.Fatal(err)
	}
	e.Start()
	t.Cleanup(e.Close)
	r.table.tools.chains = e
	p.must("/chain/submit", message, nil)
	more, _ := held("y")
	var ended chain.Status
	defer func() {
		if p.must("/chain/cancel", `{"hash":"`+hash+`"}`, &ended); ended.State != chain.Aborted || ended.Items[0].State != chain.Failed {
			t.Errorf("cancelled: %+v", ended)
		}
	}()
	if reply := p.call("/chain/submit", more); reply.Status != protocol.StatusBusy {
		t.Errorf("full: %d %s", reply.Status, reply.Message)
	}
}
