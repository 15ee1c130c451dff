package brokertest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gosper/broker"
)

// RunStore checks that open returns engines that keep the promises of broker.Store.
func RunStore(t *testing.T, open func(t *testing.T) broker.Store) {
	cases := []struct {
		name string
		run  func(*testing.T, broker.Store, string)
	}{
		{"PutGet", storePutGet},
		{"Create", storeCreate},
		{"Update", storeUpdate},
		{"Delete", storeDelete},
		{"Commit", storeCommit},
		{"List", storeList},
		{"Watch", storeWatch},
		{"Increments", storeIncrements},
		{"Transfers", storeTransfers},
		{"BadInput", storeBadInput},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t), unique("s")) })
	}
}

func storePutGet(t *testing.T, s broker.Store, key string) {
	ctx := within(t)
	_, err := s.Get(ctx, key)
	wants(t, err, broker.ErrNotFound)
	value := []byte("one")
	first, err := s.Put(ctx, key, value)
	must(t, err)
	value[0] = 'X'
	r, err := s.Get(ctx, key)
	must(t, err)
	if r.Key != key || string(r.Value) != "one" || r.Revision != first || first == 0 {
		t.Fatalf("got %+v, put revision %d", r, first)
	}
	r.Value[0] = 'Y'
	second, err := s.Put(ctx, key, nil)
	must(t, err)
	r, err = s.Get(ctx, key)
	if err != nil || len(r.Value) != 0 || r.Revision != second || second <= first {
		t.Fatalf("got %+v, %v after revisions %d and %d", r, err, first, second)
	}
	big := []byte(strings.Repeat("0123456789abcdef", 1<<16))
	_, err = s.Put(ctx, key, big)
	must(t, err)
	if r, err = s.Get(ctx, key); err != nil || string(r.Value) != string(big) {
		t.Fatalf("a value of 1 MiB came back with %d bytes, %v", len(r.Value), err)
	}
}

func storeCreate(t *testing.T, s broker.Store, key string) {
	ctx := within(t)
	_, err := s.Create(ctx, key, []byte("1"))
	must(t, err)
	_, err = s.Create(ctx, key, []byte("2"))
	wants(t, err, broker.ErrExists)
	if r, err := s.Get(ctx, key); err != nil || string(r.Value) != "1" {
		t.Fatalf("got %+v, %v", r, err)
	}
	var winners atomic.Int32
	race(50, func(i int) {
		_, err := s.Create(ctx, key+".race", fmt.Append(nil, i))
		if err == nil {
			winners.Add(1)
		} else if !errors.Is(err, broker.ErrExists) {
			t.Error(err)
		}
	})
	if winners.Load() != 1 {
		t.Fatalf("%d of 50 created the record", winners.Load())
	}
}

func storeUpdate(t *testing.T, s broker.Store, key string) {
	ctx := within(t)
	_, err := s.Update(ctx, key, []byte("x"), 1)
	wants(t, err, broker.ErrNotFound)
	first, err := s.Create(ctx, key, []byte("1"))
	must(t, err)
	second, err := s.Update(ctx, key, []byte("2"), first)
	must(t, err)
	_, err = s.Update(ctx, key, []byte("3"), first)
	wants(t, err, broker.ErrConflict)
	if r, err := s.Get(ctx, key); err != nil || string(r.Value) != "2" || r.Revision != second {
		t.Fatalf("got %+v, %v", r, err)
	}
}

func storeDelete(t *testing.T, s broker.Store, key string) {
	ctx := within(t)
	must(t, s.Delete(ctx, key, broker.AnyRevision))
	first, err := s.Create(ctx, key, []byte("1"))
	must(t, err)
	wants(t, s.Delete(ctx, key, first+1), broker.ErrConflict)
	must(t, s.Delete(ctx, key, first))
	_, err = s.Get(ctx, key)
	wants(t, err, broker.ErrNotFound)
	wants(t, s.Delete(ctx, key, first), broker.ErrNotFound)
	second, err := s.Create(ctx, key, []byte("2"))
	if err != nil || second <= first {
		t.Fatalf("revision %d after %d, %v", second, first, err)
	}
}

// storeCommit checks that a commit happens whole or not at all, with each kind of condition.
func storeCommit(t *testing.T, s broker.Store, key string) {
	ctx := within(t)
	a, b, c := key+".a", key+".b", key+".c"
	first, err := s.Commit(ctx, broker.OpCreate(a, []byte("1")), broker.OpPut(b, []byte("1")))
	if err != nil || len(first) != 2 || first[0] == 0 || first[1] == 0 {
		t.Fatalf("revisions %v, %v", first, err)
	}
	refused := []struct {
		op   broker.Op
		want error
	}{
		{broker.OpCreate(a, nil), broker.ErrExists},
		{broker.OpUpdate(a, nil, first[0]+1000), broker.ErrConflict},
		{broker.OpUpdate(c+".none", nil, 1), broker.ErrNotFound},
		{broker.OpDelete(a, first[0]+1000), broker.ErrConflict},
		{broker.OpPut(b, []byte("again")), broker.ErrBadName}, // named twice
		{broker.OpPut("", nil), broker.ErrBadName},
	}
	for _, r := range refused {
		_, err := s.Commit(ctx, broker.OpPut(b, []byte("2")), broker.OpCreate(c, nil), r.op)
		wants(t, err, r.want)
		if r.op.Key != "" && !strings.Contains(err.Error(), r.op.Key) {
			t.Errorf("error %q does not name the key", err)
		}
	}
	if r, err := s.Get(ctx, b); err != nil || string(r.Value) != "1" || r.Revision != first[1] {
		t.Fatalf("a refused commit left %+v, %v", r, err)
	}
	_, err = s.Get(ctx, c)
	wants(t, err, broker.ErrNotFound)
	second, err := s.Commit(ctx, broker.OpDelete(a, first[0]), broker.OpUpdate(b, []byte("2"), first[1]), broker.OpCreate(c, []byte("2")))
	if err != nil || second[0] != 0 || second[1] <= first[1] {
		t.Fatalf("revisions %v after %v, %v", second, first, err)
	}
	_, err = s.Get(ctx, a)
	wants(t, err, broker.ErrNotFound)
	none, err := s.Commit(ctx)
	if err != nil || len(none) != 0 {
		t.Fatalf("empty commit: %v, %v", none, err)
	}
}

func storeList(t *testing.T, s broker.Store, key string) {
	ctx := within(t)
	for _, n := range []string{"b", "a", "c", "ab", "é", "a\U0010ffff", "a b"} {
		_, err := s.Put(ctx, key+"/"+n, []byte(n))
		must(t, err)
	}
	_, err := s.Put(ctx, key+"0", nil)
	must(t, err)
	list := func(after string, limit int) string {
		found, err := s.List(ctx, key+"/", after, limit)
		must(t, err)
		var all []string
		for _, r := range found {
			all = append(all, string(r.Value))
			if r.Key != key+"/"+string(r.Value) || r.Revision == 0 {
				t.Errorf("record %+v", r)
			}
		}
		return strings.Join(all, ",")
	}
	for _, c := range []struct {
		after string
		limit int
		want  string
	}{
		{"", 100, "a,a b,ab,a\U0010ffff,b,c,é"},
		{"", 2, "a,a b"},
		{key + "/a b", 2, "ab,a\U0010ffff"},
		{key + "/b", 100, "c,é"},
		{key + "/b-not-there", 100, "c,é"},
		{key, 1, "a"},
		{key + "/é", 100, ""},
		{key + "~", 100, ""},
		{"", 0, ""},
	} {
		if got := list(c.after, c.limit); got != c.want {
			t.Errorf("after %q limit %d: %q, want %q", c.after, c.limit, got, c.want)
		}
	}
}

// storeWatch checks that changes of a prefix arrive in order, deletes too, and that the last value is never left out.
func storeWatch(t *testing.T, s broker.Store, key string) {
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	var mu sync.Mutex
	var got []broker.Record
	must(t, s.Watch(ctx, key+".", func(r broker.Record) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r)
	}))
	last := func() (broker.Record, int) {
		mu.Lock()
		defer mu.Unlock()
		if len(got) == 0 {
			return broker.Record{}, 0
		}
		return got[len(got)-1], len(got)
	}
	for i := range 100 {
		_, err := s.Put(ctx, key+".a", fmt.Append(nil, i))
		must(t, err)
	}
	eventually(t, "the last value", func() bool { r, _ := last(); return string(r.Value) == "99" })
	_, err := s.Put(ctx, key+"-other", nil)
	must(t, err)
	must(t, s.Delete(ctx, key+".a", broker.AnyRevision))
	eventually(t, "the delete", func() bool { r, _ := last(); return r.Revision == 0 && r.Key == key+".a" })
	mu.Lock()
	for i := 1; i < len(got)-1; i++ {
		if got[i].Revision <= got[i-1].Revision || got[i].Key != key+".a" {
			t.Errorf("change %+v came after %+v", got[i], got[i-1])
		}
	}
	mu.Unlock()
	cancel()
	_, count := last()
	ctx = within(t)
	_, err = s.Put(ctx, key+".a", []byte("after"))
	must(t, err)
	second := make(chan broker.Record, 1)
	must(t, s.Watch(ctx, key+".b", func(r broker.Record) { second <- r }))
	_, err = s.Put(ctx, key+".b", nil)
	must(t, err)
	select {
	case <-second:
	case <-ctx.Done():
		t.Fatal("a second watch got nothing")
	}
	if _, now := last(); now > count+1 { // one change may have been under way
		t.Errorf("%d changes after the watch ended", now-count)
	}
}

// storeIncrements adds to one record from many goroutines by compare and set: no addition is lost.
func storeIncrements(t *testing.T, s broker.Store, key string) {
	ctx := within(t)
	_, err := s.Create(ctx, key, []byte("0"))
	must(t, err)
	const workers, each = 8, 25
	race(workers, func(int) {
		for range each {
			for {
				r, err := s.Get(ctx, key)
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(r.Value))
				_, err = s.Update(ctx, key, strconv.AppendInt(nil, int64(n+1), 10), r.Revision)
				if err == nil {
					break
				}
				if !errors.Is(err, broker.ErrConflict) {
					t.Error(err)
					return
				}
			}
		}
	})
	if r, err := s.Get(ctx, key); err != nil || string(r.Value) != fmt.Sprint(workers*each) {
		t.Fatalf("got %s, %v", r.Value, err)
	}
}

// storeTransfers moves coins between two records while others read both at once: the sum never changes.
func storeTransfers(t *testing.T, s broker.Store, key string) {
	ctx := within(t)
	a, b := key+"/a", key+"/b"
	_, err := s.Commit(ctx, broker.OpCreate(a, []byte("100")), broker.OpCreate(b, []byte("100")))
	must(t, err)
	race(8, func(worker int) {
		for range 20 {
			both, err := s.List(ctx, key+"/", "", 2)
			if err != nil || len(both) != 2 {
				t.Errorf("list %v, %v", both, err)
				return
			}
			x, _ := strconv.Atoi(string(both[0].Value))
			y, _ := strconv.Atoi(string(both[1].Value))
			if x+y != 200 {
				t.Errorf("%d + %d coins", x, y)
			}
			_, err = s.Commit(ctx,
				broker.OpUpdate(a, strconv.AppendInt(nil, int64(x-worker), 10), both[0].Revision),
				broker.OpUpdate(b, strconv.AppendInt(nil, int64(y+worker), 10), both[1].Revision))
			if err != nil && !errors.Is(err, broker.ErrConflict) {
				t.Error(err)
			}
		}
	})
}

func storeBadInput(t *testing.T, s broker.Store, key string) {
	ctx := within(t)
	for _, bad := range []string{"", "a\nb", "a\x00b", "\xff", strings.Repeat("x", broker.MaxSubject+1)} {
		_, err := s.Put(ctx, bad, nil)
		wants(t, err, broker.ErrBadName)
	}
	_, err := s.Put(ctx, key, make([]byte, broker.MaxValue+1))
	wants(t, err, broker.ErrTooLarge)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = s.Put(ended, key, nil)
	wants(t, err, context.Canceled)
	_, err = s.Get(ended, key)
	wants(t, err, context.Canceled)
	_, err = s.Get(ctx, key)
	wants(t, err, broker.ErrNotFound)
}
