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

// Goal: the messages are those of the reference, byte for byte and in its order. Method: a process that is resumed, a lock, a
// subscription.
func TestMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memory.NewBus(memory.BusOptions{})
		defer bus.Close()
		b := New(Options{Bus: bus})
		defer b.Close()
		events, settings, counts := listen(t, bus, Subject), listen(t, bus, SettingsSubject), listen(t, bus, TypeSubject(ProcessStatusCounts))
		b.ProcessCounts()
		b.Process("p1")
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
	})
}

// Goal: lists are told at once, then joined, and the last change is always told. Method: a hundred changes within one window.
func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := memory.NewBus(memory.BusOptions{})
		defer bus.Close()
		b := New(Options{Bus: bus, Throttle: time.Second})
		defer b.Close()
		l := listen(t, bus, Subject)
		for i := range 100 {
			b.Process(fmt.Sprint(i))
		}
		synctest.Wait()
		if n := strings.Count(l.all(), "LIST"); n != 1 {
			t.Errorf("%d lists at once, want 1", n)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if all := l.all(); strings.Count(all, "LIST") != 2 || strings.Count(all, "\n") != 101 || !strings.HasSuffix(all, `"LIST"}}`) {
			t.Errorf("%d lists of %d messages, want 2, the last of all", strings.Count(all, "LIST"), strings.Count(all, "\n")+1)
		}
	})
}

// Goal: any goroutine may broadcast, each one's messages keep their order, and a bus that fails hurts nobody. Method: many at
// once over a bus whose every third publication fails.
func TestManyGoroutines(t *testing.T) {
	bus := &failing{Bus: memory.NewBus(memory.BusOptions{})}
	defer bus.Close()
	b := New(Options{Bus: bus})
	defer b.Close()
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
	last := make(map[string]string)
	for line := range strings.SplitSeq(l.all(), "\n") {
		_, id, _ := strings.Cut(line, `"id":"`)
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

// failing is a bus that refuses every third publication.
type failing struct {
	broker.Bus
	mu sync.Mutex
	n  int
}

func (f *failing) Publish(subject string, data []byte, keep broker.Keep, done func(broker.Position, error)) {
	f.mu.Lock()
	f.n++
	refuse := f.n%3 == 0
	f.mu.Unlock()
	if refuse {
		done(broker.Position{}, errors.New("bus is gone"))
		return
	}
	f.Bus.Publish(subject, data, keep, done)
}
