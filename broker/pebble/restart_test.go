package pebble

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gosper/broker"
)

// reopen closes db and opens its folder again.
func reopen(t testing.TB, db *DB, o Options) *DB {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	o.FS = db.opts.FS
	return open(t, db.dir, o)
}

// TestRestart checks what comes back and what does not.
func TestRestart(t *testing.T) {
	db := open(t, t.TempDir(), Options{})
	ctx := within(t)
	revision, err := db.Store().Put(ctx, "kept", []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	deleted, err := db.Store().Put(ctx, "deleted", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		db.Store().Delete(ctx, "deleted", deleted),
		db.Registry().Set(ctx, "nonce.a", []byte("n"), time.Hour),
		db.Registry().Set(ctx, "nonce.ends", nil, time.Millisecond),
		db.Registry().Set(ctx, "presence.a", nil, time.Hour),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if n, err := db.Registry().Count(ctx, "counter", 5, time.Hour); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	lease, err := db.Registry().Acquire(ctx, "game.1", "node-a", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var at broker.Position
	for i := range 5 {
		if at, err = publishWait(db.Bus(), "chat.0.public", fmt.Append(nil, i), broker.Keep{Messages: 3}); err != nil {
			t.Fatal(err)
		}
	}

	db = reopen(t, db, Options{})

	r, err := db.Store().Get(ctx, "kept")
	if err != nil || string(r.Value) != "v" || r.Revision != revision {
		t.Errorf("record %+v, %v", r, err)
	}
	if again, err := db.Store().Create(ctx, "deleted", nil); err != nil || again <= deleted {
		t.Errorf("a deleted key came back with revision %d after %d, %v", again, deleted, err)
	}
	if v, err := db.Registry().Get(ctx, "nonce.a"); err != nil || string(v) != "n" {
		t.Errorf("nonce %q, %v", v, err)
	}
	for _, key := range []string{"nonce.ends", "presence.a"} {
		if _, err := db.Registry().Get(ctx, key); !errors.Is(err, broker.ErrNotFound) {
			t.Errorf("%s is still there: %v", key, err)
		}
	}
	if n, err := db.Registry().Count(ctx, "counter", 1, time.Hour); n != 6 || err != nil {
		t.Errorf("counter %d, %v", n, err)
	}
	if _, err := db.Registry().Acquire(ctx, "game.1", "node-b", time.Hour); !errors.Is(err, broker.ErrHeld) {
		t.Errorf("the lease was free: %v", err)
	}
	if _, err := db.Registry().Renew(ctx, lease, time.Hour); err != nil {
		t.Errorf("the holder could not renew: %v", err)
	}
	if err := db.Registry().Release(ctx, lease); err != nil {
		t.Error(err)
	}
	if next, err := db.Registry().Acquire(ctx, "game.1", "node-b", time.Hour); err != nil || next.Token <= lease.Token {
		t.Errorf("lease %+v after token %d, %v", next, lease.Token, err)
	}
	h, err := db.Bus().History(ctx, "chat.0.public", broker.Position{Epoch: at.Epoch, Offset: at.Offset - 1}, 10)
	if err != nil || !h.Recovered || len(h.Messages) != 1 || h.Top != at {
		t.Errorf("history %+v, %v", h, err)
	}
	next, err := publishWait(db.Bus(), "chat.0.public", []byte("5"), broker.Keep{Messages: 3})
	if err != nil || next != (broker.Position{Epoch: at.Epoch, Offset: at.Offset + 1}) {
		t.Errorf("position %v after %v, %v", next, at, err)
	}
}

// TestStart measures the start in an empty folder: the least of a few, and of more while the machine may be busy, beside what
// its disk takes for some small files.
func TestStart(t *testing.T) {
	best, files := time.Hour, time.Hour
	most := func() time.Duration { return max(100*time.Millisecond, 10*files) }
	for n := 0; n < 5 || n < 100 && best > most(); n++ {
		files = min(files, smallFiles(t))
		start := time.Now()
		db, err := Open(filepath.Join(t.TempDir(), "new"), testOptions(t, Options{}))
		best = min(best, time.Since(start))
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("an empty folder opens in %s; ten small files take %s", best, files)
	if best > most() {
		t.Errorf("an empty folder opens in %s, and may take %s", best, most())
	}
}

// smallFiles makes ten files, each safe on disk, and returns how long that took.
func smallFiles(t *testing.T) time.Duration {
	t.Helper()
	dir, start := t.TempDir(), time.Now()
	for i := range 10 {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(start)
}

// TestRefusals opens what must be refused, and looks for a message that says what to do.
func TestRefusals(t *testing.T) {
	refuse := func(what, dir string, o Options, want error, says string) {
		t.Helper()
		db, err := Open(dir, testOptions(t, o))
		if err == nil {
			db.Close()
			t.Errorf("%s was opened", what)
			return
		}
		if want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", what, err)
		}
	}
	dir := t.TempDir()
	db := open(t, dir, Options{})
	refuse("a folder in use", dir, Options{}, ErrLocked, "stop it")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	mark := filepath.Join(dir, markName)
	good, err := os.ReadFile(mark)
	if err != nil {
		t.Fatal(err)
	}
	rewrite := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rewrite(mark, []byte("12\n00000000\n"))
	refuse("a damaged mark", dir, Options{}, ErrDamaged, "backup")
	if err := writeMark(vfs.Default, dir, 1<<40); err != nil {
		t.Fatal(err)
	}
	refuse("a store that lost commits", dir, Options{}, ErrDamaged, "backup")
	rewrite(mark, good)
	open(t, dir, Options{}).Close()

	manifests, err := filepath.Glob(filepath.Join(dir, "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatal(manifests, err)
	}
	for _, name := range manifests {
		rewrite(name, []byte("this is no manifest"))
	}
	refuse("a store with a damaged manifest", dir, Options{}, ErrDamaged, "backup")

	newer := t.TempDir()
	db = open(t, newer, Options{})
	if err := db.pebble.Set(metaFormat, number(layoutVersion+1), nil); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	refuse("a newer layout", newer, Options{}, errNewer, "newer program")
	if _, err := Open("x", Options{Queue: -1}); err == nil || !strings.Contains(err.Error(), "Queue") {
		t.Errorf("bad options: %v", err)
	}
}

// TestLockedByProcess lets another process hold the folder: the child of the kill test.
func TestLockedByProcess(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	if _, err := out.Read(make([]byte, 1)); err != nil { // it is at work
		t.Fatal(err)
	}
	if db, err := Open(dir, testOptions(t, Options{})); !errors.Is(err, ErrLocked) {
		t.Errorf("open got %v", err)
		if err == nil {
			db.Close()
		}
	}
}

// TestIdleHistory drops the history of subjects nobody publishes to: an old position is then not recovered, and no offset
// is given twice, across a restart too.
func TestIdleHistory(t *testing.T) {
	o := Options{HistoryIdle: time.Millisecond}
	db := open(t, t.TempDir(), o)
	ctx := within(t)
	var at broker.Position
	for range 7 {
		var err error
		if at, err = publishWait(db.Bus(), "idle", nil, broker.Keep{Messages: 10}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the subject is dropped", func() bool {
		if err := db.committer.offer(&sweep{janitor: &db.bus.janitor}); err != nil {
			t.Fatal(err)
		}
		h, err := db.Bus().History(ctx, "idle", broker.Position{}, 10)
		return err == nil && len(h.Messages) == 0
	})
	for range 2 {
		h, err := db.Bus().History(ctx, "idle", broker.Position{Epoch: at.Epoch, Offset: 3}, 10)
		if err != nil || h.Recovered || h.Top != at {
			t.Errorf("history %+v, %v", h, err)
		}
		db = reopen(t, db, o)
	}
	next, err := publishWait(db.Bus(), "idle", nil, broker.Keep{Messages: 10})
	if err != nil || next != (broker.Position{Epoch: at.Epoch, Offset: at.Offset + 1}) {
		t.Errorf("position %v after %v, %v", next, at, err)
	}
	if rows := countRows(t, db, spaceMessage); rows != 1 {
		t.Errorf("%d messages are on disk", rows)
	}
}

func countRows(t *testing.T, db *DB, space byte) (rows int) {
	t.Helper()
	if err := db.scan(space, func(_, _ []byte) error { rows++; return nil }); err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestHistoryBounds publishes to many subjects with little memory: only some stay loaded, all are answered, and the disk
// holds what Keep allows and no more.
func TestHistoryBounds(t *testing.T) {
	const subjects, each, keep = 60, 20, 4
	db := open(t, "db", Options{FS: vfs.NewMem(), HistoryMemory: 20 << 10})
	ctx := within(t)
	for i := range each {
		answers := make(chan error, subjects)
		for s := range subjects {
			db.Bus().Publish(fmt.Sprint("s", s), fmt.Append(nil, i), broker.Keep{Messages: keep}, func(_ broker.Position, err error) { answers <- err })
		}
		for range subjects { // of each: a subject in memory does not tell of what is on its way
			if err := <-answers; err != nil {
				t.Fatal(err)
			}
		}
	}
	for s := range subjects {
		h, err := db.Bus().History(ctx, fmt.Sprint("s", s), broker.Position{}, 100)
		if err != nil || len(h.Messages) != keep || string(h.Messages[keep-1].Data) != fmt.Sprint(each-1) || h.Top.Offset != each {
			t.Errorf("subject %d: %+v, %v", s, h, err)
		}
	}
	if rows := countRows(t, db, spaceMessage); rows != subjects*keep {
		t.Errorf("%d messages are on disk, want %d", rows, subjects*keep)
	}
	db.bus.mu.RLock()
	loaded, oldest := db.bus.topics.Len(), db.bus.topics.Oldest()
	db.bus.mu.RUnlock()
	if loaded == 0 || loaded == subjects {
		t.Errorf("%d subjects of %d are loaded (oldest %+v)", loaded, subjects, oldest)
	}
}

// TestCollect checks that ended keys leave memory and disk, by the timer alone.
func TestCollect(t *testing.T) {
	db := open(t, "db", Options{FS: vfs.NewMem()})
	ctx := within(t)
	for i := range 50 {
		if err := db.Registry().Set(ctx, fmt.Sprint("nonce.", i), nil, 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Registry().Acquire(ctx, "lease", "anna", 20*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is left", func() bool {
		db.registry.mu.RLock()
		defer db.registry.mu.RUnlock()
		return db.registry.keys.Len() == 0 && db.registry.leases.Len() == 0
	})
	if rows := countRows(t, db, spaceKey) + countRows(t, db, spaceLease); rows != 0 {
		t.Errorf("%d rows are on disk", rows)
	}
}

// TestClosed uses everything after Close.
func TestClosed(t *testing.T) {
	db := open(t, "db", Options{FS: vfs.NewMem()})
	ctx := within(t)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, get := db.Store().Get(ctx, "a")
	_, put := db.Store().Put(ctx, "a", nil)
	_, list := db.Store().List(ctx, "a", "", 1)
	_, take := db.Registry().Take(ctx, "a")
	_, read := db.Registry().Get(ctx, "a")
	_, live := publishWait(db.Bus(), "a", nil, broker.Keep{})
	_, kept := publishWait(db.Bus(), "a", nil, broker.Keep{Messages: 1})
	_, past := db.Bus().History(ctx, "a", broker.Position{}, 1)
	_, join := db.Bus().Subscribe("a", broker.Handler{})
	for i, err := range []error{get, put, list, take, read, live, kept, past, join, db.Health()} {
		if !errors.Is(err, broker.ErrClosed) {
			t.Errorf("call %d got %v", i, err)
		}
	}
}
