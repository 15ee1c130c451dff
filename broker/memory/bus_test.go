package memory

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
)

func top(t *testing.T, b *Bus, subject string, since broker.Position) broker.Recovery {
	t.Helper()
	r, err := b.History(context.Background(), subject, since, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestIdleHistory lets a subject idle in fake time: its history goes, its offsets are never given again, and a position
// that lost nothing stays good.
func TestIdleHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBus(BusOptions{IdleAfter: time.Hour})
		keep := broker.Keep{Messages: 10}
		for range 5 {
			b.Publish("a", nil, keep, nil)
		}
		time.Sleep(time.Hour)
		if r := top(t, b, "a", broker.Position{}); len(r.Messages) != 5 {
			t.Errorf("%d messages after the idle time", len(r.Messages))
		}
		time.Sleep(time.Second)
		r := top(t, b, "a", broker.Position{Epoch: b.epoch, Offset: 3})
		if len(r.Messages) != 0 || r.Recovered || r.Top.Offset != 5 {
			t.Errorf("after more than that: %+v", r)
		}
		if r := top(t, b, "a", broker.Position{Epoch: b.epoch, Offset: 5}); !r.Recovered {
			t.Error("a client that missed nothing is not recovered")
		}
		b.Publish("a", nil, keep, nil)
		if r := top(t, b, "a", broker.Position{}); r.Top.Offset != 6 || len(r.Messages) != 1 {
			t.Errorf("the next message: %+v", r)
		}
		b.Publish("long", nil, broker.Keep{Messages: 1, Age: 3 * time.Hour}, nil)
		time.Sleep(2 * time.Hour)
		if r := top(t, b, "long", broker.Position{}); len(r.Messages) != 1 {
			t.Error("a history was dropped before the age it asked for")
		}
	})
}

// TestBytesBound publishes to many subjects: the histories stay within their bound, those used last are kept.
func TestBytesBound(t *testing.T) {
	const bound = 256 << 10
	b := NewBus(BusOptions{MaxBytes: bound})
	data := make([]byte, 1000)
	for i := range 2000 {
		b.Publish(fmt.Sprint("s", i), data, broker.Keep{Messages: 100}, nil)
		if got := b.bytes.Load(); got > bound {
			t.Fatalf("%d bytes after %d subjects", got, i)
		}
		if r := top(t, b, fmt.Sprint("s", i), broker.Position{}); len(r.Messages) != 1 {
			t.Fatalf("the newest of %d subjects lost its history", i+1)
		}
	}
	for range 1000 {
		b.Publish("flood", data, broker.Keep{Messages: 1 << 20}, nil)
	}
	if got := b.bytes.Load(); got > bound {
		t.Errorf("%d bytes after a flood", got)
	}
	var counted int64
	for i := range b.lanes {
		for t := b.lanes[i].topics.Oldest(); t != nil; t = b.lanes[i].topics.Oldest() {
			b.drop(&b.lanes[i], t)
			counted++
		}
	}
	if b.bytes.Load() != 0 {
		t.Errorf("%d bytes are left of %d subjects", b.bytes.Load(), counted)
	}
}

// TestBusyLane lets a handler stand still: publishers of its lane are refused in the end, never blocked, and go on after.
func TestBusyLane(t *testing.T) {
	b := NewBus(BusOptions{})
	entered, release := make(chan struct{}, 1), make(chan struct{})
	var once sync.Once
	var got, answered, busy atomic.Int32
	var answers sync.WaitGroup
	if _, err := b.Subscribe("a", broker.Handler{Message: func(*broker.Message) {
		got.Add(1)
		once.Do(func() { entered <- struct{}{}; <-release })
	}}); err != nil {
		t.Fatal(err)
	}
	done := func(_ broker.Position, err error) {
		answered.Add(1)
		answers.Done()
		if errors.Is(err, broker.ErrBusy) {
			busy.Add(1)
		}
	}
	const flood = 10_000
	answers.Add(flood + 1) // a second answer to one of them would panic
	held := make(chan struct{})
	go func() {
		defer close(held)
		b.Publish("a", nil, broker.Keep{}, done)
	}()
	<-entered
	for range flood {
		b.Publish("a", nil, broker.Keep{}, done)
	}
	if busy.Load() == 0 {
		t.Error("nobody was refused")
	}
	close(release)
	<-held
	answers.Wait()
	if answered.Load() != flood+1 || got.Load() != flood+1-busy.Load() {
		t.Errorf("%d answers, %d delivered, %d refused", answered.Load(), got.Load(), busy.Load())
	}
}

// TestPublishAllocations counts: nothing without listeners, one Message with them.
func TestPublishAllocations(t *testing.T) {
	b := NewBus(BusOptions{})
	data := []byte("x")
	done := func(broker.Position, error) {}
	silent := testing.AllocsPerRun(1000, func() { b.Publish("nobody.hears", data, broker.Keep{}, done) })
	for _, pattern := range []string{"heard", "*", ">"} {
		if _, err := b.Subscribe(pattern, broker.Handler{Message: func(*broker.Message) {}}); err != nil {
			t.Fatal(err)
		}
	}
	heard := testing.AllocsPerRun(1000, func() { b.Publish("heard", data, broker.Keep{}, done) })
	kept := testing.AllocsPerRun(1000, func() { b.Publish("heard", data, broker.Keep{Messages: 50}, done) })
	if silent != 0 || heard > 1 || kept > 1 {
		t.Errorf("allocations: %v without listeners, %v with, %v with history", silent, heard, kept)
	}
}

// TestClosed uses the engines after Close.
func TestClosed(t *testing.T) {
	ctx := context.Background()
	b, r, s := NewBus(BusOptions{}), NewRegistry(), NewStore()
	for _, err := range []error{b.Close(), r.Close(), s.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var publish error
	b.Publish("a", nil, broker.Keep{}, func(_ broker.Position, err error) { publish = err })
	_, history := b.History(ctx, "a", broker.Position{}, 1)
	_, subscribe := b.Subscribe("a", broker.Handler{})
	_, get := s.Get(ctx, "a")
	_, put := s.Put(ctx, "a", nil)
	_, list := s.List(ctx, "a", "", 1)
	for i, err := range []error{publish, history, subscribe, get, put, list, r.Set(ctx, "a", nil, time.Second)} {
		if !errors.Is(err, broker.ErrClosed) {
			t.Errorf("call %d got %v", i, err)
		}
	}
}

// BenchmarkPublish measures one publish to so many subscribers of the subject, with a hundred thousand subscriptions to
// other subjects beside them.
func BenchmarkPublish(b *testing.B) {
	for _, subscribers := range []int{0, 1, 100, 10_000} {
		b.Run(fmt.Sprint("subscribers=", subscribers), func(b *testing.B) {
			bus := NewBus(BusOptions{})
			var got int
			h := broker.Handler{Message: func(*broker.Message) { got++ }}
			for i := range 100_000 {
				if _, err := bus.Subscribe(fmt.Sprint("user.", i), h); err != nil {
					b.Fatal(err)
				}
			}
			for range subscribers {
				if _, err := bus.Subscribe("chat.0.public", h); err != nil {
					b.Fatal(err)
				}
			}
			data := make([]byte, 100)
			b.ReportAllocs()
			for b.Loop() {
				bus.Publish("chat.0.public", data, broker.Keep{Messages: 50}, nil)
			}
			b.ReportMetric(float64(got)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}
