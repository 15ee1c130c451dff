package broker_test

import (
	"slices"
	"sync"
	"testing"

	"gosper/broker"
	"gosper/broker/brokertest"
	"gosper/broker/memory"
)

// Goal: a bus of two halves keeps the promises of one. Method: the conformance suite; its subjects are shared.
func TestSplit(t *testing.T) {
	brokertest.RunBus(t, func(t *testing.T) broker.Bus {
		b := broker.Split{Shared: memory.NewBus(memory.BusOptions{}), Own: memory.NewBus(memory.BusOptions{}), Token: "own"}
		t.Cleanup(func() { b.Close() })
		return b
	})
}

// Goal: what is a node's own stays with it, and a wildcard follows both halves. Method: two nodes on one shared bus.
func TestSplitKeepsOwn(t *testing.T) {
	shared := memory.NewBus(memory.BusOptions{})
	defer shared.Close()
	var mu sync.Mutex
	heard := map[string][]string{}
	node := func(name string) broker.Split {
		b := broker.Split{Shared: shared, Own: memory.NewBus(memory.BusOptions{}), Token: "own"}
		t.Cleanup(func() { b.Own.Close() })
		for _, pattern := range []string{"own.x", "own.*", "all.x", "*.x", ">"} {
			s, err := b.Subscribe(pattern, broker.Handler{Message: func(m *broker.Message) {
				mu.Lock()
				defer mu.Unlock()
				heard[name] = append(heard[name], pattern+" "+m.Subject)
			}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Unsubscribe)
		}
		return b
	}
	a := node("a")
	node("b")
	for _, subject := range []string{"own.x", "all.x"} {
		done := make(chan error, 1)
		a.Publish(subject, []byte("hello"), broker.Keep{}, func(_ broker.Position, err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for name, want := range map[string][]string{
		"a": {"*.x all.x", "*.x own.x", "> all.x", "> own.x", "all.x all.x", "own.* own.x", "own.x own.x"},
		"b": {"*.x all.x", "> all.x", "all.x all.x"},
	} {
		if slices.Sort(heard[name]); !slices.Equal(heard[name], want) {
			t.Errorf("%s heard %q", name, heard[name])
		}
	}
	if _, err := a.Subscribe("*.", broker.Handler{}); err == nil {
		t.Error("a bad pattern was taken")
	}
}
