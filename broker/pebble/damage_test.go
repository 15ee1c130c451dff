package pebble

import (
	"bytes"
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

// TestFlippedBits flips one bit in each file of a closed database in turn, at random places and inside rows of jobs,
// timers and logs, and opens it: either it is refused, or a read fails, or every answer is right. A row that is silently
// gone counts as wrong.
func TestFlippedBits(t *testing.T) {
	original := vfs.NewMem()
	epoch := fillForDamage(t, original)
	names, err := original.List("db")
	if err != nil {
		t.Fatal(err)
	}
	if err := readDamaged(t, copyOf(t, original), epoch); err != nil {
		t.Fatalf("the undamaged copy: %v", err)
	}
	random := rand.New(rand.NewPCG(7, 7))
	var seen outcomes
	for _, name := range names {
		for range 24 / slowdown {
			seen.try(t, original, name, epoch, func(data []byte) int { return random.IntN(8 * len(data)) })
		}
	}
	t.Logf("anywhere in %d files: %+v", len(names), seen)
	for _, text := range damageTexts {
		var inside outcomes
		for _, name := range names {
			for range max(1, 4/slowdown) {
				inside.try(t, original, name, epoch, func(data []byte) int { return bitIn(data, text, random) })
			}
		}
		if inside.refused+inside.noticed == 0 {
			t.Errorf("no damage inside %q was seen", text)
		}
		t.Logf("inside %q: %+v", text, inside)
	}
}

// outcomes counts what came of flipped bits.
type outcomes struct{ refused, noticed, harmless, wrong int }

// try flips the bit that choose names in a copy of the disk and reads everything there.
func (o *outcomes) try(t *testing.T, original *vfs.MemFS, name string, epoch uint64, choose func([]byte) int) {
	t.Helper()
	disk := copyOf(t, original)
	at, size := flip(t, disk, "db/"+name, choose)
	if size == 0 {
		return
	}
	switch err := readDamaged(t, disk, epoch); {
	case errors.Is(err, errWrong):
		o.wrong++
		t.Errorf("bit %d of %s (%d bytes): %v", at, name, size, err)
	case errors.Is(err, errRefused):
		o.refused++
	case err != nil:
		o.noticed++
	default:
		o.harmless++
	}
}

func copyOf(t *testing.T, original *vfs.MemFS) *vfs.MemFS {
	t.Helper()
	disk := vfs.NewMem()
	if _, err := vfs.Clone(original, disk, "db", "db"); err != nil {
		t.Fatal(err)
	}
	return disk
}

// bitIn returns a bit of one of the places where data holds text; -1 when there is none.
func bitIn(data []byte, text string, random *rand.Rand) int {
	places := make([]int, 0, 8)
	for from := 0; ; from++ {
		i := bytes.Index(data[from:], []byte(text))
		if i < 0 {
			break
		}
		from += i
		places = append(places, from)
	}
	if len(places) == 0 {
		return -1
	}
	return 8*places[random.IntN(len(places))] + random.IntN(8*len(text))
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
	fillDamagedJobs(t, db, 0)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	// The second half stays in the log, where rows are not compressed: their texts are found there.
	if db, err = Open("db", testOptions(t, Options{FS: disk})); err != nil {
		t.Fatal(err)
	}
	fillDamagedJobs(t, db, 1)
	epoch = db.bus.epoch
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return epoch
}

func damageValue(i int) []byte { return []byte(strings.Repeat(fmt.Sprintf("value %d ", i*7919), 6)) }

// flip changes the bit of a file that choose names and returns its place; size 0 means that there was none.
func flip(t *testing.T, disk *vfs.MemFS, name string, choose func([]byte) int) (bit, size int) {
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
	if bit = choose(data); bit < 0 {
		return 0, 0
	}
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
	db, err := Open("db", Options{FS: disk, MemTable: 64 << 10, MinFree: 1, CommitTimeout: patience, Log: quiet, Fatal: func(err error) { fatal = err }})
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
	return errors.Join(readRows(db, epoch), readDamagedJobs(db), readDamagedTimers(db), readDamagedLog(db))
}

// readRows reads what fillForDamage wrote of the store, the registry and the bus.
func readRows(db *DB, epoch uint64) error {
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
