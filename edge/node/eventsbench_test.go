package node

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gosper/protocol"
)

// BenchmarkEvents measures the time from a broadcast to each of 5,000 listeners of the same process, which share its cores; with
// the fsync of the history before. The figures are those of all listeners of all broadcasts.
func BenchmarkEvents(b *testing.B) {
	const listeners = 5000
	o := quietOptions(b.TempDir())
	o.Chains.EventsOpen = true
	n, err := Start(b.Context(), o, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	var begun atomic.Pointer[time.Time]
	var heard sync.WaitGroup
	times := make([][]time.Duration, listeners)
	for i := range listeners {
		c, err := dialWatcher(n.Addr("http").String(), "/api/ws/events?types=bench&positions=1", "")
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		ready := make(chan struct{})
		go func() {
			for {
				op, payload, err := c.next()
				switch {
				case err != nil:
					return
				case op == protocol.OpText && strings.Contains(string(payload), `"begin"`):
					close(ready)
				case op == protocol.OpText && strings.Contains(string(payload), `"bench"`):
					times[i] = append(times[i], time.Since(*begun.Load()))
					heard.Done()
				}
			}
		}()
		<-ready
	}
	for b.Loop() {
		heard.Add(listeners)
		now := time.Now()
		begun.Store(&now)
		n.events.Invalidate("bench", fmt.Sprint(b.N))
		heard.Wait()
	}
	http.DefaultClient.CloseIdleConnections()
	took := slices.Concat(times...)
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2])/1e6, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100])/1e6, "p99-ms")
}
