package pebble

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Goal: an fsync of a log has no new size to store, but for one each walStep bytes; what Pebble wrote is what is in the file,
// and zeros follow it. Method: small writes to a new log and to a reused one, whose size is looked at after each.
func TestLogAhead(t *testing.T) {
	fs := walFS{vfs.NewMem()}
	f, err := fs.Create("000001.log", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	const count = 10_000
	line := bytes.Repeat([]byte("x"), 100)
	if sizes := writeLines(t, f, line, count); sizes > count*len(line)/walStep+1 {
		t.Errorf("a new log of %d bytes had %d sizes", count*len(line), sizes)
	}
	written := read(t, fs, "000001.log")
	if log := written[:count*len(line)]; !bytes.Equal(log, bytes.Repeat(line, count)) {
		t.Error("the log is not what was written")
	}
	if rest := written[count*len(line):]; len(bytes.Trim(rest, "\x00")) > 0 || len(rest) == 0 {
		t.Errorf("%d bytes follow that are not all zero", len(rest))
	}
	if f, err = fs.ReuseForWrite("000001.log", "000002.log", vfs.WriteCategoryUnspecified); err != nil {
		t.Fatal(err)
	}
	if sizes := writeLines(t, f, line, count); sizes != 1 {
		t.Errorf("a reused log had %d sizes", sizes)
	}
	if again := read(t, fs, "000002.log"); !bytes.Equal(again, written) {
		t.Error("the reused log is not what was written")
	}
}

// writeLines writes to the file, closes it, and returns how many sizes it had.
func writeLines(t *testing.T, f vfs.File, line []byte, count int) (sizes int) {
	t.Helper()
	size := int64(-1)
	for range count {
		if _, err := f.Write(bytes.Clone(line)); err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() != size {
			size = info.Size()
			sizes++
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return sizes
}

func read(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// Goal: a disk that has no room for the zeros may still have some for the log. Method: every write of zeros fails.
func TestLogAheadFails(t *testing.T) {
	full := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWriteAt {
			return errors.New("no room")
		}
		return nil
	})
	mem := vfs.NewMem()
	f, err := walFS{errorfs.Wrap(mem, full)}.Create("000001.log", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	writeLines(t, f, []byte("line"), 3)
	if got := read(t, mem, "000001.log"); string(got) != "linelineline" {
		t.Errorf("the log is %q", got)
	}
}
