package brokertest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"gosper/broker"
)

// RunLogAcross checks that two handles of one engine, as two nodes have them, write one log: RunLog with one that writes
// and another that reads, and what only two can do.
func RunLogAcross(t *testing.T, open func(t *testing.T) (a, b broker.Log)) {
	RunLog(t, func(t *testing.T) broker.Log {
		a, b := open(t)
		return readAt{a, b}
	})
	cases := []struct {
		name string
		run  func(*testing.T, broker.Log, broker.Log, string)
	}{
		{"TwoWriters", logTwoWriters},
		{"TakeOver", logTakeOver},
		{"ChangedByOther", logChangedByOther},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, b := open(t)
			c.run(t, a, b, unique("l"))
		})
	}
}

// readAt writes to one Log and reads another.
type readAt struct {
	broker.Log
	at broker.Log
}

func (r readAt) Read(ctx context.Context, log string, from uint64, limit int) ([]broker.LogEntry, error) {
	return r.at.Read(ctx, log, from, limit)
}

func (r readAt) Next(ctx context.Context, log string) (uint64, error) { return r.at.Next(ctx, log) }

func (r readAt) Snapshot(ctx context.Context, log string, before uint64) (uint64, []byte, error) {
	return r.at.Snapshot(ctx, log, before)
}

// logTwoWriters lets both handles append to one log at once: each entry is there once, where the answer said.
func logTwoWriters(t *testing.T, a, b broker.Log, name string) {
	logWriters(t, both{a, b}, name)
}

// both appends to two Logs, chosen by what is appended.
type both struct {
	broker.Log
	other broker.Log
}

func (l both) Append(log string, token uint64, entries [][]byte, done func(uint64, error)) {
	if len(entries) > 0 && len(entries[0]) > 0 && entries[0][0]%2 == 0 {
		l.other.Append(log, token, entries, done)
		return
	}
	l.Log.Append(log, token, entries, done)
}

// logTakeOver replaces an owner that writes without pause: what it was answered stands in the log in its order, and
// nothing of it behind the first entry of its successor.
func logTakeOver(t *testing.T, a, b broker.Log, name string) {
	const old, successor = 5, 6
	var mu sync.Mutex
	answered := make(map[uint64]string)
	fenced := make(chan struct{})
	var once sync.Once
	var work sync.WaitGroup
	stop := make(chan struct{})
	end := sync.OnceFunc(func() { close(stop) })
	window := make(chan struct{}, 16)
	work.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case window <- struct{}{}:
			}
			text := fmt.Sprint("old ", i)
			a.Append(name, old, [][]byte{[]byte(text)}, func(first uint64, err error) {
				defer func() { <-window }()
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					answered[first] = text
				case errors.Is(err, broker.ErrFenced):
					once.Do(func() { close(fenced) })
				default:
					t.Error(err)
				}
			})
		}
	})
	t.Cleanup(func() { end(); work.Wait() }) // also when the case fails in between
	eventually(t, "entries of the first owner", func() bool { mu.Lock(); defer mu.Unlock(); return len(answered) >= 50 })
	_, err := appendWait(t, b, name, successor)
	must(t, err)
	found, err := b.Read(within(t), name, 0, math.MaxInt)
	must(t, err)
	first, err := appendWait(t, b, name, successor, "new")
	must(t, err)
	if first != uint64(len(found))+1 {
		t.Errorf("the successor read %d entries and wrote entry %d", len(found), first)
	}
	select {
	case <-fenced:
	case <-within(t).Done():
		t.Error("the first owner was not told that it is replaced")
	}
	end()
	work.Wait()
	eventually(t, "all answers", func() bool { return len(window) == 0 })
	_, err = appendWait(t, a, name, old, "late")
	wants(t, err, broker.ErrFenced)
	_, err = appendWait(t, a, name, old)
	wants(t, err, broker.ErrFenced)
	found, err = a.Read(within(t), name, 0, math.MaxInt)
	must(t, err)
	if uint64(len(found)) != first || string(found[first-1].Data) != "new" {
		t.Fatalf("%d entries, the last %q; want %d", len(found), found[len(found)-1].Data, first)
	}
	for i, e := range found[:first-1] {
		if string(e.Data) != fmt.Sprint("old ", i) || answered[e.Seq] != "" && answered[e.Seq] != string(e.Data) {
			t.Errorf("entry %d is %q, answered %q", e.Seq, e.Data, answered[e.Seq])
		}
		delete(answered, e.Seq)
	}
	if len(answered) > 0 {
		t.Errorf("%d answered entries are lost: %v", len(answered), answered)
	}
}

// logChangedByOther changes a log at one handle behind the back of the other, which goes on with what is true.
func logChangedByOther(t *testing.T, a, b broker.Log, name string) {
	ctx := within(t)
	write := func(l broker.Log, want uint64, entries ...string) {
		t.Helper()
		first, err := appendWait(t, l, name, 0, entries...)
		if err != nil || first != want {
			t.Fatalf("%q: entry %d, %v; want %d", strings.Join(entries, " "), first, err, want)
		}
	}
	write(a, 1, "a", "b", "c", "d")
	must(t, b.Cut(ctx, name, 0, 3))
	write(a, 3, "C")
	write(b, 4, "D")
	must(t, a.Cut(ctx, name, 0, 2))
	write(b, 2, "B", "c", "d", "e")
	must(t, b.Cut(ctx, name, 0, 4))
	checkLog(t, a, name, 0, 10, 4, "1=a", "2=B", "3=c")
	must(t, a.Trim(ctx, name, 0, 3))
	write(b, 4, "D")
	checkLog(t, b, name, 0, 10, 5, "3=c", "4=D")
	must(t, a.SaveSnapshot(ctx, name, 0, 4, []byte("s4")))
	checkSnapshot(t, b, name, 10, 4, "s4")
	must(t, b.Trim(ctx, name, 0, 5))
	checkSnapshot(t, a, name, 10, 0, "none")
	write(a, 5, "E")
	must(t, a.Drop(ctx, name))
	write(b, 1, "again")
	checkLog(t, a, name, 0, 10, 2, "1=again")
}
