package keys

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestOrderedModel compares the set with a plain map, large enough for many chunks.
func TestOrderedModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var set Ordered
		model := map[string]bool{}
		// A seeded walk over a wide range fills chunks quickly; the alphabet keeps prefixes common.
		name := func(n int) string { return fmt.Sprintf("%c/%d", 'a'+n%3, n) }
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				start, step := rapid.IntRange(0, 2500).Draw(t, "start"), rapid.IntRange(1, 7).Draw(t, "step")
				for i := range rapid.IntRange(1, 700).Draw(t, "count") {
					key := name(start + i*step)
					if set.Add(key) == model[key] {
						t.Fatalf("add %q", key)
					}
					model[key] = true
				}
			},
			"remove": func(t *rapid.T) {
				start, step := rapid.IntRange(0, 2500).Draw(t, "start"), rapid.IntRange(1, 3).Draw(t, "step")
				for i := range rapid.IntRange(1, 700).Draw(t, "count") {
					key := name(start + i*step)
					if set.Remove(key) != model[key] {
						t.Fatalf("remove %q", key)
					}
					delete(model, key)
				}
			},
			"": func(t *rapid.T) {
				prefix := rapid.SampledFrom([]string{"", "a/", "b/1", "z"}).Draw(t, "prefix")
				after := rapid.SampledFrom([]string{"", "a/2", "b/17", "c/"}).Draw(t, "after")
				var want, got []string
				for key := range model {
					if strings.HasPrefix(key, prefix) && key > after {
						want = append(want, key)
					}
				}
				slices.Sort(want)
				set.Prefix(prefix, after, func(key string) bool { got = append(got, key); return true })
				if !slices.Equal(got, want) || set.Len() != len(model) {
					t.Fatalf("prefix %q after %q: %d keys, want %d", prefix, after, len(got), len(want))
				}
			},
		})
	})
}

// TestTableExpiry checks with given times what has ended, what ends next and what is listed.
func TestTableExpiry(t *testing.T) {
	var table Table[int]
	start := time.Now()
	at := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	for i := range 100 {
		table.Set(fmt.Sprintf("%03d", i), Item[int]{i, at(i)})
	}
	table.Set("000", Item[int]{0, at(1000)}) // prolonged
	table.Delete("001")
	if next, ok := table.Next(); !ok || !next.Equal(at(2)) {
		t.Errorf("next end is %v", next)
	}
	if _, ok := table.Get("050", at(50)); ok {
		t.Error("a key lives at its end")
	}
	if it, ok := table.Get("050", at(49)); !ok || it.Value != 50 {
		t.Error("a key does not live before its end")
	}
	if got := len(table.Expired(at(50), 1000, nil)); got != 49 {
		t.Errorf("%d have ended at 50 s, want 49", got)
	}
	if got := len(table.Expired(at(50), 7, nil)); got != 7 {
		t.Errorf("%d ended keys of at most 7", got)
	}
	var listed []string
	table.List("09", at(95), func(key string, _ Item[int]) bool { listed = append(listed, key); return true })
	if fmt.Sprint(listed) != "[096 097 098 099]" {
		t.Errorf("listed %v", listed)
	}
	for _, key := range table.Expired(at(2000), 1000, nil) {
		table.Delete(key)
	}
	if _, ok := table.Next(); ok || table.Len() != 0 || table.order.Len() != 0 {
		t.Error("something is left")
	}
}
