package jobs

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var keys = rapid.Custom(func(t *rapid.T) Key {
	return Key{rapid.Uint64Range(0, 9).Draw(t, "a"), rapid.Uint64Range(0, 99).Draw(t, "b")}
})

// TestWindow compares a window over an index with the index itself: it always knows the first key.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var index []Key
		w := NewWindow(func(from Key, limit int, add func(Key)) (Key, bool, error) {
			next := from
			for _, k := range index {
				if k.Compare(from) < 0 {
					continue
				}
				if limit--; limit < 0 {
					return next, true, nil
				}
				add(k)
				next = k.Next()
			}
			return next, false, nil
		}, rapid.IntRange(8, 40).Draw(rt, "most"))
		rt.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for _, k := range rapid.SliceOfN(keys, 1, 30).Draw(t, "keys") {
					if at, found := slices.BinarySearchFunc(index, k, Key.Compare); !found {
						index = slices.Insert(index, at, k)
						w.Add(k)
					}
				}
			},
			"remove": func(t *rapid.T) {
				k := keys.Draw(t, "key")
				index = slices.DeleteFunc(index, func(o Key) bool { return o == k })
				w.Remove(k)
			},
			"take": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "count") {
					k, ok, _ := w.First()
					if ok != (len(index) > 0) || ok && k != index[0] {
						t.Fatalf("first is %v, %v; the index is %v", k, ok, index)
					}
					if ok {
						index = index[1:]
						w.Remove(k)
					}
				}
			},
			"": func(t *rapid.T) {
				if w.keys.Len() > w.most {
					t.Fatalf("%d keys in a window of %d", w.keys.Len(), w.most)
				}
			},
		})
	})
}

// TestAlarms compares the heap with a sorted list.
func TestAlarms(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var h Alarms
		all := make([]Alarm, 30)
		set := make(map[*Alarm]int)
		start := time.Now()
		rt.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				a, at := &all[rapid.IntRange(0, 29).Draw(t, "alarm")], rapid.IntRange(0, 20).Draw(t, "at")
				set[a] = at
				h.Set(a, start.Add(time.Duration(at)))
			},
			"stop": func(t *rapid.T) {
				a := &all[rapid.IntRange(0, 29).Draw(t, "alarm")]
				delete(set, a)
				h.Stop(a)
			},
			"due": func(t *rapid.T) {
				now := rapid.IntRange(0, 20).Draw(t, "now")
				for a := h.Due(start.Add(time.Duration(now))); a != nil; a = h.Due(start.Add(time.Duration(now))) {
					if set[a] > now {
						t.Fatalf("an alarm of %d rang at %d", set[a], now)
					}
					delete(set, a)
				}
				for _, at := range set {
					if at <= now {
						t.Fatalf("an alarm of %d did not ring at %d", at, now)
					}
				}
			},
		})
	})
}
