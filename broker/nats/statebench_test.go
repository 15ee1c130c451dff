package nats

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"gosper/broker"
)

// BenchmarkState measures one call at a time and many at once, on one server and on three with three replicas, all of them
// in this process: go test -run - -bench State ./broker/nats
func BenchmarkState(b *testing.B) {
	for _, place := range []struct {
		name    string
		query   string
		servers func(testing.TB) []*server.Server
	}{
		{"one", "", func(t testing.TB) []*server.Server { return []*server.Server{start(t, t.TempDir(), -1)} }},
		{"three", "?replicas=3", cluster},
	} {
		b.Run(place.name, func(b *testing.B) {
			s := stateAt(b, place.servers(b)[0].ClientURL()+place.query)
			ctx, store, value := context.Background(), s.Store(), make([]byte, 200)
			var n atomic.Int64
			many := map[string]func() error{
				"Put": func() error {
					_, err := store.Put(ctx, fmt.Sprint("put/", n.Add(1)%1000), value)
					return err
				},
				"Get": func() error {
					_, err := store.Get(ctx, fmt.Sprint("put/", n.Add(1)%1000))
					return err
				},
				"List100": func() error {
					_, err := store.List(ctx, "put/", "", 100)
					return err
				},
				"Commit2": func() error {
					i := n.Add(1)
					_, err := store.Commit(ctx, broker.OpPut(fmt.Sprint("a/", i%1000), value), broker.OpPut(fmt.Sprint("b/", i%1000), value))
					return err
				},
			}
			atOnce(b, 64, 1000, many["Put"]) // what Get and List read
			for _, name := range []string{"Put", "Get", "List100", "Commit2"} {
				for _, callers := range []int{1, 64} {
					b.Run(fmt.Sprint(name, "/", callers), func(b *testing.B) { atOnce(b, callers, b.N, many[name]) })
				}
			}
			b.Run("Append/pipelined", func(b *testing.B) { appends(b, s.Log(), value) })
		})
	}
}

// atOnce makes n calls by so many callers.
func atOnce(b *testing.B, callers, n int, call func() error) {
	var left atomic.Int64
	left.Store(int64(n))
	done := make(chan error, callers)
	for range callers {
		go func() {
			var err error
			for err == nil && left.Add(-1) >= 0 {
				err = call()
			}
			done <- err
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// appends appends b.N entries to one log, 256 on their way at a time.
func appends(b *testing.B, log broker.Log, value []byte) {
	window := make(chan struct{}, 256)
	for range b.N {
		window <- struct{}{}
		log.Append("bench", 1, [][]byte{value}, func(_ uint64, err error) {
			if err != nil {
				b.Error(err)
			}
			<-window
		})
	}
	for range cap(window) {
		window <- struct{}{}
	}
}
