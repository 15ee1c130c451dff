package pebble

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"gosper/broker"
	"gosper/broker/memory"
)

// The memory engines are the model: random calls on both must have equal answers, whatever the options are and however
// often the durable one is closed and opened in between.

// durable is a database of a property test.
type durable struct {
	*DB
	options Options
}

func newDurable(t *rapid.T, tt testing.TB) *durable {
	o := testOptions(tt, Options{
		FS:            vfs.NewMem(),
		MemTable:      rapid.SampledFrom([]int64{32 << 10, 1 << 20}).Draw(t, "memtable"),
		HistoryMemory: rapid.SampledFrom([]int64{1, 4 << 10, 1 << 20}).Draw(t, "history memory"),
		Queue:         rapid.SampledFrom([]int{1, 64}).Draw(t, "queue"),
	})
	d := &durable{options: o}
	d.open(t)
	return d
}

func (d *durable) open(t *rapid.T) {
	db, err := Open("db", d.options)
	if err != nil {
		t.Fatal(err)
	}
	d.DB = db
}

func (d *durable) reopen(t *rapid.T) {
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d.open(t)
}

// sameError compares errors by kind.
func sameError(t *rapid.T, a, b error) {
	for _, kind := range []error{broker.ErrNotFound, broker.ErrExists, broker.ErrConflict, broker.ErrHeld, broker.ErrBadName} {
		if errors.Is(a, kind) != errors.Is(b, kind) {
			t.Fatalf("memory says %v, pebble says %v", a, b)
		}
	}
	if (a == nil) != (b == nil) {
		t.Fatalf("memory says %v, pebble says %v", a, b)
	}
}

func TestBusModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		model := memory.NewBus(memory.BusOptions{})
		d := newDurable(rt, t)
		defer func() { d.Close() }()
		subjects := rapid.SampledFrom([]string{"a", "a.b", "b.c.d"})
		zero := broker.Position{}
		top := func(subject string) (broker.Position, broker.Position) {
			a, _ := model.History(context.Background(), subject, zero, 0)
			b, err := d.Bus().History(context.Background(), subject, zero, 0)
			if err != nil {
				rt.Fatal(err)
			}
			return a.Top, b.Top
		}
		rt.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				subject, data := subjects.Draw(t, "subject"), rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "data")
				keep := broker.Keep{Messages: rapid.IntRange(0, 12).Draw(t, "keep"), Age: rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "age")}
				a, errA := publishWait(model, subject, data, keep)
				b, errB := publishWait(d.Bus(), subject, data, keep)
				sameError(t, errA, errB)
				if a.Offset != b.Offset {
					t.Fatalf("memory gave offset %d, pebble %d", a.Offset, b.Offset)
				}
			},
			"history": func(t *rapid.T) {
				subject, limit := subjects.Draw(t, "subject"), rapid.IntRange(0, 15).Draw(t, "limit")
				a, b := top(subject)
				offset := rapid.Uint64Range(0, a.Offset+2).Draw(t, "since")
				switch rapid.IntRange(0, 3).Draw(t, "epoch") {
				case 0:
					a, b = zero, zero
				case 1:
					a, b = broker.Position{Epoch: a.Epoch ^ 1, Offset: offset}, broker.Position{Epoch: b.Epoch ^ 1, Offset: offset}
				default:
					a.Offset, b.Offset = offset, offset
				}
				x, errA := model.History(context.Background(), subject, a, limit)
				y, errB := d.Bus().History(context.Background(), subject, b, limit)
				sameError(t, errA, errB)
				if shape(x) != shape(y) {
					t.Fatalf("memory: %s\npebble: %s", shape(x), shape(y))
				}
			},
			"restart": func(t *rapid.T) { d.reopen(t) },
		})
	})
}

// shape is an answer without what differs by nature: epochs and times.
func shape(r broker.Recovery) string {
	s := fmt.Sprintf("top %d recovered %v:", r.Top.Offset, r.Recovered)
	for _, m := range r.Messages {
		s += fmt.Sprintf(" %d=%x", m.Offset, m.Data)
	}
	return s
}

func TestStoreModel(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		model := memory.NewStore()
		d := newDurable(rt, t)
		defer func() { d.Close() }()
		keys := rapid.SampledFrom([]string{"a", "a/b", "a/c", "a0", "b", "é"})
		rt.Repeat(map[string]func(*rapid.T){
			"commit": func(t *rapid.T) {
				var a, b []broker.Op
				for range rapid.IntRange(1, 4).Draw(t, "ops") {
					key := keys.Draw(t, "key")
					inMemory, _ := model.Get(ctx, key)
					onDisk, _ := d.Store().Get(ctx, key)
					op := broker.Op{Key: key, Value: rapid.SampledFrom([][]byte{nil, {}, []byte("x"), []byte("yy")}).Draw(t, "value")}
					other := op
					switch rapid.IntRange(0, 4).Draw(t, "condition") {
					case 0, 1:
						op.Revision, other.Revision = broker.AnyRevision, broker.AnyRevision
					case 2:
						op.Revision, other.Revision = 0, 0
					case 3:
						op.Revision, other.Revision = inMemory.Revision, onDisk.Revision
					case 4:
						op.Revision, other.Revision = inMemory.Revision+1, onDisk.Revision+1
					}
					a, b = append(a, op), append(b, other)
				}
				x, errA := model.Commit(ctx, a...)
				y, errB := d.Store().Commit(ctx, b...)
				sameError(t, errA, errB)
				for i := range x {
					if (x[i] == 0) != (y[i] == 0) {
						t.Fatalf("memory gave revisions %v, pebble %v", x, y)
					}
				}
			},
			"list": func(t *rapid.T) {
				prefix := rapid.SampledFrom([]string{"", "a", "a/", "c"}).Draw(t, "prefix")
				after := rapid.SampledFrom([]string{"", "a", "a/b", "a/bb", "z"}).Draw(t, "after")
				limit := rapid.IntRange(0, 7).Draw(t, "limit")
				x, errA := model.List(ctx, prefix, after, limit)
				y, errB := d.Store().List(ctx, prefix, after, limit)
				sameError(t, errA, errB)
				same := func(a, b broker.Record) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) }
				if !slices.EqualFunc(x, y, same) {
					t.Fatalf("memory lists %v\npebble lists %v", x, y)
				}
			},
			"restart": func(t *rapid.T) { d.reopen(t) },
		})
	})
}

func TestRegistryModel(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		model := memory.NewRegistry()
		defer model.Close()
		d := newDurable(rt, t)
		defer func() { d.Close() }()
		keys := rapid.SampledFrom([]string{"nonce.a", "nonce.b", "n"})
		owners := rapid.SampledFrom([]string{"anna", "bert"})
		leases := map[string][2]broker.Lease{}
		sameValue := func(t *rapid.T, a, b any) {
			if fmt.Sprint(a) != fmt.Sprint(b) {
				t.Fatalf("memory says %v, pebble says %v", a, b)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				key, value := keys.Draw(t, "key"), []byte(rapid.SampledFrom([]string{"", "7", "x"}).Draw(t, "value"))
				sameError(t, model.Set(ctx, key, value, time.Hour), d.Registry().Set(ctx, key, value, time.Hour))
			},
			"create": func(t *rapid.T) {
				key := keys.Draw(t, "key")
				sameError(t, model.Create(ctx, key, []byte("1"), time.Hour), d.Registry().Create(ctx, key, []byte("1"), time.Hour))
			},
			"read": func(t *rapid.T) {
				key := keys.Draw(t, "key")
				call := model.Get
				other := d.Registry().Get
				if rapid.Bool().Draw(t, "take") {
					call, other = model.Take, d.Registry().Take
				}
				x, errA := call(ctx, key)
				y, errB := other(ctx, key)
				sameError(t, errA, errB)
				sameValue(t, x, y)
			},
			"change": func(t *rapid.T) {
				key := keys.Draw(t, "key")
				sameError(t, model.Touch(ctx, key, time.Hour), d.Registry().Touch(ctx, key, time.Hour))
				if rapid.Bool().Draw(t, "delete") {
					sameError(t, model.Delete(ctx, key), d.Registry().Delete(ctx, key))
				}
				x, errA := model.Count(ctx, key, 3, time.Hour)
				y, errB := d.Registry().Count(ctx, key, 3, time.Hour)
				sameError(t, errA, errB)
				sameValue(t, x, y)
			},
			"list": func(t *rapid.T) {
				x, errA := model.List(ctx, "n", 10)
				y, errB := d.Registry().List(ctx, "n", 10)
				sameError(t, errA, errB)
				sameValue(t, x, y)
			},
			"acquire": func(t *rapid.T) {
				key, owner := keys.Draw(t, "key"), owners.Draw(t, "owner")
				x, errA := model.Acquire(ctx, key, owner, time.Hour)
				y, errB := d.Registry().Acquire(ctx, key, owner, time.Hour)
				sameError(t, errA, errB)
				if errA == nil {
					sameValue(t, x.Token, y.Token)
					leases[key] = [2]broker.Lease{x, y}
				}
			},
			"keep": func(t *rapid.T) {
				both := leases[keys.Draw(t, "key")]
				if both[0].Token == 0 {
					return
				}
				_, errA := model.Renew(ctx, both[0], time.Hour)
				_, errB := d.Registry().Renew(ctx, both[1], time.Hour)
				sameError(t, errA, errB)
				if rapid.Bool().Draw(t, "release") {
					sameError(t, model.Release(ctx, both[0]), d.Registry().Release(ctx, both[1]))
				}
			},
			"restart": func(t *rapid.T) { d.reopen(t) },
		})
	})
}
