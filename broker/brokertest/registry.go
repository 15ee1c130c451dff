package brokertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gosper/broker"
)

// RunRegistry checks that open returns engines that keep the promises of broker.Registry.
func RunRegistry(t *testing.T, open func(t *testing.T) broker.Registry) {
	cases := []struct {
		name string
		run  func(*testing.T, broker.Registry, string)
	}{
		{"SetGet", registrySetGet},
		{"Create", registryCreate},
		{"Take", registryTake},
		{"TakeRace", registryTakeRace},
		{"CreateRace", registryCreateRace},
		{"Expiry", registryExpiry},
		{"Touch", registryTouch},
		{"Count", registryCount},
		{"List", registryList},
		{"Lease", registryLease},
		{"LeaseEnds", registryLeaseEnds},
		{"LeaseRace", registryLeaseRace},
		{"BadInput", registryBadInput},
	}
	for _, prefix := range []string{"key", "presence"} { // engines may keep some prefixes in another way
		for _, c := range cases {
			t.Run(c.name+"/"+prefix, func(t *testing.T) { c.run(t, open(t), prefix+"."+unique("k")) })
		}
	}
}

// registrySetGet writes and reads, and checks that values are copies.
func registrySetGet(t *testing.T, r broker.Registry, key string) {
	ctx := within(t)
	_, err := r.Get(ctx, key)
	wants(t, err, broker.ErrNotFound)
	value := []byte("one")
	must(t, r.Set(ctx, key, value, time.Minute))
	value[0] = 'X'
	got, err := r.Get(ctx, key)
	must(t, err)
	if string(got) != "one" {
		t.Fatalf("got %q", got)
	}
	got[0] = 'Y'
	if again, _ := r.Get(ctx, key); string(again) != "one" {
		t.Fatalf("got %q after the caller changed its copy", again)
	}
	must(t, r.Set(ctx, key, nil, time.Minute))
	if got, err = r.Get(ctx, key); err != nil || len(got) != 0 {
		t.Fatalf("empty value came back as %q, %v", got, err)
	}
	must(t, r.Delete(ctx, key))
	must(t, r.Delete(ctx, key))
	_, err = r.Get(ctx, key)
	wants(t, err, broker.ErrNotFound)
}

func registryCreate(t *testing.T, r broker.Registry, key string) {
	ctx := within(t)
	must(t, r.Create(ctx, key, []byte("1"), time.Minute))
	wants(t, r.Create(ctx, key, []byte("2"), time.Minute), broker.ErrExists)
	if got, err := r.Get(ctx, key); err != nil || string(got) != "1" {
		t.Fatalf("got %q, %v", got, err)
	}
	must(t, r.Delete(ctx, key))
	must(t, r.Create(ctx, key, []byte("3"), 20*time.Millisecond))
	eventually(t, "the key ends and can be made again", func() bool {
		return r.Create(ctx, key, []byte("4"), time.Minute) == nil
	})
}

func registryTake(t *testing.T, r broker.Registry, key string) {
	ctx := within(t)
	must(t, r.Set(ctx, key, []byte("once"), time.Minute))
	got, err := r.Take(ctx, key)
	if err != nil || string(got) != "once" {
		t.Fatalf("got %q, %v", got, err)
	}
	_, err = r.Take(ctx, key)
	wants(t, err, broker.ErrNotFound)
	_, err = r.Get(ctx, key)
	wants(t, err, broker.ErrNotFound)
}

// registryTakeRace lets a hundred goroutines take one nonce, many times: exactly one gets it each time.
func registryTakeRace(t *testing.T, r broker.Registry, key string) {
	ctx := within(t)
	for round := range 10 {
		name := fmt.Sprintf("%s.%d", key, round)
		must(t, r.Create(ctx, name, []byte("prize"), time.Minute))
		var winners atomic.Int32
		race(100, func(int) {
			got, err := r.Take(ctx, name)
			switch {
			case err == nil && string(got) == "prize":
				winners.Add(1)
			case !errors.Is(err, broker.ErrNotFound):
				t.Errorf("got %q, %v", got, err)
			}
		})
		if winners.Load() != 1 {
			t.Fatalf("%d of 100 took the nonce", winners.Load())
		}
	}
}

func registryCreateRace(t *testing.T, r broker.Registry, key string) {
	ctx := within(t)
	var winners atomic.Int32
	race(50, func(i int) {
		err := r.Create(ctx, key, fmt.Append(nil, i), time.Minute)
		if err == nil {
			winners.Add(1)
		} else if !errors.Is(err, broker.ErrExists) {
			t.Error(err)
		}
	})
	if winners.Load() != 1 {
		t.Fatalf("%d of 50 made the key", winners.Load())
	}
}

// race starts n goroutines at once and waits for them.
func race(n int, fn func(i int)) {
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}

// registryExpiry checks that keys are there before their end and gone after, in every way of reading.
func registryExpiry(t *testing.T, r broker.Registry, key string) {
	ctx := within(t)
	const ttl = 300 * time.Millisecond
	start := time.Now()
	must(t, r.Set(ctx, key, []byte("x"), ttl))
	must(t, r.Set(ctx, key+".stays", []byte("y"), time.Hour))
	_, err := r.Get(ctx, key)
	if time.Since(start) < ttl {
		must(t, err)
	}
	eventually(t, "the key ends", func() bool {
		_, err := r.Get(ctx, key)
		return errors.Is(err, broker.ErrNotFound)
	})
	if lived := time.Since(start); lived < ttl {
		t.Errorf("the key lived %s, not %s", lived, ttl)
	}
	_, err = r.Take(ctx, key)
	wants(t, err, broker.ErrNotFound)
	wants(t, r.Touch(ctx, key, time.Minute), broker.ErrNotFound)
	list, err := r.List(ctx, key, 10)
	must(t, err)
	if len(list) != 1 || list[0].Key != key+".stays" {
		t.Errorf("list has %v", list)
	}
	must(t, r.Set(ctx, key, []byte("short"), time.Nanosecond)) // a millisecond is honoured, nothing fails
}

func registryTouch(t *testing.T, r broker.Registry, key string) {
	ctx := within(t)
	wants(t, r.Touch(ctx, key, time.Minute), broker.ErrNotFound)
	inTime(t, 500*time.Millisecond, func(ttl time.Duration) error {
		must(t, r.Set(ctx, key, []byte("x"), ttl))
		err := r.Touch(ctx, key, time.Hour)
		must(t, r.Set(ctx, key+".short", nil, ttl+100*time.Millisecond))
		return err
	})
	eventually(t, "the other key ends", func() bool {
		_, err := r.Get(ctx, key+".short")
		return err != nil
	})
	got, err := r.Get(ctx, key)
	if err != nil || string(got) != "x" {
		t.Fatalf("a key that was prolonged: %q, %v", got, err)
	}
}

// registryCount adds concurrently, and checks that the ttl is not prolonged.
func registryCount(t *testing.T, r broker.Registry, key string) {
	ctx := within(t)
	race(20, func(int) {
		for range 10 {
			if _, err := r.Count(ctx, key, 1, time.Minute); err != nil {
				t.Error(err)
			}
		}
	})
	sum, err := r.Count(ctx, key, -250, time.Minute)
	if err != nil || sum != -50 {
		t.Fatalf("sum %d, %v", sum, err)
	}
	if got, err := r.Get(ctx, key); err != nil || string(got) != "-50" {
		t.Errorf("a counter reads as %q, %v", got, err)
	}
	must(t, r.Set(ctx, key+".word", []byte("word"), time.Minute))
	if _, err := r.Count(ctx, key+".word", 1, time.Minute); err == nil {
		t.Error("counted on a word")
	}
	_, err = r.Count(ctx, key+".ends", 1, 200*time.Millisecond)
	must(t, err)
	eventually(t, "the counter ends although it is used", func() bool {
		n, err := r.Count(ctx, key+".ends", 1, 200*time.Millisecond)
		return err == nil && n == 1
	})
}

func registryList(t *testing.T, r broker.Registry, key string) {
	ctx := within(t)
	for _, s := range []string{"b", "a", "c", "ab", "é"} {
		must(t, r.Set(ctx, key+"."+s, []byte(s), time.Minute))
	}
	must(t, r.Set(ctx, key+"x", nil, time.Minute))
	list := func(limit int) string {
		found, err := r.List(ctx, key+".", limit)
		must(t, err)
		var all []string
		for _, e := range found {
			all = append(all, string(e.Value))
			if e.Key != key+"."+string(e.Value) {
				t.Errorf("key %q has value %q", e.Key, e.Value)
			}
		}
		return strings.Join(all, " ")
	}
	if got := list(10); got != "a ab b c é" {
		t.Errorf("list %q", got)
	}
	if got := list(2); got != "a ab" {
		t.Errorf("list of two %q", got)
	}
	if got := list(0); got != "" {
		t.Errorf("list of none %q", got)
	}
}

func registryLease(t *testing.T, r broker.Registry, name string) {
	ctx := within(t)
	l, err := r.Acquire(ctx, name, "anna", time.Minute)
	must(t, err)
	if l.Name != name || l.Owner != "anna" || l.Token == 0 || time.Until(l.Expires) < 30*time.Second {
		t.Fatalf("lease %+v", l)
	}
	_, err = r.Acquire(ctx, name, "bert", time.Minute)
	wants(t, err, broker.ErrHeld)
	again, err := r.Acquire(ctx, name, "anna", time.Minute)
	if err != nil || again.Token != l.Token {
		t.Fatalf("the holder asked again: %+v, %v", again, err)
	}
	longer, err := r.Renew(ctx, l, time.Hour)
	if err != nil || longer.Token != l.Token || time.Until(longer.Expires) < 30*time.Minute {
		t.Fatalf("renewed: %+v, %v", longer, err)
	}
	stale := l
	stale.Token--
	_, err = r.Renew(ctx, stale, time.Hour)
	wants(t, err, broker.ErrHeld)
	must(t, r.Release(ctx, stale))
	_, err = r.Acquire(ctx, name, "bert", time.Minute)
	wants(t, err, broker.ErrHeld)
	must(t, r.Release(ctx, l))
	_, err = r.Renew(ctx, l, time.Hour)
	wants(t, err, broker.ErrNotFound)
	next, err := r.Acquire(ctx, name, "bert", time.Minute)
	if err != nil || next.Token <= l.Token {
		t.Fatalf("next holder %+v after token %d: %v", next, l.Token, err)
	}
	must(t, r.Release(ctx, l))
	_, err = r.Renew(ctx, l, time.Minute)
	wants(t, err, broker.ErrHeld)
}

// registryLeaseEnds lets a lease end: the same owner gets a greater token, because somebody may have been in between.
func registryLeaseEnds(t *testing.T, r broker.Registry, name string) {
	ctx := within(t)
	l, err := r.Acquire(ctx, name, "anna", 100*time.Millisecond)
	must(t, err)
	eventually(t, "the lease ends", func() bool {
		_, err := r.Renew(ctx, broker.Lease{Name: name, Owner: "anna"}, time.Minute)
		return errors.Is(err, broker.ErrNotFound)
	})
	again, err := r.Acquire(ctx, name, "anna", time.Minute)
	if err != nil || again.Token <= l.Token {
		t.Fatalf("token %d after %d, %v", again.Token, l.Token, err)
	}
}

func registryLeaseRace(t *testing.T, r broker.Registry, name string) {
	ctx := within(t)
	var holders atomic.Int32
	race(50, func(i int) {
		_, err := r.Acquire(ctx, name, fmt.Sprint("owner", i), time.Minute)
		if err == nil {
			holders.Add(1)
		} else if !errors.Is(err, broker.ErrHeld) {
			t.Error(err)
		}
	})
	if holders.Load() != 1 {
		t.Fatalf("%d holders", holders.Load())
	}
}

func registryBadInput(t *testing.T, r broker.Registry, key string) {
	ctx := within(t)
	for _, bad := range []string{"", "a\nb", "a\x00b", "\xff", strings.Repeat("x", broker.MaxSubject+1)} {
		wants(t, r.Set(ctx, bad, nil, time.Minute), broker.ErrBadName)
		wants(t, r.Create(ctx, bad, nil, time.Minute), broker.ErrBadName)
		_, err := r.Acquire(ctx, bad, "anna", time.Minute)
		wants(t, err, broker.ErrBadName)
		_, err = r.Count(ctx, bad, 1, time.Minute)
		wants(t, err, broker.ErrBadName)
	}
	for _, ttl := range []time.Duration{0, -time.Second} {
		if r.Set(ctx, key, nil, ttl) == nil {
			t.Errorf("a ttl of %s was taken", ttl)
		}
	}
	wants(t, r.Set(ctx, key, make([]byte, broker.MaxValue+1), time.Minute), broker.ErrTooLarge)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	wants(t, r.Set(ended, key, nil, time.Minute), context.Canceled)
	if _, err := r.Get(ctx, key); !errors.Is(err, broker.ErrNotFound) {
		t.Errorf("a refused write left something: %v", err)
	}
}
