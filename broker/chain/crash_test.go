package chain

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gosper/broker"
	"gosper/broker/memory"
)

// dying is a Store whose process dies at its n-th commit: before it, or after it and before the answer.
type dying struct {
	broker.Store
	mu    sync.Mutex
	left  int
	after bool
	dead  bool
}

var errDead = errors.New("the process is dead")

func (d *dying) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, errDead
	}
	if d.left--; d.left > 0 {
		return d.Store.Commit(ctx, ops...)
	}
	d.dead = true
	if d.after {
		_, _ = d.Store.Commit(ctx, ops...) // whether it came through is what the next process finds out
	}
	return nil, errDead
}

// Goal: whenever a process dies, each chain ends once, no step is lost, and a repeated step carries the same key. Method: a
// process dies at every commit of some chains, before and after it; the next processes take over until one lives.
func TestCrashAtEveryCommit(t *testing.T) {
	undo := &Request{"https://a.example", "undo", TypeHTTPS, "POST", ""}
	chains := []Work{
		work(item(1, "a", ItemOptions{}), item(2, "b", ItemOptions{})),
		work(item(1, "a", ItemOptions{}), item(1, "b", ItemOptions{}), item(2, "c", ItemOptions{}), item(2, "d", ItemOptions{})),
		work(item(1, "a", ItemOptions{Compensate: undo}), item(2, "no", ItemOptions{OnFailure: Compensate}), item(3, "c", ItemOptions{})),
		work(item(1, "no", ItemOptions{OnFailure: Continue}), item(2, "b", ItemOptions{})),
	}
	want := []string{"completed completed completed", "completed completed completed completed completed",
		"failed compensated failed skipped", "completed failed completed"}
	for number, w := range chains {
		for at := 1; at < 12; at++ {
			for _, after := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					if got := dieOnce(t, w, at, after); got != want[number] {
						t.Errorf("chain %d, dead at commit %d (after it: %v): %s, want %s", number, at, after, got, want[number])
					}
				})
			}
		}
	}
}

// dieOnce runs a chain in a process that dies, then in another, and returns how it ended.
func dieOnce(t *testing.T, w Work, at int, after bool) string {
	store := memory.NewStore()
	x := &services{on: map[string]func(context.Context, Step) Outcome{"no": func(context.Context, Step) Outcome { return no("") }}}
	ends := 0
	o := EngineOptions{Store: &dying{Store: store, left: at, after: after}, Executor: x}
	e := open(t, o)
	_, _, err := e.Submit(t.Context(), w, "")
	acknowledged := err == nil
	time.Sleep(time.Minute)
	e.Close()
	o.Store = store
	o.Completed = func(context.Context, Status) error { ends++; return nil }
	e = open(t, o)
	defer e.Close()
	if _, _, err := e.Submit(t.Context(), w, ""); err != nil {
		t.Fatal(err)
	}
	s, err := e.Wait(t.Context(), w.Hash)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	synctest.Wait()
	checkCalls(t, x, s)
	if ends > 1 {
		t.Errorf("its end was told %d times by one process", ends)
	}
	if !acknowledged && at > 1 {
		t.Errorf("a submission was not acknowledged before commit %d", at)
	}
	return states(s)
}

// checkCalls holds the calls against the end: what is completed was called, with one key for an item.
func checkCalls(t *testing.T, x *services, s Status) {
	t.Helper()
	keys := make(map[string]string)
	for _, c := range x.calls {
		if have, ok := keys[c.Key]; ok && have != c.Request.Endpoint {
			t.Errorf("key %s is used for %s and %s", c.Key, have, c.Request.Endpoint)
		}
		keys[c.Key] = c.Request.Endpoint
	}
	for i, it := range s.Items {
		key := fmt.Sprintf("%s-%d", s.Hash, i)
		if _, called := keys[key]; called == (it.State == Skipped) {
			t.Errorf("item %d is %s, called: %v", i, it.State, called)
		}
		if (it.State == Skipped) != strings.Contains(it.Response.Metadata, "skipped") {
			t.Errorf("item %d is %s and answers %+v", i, it.State, it.Response)
		}
	}
}

// Goal: a store that fails now and then costs time, nothing else. Method: one commit in three fails, before or after it came
// through, with the errors of a disk that is full and of a time-out.
func TestStoreFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seed := rand.Uint64()
		store := &moody{Store: memory.NewStore(), random: rand.New(rand.NewPCG(seed, 1))}
		e := open(t, EngineOptions{Store: store, Executor: &services{}})
		defer e.Close()
		for n := range 50 {
			w := work(item(1, fmt.Sprint("a", n), ItemOptions{}), item(2, "b", ItemOptions{}), item(2, "c", ItemOptions{}))
			for {
				_, _, err := e.Submit(t.Context(), w, "")
				if err == nil {
					break
				}
			}
			// A time-out at submission may have come through without a run: submitting it again lets it run.
			if s, err := e.Wait(t.Context(), w.Hash); err != nil || s.State != Completed {
				t.Fatalf("seed %d, chain %d: %s, %v", seed, n, states(s), err)
			}
		}
	})
}

// moody is a Store whose commits fail now and then.
type moody struct {
	broker.Store
	mu     sync.Mutex
	random *rand.Rand
}

func (m *moody) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.random.IntN(6) {
	case 0:
		return nil, broker.ErrDiskFull
	case 1:
		_, _ = m.Store.Commit(ctx, ops...) // it may come through, or not
		return nil, broker.ErrTimeout
	}
	return m.Store.Commit(ctx, ops...)
}
