package pebble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gosper/broker"
)

const (
	damageRecords  = 3000
	damageMessages = 40
)

// TestFlippedBits flips one bit in each file of a closed database in turn, at several places, and opens it: either it is
// refused, or a read fails, or every answer is right. A record that is silently gone counts as wrong.
func TestFlippedBits(t *testing.T) {
	original := vfs.NewMem()
	epoch := fillForDamage(t, original)
	names, err := original.List("db")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(7, 7))
	refused, failed, unharmed := 0, 0, 0
	for _, name := range names {
		for range 24 / slowdown {
			disk := vfs.NewMem()
			if _, err := vfs.Clone(original, disk, "db", "db"); err != nil {
				t.Fatal(err)
			}
			at, size := flip(t, disk, "db/"+name, random)
			if size == 0 {
				break
			}
			switch err := readDamaged(t, disk, epoch); {
			case errors.Is(err, errWrong):
				t.Errorf("bit %d of %s (%d bytes): %v", at, name, size, err)
			case errors.Is(err, errRefused):
				refused++
			case err != nil:
				failed++
			default:
				unharmed++
			}
		}
	}
	t.Logf("%d refused, %d noticed while reading, %d harmless, 0 wrong in %d files", refused, failed, unharmed, len(names))
}

func fillForDamage(t *testing.T, disk vfs.FS) (epoch uint64) {
	db, err := Open("db", testOptions(t, Options{FS: disk, MemTable: 64 << 10}))
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	for i := 0; i < damageRecords; i += 100 {
		var ops []broker.Op
		for j := i; j < i+100; j++ {
			ops = append(ops, broker.OpCreate(fmt.Sprintf("rec/%06d", j), damageValue(j)))
		}
		if _, err := db.Store().Commit(ctx, ops...); err != nil {
			t.Fatal(err)
		}
	}
	for i := range damageMessages {
		if _, err := publishWait(db.Bus(), "a.b", fmt.Append(nil, i), broker.Keep{Messages: 2 * damageMessages}); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Registry().Set(ctx, "nonce", []byte("n"), time.Hour); err != nil {
		t.Fatal(err)
	}
	epoch = db.bus.epoch
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return epoch
}

func damageValue(i int) []byte { return []byte(strings.Repeat(fmt.Sprintf("value %d ", i*7919), 6)) }

// flip changes one random bit of a file and returns its place; size 0 means that there was none.
func flip(t *testing.T, disk *vfs.MemFS, name string, random *rand.Rand) (bit, size int) {
	t.Helper()
	info, err := disk.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if info.IsDir() || info.Size() == 0 {
		return 0, 0
	}
	f, err := disk.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	bit = random.IntN(8 * len(data))
	data[bit/8] ^= 1 << (bit % 8)
	w, err := disk.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Sync(), w.Close()); err != nil {
		t.Fatal(err)
	}
	return bit, len(data)
}

var (
	errWrong   = errors.New("wrong data without an error")
	errRefused = errors.New("refused at the start")
)

// readDamaged opens the database and reads all of it.
func readDamaged(t *testing.T, disk vfs.FS, epoch uint64) error {
	t.Helper()
	fatal := errors.New("")
	db, err := Open("db", Options{FS: disk, MemTable: 64 << 10, MinFree: 1, Log: quiet, Fatal: func(err error) { fatal = err }})
	if err != nil {
		if !strings.Contains(err.Error(), "backup") && !strings.Contains(err.Error(), "newer") {
			t.Errorf("the refusal does not say what to do: %v", err)
		}
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	defer db.Close()
	if fatal.Error() != "" {
		return fatal
	}
	ctx := context.Background()
	all, err := db.Store().List(ctx, "rec/", "", 2*damageRecords)
	if err != nil {
		return err
	}
	if len(all) != damageRecords {
		return fmt.Errorf("%w: %d records of %d", errWrong, len(all), damageRecords)
	}
	for i, r := range all {
		if r.Key != fmt.Sprintf("rec/%06d", i) || string(r.Value) != string(damageValue(i)) {
			return fmt.Errorf("%w: record %d is %s=%q", errWrong, i, r.Key, r.Value)
		}
	}
	if value, err := db.Registry().Get(ctx, "nonce"); err != nil || string(value) != "n" {
		return fmt.Errorf("%w: nonce %q, %w", errWrong, value, err)
	}
	r, err := db.Bus().History(ctx, "a.b", broker.Position{Epoch: epoch}, 2*damageMessages)
	if err != nil {
		return err
	}
	if len(r.Messages) != damageMessages || !r.Recovered {
		return fmt.Errorf("%w: %d messages of %d, recovered %v", errWrong, len(r.Messages), damageMessages, r.Recovered)
	}
	for i, m := range r.Messages {
		if string(m.Data) != fmt.Sprint(i) {
			return fmt.Errorf("%w: message %d is %q", errWrong, i, m.Data)
		}
	}
	return nil
}
