package nats

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gosper/broker"
	"gosper/broker/brokertest"
)

// stateAt opens a state on url until the test ends. It is patient, as no call must fail without a fault.
func stateAt(t testing.TB, url string) *State {
	t.Helper()
	return stateWith(t, StateOptions{URL: url, Wait: patience})
}

func stateWith(t testing.TB, o StateOptions) *State {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	fill(&o.StartWait, 60*time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	s, err := OpenState(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// statePlaces are where the conformance suites run: one server, and three of them with three replicas.
func statePlaces(t *testing.T, run func(t *testing.T, a, b *State)) {
	for name, servers := range map[string]func(testing.TB) []*server.Server{
		"one server": func(t testing.TB) []*server.Server { return []*server.Server{start(t, t.TempDir(), -1)} },
		"cluster":    cluster,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := servers(t)
			query := ""
			if len(all) > 1 {
				query = "?replicas=3"
			}
			run(t, stateAt(t, all[0].ClientURL()+query), stateAt(t, all[len(all)-1].ClientURL()+query))
		})
	}
}

// Goal: the store keeps every promise of the seam. Method: the conformance suite with one node, and with two nodes where
// each call goes to another one.
func TestStore(t *testing.T) {
	t.Parallel()
	statePlaces(t, func(t *testing.T, a, b *State) {
		t.Run("one node", func(t *testing.T) {
			brokertest.RunStore(t, func(*testing.T) broker.Store { return a.Store() })
		})
		t.Run("two nodes", func(t *testing.T) {
			brokertest.RunStoreAcross(t, func(*testing.T) (broker.Store, broker.Store) { return a.Store(), b.Store() })
		})
	})
}

// Goal and method: as TestStore, for the log.
func TestLog(t *testing.T) {
	t.Parallel()
	statePlaces(t, func(t *testing.T, a, b *State) {
		t.Run("one node", func(t *testing.T) {
			brokertest.RunLog(t, func(*testing.T) broker.Log { return a.Log() })
		})
		t.Run("two nodes", func(t *testing.T) {
			brokertest.RunLogAcross(t, func(*testing.T) (broker.Log, broker.Log) { return a.Log(), b.Log() })
		})
	})
}
