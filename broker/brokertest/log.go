package brokertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"gosper/broker"
)

// RunLog checks that open returns engines that keep the promises of broker.Log.
func RunLog(t *testing.T, open func(t *testing.T) broker.Log) {
	cases := []struct {
		name string
		run  func(*testing.T, broker.Log, string)
	}{
		{"AppendRead", logAppendRead},
		{"Order", logOrder},
		{"Writers", logWriters},
		{"Fencing", logFencing},
		{"Snapshots", logSnapshots},
		{"Trim", logTrim},
		{"Cut", logCut},
		{"Drop", logDrop},
		{"BadInput", logBadInput},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t), unique("l")) })
	}
}

// appendWait appends entries and waits for the answer.
func appendWait(t *testing.T, l broker.Log, name string, token uint64, entries ...string) (uint64, error) {
	t.Helper()
	type answer struct {
		first uint64
		err   error
	}
	done := make(chan answer, 2)
	data := make([][]byte, len(entries))
	for i, e := range entries {
		data[i] = []byte(e)
	}
	l.Append(name, token, data, func(first uint64, err error) { done <- answer{first, err} })
	select {
	case a := <-done:
		return a.first, a.err
	case <-within(t).Done():
		t.Fatal("an append got no answer")
		panic("not reached")
	}
}

// checkLog compares what Read and Next say with "seq=data" texts.
func checkLog(t *testing.T, l broker.Log, name string, from uint64, limit int, next uint64, want ...string) {
	t.Helper()
	found, err := l.Read(within(t), name, from, limit)
	must(t, err)
	var got []string
	for _, e := range found {
		got = append(got, fmt.Sprintf("%d=%s", e.Seq, e.Data))
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("read %v, want %v", got, want)
	}
	n, err := l.Next(within(t), name)
	if err != nil || n != next {
		t.Fatalf("next is %d, %v; want %d", n, err, next)
	}
}

func logAppendRead(t *testing.T, l broker.Log, name string) {
	checkLog(t, l, name, 0, 10, 1)
	first, err := appendWait(t, l, name, 0, "a", "b")
	if err != nil || first != 1 {
		t.Fatal(first, err)
	}
	first, err = appendWait(t, l, name, 0, "")
	if err != nil || first != 3 {
		t.Fatal(first, err)
	}
	first, err = appendWait(t, l, name, 0)
	if err != nil || first != 4 {
		t.Fatal(first, err)
	}
	first, err = appendWait(t, l, name+".sub", 0, "other")
	if err != nil || first != 1 {
		t.Fatal(first, err)
	}
	checkLog(t, l, name, 0, 10, 4, "1=a", "2=b", "3=")
	checkLog(t, l, name, 2, 1, 4, "2=b")
	checkLog(t, l, name, 4, 10, 4)
	checkLog(t, l, name, 1, 0, 4)
	found, err := l.Read(within(t), name, 1, 1)
	must(t, err)
	found[0].Data[0] = 'X'
	checkLog(t, l, name, 1, 1, 4, "1=a")
}

// logOrder sends many appends without waiting: they are answered and kept in order.
func logOrder(t *testing.T, l broker.Log, name string) {
	const count = 500
	done := make(chan uint64, count)
	for i := range count {
		l.Append(name, 0, [][]byte{fmt.Append(nil, i)}, func(first uint64, err error) {
			if err != nil {
				t.Error(err)
			}
			done <- first
		})
	}
	for i := range count {
		select {
		case first := <-done:
			if first != uint64(i+1) {
				t.Fatalf("answer %d is for %d", i, first)
			}
		case <-within(t).Done():
			t.Fatal("an append got no answer")
		}
	}
	found, err := l.Read(within(t), name, 1, count+1)
	if err != nil || len(found) != count {
		t.Fatal(len(found), err)
	}
	for i, e := range found {
		if string(e.Data) != fmt.Sprint(i) {
			t.Fatalf("entry %d is %q", e.Seq, e.Data)
		}
	}
}

// logWriters lets several writers append at once: no entry is lost, none is torn from its batch.
func logWriters(t *testing.T, l broker.Log, name string) {
	const writers, each = 8, 20
	var mu sync.Mutex
	place := make(map[string]uint64)
	race(writers, func(w int) {
		for i := range each {
			a, b := fmt.Sprintf("%d/%d/a", w, i), fmt.Sprintf("%d/%d/b", w, i)
			first, err := appendWait(t, l, name, 0, a, b)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			place[a], place[b] = first, first+1
			mu.Unlock()
		}
	})
	found, err := l.Read(within(t), name, 0, 1000)
	if err != nil || len(found) != 2*writers*each {
		t.Fatal(len(found), err)
	}
	for _, e := range found {
		if place[string(e.Data)] != e.Seq {
			t.Errorf("%s is entry %d, answered %d", e.Data, e.Seq, place[string(e.Data)])
		}
	}
}

// logFencing replaces a writer: the old one is refused everywhere.
func logFencing(t *testing.T, l broker.Log, name string) {
	ctx := within(t)
	_, err := appendWait(t, l, name, 5, "a")
	must(t, err)
	_, err = appendWait(t, l, name, 7, "b")
	must(t, err)
	for _, old := range []uint64{0, 5, 6} {
		_, err = appendWait(t, l, name, old, "c")
		wants(t, err, broker.ErrFenced)
		wants(t, l.SaveSnapshot(ctx, name, old, 2, nil), broker.ErrFenced)
		wants(t, l.Cut(ctx, name, old, 1), broker.ErrFenced)
		wants(t, l.Trim(ctx, name, old, 2), broker.ErrFenced)
	}
	must(t, l.SaveSnapshot(ctx, name, 8, 2, nil))
	_, err = appendWait(t, l, name, 7, "c")
	wants(t, err, broker.ErrFenced)
	_, err = appendWait(t, l, name, 8, "c")
	must(t, err)
	checkLog(t, l, name, 0, 10, 4, "1=a", "2=b", "3=c")
	must(t, l.Trim(ctx, name, 9, 2))
	_, err = appendWait(t, l, name, 8, "d")
	wants(t, err, broker.ErrFenced)
	must(t, l.Trim(ctx, name, 10, 2)) // drops nothing, but its token counts
	_, err = appendWait(t, l, name, 9, "d")
	wants(t, err, broker.ErrFenced)
	checkLog(t, l, name, 0, 10, 4, "2=b", "3=c")
	for sub, change := range map[string]func(name string) error{ // of a log that nobody has written
		".cut":  func(name string) error { return l.Cut(ctx, name, 3, math.MaxUint64) },
		".trim": func(name string) error { return l.Trim(ctx, name, 3, 1) },
	} {
		must(t, change(name+sub))
		_, err = appendWait(t, l, name+sub, 2, "late")
		wants(t, err, broker.ErrFenced)
		_, err = appendWait(t, l, name+sub, 3, "first")
		must(t, err)
		checkLog(t, l, name+sub, 0, 10, 2, "1=first")
	}
}

func checkSnapshot(t *testing.T, l broker.Log, name string, before, at uint64, want string) {
	t.Helper()
	got, data, err := l.Snapshot(within(t), name, before)
	if want == "none" {
		wants(t, err, broker.ErrNotFound)
		return
	}
	if err != nil || got != at || string(data) != want {
		t.Fatalf("snapshot before %d is %q at %d, %v; want %q at %d", before, data, got, err, want, at)
	}
}

func logSnapshots(t *testing.T, l broker.Log, name string) {
	ctx := within(t)
	checkSnapshot(t, l, name, 100, 0, "none")
	data := []byte("five")
	must(t, l.SaveSnapshot(ctx, name, 0, 5, data))
	data[0] = 'X'
	must(t, l.SaveSnapshot(ctx, name, 0, 1, []byte("one")))
	must(t, l.SaveSnapshot(ctx, name, 0, 9, nil))
	must(t, l.SaveSnapshot(ctx, name+".sub", 0, 2, []byte("other")))
	checkSnapshot(t, l, name, 0, 0, "none")
	checkSnapshot(t, l, name, 4, 1, "one")
	checkSnapshot(t, l, name, 5, 5, "five")
	checkSnapshot(t, l, name, 1<<60, 9, "")
	must(t, l.SaveSnapshot(ctx, name, 0, 5, []byte("again")))
	checkSnapshot(t, l, name, 8, 5, "again")
	big := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	must(t, l.SaveSnapshot(ctx, name, 0, 20, big))
	at, got, err := l.Snapshot(ctx, name, 20)
	if err != nil || at != 20 || !bytes.Equal(got, big) {
		t.Fatalf("a snapshot of %d bytes came back with %d, %v", len(big), len(got), err)
	}
	must(t, l.SaveSnapshot(ctx, name, 0, 20, big[:1<<20]))
	if _, got, err = l.Snapshot(ctx, name, 20); err != nil || len(got) != 1<<20 {
		t.Fatal(len(got), err)
	}
}

func logTrim(t *testing.T, l broker.Log, name string) {
	ctx := within(t)
	must(t, l.Trim(ctx, name, 0, 5))
	_, err := appendWait(t, l, name, 0, "a", "b", "c", "d")
	must(t, err)
	must(t, l.SaveSnapshot(ctx, name, 0, 2, []byte("s2")))
	must(t, l.SaveSnapshot(ctx, name, 0, 3, []byte("s3")))
	must(t, l.Trim(ctx, name, 0, 3))
	checkLog(t, l, name, 0, 10, 5, "3=c", "4=d")
	checkSnapshot(t, l, name, 2, 0, "none")
	checkSnapshot(t, l, name, 9, 3, "s3")
	must(t, l.Trim(ctx, name, 0, 2))
	must(t, l.Trim(ctx, name, 0, 100))
	checkLog(t, l, name, 0, 10, 5)
	checkSnapshot(t, l, name, 1000, 0, "none")
	first, err := appendWait(t, l, name, 0, "e")
	if err != nil || first != 5 {
		t.Fatal(first, err)
	}
	checkLog(t, l, name, 0, 10, 6, "5=e")
}

func logCut(t *testing.T, l broker.Log, name string) {
	ctx := within(t)
	must(t, l.Cut(ctx, name, 0, 1))
	_, err := appendWait(t, l, name, 0, "a", "b", "c", "d")
	must(t, err)
	must(t, l.SaveSnapshot(ctx, name, 0, 3, []byte("s3")))
	must(t, l.SaveSnapshot(ctx, name, 0, 4, []byte("s4")))
	must(t, l.Cut(ctx, name, 0, 100))
	checkLog(t, l, name, 0, 10, 5, "1=a", "2=b", "3=c", "4=d")
	must(t, l.Cut(ctx, name, 0, 3))
	checkLog(t, l, name, 0, 10, 3, "1=a", "2=b")
	checkSnapshot(t, l, name, 100, 3, "s3")
	first, err := appendWait(t, l, name, 0, "C")
	if err != nil || first != 3 {
		t.Fatal(first, err)
	}
	must(t, l.Trim(ctx, name, 0, 3))
	must(t, l.Cut(ctx, name, 0, 3))
	checkLog(t, l, name, 0, 10, 3)
	must(t, l.Cut(ctx, name, 0, 2)) // below what was trimmed
	checkLog(t, l, name, 0, 10, 2)
	first, err = appendWait(t, l, name, 0, "B")
	if err != nil || first != 2 {
		t.Fatal(first, err)
	}
	checkLog(t, l, name, 0, 10, 3, "2=B")
}

func logDrop(t *testing.T, l broker.Log, name string) {
	ctx := within(t)
	must(t, l.Drop(ctx, name))
	_, err := appendWait(t, l, name, 9, "a")
	must(t, err)
	_, err = appendWait(t, l, name+".sub", 0, "kept")
	must(t, err)
	must(t, l.SaveSnapshot(ctx, name, 9, 1, []byte("s")))
	must(t, l.Drop(ctx, name))
	checkLog(t, l, name, 0, 10, 1)
	checkSnapshot(t, l, name, 100, 0, "none")
	first, err := appendWait(t, l, name, 0, "b")
	if err != nil || first != 1 {
		t.Fatal(first, err)
	}
	checkSnapshot(t, l, name, 100, 0, "none")
	checkLog(t, l, name, 0, 10, 2, "1=b")
	checkLog(t, l, name+".sub", 0, 10, 2, "1=kept")
}

func logBadInput(t *testing.T, l broker.Log, name string) {
	ctx := within(t)
	for _, bad := range []string{"", "a b", "a..b", "*", "\xff", strings.Repeat("x", broker.MaxSubject+1)} {
		_, err := appendWait(t, l, bad, 0, "x")
		wants(t, err, broker.ErrBadName)
		_, err = l.Read(ctx, bad, 0, 1)
		wants(t, err, broker.ErrBadName)
		_, err = l.Next(ctx, bad)
		wants(t, err, broker.ErrBadName)
		_, _, err = l.Snapshot(ctx, bad, 0)
		for _, err := range []error{err, l.SaveSnapshot(ctx, bad, 0, 1, nil), l.Trim(ctx, bad, 0, 1), l.Cut(ctx, bad, 0, 1), l.Drop(ctx, bad)} {
			wants(t, err, broker.ErrBadName)
		}
	}
	large := string(make([]byte, broker.MaxValue/2+1))
	_, err := appendWait(t, l, name, 0, large, large)
	wants(t, err, broker.ErrTooLarge)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = l.Read(ended, name, 0, 1)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	wants(t, l.SaveSnapshot(ended, name, 0, 1, nil), context.Canceled)
	checkLog(t, l, name, 0, 10, 1)
}
