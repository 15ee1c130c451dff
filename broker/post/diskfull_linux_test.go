package post

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gosper/broker"
)

// Goal: mails that find the disk of the files full stay accepted: they are listed, can be deleted, cannot be marked, and
// become files when there is room. Method: a real file system of 1 MiB, filled up. It needs root, for the mount.
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small disk needs root: skipped")
	}
	mount := t.TempDir()
	if err := syscall.Mount("gosper-test", mount, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small disk could not be mounted (%v): skipped", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	root := filepath.Join(mount, "mail")
	o := open(t, Options{Root: root})
	first := send(t, o, ann, Mail{})
	if got := keysOf(o.All(t.Context(), ann)); len(got) != 1 {
		t.Fatal(got)
	}
	ballast := filepath.Join(mount, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	late := []string{send(t, o, ann, Mail{Body: strings.Repeat("x", 10_000)}), send(t, o, ann, Mail{Body: strings.Repeat("y", 10_000)})}
	if got := keysOf(o.All(t.Context(), ann)); !sameSet(got, append([]string{first}, late...)) {
		t.Error("full:", got)
	}
	if cur, _, err := o.Count(t.Context(), ann); cur != 3 || err != nil {
		t.Error(cur, err)
	}
	if err := o.MarkRead(t.Context(), ann, late[0]); !errors.Is(err, broker.ErrDiskFull) {
		t.Error("mark:", err)
	}
	if err := o.Delete(t.Context(), ann, late[1]); err != nil {
		t.Error("delete:", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := o.MarkRead(t.Context(), ann, late[0]); err != nil {
		t.Error(err)
	}
	if names := strings.Join(files(t, root, ann), " "); strings.Count(names, "cur/") != 2 || strings.Contains(names, "tmp/") {
		t.Error(names)
	}
}
