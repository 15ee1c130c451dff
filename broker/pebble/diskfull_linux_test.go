package pebble

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gosper/broker"
)

// TestFullDisk fills a real file system of 24 MiB: writes are refused with ErrDiskFull before it is full, nothing
// hangs, reads and deletes go on, and when something else is removed, writes are taken again. It needs root, for the mount.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small disk needs root: skipped")
	}
	mount := t.TempDir()
	if err := syscall.Mount("gosper-test", mount, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("a small disk could not be mounted (%v): skipped", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(mount, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 10<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	db := open(t, filepath.Join(mount, "db"), Options{MinFree: 6 << 20, MemTable: 512 << 10, CommitTimeout: patience})
	ctx := within(t)
	value := make([]byte, 32<<10)
	written := 0
	for ; ; written++ {
		rand.Read(value) // not worth compressing
		start := time.Now()
		_, err := db.Store().Put(ctx, fmt.Sprintf("fill/%06d", written), value)
		if errors.Is(err, broker.ErrDiskFull) {
			if took := time.Since(start); took > patience/2 { // at once, and not when the time of a commit is over
				t.Errorf("the refusal took %s", took)
			}
			break
		}
		if err != nil {
			t.Fatalf("write %d: %v", written, err)
		}
	}
	if written == 0 {
		t.Fatal("nothing could be written")
	}
	for i := range written {
		if r, err := db.Store().Get(ctx, fmt.Sprintf("fill/%06d", i)); err != nil || len(r.Value) != len(value) {
			t.Fatalf("record %d of %d: %d bytes, %v", i, written, len(r.Value), err)
		}
	}
	eventually(t, "a delete is taken", func() bool { // a compaction may hold the last room for a moment
		return db.Store().Delete(ctx, "fill/000000", broker.AnyRevision) == nil
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	eventually(t, "writes are taken again", func() bool {
		_, err := db.Store().Put(ctx, "after", nil)
		return err == nil
	})
	if took := time.Since(start); took > patience/2 { // the disk is looked at again and again
		t.Errorf("that took %s", took)
	}
	t.Logf("refused after %d writes of 32 KiB", written)
}
