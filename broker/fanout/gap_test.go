package fanout

import (
	"slices"
	"testing"

	"gosper/broker"
)

// TestGap tells some patterns of a gap: each live subscriber of them hears it once, others do not, and a handler that
// panics or leaves does not keep it from its neighbours.
func TestGap(t *testing.T) {
	var table Table
	var heard []string
	follow := func(pattern string) broker.Subscription {
		s, err := table.Subscribe(pattern, broker.Handler{Gap: func(why string) { heard = append(heard, pattern+" "+why) }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, pattern := range []string{"a", "a", "a.b", "a.*", "a.>", "*.c.d", "b"} {
		follow(pattern)
	}
	follow("a.b").Unsubscribe()
	if _, err := table.Subscribe("a.>", broker.Handler{}); err != nil {
		t.Fatal(err)
	}
	told := table.Gap("lost", func(pattern string) bool { return pattern != "b" })
	slices.Sort(heard)
	want := []string{"*.c.d lost", "a lost", "a lost", "a.* lost", "a.> lost", "a.b lost"}
	if told != len(want) || !slices.Equal(heard, want) {
		t.Errorf("told %d: %q, want %q", told, heard, want)
	}
}
