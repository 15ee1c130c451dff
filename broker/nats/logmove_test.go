package nats

import (
	"context"
	"errors"
	"testing"
	"time"

	"gosper/broker"
)

// Goal: a log that begins in the middle hands out its entries by the numbers they had, and stays as it is when it is
// begun again. Method: begin, append, read, take a snapshot, cut to the beginning, all through the seam.
func TestLogBegin(t *testing.T) {
	t.Parallel()
	l, _ := stateAt(t, start(t, t.TempDir(), -1).ClientURL()).Moves()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const first = 1_000_000
	next := func(want uint64) {
		t.Helper()
		if n, err := l.Next(ctx, "game.a"); n != want || err != nil {
			t.Fatalf("next is %d, %v; want %d", n, err, want)
		}
	}
	if err := errors.Join(l.Begin(ctx, "game.a", first), l.Begin(ctx, "game.b", 1)); err != nil {
		t.Fatal(err)
	}
	next(first)
	done := make(chan error, 1)
	l.Append("game.a", 0, [][]byte{[]byte("x"), []byte("y")}, func(at uint64, err error) {
		if err == nil && at != first {
			err = errors.New("the first entry has another number")
		}
		done <- err
	})
	if err := errors.Join(<-done, l.Begin(ctx, "game.a", 7), l.SaveSnapshot(ctx, "game.a", 0, first+1, []byte("state"))); err != nil {
		t.Fatal(err)
	}
	next(first + 2)
	entries, err := l.Read(ctx, "game.a", 0, 10)
	if err != nil || len(entries) != 2 || entries[0].Seq != first || string(entries[1].Data) != "y" {
		t.Errorf("%v, %v", entries, err)
	}
	if at, data, err := l.Snapshot(ctx, "game.a", first+5); at != first+1 || string(data) != "state" || err != nil {
		t.Errorf("%d, %q, %v", at, data, err)
	}
	if _, _, err := l.Snapshot(ctx, "game.a", first); !errors.Is(err, broker.ErrNotFound) {
		t.Error(err)
	}
	if err := l.Cut(ctx, "game.a", 0, first); err != nil {
		t.Fatal(err)
	}
	next(first)
	if entries, err := l.Read(ctx, "game.a", 0, 10); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
	if n, err := l.Next(ctx, "game.b"); n != 1 || err != nil {
		t.Errorf("next is %d, %v", n, err)
	}
}
