package chain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gosper/broker"
	"gosper/broker/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// services is an Executor whose targets are functions, by endpoint; others say ok and the payload. It notes every call.
type services struct {
	mu    sync.Mutex
	calls []Step
	on    map[string]func(ctx context.Context, s Step) Outcome
}

func (e *services) Do(ctx context.Context, s Step) Outcome {
	e.mu.Lock()
	e.calls = append(e.calls, s)
	f := e.on[s.Request.Endpoint]
	e.mu.Unlock()
	if f != nil {
		return f(ctx, s)
	}
	return yes(s.Request.Payload)
}

// called lists the endpoints in the order of their calls.
func (e *services) called() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []string
	for _, s := range e.calls {
		all = append(all, s.Request.Endpoint)
	}
	return strings.Join(all, " ")
}

func yes(data string) Outcome { return Outcome{Response: Response{OK: true, Data: data}} }
func no(string) Outcome       { return Outcome{Response: Response{Data: "no"}} }
func down() Outcome {
	return Outcome{Response: Response{Error: true, Metadata: `{"reason":"down"}`}, Retry: true}
}

// item is an item whose endpoint names it.
func item(order int, endpoint string, o ItemOptions) Item {
	return Item{order, Request{"https://a.example", endpoint, TypeHTTPS, "POST", "p" + endpoint}, o}
}

func work(items ...Item) Work {
	w := Work{Items: items}
	w.Seal()
	w, err := ParseWork(AppendWork(nil, &w), Limits{})
	if err != nil {
		panic(err)
	}
	return w
}

// open starts an engine over a store, or a new one.
func open(t *testing.T, o EngineOptions) *Engine {
	t.Helper()
	if o.Store == nil {
		o.Store = memory.NewStore()
	}
	e, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	return e
}

// submit submits and waits for the end.
func submit(t *testing.T, e *Engine, w Work) Status {
	t.Helper()
	if _, isNew, err := e.Submit(t.Context(), w, ""); err != nil || !isNew {
		t.Fatalf("Submit: %v, %v", isNew, err)
	}
	s, err := e.Wait(t.Context(), w.Hash)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// states writes a status as one line.
func states(s Status) string {
	all := []string{string(s.State)}
	for _, it := range s.Items {
		all = append(all, string(it.State))
	}
	return strings.Join(all, " ")
}

// Goal: what a chain does with answers of every kind. Method: services that say yes, no or nothing, in a table.
func TestOutcomes(t *testing.T) {
	undo := func(endpoint string) *Request {
		return &Request{"https://a.example", endpoint, TypeHTTPS, "POST", "undo"}
	}
	for _, c := range []struct {
		name  string
		items []Item
		want  string
		calls string
	}{
		{"all well", []Item{item(1, "a", ItemOptions{}), item(5, "b", ItemOptions{})}, "completed completed completed", "a b"},
		{"orders sorted", []Item{item(9, "b", ItemOptions{}), item(1, "a", ItemOptions{})}, "completed completed completed", "a b"},
		{"stop", []Item{item(1, "no", ItemOptions{}), item(2, "b", ItemOptions{})}, "failed failed skipped", "no"},
		{"continue", []Item{item(1, "no", ItemOptions{OnFailure: Continue}), item(2, "b", ItemOptions{})}, "completed failed completed", "no b"},
		{"retries end", []Item{item(1, "down", ItemOptions{Attempts: 3}), item(2, "b", ItemOptions{})}, "api_unavailable failed skipped", "down down down"},
		{"no retry of a no", []Item{item(1, "no", ItemOptions{Attempts: 3})}, "failed failed", "no"},
		{"compensate", []Item{item(1, "a", ItemOptions{Compensate: undo("ua")}), item(2, "b", ItemOptions{Compensate: undo("ub")}), item(3, "c", ItemOptions{}),
			item(4, "no", ItemOptions{OnFailure: Compensate, Compensate: undo("never")}), item(5, "e", ItemOptions{})},
			"failed compensated compensated completed failed skipped", "a b c no ub ua"},
		{"compensation fails", []Item{item(1, "a", ItemOptions{Compensate: undo("no")}), item(2, "down", ItemOptions{Attempts: 1, OnFailure: Compensate})},
			"inconsistent_data completed failed", "a down no"},
		{"panic of a service", []Item{item(1, "panics", ItemOptions{})}, "failed failed", "panics"},
	} {
		synctest.Test(t, func(t *testing.T) {
			x := &services{on: map[string]func(context.Context, Step) Outcome{
				"no": func(context.Context, Step) Outcome { return no("") }, "down": func(context.Context, Step) Outcome { return down() },
				"panics": func(context.Context, Step) Outcome { panic("service") }}}
			e := open(t, EngineOptions{Executor: x})
			defer e.Close()
			if got := states(submit(t, e, work(c.items...))); got != c.want || x.called() != c.calls {
				t.Errorf("%s: %s, calls %s, want %s, %s", c.name, got, x.called(), c.want, c.calls)
			}
		})
	}
}

// Goal: items of one order run at the same time, later orders after them. Method: two that wait for each other.
func TestParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var both sync.WaitGroup
		both.Add(2)
		meet := func(context.Context, Step) Outcome { both.Done(); both.Wait(); return yes("") }
		x := &services{on: map[string]func(context.Context, Step) Outcome{"a": meet, "b": meet}}
		e := open(t, EngineOptions{Executor: x})
		defer e.Close()
		s := submit(t, e, work(item(2, "c", ItemOptions{}), item(1, "a", ItemOptions{}), item(1, "b", ItemOptions{})))
		if s.State != Completed || !strings.HasSuffix(x.called(), " c") {
			t.Errorf("%s, calls %s", s.State, x.called())
		}
	})
}

// Goal: later payloads use earlier answers, and only those. Method: every form of marker, and those that mean nothing.
func TestReferences(t *testing.T) {
	w := work(
		Item{1, Request{"https://a.example", "/a", TypeHTTPS, "POST", `{"id":[7,{"name":"x\"y"}],"n":1.50}`}, ItemOptions{}},
		Item{1, Request{"https://a.example", "/b", TypeHTTPS, "POST", "second"}, ItemOptions{}},
		Item{2, Request{"https://a.example", "/c", TypeHTTPS, "POST",
			`${1.data/id/0} ${1.data/id/1/name} ${1.data/id/1/name|string} ${1.data/n} ${1.data/id} ${1:1.data} ${1.metadata} ${x} $1 ${1.body}`}, ItemOptions{}})
	x := &services{}
	e := open(t, EngineOptions{Executor: x})
	defer e.Close()
	s := submit(t, e, w)
	want := `7 x"y "x\"y" 1.5 [7,{"name":"x\"y"}] second  ${x} $1 ${1.body}`
	if got := s.Items[2].Response.Data; got != want {
		t.Errorf("payload %s\nwant    %s", got, want)
	}
	for _, bad := range []string{"${2.data}", "${1:2.data}", "${0.data}"} {
		w.Items[2].Request.Payload = bad
		w.Seal()
		if _, err := ParseWork(AppendWork(nil, &w), Limits{}); !errors.Is(err, ErrBadWork) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	w.Items[2].Request.Payload = "${1:1.data/deep}"
	w.Seal()
	if s := submit(t, e, w); s.State != Failed || !strings.Contains(s.Items[2].Response.Metadata, "not JSON") {
		t.Errorf("a pointer into text: %s %v", s.State, s.Items[2].Response)
	}
}

// Goal: time ends what takes too long: one call, a chain. Method: services that never answer, with the clock of synctest.
func TestTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		never := func(ctx context.Context, _ Step) Outcome { <-ctx.Done(); return down() }
		x := &services{on: map[string]func(context.Context, Step) Outcome{"never": never}}
		e := open(t, EngineOptions{Executor: x})
		defer e.Close()
		begun := time.Now()
		s := submit(t, e, work(item(1, "never", ItemOptions{Timeout: time.Second, Attempts: 2, Backoff: time.Millisecond})))
		if took := time.Since(begun); s.State != APIUnavailable || took < 2*time.Second || took > 2*time.Second+time.Millisecond {
			t.Errorf("two attempts: %s after %v", s.State, took)
		}
		begun = time.Now()
		w := work(item(1, "never", ItemOptions{Timeout: time.Hour}), item(2, "b", ItemOptions{}))
		w.Options.Deadline = 3 * time.Second
		s = submit(t, e, w)
		if took := time.Since(begun); states(s) != "failed failed skipped" || took > 3*time.Second || took < 3*time.Second-2*time.Millisecond {
			t.Errorf("deadline: %s after %v", states(s), took)
		}
		if !strings.Contains(s.Items[0].Response.Metadata, "deadline") {
			t.Error(s.Items[0].Response.Metadata)
		}
	})
}

// Goal: the lock stops the next step, not the call under way, holds over a restart, and opening it lets all go on.
func TestLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewStore()
		inside, leave := make(chan bool), make(chan bool)
		x := &services{on: map[string]func(context.Context, Step) Outcome{"a": func(context.Context, Step) Outcome { inside <- true; <-leave; return yes("") }}}
		e := open(t, EngineOptions{Store: store, Executor: x})
		w := work(item(1, "a", ItemOptions{}), item(2, "b", ItemOptions{}))
		if _, _, err := e.Submit(t.Context(), w, ""); err != nil {
			t.Fatal(err)
		}
		<-inside
		if changed, err := e.Lock(t.Context(), true); !changed || err != nil {
			t.Fatal(changed, err)
		}
		if s := e.Settings(); s != (Settings{true, "PAUSING", 1}) {
			t.Error(s)
		}
		leave <- true
		synctest.Wait()
		if s := e.Settings(); s != (Settings{true, "PAUSED", 0}) || x.called() != "a" {
			t.Error(s, x.called())
		}
		e.Close()
		e = open(t, EngineOptions{Store: store, Executor: x})
		defer e.Close()
		second := work(item(1, "c", ItemOptions{}))
		s, _, err := e.Submit(t.Context(), second, "")
		if err != nil || s.State != Created {
			t.Error("submitted while locked:", s.State, err)
		}
		synctest.Wait()
		if x.called() != "a" {
			t.Error("the lock did not hold over a restart:", x.called())
		}
		if _, err := e.Lock(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		for _, hash := range []string{w.Hash, second.Hash} {
			if s, err := e.Wait(t.Context(), hash); err != nil || s.State != Completed {
				t.Error(s.State, err)
			}
		}
		if s := e.Settings(); s != (Settings{false, "RUNNING", 0}) {
			t.Error(s)
		}
	})
}

// Goal: the same message is the same chain, for its account alone. Method: it again while it runs, after its end, after a
// restart, by another account, and after it was forgotten.
func TestIdempotence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewStore()
		x := &services{}
		o := EngineOptions{Store: store, Executor: x, Keep: time.Hour}
		e := open(t, o)
		w := work(item(1, "a", ItemOptions{}))
		again := func(account string, wantNew bool, want error) {
			t.Helper()
			if _, isNew, err := e.Submit(t.Context(), w, account); isNew != wantNew || !errors.Is(err, want) {
				t.Errorf("%q: %v, %v", account, isNew, err)
			}
		}
		again("ann", true, nil)
		again("ann", false, nil)
		synctest.Wait()
		again("ann", false, nil)
		again("bob", false, ErrForeign)
		e.Close()
		e = open(t, o)
		defer func() { e.Close() }()
		again("ann", false, nil)
		time.Sleep(time.Hour + 2*time.Minute)
		if _, err := e.Status(t.Context(), w.Hash); !errors.Is(err, broker.ErrNotFound) || len(e.Counts()) > 0 && e.Counts()[Completed] != 0 {
			t.Error("not forgotten:", err, e.Counts())
		}
		again("bob", true, nil)
		synctest.Wait()
		if x.called() != "a a" {
			t.Error(x.called())
		}
	})
}

// Goal: cancel, resume and delete do what they say in every state. Method: a chain that hangs, is cancelled, resumed, fails,
// is resumed again and completes.
func TestControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mode := "hang"
		x := &services{on: map[string]func(context.Context, Step) Outcome{"b": func(ctx context.Context, _ Step) Outcome {
			switch mode {
			case "hang":
				<-ctx.Done()
				return down()
			case "fail":
				return no("")
			}
			return yes("")
		}}}
		e := open(t, EngineOptions{Executor: x})
		defer e.Close()
		w := work(item(1, "a", ItemOptions{}), item(2, "b", ItemOptions{}), item(3, "c", ItemOptions{}))
		if _, err := e.Cancel(t.Context(), w.Hash); !errors.Is(err, broker.ErrNotFound) {
			t.Error("cancel of nothing:", err)
		}
		if _, _, err := e.Submit(t.Context(), w, ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s, _ := e.Status(t.Context(), w.Hash); states(s) != "running completed running created" {
			t.Error(states(s))
		}
		if err := e.Delete(t.Context(), w.Hash); !errors.Is(err, ErrRunning) {
			t.Error("delete of a running one:", err)
		}
		s, err := e.Cancel(t.Context(), w.Hash)
		if err != nil || states(s) != "aborted completed failed skipped" {
			t.Error(states(s), err)
		}
		if _, err := e.Cancel(t.Context(), w.Hash); !errors.Is(err, ErrEnded) {
			t.Error("cancel twice:", err)
		}
		mode = "fail"
		if _, err := e.Resume(t.Context(), w.Hash); err != nil {
			t.Fatal(err)
		}
		if s, _ = e.Wait(t.Context(), w.Hash); states(s) != "failed completed failed skipped" {
			t.Error(states(s))
		}
		mode = "well"
		if n, err := e.ResumeAll(t.Context()); n != 1 || err != nil {
			t.Error(n, err)
		}
		if s, _ = e.Wait(t.Context(), w.Hash); states(s) != "completed completed completed completed" || x.called() != "a b b b c" {
			t.Error(states(s), x.called())
		}
		if _, err := e.Resume(t.Context(), w.Hash); !errors.Is(err, ErrEnded) {
			t.Error("resume of a completed one:", err)
		}
		if err := e.Delete(t.Context(), w.Hash); err != nil {
			t.Error(err)
		}
		if err := e.Delete(t.Context(), w.Hash); !errors.Is(err, broker.ErrNotFound) {
			t.Error("delete twice:", err)
		}
	})
}

// Goal: an item that awaits its notification takes the first one, also one faster than the call's answer.
func TestNotification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &services{}
		e := open(t, EngineOptions{Executor: x})
		defer e.Close()
		w := work(item(1, "a", ItemOptions{Await: true}), item(2, "b", ItemOptions{}))
		if _, _, err := e.Submit(t.Context(), w, ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s, _ := e.Status(t.Context(), w.Hash); states(s) != "running awaiting_callback created" {
			t.Error(states(s))
		}
		if _, err := e.Notify(t.Context(), w.Hash, []Result{{2, Response{OK: true}}}); !errors.Is(err, ErrUnasked) {
			t.Error("for an item that waits for none:", err)
		}
		if n, err := e.Notify(t.Context(), w.Hash, []Result{{1, Response{OK: true, Data: "late"}}}); n != 1 || err != nil {
			t.Error(n, err)
		}
		s, _ := e.Wait(t.Context(), w.Hash)
		if states(s) != "completed completed completed" || s.Items[0].Response.Data != "late" {
			t.Error(states(s))
		}
		if _, err := e.Notify(t.Context(), w.Hash, []Result{{1, Response{OK: true}}}); !errors.Is(err, ErrUnasked) {
			t.Error("after the end:", err)
		}
	})
}

// Goal: who wants to know of the end is told at least once. Method: a completion tube, a webhook and a callback that fail at
// first, and a restart in between.
func TestNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, queue := memory.NewStore(), memory.NewQueue(broker.QueueOptions{})
		defer queue.Close()
		told, hooks := 0, 0
		x := &services{on: map[string]func(context.Context, Step) Outcome{"": func(_ context.Context, s Step) Outcome {
			if hooks++; hooks == 1 {
				return down()
			}
			var m map[string]any
			if err := json.Unmarshal([]byte(s.Request.Payload), &m); err != nil || m["completion_message"] == nil {
				t.Error(s.Request.Payload, err)
			}
			return yes("")
		}}}
		o := EngineOptions{Store: store, Queue: queue, Executor: x, Completed: func(context.Context, Status) error {
			if told++; told == 1 {
				return errors.New("not now")
			}
			return nil
		}}
		e := open(t, o)
		w := work(item(1, "a", ItemOptions{}))
		w.Options.Webhook = "https://a.example/hook"
		submit(t, e, w)
		synctest.Wait()
		e.Close()
		e = open(t, o)
		defer e.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		if told < 2 || hooks != 2 {
			t.Errorf("told %d times, webhook called %d times", told, hooks)
		}
		if s, err := queue.Stats(CompletionTube); err != nil || s.Ready != 1 {
			t.Errorf("%d completion messages, %v", s.Ready, err)
		}
	})
}

// Goal: too much is refused as busy, and what is known is answered all the same. Method: each limit reached by one.
func TestRoom(t *testing.T) {
	for name, o := range map[string]EngineOptions{"active": {Active: 1}, "memory": {Memory: 1}} {
		synctest.Test(t, func(t *testing.T) {
			leave := make(chan bool)
			o.Executor = &services{on: map[string]func(context.Context, Step) Outcome{"a": func(context.Context, Step) Outcome { <-leave; return yes("") }}}
			e := open(t, o)
			defer e.Close()
			first, second := work(item(1, "a", ItemOptions{})), work(item(1, "b", ItemOptions{}))
			if _, _, err := e.Submit(t.Context(), first, ""); err != nil {
				t.Fatal(err)
			}
			if _, _, err := e.Submit(t.Context(), second, ""); !errors.Is(err, broker.ErrBusy) {
				t.Error(name, err)
			}
			if _, isNew, err := e.Submit(t.Context(), first, ""); isNew || err != nil {
				t.Error(name, isNew, err)
			}
			leave <- true
			synctest.Wait()
			if _, isNew, err := e.Submit(t.Context(), second, ""); !isNew || err != nil {
				t.Error(name, isNew, err)
			}
			synctest.Wait()
		})
	}
}

// Goal: what listeners are told is in order and true. Method: the events of one chain, and a status read inside each.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var all []string
		e := open(t, EngineOptions{Executor: &services{}, Changed: func(ev Event) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, fmt.Sprintf("%d:%s/%s", ev.Order, ev.Item, ev.Chain))
		}})
		defer e.Close()
		submit(t, e, work(item(1, "a", ItemOptions{}), item(2, "b", ItemOptions{})))
		mu.Lock()
		defer mu.Unlock()
		want := []string{"-1:/running", "1:running/running", "1:completed/running", "2:running/running", "2:completed/completed", "-1:/completed"}
		if !slices.Equal(all, want) {
			t.Errorf("got  %v\nwant %v", all, want)
		}
	})
}

// Goal: messages can come as jobs. Method: a good one, the same again, and one that cannot be, which is buried with its reason.
func TestIntake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := memory.NewQueue(broker.QueueOptions{})
		defer queue.Close()
		x := &services{}
		e := open(t, EngineOptions{Queue: queue, Executor: x})
		defer e.Close()
		w := work(item(1, "a", ItemOptions{}))
		for _, body := range [][]byte{AppendWork(nil, &w), AppendProtoWork(nil, &w), []byte("{}")} {
			put := make(chan error, 1)
			queue.Put(WorkTube, body, broker.PutOptions{}, func(_ uint64, err error) { put <- err })
			if err := <-put; err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if s, err := e.Wait(t.Context(), w.Hash); err != nil || s.State != Completed || x.called() != "a" {
			t.Error(s.State, err, x.called())
		}
		if j, err := queue.PeekTube(t.Context(), WorkTube, broker.JobBuried); err != nil || !strings.Contains(j.Reason, "work_message is missing") {
			t.Errorf("%q, %v", j.Reason, err)
		}
		if s, err := queue.Stats(WorkTube); err != nil || s.Buried != 1 || s.Ready+s.Reserved+s.Delayed != 0 {
			t.Errorf("%+v, %v", s, err)
		}
	})
}
