package target

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gosper/broker/chain"
	"gosper/broker/chain/target/rabbittest"
	"gosper/broker/memory"
)

// amqpStep is a step that publishes.
func amqpStep(url, queue, payload string) chain.Step {
	return chain.Step{Key: "h-0", Hash: "h", Order: 3, Request: chain.Request{URL: url, Endpoint: queue, Type: chain.TypeAMQP, Method: "publish", Payload: payload}}
}

// Goal: a broker of others gets what an item publishes, once, in every kind of fault. Method: RabbitMQ as a process, which
// starts once for all of these.
func TestRabbitMQ(t *testing.T) {
	s := rabbittest.New(t)
	s.Start()
	s.Declare("completion-queue")
	t.Run("messages", func(t *testing.T) { testMessages(t, s) })
	t.Run("logins", func(t *testing.T) { testLogins(t, s) })
	if testing.Short() {
		return // the rest takes as long as RabbitMQ takes to start
	}
	t.Run("restart", func(t *testing.T) { testRestart(t, s) })
}

func testMessages(t *testing.T, s *rabbittest.Server) {
	g, _ := gateway(t, Options{DialTimeout: rabbittest.Patience, Secret: func(string) (string, error) { return s.User + ":" + s.Password, nil }},
		fmt.Sprintf(`{"services":{%q:{"private":true,"login":"rabbit"}}}`, s.Origin()))
	out := g.Do(t.Context(), amqpStep(s.Origin(), "completion-queue", `{"a":1}`))
	if !out.Response.OK || out.Response.Error {
		t.Fatalf("%+v", out)
	}
	got := s.Drain("completion-queue")
	if len(got) != 1 || string(got[0].Body) != `{"a":1}` || got[0].MessageId != "h-0" || got[0].CorrelationId != "h" || got[0].DeliveryMode != 2 ||
		got[0].ContentType != "application/json" || got[0].Headers["Work-Order"] != int64(3) {
		t.Errorf("%+v", got)
	}
	for range 20 { // a return must be told from a confirmation each time
		out = g.Do(t.Context(), amqpStep(s.Origin(), "no-such-queue", "x"))
		if out.Response.OK || out.Response.Error || out.Retry || !strings.Contains(out.Response.Metadata, `"returned"`) || !strings.Contains(out.Response.Metadata, "312 NO_ROUTE") {
			t.Fatalf("a queue that is not there: %+v", out)
		}
	}
	declaring, _ := gateway(t, Options{DialTimeout: rabbittest.Patience}, fmt.Sprintf(`{"services":{%q:{"private":true,"declare":true}}}`, s.Origin()))
	for range 2 {
		if out := declaring.Do(t.Context(), amqpStep(s.URL(), "made-by-us", "y")); !out.Response.OK {
			t.Errorf("a queue that is made: %+v", out)
		}
	}
	if n := len(s.Drain("made-by-us")); n != 2 {
		t.Errorf("%d messages", n)
	}
	if _, err := s.Channel().QueueDeclare("other-kind", false, true, false, false, nil); err != nil {
		t.Fatal(err)
	}
	out = declaring.Do(t.Context(), amqpStep(s.URL(), "other-kind", "y"))
	if out.Response.OK || !out.Response.Error || out.Retry || !strings.Contains(out.Response.Metadata, "PRECONDITION_FAILED") {
		t.Errorf("a queue of another kind: %+v", out)
	}
	if out := declaring.Do(t.Context(), amqpStep(s.URL(), "made-by-us", "y")); !out.Response.OK {
		t.Errorf("after a refusal: %+v", out)
	}
}

// testLogins: wrong logins fail, show no password, and do not keep others from the service. RabbitMQ says nothing for three
// seconds before it closes the connection of a wrong one.
func testLogins(t *testing.T, s *rabbittest.Server) {
	const wrong = "s3cr3t-guess"
	g, log := gateway(t, Options{DialTimeout: rabbittest.Patience}, fmt.Sprintf(`{"services":{%q:{"private":true}}}`, s.Origin()))
	for _, c := range []struct{ name, url, want string }{
		{"wrong password", strings.Replace(s.Origin(), "://", "://"+s.User+":"+wrong+"@", 1), "may be wrong"},
		{"no such virtual host", s.URL() + "elsewhere", "NOT_ALLOWED"},
	} {
		out := g.Do(t.Context(), amqpStep(c.url, "completion-queue", "x"))
		if !out.Response.Error || !strings.Contains(out.Response.Metadata, c.want) {
			t.Errorf("%s: %+v", c.name, out)
		}
		if shown := fmt.Sprint(out) + log.String(); strings.Contains(shown, wrong) || strings.Contains(shown, s.Password) {
			t.Errorf("%s: a password is shown: %s", c.name, shown)
		}
		if n := g.breakers[s.Origin()].failures; n != 0 {
			t.Errorf("%s: a message's own fault counts as %d failures of the broker", c.name, n)
		}
	}
	if out := g.Do(t.Context(), amqpStep(s.URL(), "completion-queue", "x")); !out.Response.OK {
		t.Errorf("the right login, after the wrong ones: %+v", out)
	}
	s.Drain("completion-queue")
}

// testRestart: RabbitMQ is stopped and started in mid-work: every chain completes, and every message is there.
func testRestart(t *testing.T, s *rabbittest.Server) {
	const chains = 150
	g, _ := gateway(t, Options{DialTimeout: time.Second, Secret: func(string) (string, error) { return s.User + ":" + s.Password, nil }},
		fmt.Sprintf(`{"services":{%q:{"private":true,"login":"rabbit"}}}`, s.Origin()))
	store := memory.NewStore()
	t.Cleanup(func() { store.Close() })
	e, err := chain.Open(t.Context(), chain.EngineOptions{Store: store, Executor: g, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	e.Start()
	defer e.Close()
	var all []string
	submit := func(n int) {
		w := chain.Work{}
		for order := range 3 {
			w.Items = append(w.Items, chain.Item{Order: order, Request: amqpStep(s.Origin(), "completion-queue", fmt.Sprint(n, " ", order)).Request})
		}
		w.Seal()
		if _, isNew, err := e.Submit(t.Context(), w, ""); !isNew || err != nil {
			t.Fatal(isNew, err)
		}
		all = append(all, w.Hash)
	}
	for n := range chains / 2 {
		submit(n)
	}
	var stopped sync.WaitGroup
	stopped.Go(s.Stop)
	for n := range chains / 2 {
		submit(chains/2 + n)
	}
	stopped.Wait()
	s.Start()
	ctx, cancel := context.WithTimeout(t.Context(), rabbittest.Patience)
	defer cancel()
	for _, hash := range all {
		if status, err := e.Wait(ctx, hash); err != nil || status.State != chain.Completed {
			t.Fatalf("%+v, %v", status, err)
		}
	}
	copies := map[string]int{}
	for _, m := range s.Drain("completion-queue") {
		copies[m.MessageId]++
	}
	repeated := 0
	for _, n := range copies {
		repeated += n - 1
	}
	if len(copies) != 3*chains {
		t.Errorf("%d messages of %d arrived", len(copies), 3*chains)
	}
	t.Logf("report: %d chains completed over a restart of RabbitMQ, %d messages came twice, with the same id", chains, repeated)
}
