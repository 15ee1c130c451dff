package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"gosper/broker"
	"gosper/broker/brokertest"
	"gosper/broker/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The memory engines pass the suites that every engine passes.

func TestBus(t *testing.T) {
	brokertest.RunBus(t, func(t *testing.T) broker.Bus {
		b := memory.NewBus(memory.BusOptions{})
		t.Cleanup(func() { b.Close() })
		return b
	})
}

func TestRegistry(t *testing.T) {
	brokertest.RunRegistry(t, func(t *testing.T) broker.Registry {
		r := memory.NewRegistry()
		t.Cleanup(func() { r.Close() })
		return r
	})
}

func TestStore(t *testing.T) {
	brokertest.RunStore(t, func(t *testing.T) broker.Store {
		s := memory.NewStore()
		t.Cleanup(func() { s.Close() })
		return s
	})
}

func TestLog(t *testing.T) {
	brokertest.RunLog(t, func(t *testing.T) broker.Log {
		l := memory.NewLog()
		t.Cleanup(func() { l.Close() })
		return l
	})
}

// Goal and method: two handles of one engine, which are the same here; it is the suites for two that are tried.
func TestAcross(t *testing.T) {
	brokertest.RunStoreAcross(t, func(t *testing.T) (a, b broker.Store) {
		s := memory.NewStore()
		t.Cleanup(func() { s.Close() })
		return s, s
	})
	brokertest.RunLogAcross(t, func(t *testing.T) (a, b broker.Log) {
		l := memory.NewLog()
		t.Cleanup(func() { l.Close() })
		return l, l
	})
}

func TestQueue(t *testing.T) {
	brokertest.RunQueue(t, func(t *testing.T) broker.Queue {
		q := memory.NewQueue(brokertest.QueueLimits)
		t.Cleanup(func() { q.Close() })
		return q
	})
}

func TestSchedule(t *testing.T) {
	brokertest.RunSchedule(t, func(t *testing.T) brokertest.Scheduler {
		q := memory.NewQueue(broker.QueueOptions{})
		t.Cleanup(func() { q.Close() })
		return brokertest.Scheduler{Schedule: memory.NewSchedule(q), Queue: q}
	})
}
