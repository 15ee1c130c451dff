package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
)

// Goal: what is refused by a server that led the stream and does not know that it was replaced, and is stored by the one that
// leads now, is done once and answered as done. Method: somebody who hears all writes refuses each at once, beside the three
// servers that store it; appends, and each kind of conditional write.
func TestStaleLeader(t *testing.T) {
	t.Parallel()
	servers := cluster(t)
	s := stateAt(t, servers[0].ClientURL()+"?replicas=3")
	refuse(t, servers[0].ClientURL(), func(*nats.Msg) bool { return true }, logPrefix+">", recordPrefix+">")
	before := conflictsTotal.Get()
	t.Run("log", func(t *testing.T) { staleLog(t, s.Log()) })
	t.Run("store", func(t *testing.T) { staleStore(t, s.Store()) })
	if conflictsTotal.Get() == before {
		t.Error("nothing was refused")
	}
}

// refuse answers those writes to the subjects that are to be refused as a server does that led their stream, until the test ends.
func refuse(t *testing.T, url string, which func(*nats.Msg) bool, subjects ...string) {
	t.Helper()
	stale, err := nats.Connect(url, nats.Timeout(patience))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stale.Close)
	for _, subject := range subjects {
		if _, err := stale.Subscribe(subject, func(m *nats.Msg) {
			if m.Reply != "" && which(m) {
				_ = m.Respond([]byte(`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence"}}`)) // to a node that closes
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stale.Flush(); err != nil {
		t.Fatal(err)
	}
}

func staleLog(t *testing.T, l broker.Log) {
	const count = 50
	for i := range count {
		if first, err := put(l, "stale", 1, []string{fmt.Sprint("a", i), fmt.Sprint("b", i)}); err != nil || first != uint64(2*i+1) {
			t.Fatalf("entry %d, %v; want %d", first, err, 2*i+1)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	found, err := l.Read(ctx, "stale", 0, 3*count)
	if err != nil || len(found) != 2*count {
		t.Fatalf("%d entries, %v; want %d", len(found), err, 2*count)
	}
	for i, e := range found {
		if want := fmt.Sprint(string("ab"[i%2]), i/2); string(e.Data) != want {
			t.Errorf("entry %d is %q, want %q", e.Seq, e.Data, want)
		}
	}
}

func staleStore(t *testing.T, s broker.Store) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	revision, err := s.Create(ctx, "one", []byte("0"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		if revision, err = s.Update(ctx, "one", strconv.AppendInt(nil, int64(i), 10), revision); err != nil {
			t.Fatal(err)
		}
		if r, err := s.Get(ctx, "one"); err != nil || r.Revision != revision || string(r.Value) != strconv.Itoa(i) {
			t.Fatalf("%+v, %v; want %d in revision %d", r, err, i, revision)
		}
	}
	both, err := s.Commit(ctx, broker.OpCreate("other", make([]byte, 2*maxPart)), broker.OpUpdate("one", nil, revision))
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range []string{"other", "one"} {
		if r, err := s.Get(ctx, key); err != nil || r.Revision != both[i] {
			t.Fatalf("%q has revision %d, %v; want %d", key, r.Revision, err, both[i])
		}
	}
	if err := s.Delete(ctx, "one", both[1]); err != nil {
		t.Error(err)
	}
}

// Goal: a write that stood still on its way, and whose outcome nobody knew, takes the place of no newer one when it comes. Method: a
// node behind a proxy that stops; another writes the record; the proxy goes on, and what the first one asks then comes behind its write.
func TestLatePut(t *testing.T) {
	t.Parallel()
	s := start(t, t.TempDir(), -1)
	p := newProxy(t, s.Addr().String())
	far, near := stateWith(t, StateOptions{URL: p.url(), Wait: time.Second}), stateAt(t, s.ClientURL())
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if _, err := near.Store().Put(ctx, "key", []byte("first")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the record at the other node", func() bool { _, known := far.store.index.get("key"); return known })
	p.set(true, false)
	if _, err := far.Store().Put(ctx, "key", []byte("late")); !errors.Is(err, broker.ErrTimeout) && !errors.Is(err, broker.ErrBusy) {
		t.Errorf("a put without an answer: %v", err)
	}
	if _, err := near.Store().Put(ctx, "key", []byte("new")); err != nil {
		t.Fatal(err)
	}
	p.set(false, false)
	eventually(t, "an answer to the first node", func() bool { _, err := far.Store().Get(ctx, "key"); return err == nil })
	if r, err := near.Store().Get(ctx, "key"); err != nil || string(r.Value) != "new" {
		t.Errorf("%q, %v", r.Value, err)
	}
}

// Goal: the same for the bus: each message is in the history once, and heard once, in order. Method: as above, one by one and many at once,
// at a node that listens and at one that does not.
func TestStaleLeaderBus(t *testing.T) {
	t.Parallel()
	servers := cluster(t)
	b := node(t, servers[0].ClientURL()+"?replicas=3")
	var refused atomic.Int64
	refuse(t, servers[0].ClientURL(), func(m *nats.Msg) bool {
		return len(m.Header[stampHeader]) > 0 && refused.Add(1)%4 != 0
	}, long.prefix+">")
	const count = 60
	for _, subject := range []string{"stale.quiet", "stale.heard"} {
		var in *listener
		if subject == "stale.heard" {
			in = listen(t, b, subject)
		}
		var under sync.WaitGroup
		for i := range count {
			under.Add(1)
			b.Publish(subject, fmt.Append(nil, i), broker.Keep{Messages: 2 * count}, func(at broker.Position, err error) {
				defer under.Done()
				if err != nil || at.Offset != uint64(i+1) {
					t.Errorf("%s: message %d is at %v, %v", subject, i, at, err)
				}
			})
			if i < count/2 {
				under.Wait()
			}
		}
		under.Wait()
		r, err := b.History(t.Context(), subject, broker.Position{}, 2*count)
		if err != nil || len(r.Messages) != count {
			t.Fatalf("%s: %d messages, %v; want %d", subject, len(r.Messages), err, count)
		}
		for i, m := range r.Messages {
			if string(m.Data) != strconv.Itoa(i) {
				t.Errorf("%s: message %d is %q", subject, i, m.Data)
			}
		}
		if in != nil {
			eventually(t, "the last message", func() bool { return in.has(strconv.Itoa(count - 1)) })
			in.mu.Lock()
			for i, m := range in.got {
				if string(m.Data) != strconv.Itoa(i) {
					t.Errorf("%s: heard %q as message %d", subject, m.Data, i)
				}
			}
			in.mu.Unlock()
		}
	}
	if refused.Load() == 0 {
		t.Error("nothing was refused")
	}
}
