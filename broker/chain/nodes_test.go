package chain

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gosper/broker"
	"gosper/broker/memory"
)

// cluster is some engines over one store, one of which runs all chains.
type cluster struct {
	t       *testing.T
	store   *memory.Store
	bus     *memory.Bus
	x       *services
	away    map[*Engine]*absent
	mu      sync.Mutex
	ended   []string // hashes whose end was told
	engines []*Engine
}

// absent is a store that can be lost, and be slow to tell of changes.
type absent struct {
	broker.Store
	lost atomic.Bool
	late atomic.Int64 // how much later a change is told, in nanoseconds
}

func (a *absent) Watch(ctx context.Context, prefix string, fn func(broker.Record)) error {
	return a.Store.Watch(ctx, prefix, func(r broker.Record) {
		if late := a.late.Load(); late > 0 {
			time.AfterFunc(time.Duration(late), func() { fn(r) })
			return
		}
		fn(r)
	})
}

func (a *absent) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	if a.lost.Load() {
		return nil, broker.ErrTimeout
	}
	return a.Store.Commit(ctx, ops...)
}

func (a *absent) Get(ctx context.Context, key string) (broker.Record, error) {
	if a.lost.Load() {
		return broker.Record{}, broker.ErrTimeout
	}
	return a.Store.Get(ctx, key)
}

// openCluster starts nodes; the first of them runs chains.
func openCluster(t *testing.T, x *services, nodes int) *cluster {
	c := &cluster{t: t, store: memory.NewStore(), bus: memory.NewBus(memory.BusOptions{}), x: x, away: make(map[*Engine]*absent)}
	for i := range nodes {
		store := &absent{Store: c.store}
		e := open(t, EngineOptions{Store: store, Executor: x, Nodes: &Nodes{Bus: c.bus, Name: fmt.Sprint("node-", i)},
			Completed: func(_ context.Context, s Status) error {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.ended = append(c.ended, s.Hash)
				return nil
			}})
		c.away[e] = store
		c.engines = append(c.engines, e)
		time.Sleep(time.Second) // the first takes the lead before the second stands for it
	}
	if c.engines[0].here() == nil {
		t.Fatal("the first node does not run chains")
	}
	return c
}

func (c *cluster) close() {
	for _, e := range c.engines {
		e.Close()
	}
	_ = c.bus.Close()
}

// Goal: every node takes chains and orders, wherever chains run. Method: everything that an engine can do, at one that runs
// nothing.
func TestOrdersFromAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		x := &services{on: map[string]func(context.Context, Step) Outcome{
			"no": func(context.Context, Step) Outcome { return no("") },
			"held": func(ctx context.Context, _ Step) Outcome {
				select {
				case <-hold:
					return yes("")
				case <-ctx.Done():
					return down()
				}
			}}}
		c := openCluster(t, x, 2)
		defer c.close()
		far := c.engines[1]
		ctx := t.Context()
		if s := submit(t, far, work(item(1, "a", ItemOptions{}), item(2, "b", ItemOptions{}))); states(s) != "completed completed completed" {
			t.Errorf("a chain submitted far away: %s", states(s))
		}
		held := work(item(1, "held", ItemOptions{}))
		if _, _, err := far.Submit(ctx, held, "ada"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if s, err := far.Status(ctx, held.Hash); err != nil || states(s) != "running running" {
			t.Errorf("while it runs: %s, %v", states(s), err)
		}
		if _, _, err := far.Submit(ctx, held, "eve"); !errors.Is(err, ErrForeign) {
			t.Errorf("the same work of another account: %v", err)
		}
		if n := far.Counts(); n[Completed] != 1 || n[Running] != 1 {
			t.Errorf("counts far away: %v", n)
		}
		if err := far.Delete(ctx, held.Hash); !errors.Is(err, ErrRunning) {
			t.Errorf("deleting what runs: %v", err)
		}
		if s, err := far.Cancel(ctx, held.Hash); err != nil || s.State != Aborted {
			t.Errorf("cancelled far away: %s, %v", s.State, err)
		}
		if _, err := far.Cancel(ctx, held.Hash); !errors.Is(err, ErrEnded) {
			t.Errorf("cancelled again: %v", err)
		}
		close(hold)
		if _, err := far.Resume(ctx, held.Hash); err != nil {
			t.Error("resumed far away:", err)
		}
		if s, err := far.Wait(ctx, held.Hash); err != nil || s.State != Completed {
			t.Errorf("after that: %s, %v", s.State, err)
		}
		if err := far.Delete(ctx, held.Hash); err != nil {
			t.Error("deleted far away:", err)
		}
		if _, err := far.Status(ctx, held.Hash); !errors.Is(err, broker.ErrNotFound) {
			t.Error("after that:", err)
		}
		awaited := work(item(1, "a", ItemOptions{Await: true}))
		if _, _, err := far.Submit(ctx, awaited, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if s, _ := far.Status(ctx, awaited.Hash); s.Items[0].State != AwaitingCallback {
			t.Errorf("an item that waits is %s", s.Items[0].State)
		}
		if n, err := far.Notify(ctx, awaited.Hash, []Result{{1, Response{OK: true, Data: "late"}}}); n != 1 || err != nil {
			t.Errorf("notified far away: %d, %v", n, err)
		}
		if s, err := far.Wait(ctx, awaited.Hash); err != nil || s.State != Completed || s.Items[0].Response.Data != "late" {
			t.Errorf("after that: %s, %v", states(s), err)
		}
		if _, err := far.Notify(ctx, awaited.Hash, []Result{{1, Response{}}}); !errors.Is(err, ErrUnasked) {
			t.Errorf("notified again: %v", err)
		}
	})
}

// Goal: who was told that a chain is taken may give orders at once. Method: chains that are submitted at a node which runs none, and
// right behind it cancelled, notified and deleted there, many times.
func TestOrdersRightBehindSubmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := &services{on: map[string]func(context.Context, Step) Outcome{"held": func(ctx context.Context, _ Step) Outcome { <-ctx.Done(); return down() }}}
		c := openCluster(t, x, 2)
		defer c.close()
		far := c.engines[1]
		c.away[c.engines[0]].late.Store(int64(time.Minute)) // it hears by an order first what the other has stored
		for n := range 20 {
			held := work(item(1, "held", ItemOptions{}), item(2, fmt.Sprint(n), ItemOptions{}))
			awaited := work(item(1, "a", ItemOptions{Await: true}), item(2, fmt.Sprint(n), ItemOptions{}))
			for _, w := range []Work{held, awaited} {
				if _, _, err := far.Submit(t.Context(), w, ""); err != nil {
					t.Fatal(err)
				}
				if err := far.Delete(t.Context(), w.Hash); !errors.Is(err, ErrRunning) {
					t.Errorf("deleted: %v", err)
				}
			}
			if s, err := far.Cancel(t.Context(), held.Hash); err != nil || s.State != Aborted {
				t.Errorf("cancelled: %s, %v", s.State, err)
			}
			if got, err := far.Notify(t.Context(), awaited.Hash, []Result{{1, Response{OK: true}}}); got != 1 || err != nil {
				t.Errorf("notified: %d, %v", got, err)
			}
			if s, err := far.Wait(t.Context(), awaited.Hash); err != nil || s.State != Completed {
				t.Errorf("after that: %s, %v", states(s), err)
			}
		}
	})
}

// Goal: the lock is one for all nodes, whoever moves it. Method: locked far away, chains stand; unlocked where they run.
func TestLockAmongNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCluster(t, &services{}, 2)
		defer c.close()
		near, far := c.engines[0], c.engines[1]
		if _, err := far.Lock(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := near.Settings(); !s.GlobalLock || s.GlobalStatus != "PAUSED" {
			t.Errorf("where chains run: %+v", s)
		}
		w := work(item(1, "a", ItemOptions{}))
		if s, _, err := far.Submit(t.Context(), w, ""); err != nil || s.State != Created {
			t.Errorf("submitted under the lock: %s, %v", s.State, err)
		}
		time.Sleep(time.Minute)
		if c.x.called() != "" {
			t.Error("called under the lock:", c.x.called())
		}
		if _, err := near.Lock(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s, err := far.Wait(t.Context(), w.Hash); err != nil || s.State != Completed || far.Settings().GlobalLock {
			t.Errorf("unlocked: %s, %v, %+v", s.State, err, far.Settings())
		}
	})
}

// Goal: when the node that runs chains is lost, another goes on with all of them within five seconds; what it takes meanwhile is run too,
// and each end is told. Method: the store of the first is lost while calls hang, chains are accepted by both.
func TestTakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Bool
		x := &services{on: map[string]func(context.Context, Step) Outcome{"slow": func(ctx context.Context, _ Step) Outcome {
			if !lost.Load() {
				<-ctx.Done() // the call of the first node never ends
				return down()
			}
			return yes("")
		}}}
		c := openCluster(t, x, 2)
		defer c.close()
		first, second := c.engines[0], c.engines[1]
		var all []Work
		for i, e := range []*Engine{first, second, first, second} {
			w := work(item(1, "a", ItemOptions{}), item(2, "slow", ItemOptions{Timeout: time.Hour}), item(3, fmt.Sprint("c", i), ItemOptions{}))
			if _, _, err := e.Submit(t.Context(), w, ""); err != nil {
				t.Fatal(err)
			}
			all = append(all, w)
		}
		time.Sleep(time.Second)
		lost.Store(true)
		c.away[first].lost.Store(true)
		begin := time.Now()
		w := work(item(1, "after", ItemOptions{}))
		if _, _, err := second.Submit(t.Context(), w, ""); err != nil {
			t.Fatal("while nobody runs chains:", err)
		}
		for _, w := range append(all, w) {
			if s, err := second.Wait(t.Context(), w.Hash); err != nil || s.State != Completed {
				t.Errorf("%s, %v", states(s), err)
			}
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("taken over and done after %v", took)
		}
		time.Sleep(time.Minute)
		c.mu.Lock()
		defer c.mu.Unlock()
		if first.here() != nil || len(c.ended) < 5 {
			t.Errorf("the first runs chains still: %v; %d ends were told", first.here() != nil, len(c.ended))
		}
	})
}

// Goal: a runner that was paused and replaced writes nothing. Method: a second runner takes the chain over, then the call of
// the first one ends.
func TestReplacedRunnerIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, release := memory.NewStore(), make(chan struct{})
		slow := &services{on: map[string]func(context.Context, Step) Outcome{"a": func(context.Context, Step) Outcome { <-release; return no("stale") }}}
		o := EngineOptions{Store: store}
		o.complete()
		l := &lock{open: make(chan struct{})}
		close(l.open)
		runner := func(term uint64, x Executor) *runner {
			o.Executor = x
			r := newRunner(context.Background(), o, l, term)
			if err := r.load(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.start()
			return r
		}
		w := work(item(1, "a", ItemOptions{}))
		old := runner(1, slow)
		if _, _, err := old.submit(t.Context(), w, ""); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		next := runner(2, &services{})
		next.await(t.Context(), w.Hash)
		close(release)
		time.Sleep(time.Second)
		synctest.Wait()
		if s, err := next.status(t.Context(), w.Hash); err != nil || s.State != Completed || s.Items[0].Response.Data == "stale" {
			t.Errorf("the end is %s with %+v, %v", states(s), s.Items[0].Response, err)
		}
		if old.ctx.Err() == nil {
			t.Error("the first runner does not know that it was replaced")
		}
		old.close()
		next.close()
	})
}
