package redis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/redis/redistest"
)

// BenchmarkAcross publishes on one node, at a steady 5,000 messages a second in 20 subjects with history, and tells when a
// subscriber on another node has them: p50 and p99. commands/msg is what Redis took from outside, scripts counted once;
// inner/msg is what the scripts called.
func BenchmarkAcross(b *testing.B) {
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) {
			s := kind.start(b)
			here, there := open(b, s.URL()), open(b, s.URL())
			const subjects, rate = 20, 5000
			var mu sync.Mutex
			var took []time.Duration
			arrived := make(chan struct{}, b.N+1)
			for i := range subjects {
				_, err := there.Bus().Subscribe(fmt.Sprintf("chat.%d.public", i), broker.Handler{Message: func(m *broker.Message) {
					sent, _ := strconv.ParseInt(strings.TrimSpace(string(m.Data[:24])), 10, 64)
					mu.Lock()
					took = append(took, time.Since(time.Unix(0, sent)))
					mu.Unlock()
					arrived <- struct{}{}
				}})
				if err != nil {
					b.Fatal(err)
				}
			}
			if err := there.Bus().links[0].settle(b.Context()); err != nil {
				b.Fatal(err)
			}
			s.Do("CONFIG", "RESETSTAT")
			b.ResetTimer()
			begin := time.Now()
			for i := range b.N {
				if wait := time.Until(begin.Add(time.Duration(i) * time.Second / rate)); wait > time.Millisecond {
					<-time.After(wait)
				}
				data := fmt.Appendf(nil, "%-24d%0104d", time.Now().UnixNano(), i)
				here.Bus().Publish(fmt.Sprintf("chat.%d.public", i%subjects), data, broker.Keep{Messages: 100, Age: time.Hour}, nil)
			}
			for range b.N {
				select {
				case <-arrived:
				case <-time.After(10 * time.Second):
					b.Fatal("messages were lost")
				}
			}
			b.StopTimer()
			outside, inner := commands(b, s)
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
			b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
			b.ReportMetric(outside/float64(b.N), "commands/msg")
			b.ReportMetric(inner/float64(b.N), "inner/msg")
		})
	}
}

// commands reads what the server did: commands of clients, and what scripts called.
func commands(b *testing.B, s *redistest.Server) (outside, inner float64) {
	b.Helper()
	stats, err := s.Do("INFO", "commandstats")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(stats) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if !ok {
			continue
		}
		count, _, _ := strings.Cut(rest, ",")
		n, err := strconv.ParseFloat(count, 64)
		if err != nil {
			b.Fatal(err)
		}
		switch name {
		case "evalsha", "eval":
			outside += n
		case "info", "config|resetstat", "ping":
		default:
			inner += n
		}
	}
	return outside, inner
}
