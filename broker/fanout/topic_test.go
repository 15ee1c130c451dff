package fanout

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"gosper/broker"
)

// TestRingModel pushes and drops at random and compares with a plain slice.
func TestRingModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ring Ring
		var want []*broker.Message
		start := time.Now()
		now := start
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 50).Draw(t, "count") {
					now = now.Add(time.Second)
					m := &broker.Message{Time: now, Data: make([]byte, rapid.IntRange(0, 9).Draw(t, "size"))}
					ring.Push(m)
					want = append(want, m)
				}
			},
			"trim": func(t *rapid.T) {
				keep := broker.Keep{
					Messages: rapid.IntRange(1, 60).Draw(t, "messages"),
					Age:      time.Duration(rapid.IntRange(0, 60).Draw(t, "age")) * time.Second,
				}
				for n := ring.Excess(keep, now); n > 0; n-- {
					ring.DropOldest()
				}
				for len(want) > 1 && (len(want) > keep.Messages || keep.Age > 0 && now.Sub(want[0].Time) > keep.Age) {
					want = want[1:]
				}
			},
			"": func(t *rapid.T) {
				var bytes int64
				for _, m := range want {
					bytes += cost(m)
				}
				live := ring.Fresh(0, now)
				if len(live) != len(want) || ring.Len() != len(want) || ring.Bytes() != bytes {
					t.Fatalf("ring has %d messages and %d bytes, want %d and %d", len(live), ring.Bytes(), len(want), bytes)
				}
				for i := range want {
					if live[i] != want[i] {
						t.Fatalf("message %d differs", i)
					}
				}
			},
		})
	})
}

// TestTopicsOrder checks the order of use.
func TestTopicsOrder(t *testing.T) {
	var topics Topics
	a, b, c := &Topic{Subject: "a"}, &Topic{Subject: "b"}, &Topic{Subject: "c"}
	for _, topic := range []*Topic{a, b, c} {
		topics.Add(topic)
	}
	topics.Touch(a)
	topics.Touch(a)
	for _, want := range []*Topic{b, c, a} {
		if got := topics.Oldest(); got != want {
			t.Fatalf("oldest is %v, want %s", got, want.Subject)
		}
		topics.Remove(want)
	}
	if topics.Oldest() != nil || topics.Len() != 0 || topics.Get("a") != nil {
		t.Error("something is left")
	}
}
