package chain

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gosper/broker"
	"gosper/broker/memory"
)

// Goal: a chain that has failed runs again once, however many ask for that at the same time. Method: ten resumes at once, each
// while the news of the end is told.
func TestResumesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan bool)
		x := &services{on: map[string]func(context.Context, Step) Outcome{"a": func(context.Context, Step) Outcome { <-hold; return no("") }}}
		e := open(t, EngineOptions{Executor: x, Completed: func(context.Context, Status) error { return nil }})
		defer e.Close()
		w := work(item(1, "a", ItemOptions{}))
		if _, _, err := e.Submit(t.Context(), w, ""); err != nil {
			t.Fatal(err)
		}
		for round := range 20 {
			hold <- true
			if s, err := e.Wait(t.Context(), w.Hash); err != nil || s.State != Failed {
				t.Fatal(round, s.State, err)
			}
			var mu sync.Mutex
			resumed := 0
			var all sync.WaitGroup
			for range 10 {
				all.Go(func() {
					switch _, err := e.Resume(t.Context(), w.Hash); {
					case err == nil:
						mu.Lock()
						resumed++
						mu.Unlock()
					case !errors.Is(err, ErrRunning):
						t.Error(err)
					}
				})
			}
			all.Wait()
			if resumed != 1 {
				t.Fatalf("round %d: resumed %d times", round, resumed)
			}
		}
		hold <- true
		synctest.Wait()
		if n := len(x.calls); n != 21 {
			t.Errorf("%d calls", n)
		}
	})
}

// Goal: a notification that was taken is not lost by a crash, and the call behind it is not made again. Method: a process that
// ends after it has taken one for a call that has not been answered.
func TestNotificationOutlivesCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memory.NewStore()
		x := &services{on: map[string]func(context.Context, Step) Outcome{"a": func(ctx context.Context, _ Step) Outcome { <-ctx.Done(); return down() }}}
		e := open(t, EngineOptions{Store: store, Executor: x})
		w := work(item(1, "a", ItemOptions{Await: true, Timeout: time.Hour}), item(2, "b", ItemOptions{Await: true}))
		if _, _, err := e.Submit(t.Context(), w, ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := e.Notify(t.Context(), w.Hash, []Result{{2, Response{OK: true}}}); !errors.Is(err, ErrUnasked) {
			t.Error("for an item that has not begun:", err)
		}
		if n, err := e.Notify(t.Context(), w.Hash, []Result{{1, Response{OK: true, Data: "early"}}}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if _, err := e.Notify(t.Context(), w.Hash, []Result{{1, Response{OK: true, Data: "again"}}}); !errors.Is(err, ErrUnasked) {
			t.Error("a second one:", err)
		}
		e.Close()
		e = open(t, EngineOptions{Store: store, Executor: x})
		defer e.Close()
		synctest.Wait()
		if s, _ := e.Status(t.Context(), w.Hash); states(s) != "running completed awaiting_callback" || s.Items[0].Response.Data != "early" || x.called() != "a b" {
			t.Error(states(s), s.Items[0].Response, x.called())
		}
		if n, err := e.Notify(t.Context(), w.Hash, []Result{{2, Response{Data: "refused"}}}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if s, _ := e.Wait(t.Context(), w.Hash); states(s) != "failed completed failed" {
			t.Error(states(s))
		}
	})
}

// Goal: a target that is left alone for longer than all attempts would last costs no chain. Method: a target that is not called
// for a minute, with two attempts.
func TestUnmadeCallsAreNoAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		x := &services{on: map[string]func(context.Context, Step) Outcome{"a": func(context.Context, Step) Outcome {
			if time.Since(begun) < time.Minute {
				return Outcome{Response: Response{Error: true}, Retry: true, Unmade: true, After: time.Second}
			}
			return yes("")
		}}}
		e := open(t, EngineOptions{Executor: x})
		defer e.Close()
		if s := submit(t, e, work(item(1, "a", ItemOptions{Attempts: 2}))); s.State != Completed || s.Items[0].Attempts != 1 || time.Since(begun) > time.Minute+2*time.Second {
			t.Errorf("%s after %v, %d attempts", s.State, time.Since(begun), s.Items[0].Attempts)
		}
	})
}

// Goal: each end of a chain is told, also when the news of the one before was not taken yet. Method: a chain that fails, is
// resumed and completes, with a completion tube that nobody empties and a webhook.
func TestEachEndIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := memory.NewQueue(broker.QueueOptions{})
		defer queue.Close()
		well := false
		x := &services{on: map[string]func(context.Context, Step) Outcome{"a": func(context.Context, Step) Outcome {
			if well {
				return yes("")
			}
			return no("")
		}}}
		e := open(t, EngineOptions{Queue: queue, Executor: x})
		defer e.Close()
		w := work(item(1, "a", ItemOptions{}))
		w.Options.Webhook = "http://a.example/hook"
		submit(t, e, w)
		synctest.Wait()
		well = true
		time.Sleep(time.Second)
		if _, err := e.Resume(t.Context(), w.Hash); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s, err := queue.Stats(CompletionTube); err != nil || s.Ready != 2 {
			t.Errorf("%d completion messages, %v", s.Ready, err)
		}
		keys := map[string]bool{}
		for _, c := range x.calls {
			if c.Order == -1 {
				keys[c.Key] = true
				if c.Request.Type != TypeHTTP || !strings.HasPrefix(c.Key, w.Hash) {
					t.Errorf("%+v", c)
				}
			}
		}
		if len(keys) != 2 {
			t.Errorf("webhook keys %v", keys)
		}
	})
}
