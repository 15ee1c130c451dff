package event

import (
	"errors"
	"fmt"
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

// listener notes what comes to a pattern.
type listener struct {
	mu  sync.Mutex
	got []string
}

func listen(t *testing.T, bus broker.Bus, pattern string) *listener {
	t.Helper()
	l := new(listener)
	s, err := bus.Subscribe(pattern, broker.Handler{Message: func(m *broker.Message) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.got = append(l.got, string(m.Data))
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Unsubscribe)
	return l
}

func (l *listener) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.got, "\n")
}

// inBubble runs a test with a bus, whose broadcaster ends before it, in fake time.
func inBubble(t *testing.T, o Options, test func(t *testing.T, b *Broadcaster, bus broker.Bus)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		bus := memory.NewBus(memory.BusOptions{})
		defer bus.Close()
		if o.Bus == nil {
			o.Bus = bus
		}
		b := New(o)
		defer b.Close()
		test(t, b, bus)
	})
}

// Goal: the messages are those of the reference, byte for byte and in its order. Method: a process that is resumed, a lock, a
// subscription.
func TestMessages(t *testing.T) {
	inBubble(t, Options{}, func(t *testing.T, b *Broadcaster, bus broker.Bus) {
		events, settings, counts := listen(t, bus, Subject), listen(t, bus, SettingsSubject), listen(t, bus, TypeSubject(ProcessStatusCounts))
		ann := listen(t, bus, UserSubject("ann"))
		b.ProcessCounts()
		b.Process("p1", "ann")
		b.EngineStatus(map[string]any{"global_lock": true})
		b.Subscription("s1")
		synctest.Wait()
		want := `{"name":"invalidateCache","value":{"type":"processStatusCounts"}}
{"name":"invalidateCache","value":{"type":"processes","id":"LIST"}}
{"name":"invalidateCache","value":{"type":"processes","id":"p1"}}
{"name":"invalidateCache","value":{"type":"engineStatus"}}
{"name":"invalidateCache","value":{"type":"subscriptions","id":"LIST"}}
{"name":"invalidateCache","value":{"type":"subscriptions","id":"s1"}}`
		if got := events.all(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if got := settings.all(); got != `{"engine-status":{"global_lock":true}}` {
			t.Error(got)
		}
		if got := counts.all(); got != `{"name":"invalidateCache","value":{"type":"processStatusCounts"}}` {
			t.Error(got)
		}
		if got := ann.all(); got != `{"name":"invalidateCache","value":{"type":"processes","id":"LIST"}}
{"name":"invalidateCache","value":{"type":"processes","id":"p1"}}` {
			t.Error(got)
		}
	})
}

// Goal: lists are told at once, then joined, and the last change is always told, also when the node ends before. Method: a
// hundred changes within one window, then one more and the end.
func TestThrottle(t *testing.T) {
	inBubble(t, Options{Throttle: time.Second}, func(t *testing.T, b *Broadcaster, bus broker.Bus) {
		l := listen(t, bus, Subject)
		for i := range 100 {
			b.Process(fmt.Sprint(i), "")
		}
		synctest.Wait()
		if n := strings.Count(l.all(), "LIST"); n != 1 {
			t.Errorf("%d lists at once, want 1", n)
		}
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if all := l.all(); strings.Count(all, "LIST") != 2 || strings.Count(all, "\n") != 101 || !strings.HasSuffix(all, `"LIST"}}`) {
			t.Errorf("%d lists of %d messages, want 2, the last of all", strings.Count(all, "LIST"), strings.Count(all, "\n")+1)
		}
		b.Process("last", "")
		b.Close()
		if all := l.all(); strings.Count(all, "LIST") != 3 || !strings.HasSuffix(all, `"LIST"}}`) {
			t.Errorf("what waited was not told at the end: %d lists", strings.Count(all, "LIST"))
		}
		b.Process("too late", "")
		synctest.Wait()
		if strings.Contains(l.all(), "too late") {
			t.Error("told after the end")
		}
	})
}

// Goal: a game that changes all the time is told of at most once in the window. Method: a change every millisecond for ten
// windows, in fake time.
func TestSubscriptionsAreThrottled(t *testing.T) {
	inBubble(t, Options{Throttle: 100 * time.Millisecond}, func(t *testing.T, b *Broadcaster, bus broker.Bus) {
		l := listen(t, bus, TypeSubject(Subscriptions))
		for range 1000 {
			b.Subscription("game")
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := strings.Count(l.all(), "game"); n < 9 || n > 12 {
			t.Errorf("%d messages for ten windows", n)
		}
		if b.mu.Lock(); len(b.resting) != 0 {
			t.Errorf("%d things are remembered for ever", len(b.resting))
		}
		b.mu.Unlock()
	})
}

// Goal: any goroutine may broadcast, each one's messages keep their order, and a bus that fails hurts nobody. Method: many at
// once over a bus whose every third publication fails.
func TestManyGoroutines(t *testing.T) {
	bus := &faulty{Bus: memory.NewBus(memory.BusOptions{}), refuse: func(n int) bool { return n%3 == 0 }}
	defer bus.Close()
	b := New(Options{Bus: bus, Patience: time.Millisecond})
	l := listen(t, bus, Subject)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 200 {
				b.Invalidate(Processes, fmt.Sprintf("%d-%04d", g, i))
			}
		})
	}
	all.Wait()
	b.Close() // nothing is told again after it
	last := make(map[string]string)
	for line := range strings.SplitSeq(l.all(), "\n") {
		_, id, ok := strings.Cut(line, `"id":"`)
		if !ok {
			continue // all of the type, for what was refused
		}
		if g := id[:1]; id <= last[g] {
			t.Fatalf("%s after %s", id, last[g])
		} else {
			last[g] = id
		}
	}
	if len(last) != 8 {
		t.Errorf("heard of %d goroutines", len(last))
	}
}

// Goal: a bus that is stuck, against its promise even in Publish, holds up nobody: what waits is joined and bounded, what did
// not fit is told as all of its type, and in order when the bus is back. Method: a bus that stands still for an hour.
func TestStuckBus(t *testing.T) {
	stuck := &faulty{gate: make(chan struct{})}
	inBubble(t, Options{Pending: 5, Bus: stuck}, func(t *testing.T, b *Broadcaster, bus broker.Bus) {
		stuck.Bus, stuck.gate = bus, make(chan struct{})
		l := listen(t, bus, Subject)
		b.Invalidate("orders", "first")
		synctest.Wait() // it is in Publish now
		begun := time.Now()
		for i := range 1000 {
			b.Invalidate("orders", fmt.Sprint(i%10))
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("broadcasts took %v", took)
		}
		time.Sleep(time.Hour)
		close(stuck.gate)
		synctest.Wait()
		const message = `{"name":"invalidateCache","value":{"type":"orders","id":"`
		want := message + `first"}}`
		for i := range 5 {
			want += "\n" + message + fmt.Sprint(i) + `"}}`
		}
		want += "\n" + `{"name":"invalidateCache","value":{"type":"orders"}}`
		if got := l.all(); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	})
}

// Goal: while the bus works on what was published, equal changes become one message. Method: a bus that answers late.
func TestSlowBusJoins(t *testing.T) {
	slow := &faulty{late: 500 * time.Millisecond}
	inBubble(t, Options{Bus: slow}, func(t *testing.T, b *Broadcaster, bus broker.Bus) {
		slow.Bus = bus
		l := listen(t, bus, Subject)
		for range 1000 {
			b.Invalidate("orders", "7")
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		if n := strings.Count(l.all(), "orders"); n < 2 || n > 4 {
			t.Errorf("%d messages", n)
		}
	})
}

// Goal: what the bus refused is told when it takes messages again, once and as all of its type. Method: a bus that is gone for
// an hour.
func TestRefusedIsToldLater(t *testing.T) {
	gone := &faulty{refuse: func(int) bool { return true }}
	inBubble(t, Options{Bus: gone}, func(t *testing.T, b *Broadcaster, bus broker.Bus) {
		gone.Bus = bus
		l, ann := listen(t, bus, Subject), listen(t, bus, UserSubject("ann"))
		b.Process("p1", "ann")
		b.Process("p2", "")
		time.Sleep(time.Hour)
		gone.mu.Lock()
		if gone.refuse = nil; gone.n > 5*3600 {
			t.Errorf("tried %d times in an hour", gone.n)
		}
		gone.mu.Unlock()
		time.Sleep(10 * time.Second)
		want := `{"name":"invalidateCache","value":{"type":"processes"}}`
		if l.all() != want || ann.all() != want {
			t.Errorf("heard %s and %s", l.all(), ann.all())
		}
	})
}

// faulty is a bus that refuses, stands still while gate is open, or answers late.
type faulty struct {
	broker.Bus
	refuse func(n int) bool
	gate   chan struct{}
	late   time.Duration

	mu sync.Mutex
	n  int
}

func (f *faulty) Publish(subject string, data []byte, keep broker.Keep, done func(broker.Position, error)) {
	if f.gate != nil {
		<-f.gate
	}
	f.mu.Lock()
	f.n++
	refuse := f.refuse != nil && f.refuse(f.n)
	f.mu.Unlock()
	if refuse {
		done(broker.Position{}, errors.New("bus is gone"))
		return
	}
	answer := done
	if f.late > 0 {
		answer = func(at broker.Position, err error) { time.AfterFunc(f.late, func() { done(at, err) }) }
	}
	f.Bus.Publish(subject, data, keep, answer)
}
