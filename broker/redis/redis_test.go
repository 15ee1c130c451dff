package redis

import (
	"testing"

	"go.uber.org/goleak"

	"gosper/broker"
	"gosper/broker/brokertest"
	"gosper/broker/redis/redistest"
)

// TestMain looks for goroutines that outlive the tests. The client's refresh of a cluster's map ends by itself, a second
// later.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// kinds are the ways in which a server may run.
var kinds = []struct {
	name  string
	start func(testing.TB) *redistest.Server
}{
	{"Single", func(t testing.TB) *redistest.Server { return redistest.Start(t) }},
	{"Cluster", redistest.StartCluster},
}

// open connects for the time of a test.
func open(t testing.TB, url string) *Redis {
	t.Helper()
	r, err := Open(Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// The engines pass the suites that every engine passes, on one server and on a cluster of one with sharded channels.

func TestBus(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			s := kind.start(t)
			brokertest.RunBus(t, func(t *testing.T) broker.Bus { return open(t, s.URL()).Bus() })
		})
	}
}

func TestRegistry(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			s := kind.start(t)
			brokertest.RunRegistry(t, func(t *testing.T) broker.Registry { return open(t, s.URL()).Registry() })
		})
	}
}
