package nats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gosper/broker"
	"gosper/broker/memory"
)

// The memory engines are the model: random calls on them and at two nodes in turn must have equal answers.

// dice is the source of a test's random steps; its seed is told when the test fails.
func dice(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// sameError compares errors by kind.
func sameError(t *testing.T, model, real error) {
	t.Helper()
	for _, kind := range []error{broker.ErrNotFound, broker.ErrExists, broker.ErrConflict, broker.ErrBadName, broker.ErrFenced} {
		if errors.Is(model, kind) != errors.Is(real, kind) {
			t.Fatalf("memory says %v, the servers say %v", model, real)
		}
	}
	if (model == nil) != (real == nil) {
		t.Fatalf("memory says %v, the servers say %v", model, real)
	}
}

// Goal: the store and the log answer as their models do. Method: random steps at two nodes; on three servers, where
// commits of several records take the least time.
func TestStateModel(t *testing.T) {
	t.Parallel()
	all := cluster(t)
	nodes := []*State{stateAt(t, all[0].ClientURL()+"?replicas=3"), stateAt(t, all[1].ClientURL()+"?replicas=3")}
	t.Run("store", func(t *testing.T) { storeModel(t, nodes) })
	t.Run("log", func(t *testing.T) { logModel(t, nodes) })
}

// nobodys is added to a revision for one that no record has, nor the mark of a deleted one.
const nobodys = 1 << 40

// storeModel makes commits with any conditions, and lists, with small and large values.
func storeModel(t *testing.T, nodes []*State) {
	ctx, r := context.Background(), dice(t)
	model := memory.NewStore()
	keys := []string{"a", "a/b", "a/c", "a0", "b", "é", "x.*.>", "100% ."}
	large := bytes.Repeat([]byte("0123456789"), 70_000)
	for step := range 300 {
		real := nodes[step%2].Store()
		if r.IntN(3) == 0 {
			prefix, after, limit := pick(r, "", "a", "a/", "c"), pick(r, "", "a", "a/b", "a/bb", "z"), r.IntN(8)
			x, errA := model.List(ctx, prefix, after, limit)
			y, errB := real.List(ctx, prefix, after, limit)
			sameError(t, errA, errB)
			if !slices.EqualFunc(x, y, func(a, b broker.Record) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) }) {
				t.Fatalf("list %q behind %q, at most %d: memory has %d, the servers have %d", prefix, after, limit, len(x), len(y))
			}
			continue
		}
		var a, b []broker.Op
		for range pick(r, 1, 1, 1, 1, 1, 3) {
			key := pick(r, keys...)
			inMemory, errA := model.Get(ctx, key)
			there, errB := real.Get(ctx, key)
			sameError(t, errA, errB)
			if string(inMemory.Value) != string(there.Value) {
				t.Fatalf("%q has %d bytes, in memory %d", key, len(there.Value), len(inMemory.Value))
			}
			op := broker.Op{Key: key, Value: pick(r, nil, []byte{}, []byte("x"), []byte("yy"), large[:r.IntN(len(large))])}
			other := op
			switch r.IntN(5) {
			case 0, 1:
				op.Revision, other.Revision = broker.AnyRevision, broker.AnyRevision
			case 2:
			case 3:
				op.Revision, other.Revision = inMemory.Revision, there.Revision
			case 4:
				op.Revision, other.Revision = inMemory.Revision+nobodys, there.Revision+nobodys
			}
			a, b = append(a, op), append(b, other)
		}
		x, errA := model.Commit(ctx, a...)
		y, errB := real.Commit(ctx, b...)
		sameError(t, errA, errB)
		for i := range x {
			if (x[i] == 0) != (y[i] == 0) {
				t.Fatalf("memory gave revisions %v, the servers %v", x, y)
			}
		}
	}
	storeHasNoLeftovers(t, nodes[0].store)
}

// storeHasNoLeftovers checks that no parts are stored but those of present values.
func storeHasNoLeftovers(t *testing.T, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all, err := s.List(ctx, "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, r := range all {
		known, _ := s.index.get(r.Key)
		want += int(known.parts)
	}
	eventually(t, "the parts of old values to go", func() bool {
		parts, err := s.vault.subjects(ctx, partPrefix+"*.*")
		return err == nil && len(parts) == want
	})
}

// logModel makes appends, cuts, trims, snapshots and reads of a few logs, with tokens.
func logModel(t *testing.T, nodes []*State) {
	ctx, r := context.Background(), dice(t)
	model := memory.NewLog()
	for step := range 200 {
		real := nodes[r.IntN(2)].Log()
		name, token := pick(r, "a", "b", "a.b"), uint64(r.IntN(3)+step/50)
		next, errA := model.Next(ctx, name)
		there, errB := real.Next(ctx, name)
		sameError(t, errA, errB)
		if next != there {
			t.Fatalf("next is %d, in memory %d", there, next)
		}
		seq := uint64(r.IntN(int(next) + 3))
		switch what := r.IntN(20); {
		case what < 8:
			var entries []string
			for range pick(r, 0, 1, 1, 2, 20) {
				entries = append(entries, fmt.Sprintf("%d%0*d", step, pick(r, 1, 1, 1, 50_000), 0))
			}
			x, errA := put(model, name, token, entries)
			y, errB := put(real, name, token, entries)
			sameError(t, errA, errB)
			if errA == nil && x != y {
				t.Fatalf("entry %d, in memory %d", y, x)
			}
		case what < 10:
			data := make([]byte, pick(r, 0, 10, 300_000))
			sameError(t, model.SaveSnapshot(ctx, name, token, seq, data), real.SaveSnapshot(ctx, name, token, seq, data))
		case what < 12:
			seq = max(seq, uint64(r.IntN(int(next)+3)))
			sameError(t, model.Cut(ctx, name, token, seq), real.Cut(ctx, name, token, seq))
		case what < 13:
			sameError(t, model.Trim(ctx, name, token, seq), real.Trim(ctx, name, token, seq))
		case what < 15:
			atA, dataA, errA := model.Snapshot(ctx, name, seq)
			atB, dataB, errB := real.Snapshot(ctx, name, seq)
			sameError(t, errA, errB)
			if atA != atB || !bytes.Equal(dataA, dataB) {
				t.Fatalf("snapshot at %d, in memory at %d", atB, atA)
			}
		case step%100 == 0:
			sameError(t, model.Drop(ctx, name), real.Drop(ctx, name))
		default:
			limit := pick(r, 1, 3, 1000)
			x, errA := model.Read(ctx, name, seq, limit)
			y, errB := real.Read(ctx, name, seq, limit)
			sameError(t, errA, errB)
			if !slices.EqualFunc(x, y, func(a, b broker.LogEntry) bool { return a.Seq == b.Seq && string(a.Data) == string(b.Data) }) {
				t.Fatalf("%d entries from %d, in memory %d", len(y), seq, len(x))
			}
		}
	}
}

// put appends and waits for the answer.
func put(l broker.Log, name string, token uint64, entries []string) (uint64, error) {
	data := make([][]byte, len(entries))
	for i, e := range entries {
		data[i] = []byte(e)
	}
	type answer struct {
		first uint64
		err   error
	}
	done := make(chan answer, 1)
	l.Append(name, token, data, func(first uint64, err error) { done <- answer{first, err} })
	a := <-done
	return a.first, a.err
}
