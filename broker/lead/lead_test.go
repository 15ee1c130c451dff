package lead

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gosper/broker"
	"gosper/broker/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// room is a store and a bus that some seats share, and what their acts have seen.
type room struct {
	t     *testing.T
	store *memory.Store
	bus   *memory.Bus

	mu     sync.Mutex
	acting map[string]uint64 // nodes that act, with their term
	terms  []uint64
}

func newRoom(t *testing.T) *room {
	r := &room{t: t, store: memory.NewStore(), bus: memory.NewBus(memory.BusOptions{}), acting: make(map[string]uint64)}
	t.Cleanup(func() { _ = r.bus.Close() })
	return r
}

// cut is a store that may be away.
type cut struct {
	broker.Store
	away atomic.Bool
}

func (c *cut) Get(ctx context.Context, key string) (broker.Record, error) {
	if c.away.Load() {
		return broker.Record{}, broker.ErrTimeout
	}
	return c.Store.Get(ctx, key)
}

func (c *cut) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	if c.away.Load() {
		return nil, broker.ErrTimeout
	}
	return c.Store.Commit(ctx, ops...)
}

func (r *room) open(node string, store broker.Store) *Seat {
	s, err := Open(Options{Store: store, Bus: r.bus, Name: "test", Node: node,
		Act: func(ctx context.Context, term uint64) {
			r.mu.Lock()
			if r.acting[node] = term; len(r.acting) > 1 {
				r.t.Errorf("%v act at the same time", r.acting)
			}
			r.terms = append(r.terms, term)
			r.mu.Unlock()
			<-ctx.Done()
			r.mu.Lock()
			delete(r.acting, node)
			r.mu.Unlock()
		},
		Answer: func(_ context.Context, verb string, content []byte) ([]byte, error) {
			if verb == "no" {
				return nil, errors.New("never")
			}
			return fmt.Appendf(nil, "\"%s %s %s\"", node, verb, bytes.Trim(content, `"`)), nil
		}})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// leader returns who leads, "" for nobody.
func leader(seats map[string]*Seat) string {
	for node, s := range seats {
		if s.Leading() {
			return node
		}
	}
	return ""
}

// Goal: one of several leads, another one at once after it has closed, and within five seconds after it was cut off, by which
// time it has stopped by itself; terms grow. Method: three seats over one store, in virtual time.
func TestLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		stores := map[string]*cut{"a": {Store: r.store}, "b": {Store: r.store}, "c": {Store: r.store}}
		seats := make(map[string]*Seat)
		for node, store := range stores {
			seats[node] = r.open(node, store)
		}
		wait := func(d time.Duration) string {
			time.Sleep(d)
			synctest.Wait()
			return leader(seats)
		}
		first := wait(time.Second)
		if first == "" {
			t.Fatal("nobody leads after a second")
		}
		if again := wait(time.Minute); again != first {
			t.Errorf("%s leads after %s, without need", again, first)
		}
		stores[first].away.Store(true)
		second := wait(5 * time.Second)
		if second == "" || second == first {
			t.Fatalf("%q leads five seconds after %s was cut off", second, first)
		}
		stores[first].away.Store(false)
		if again := wait(time.Minute); again != second {
			t.Errorf("%s leads when %s is back", again, first)
		}
		seats[second].Close()
		if third := wait(time.Second); third == "" || third == second {
			t.Errorf("%q leads a second after %s has closed", third, second)
		}
		for _, s := range seats {
			s.Close()
		}
		for i, term := range r.terms {
			if i > 0 && term <= r.terms[i-1] {
				t.Errorf("terms %v do not grow", r.terms)
			}
		}
	})
}

// Goal: a leader whose write came through although its answer was an error leads on. Method: a store that loses one answer.
func TestUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		store := &deaf{Store: r.store}
		s := r.open("a", store)
		defer s.Close()
		time.Sleep(time.Second)
		store.deaf.Store(true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if store.deaf.Load() || !s.Leading() || len(r.terms) != 1 {
			t.Errorf("an answer was lost: %v; leads %v, terms %v", !store.deaf.Load(), s.Leading(), r.terms)
		}
	})
}

// deaf is a store that loses the answer to one commit.
type deaf struct {
	broker.Store
	deaf atomic.Bool
}

func (d *deaf) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	revisions, err := d.Store.Commit(ctx, ops...)
	if d.deaf.CompareAndSwap(true, false) {
		return nil, broker.ErrTimeout
	}
	return revisions, err
}

// Goal: a leader whose store hangs does not say that it leads when its lease is over, so that of two nodes one answers. Method: a
// store that answers nothing before the context ends, and a second seat.
func TestHangingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		hangs := &hanging{Store: r.store}
		a := r.open("a", hangs)
		time.Sleep(time.Second)
		b := r.open("b", r.store)
		time.Sleep(time.Second)
		hangs.hang.Store(true)
		for range 100 {
			time.Sleep(50 * time.Millisecond)
			synctest.Wait()
			if a.Leading() && b.Leading() {
				t.Fatal("both lead")
			}
		}
		if a.Leading() || !b.Leading() {
			t.Errorf("after five seconds a leads: %v, b: %v", a.Leading(), b.Leading())
		}
		a.Close()
		b.Close()
	})
}

// hanging is a store that may answer nothing.
type hanging struct {
	broker.Store
	hang atomic.Bool
}

func (h *hanging) Get(ctx context.Context, key string) (broker.Record, error) {
	if h.hang.Load() {
		<-ctx.Done()
		return broker.Record{}, broker.ErrTimeout
	}
	return h.Store.Get(ctx, key)
}

func (h *hanging) Commit(ctx context.Context, ops ...broker.Op) ([]uint64, error) {
	if h.hang.Load() {
		<-ctx.Done()
		return nil, broker.ErrTimeout
	}
	return h.Store.Commit(ctx, ops...)
}

// Goal: every node is answered by the leader, refusals come as such, and a question that nobody can answer waits for
// the next leader. Method: asks through all seats, with and without a leader.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(t)
		seats := map[string]*Seat{"a": r.open("a", r.store)}
		time.Sleep(time.Second)
		seats["b"] = r.open("b", r.store)
		for node, s := range seats {
			if got, err := s.Ask(t.Context(), "who", strconv.AppendQuote(nil, node)); err != nil || string(got) != strconv.Quote("a who "+node) {
				t.Errorf("%s is answered %q, %v", node, got, err)
			}
			var refusal *Refusal
			if _, err := s.Ask(t.Context(), "no", nil); !errors.As(err, &refusal) || refusal.Text != "never" {
				t.Errorf("%s is refused %v", node, err)
			}
		}
		store := &cut{Store: r.store}
		store.away.Store(true)
		asker, err := Open(Options{Store: store, Bus: r.bus, Name: "test", Node: "c"})
		if err != nil {
			t.Fatal(err)
		}
		seats["a"].Close()
		if got, err := asker.Ask(t.Context(), "who", nil); err != nil || string(got) != `"b who "` {
			t.Errorf("after a has closed: %q, %v", got, err)
		}
		seats["b"].Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := asker.Ask(ctx, "who", nil); !errors.Is(err, ErrNobody) {
			t.Errorf("with nobody: %v", err)
		}
		asker.Close()
	})
}
