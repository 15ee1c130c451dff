package nats

import (
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"gosper/broker"
)

// Goal: chat comes across nodes in time. Method: two nodes publish to one subject together, so many messages a second
// (GOSPER_NATS_RATE, default 500), each with the time it was due; the other node's subscriber takes the difference and says
// it with -v. What fails is a message that is refused or does not come: on a shared machine no time is short enough to mean much.
func TestAcross(t *testing.T) {
	rate := 500
	if n, err := strconv.Atoi(os.Getenv("GOSPER_NATS_RATE")); err == nil && n > 0 {
		rate = n
	}
	s := start(t, t.TempDir(), -1)
	a, b := node(t, s.ClientURL()), node(t, s.ClientURL())
	const seconds = 2
	total := rate * seconds
	begin := time.Now().Add(200 * time.Millisecond)
	var mu sync.Mutex
	var late []time.Duration
	hear := func(side string) broker.Handler {
		return broker.Handler{Message: func(m *broker.Message) {
			now := time.Now()
			if n, err := strconv.Atoi(string(m.Data[1:])); err == nil && string(m.Data[:1]) != side {
				mu.Lock()
				late = append(late, now.Sub(begin.Add(time.Duration(n)*time.Second/time.Duration(rate))))
				mu.Unlock()
			}
		}}
	}
	for side, n := range map[string]*Bus{"a": a, "b": b} {
		if _, err := n.Subscribe("chat.speed", hear(side)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []pair{{a, b}, {b, a}} {
		if err := p.settle(); err != nil {
			t.Fatal(err)
		}
	}
	var failed sync.Map
	var wg sync.WaitGroup
	for n := range total {
		side, bus := "a", a
		if n%2 == 1 {
			side, bus = "b", b
		}
		time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Second / time.Duration(rate))))
		wg.Add(1)
		bus.Publish("chat.speed", []byte(side+strconv.Itoa(n)), broker.Keep{Messages: 200, Age: time.Hour}, func(_ broker.Position, err error) {
			if err != nil {
				failed.Store(n, err)
			}
			wg.Done()
		})
	}
	wg.Wait()
	failed.Range(func(n, err any) bool { t.Errorf("message %v: %v", n, err); return false })
	eventually(t, "all messages", func() bool { mu.Lock(); defer mu.Unlock(); return len(late) == total })
	slices.Sort(late)
	p50, p99 := late[total/2], late[total*99/100]
	t.Logf("%d messages/s by two nodes to one subject: p50 %s, p99 %s, max %s, %d conflicts", rate, p50, p99, late[total-1], conflictsTotal.Get())
}
