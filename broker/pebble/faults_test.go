package pebble

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"gosper/broker"
)

// eventually polls until ok, and fails the test when patience ends.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-tick.C {
		if ok() {
			return
		}
	}
	t.Fatalf("waited %s in vain: %s", patience, what)
}

// faulty is a file system in memory whose operations can be made to fail.
func faulty(fails func(errorfs.Op) error) (vfs.FS, *errorfs.Toggle) {
	toggle := &errorfs.Toggle{Injector: errorfs.InjectorFunc(fails)}
	return errorfs.Wrap(vfs.NewMem(), toggle), toggle
}

// TestLogSyncFails makes every fsync of the log fail while writers are at work: Fatal is called, and nothing is
// acknowledged from the first failure on.
func TestLogSyncFails(t *testing.T) {
	var broken atomic.Bool // an fsync has failed
	fs, toggle := faulty(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo) {
			broken.Store(true)
			return syscall.EIO
		}
		return nil
	})
	var fatal atomic.Int32
	db, err := Open("db", testOptions(t, Options{FS: fs, Fatal: func(error) { fatal.Add(1) }}))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() // its log can not be closed: the error is expected
	var wait sync.WaitGroup
	var acked, late atomic.Int32
	for i := range 8 {
		wait.Go(func() {
			for n := 0; ; n++ {
				before := broken.Load()
				_, err := db.Store().Create(context.Background(), fmt.Sprintf("%d/%d", i, n), nil)
				if err != nil {
					return
				}
				if before {
					late.Add(1)
				}
				if acked.Add(1) == 200 {
					toggle.On()
				}
			}
		})
	}
	wait.Wait()
	if fatal.Load() == 0 || late.Load() != 0 {
		t.Errorf("Fatal was called %d times; %d acknowledgements after the failure", fatal.Load(), late.Load())
	}
	if err := db.Health(); err == nil || !errors.Is(err, broker.ErrClosed) {
		t.Errorf("health is %v", err)
	}
	if _, err := publishWait(db.Bus(), "a", nil, broker.Keep{Messages: 1}); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("a publish got %v", err)
	}
}

// TestFlushFails lets flushes fail, which makes Pebble's writers hang in the end: callers get ErrTimeout, later ones are
// refused at once, publishes are answered too, reads go on, and all is well again when the fault is gone. A full disk is
// known as such, so there the refusal may come before anything hangs.
func TestFlushFails(t *testing.T) {
	for _, c := range []struct {
		fault       syscall.Errno
		first, then error
	}{
		{syscall.EIO, broker.ErrTimeout, broker.ErrBusy},
		{syscall.ENOSPC, broker.ErrDiskFull, broker.ErrDiskFull},
	} {
		t.Run(c.fault.Error(), func(t *testing.T) { flushFails(t, c.fault, c.first, c.then) })
	}
}

func flushFails(t *testing.T, fault syscall.Errno, first, then error) {
	fs, toggle := faulty(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".sst") && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return fault
		}
		return nil
	})
	const timeout = 2 * time.Second
	db := open(t, "db", Options{FS: fs, MemTable: 64 << 10, CommitTimeout: timeout})
	ctx := within(t)
	if _, err := db.Store().Put(ctx, "before", []byte("x")); err != nil {
		t.Fatal(err)
	}
	toggle.On()
	value := make([]byte, 16<<10)
	var err error
	for n := 0; err == nil; n++ {
		_, err = db.Store().Put(ctx, fmt.Sprint("fill/", n), value)
	}
	if !errors.Is(err, first) && !errors.Is(err, broker.ErrTimeout) {
		t.Fatalf("writing ended with %v, want %v", err, first)
	}
	eventually(t, "writes are refused at once", func() bool {
		start := time.Now()
		_, err := db.Store().Put(ctx, "during", nil)
		return errors.Is(err, then) && time.Since(start) < timeout
	})
	if _, err := publishWait(db.Bus(), "a.b", []byte("x"), broker.Keep{Messages: 1}); !errors.Is(err, then) {
		t.Errorf("a publish got %v", err)
	}
	if err := db.Health(); !errors.Is(err, then) {
		t.Errorf("health is %v", err)
	}
	if r, err := db.Store().Get(ctx, "before"); err != nil || string(r.Value) != "x" {
		t.Errorf("a read got %+v, %v", r, err)
	}
	toggle.Off()
	start := time.Now()
	eventually(t, "writes are taken again", func() bool {
		_, err := db.Store().Put(ctx, "after", nil)
		return err == nil
	})
	if took := time.Since(start); took > patience/2 { // the disk is looked at again and again
		t.Errorf("that took %s", took)
	}
	eventually(t, "health returns", func() bool { return db.Health() == nil })
}

// smallDisk is a file system that says how much is free.
type smallDisk struct {
	vfs.FS
	free atomic.Uint64
}

func (d *smallDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: d.free.Load()}, nil
}

// TestWatermark walks the free space down and up: first only what frees space is welcome, then nothing, then all again.
// Reads and messages without history never mind.
func TestWatermark(t *testing.T) {
	disk := &smallDisk{FS: vfs.NewMem()}
	const low = 10 << 20
	disk.free.Store(2 * low)
	db := open(t, "db", Options{FS: disk, MinFree: low})
	ctx := within(t)
	for _, key := range []string{"a", "b"} {
		if _, err := db.Store().Put(ctx, key, nil); err != nil {
			t.Fatal(err)
		}
		if err := db.Registry().Set(ctx, "nonce."+key, []byte("x"), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, err, want error) {
		t.Helper()
		if want == nil && err != nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	try := func(key string, write, free error) {
		t.Helper()
		_, err := db.Store().Put(ctx, key+".new", nil)
		check("put", err, write)
		check("set", db.Registry().Set(ctx, "nonce.new", nil, time.Hour), write)
		_, err = publishWait(db.Bus(), "kept", nil, broker.Keep{Messages: 1})
		check("publish with history", err, write)
		_, err = publishWait(db.Bus(), "live", nil, broker.Keep{})
		check("publish without history", err, nil)
		check("presence", db.Registry().Set(ctx, "presence.x", nil, time.Hour), nil)
		_, err = db.Registry().Take(ctx, "nonce."+key)
		check("take", err, free)
		check("delete", db.Store().Delete(ctx, key, broker.AnyRevision), free)
		_, err = db.Bus().History(ctx, "unknown", broker.Position{}, 1)
		check("history", err, nil)
	}
	disk.free.Store(low - 1)
	eventually(t, "the free space is noticed", func() bool {
		_, err := db.Store().Put(ctx, "x", nil)
		return errors.Is(err, broker.ErrDiskFull)
	})
	check("health", db.Health(), broker.ErrDiskFull)
	try("a", broker.ErrDiskFull, nil)
	disk.free.Store(low/2 - 1)
	try("b", broker.ErrDiskFull, broker.ErrDiskFull)
	disk.free.Store(low)
	try("b", nil, nil)
	check("health", db.Health(), nil)
}

// slowSync delays every fsync of the log and counts them: a disk that is honest and slow.
type slowSync struct {
	vfs.FS
	delay time.Duration
	count atomic.Int64
	hangs sync.RWMutex // while it is locked no fsync ends
}

func (s *slowSync) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := s.FS.Create(name, c)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return &slowFile{f, s}, nil
}

type slowFile struct {
	vfs.File
	disk *slowSync
}

func (f *slowFile) Sync() error {
	f.disk.wait()
	return f.File.Sync()
}

func (f *slowFile) SyncData() error {
	f.disk.wait()
	return f.File.SyncData()
}

func (s *slowSync) wait() {
	s.count.Add(1)
	time.Sleep(s.delay)
	s.hangs.RLock()
	defer s.hangs.RUnlock()
}

// TestGroupCommit counts fsyncs: 64 writers on a disk with 10 ms a sync must share each among at least 16.
func TestGroupCommit(t *testing.T) {
	disk := &slowSync{FS: vfs.NewMem(), delay: 10 * time.Millisecond}
	db := open(t, "db", Options{FS: disk})
	const writers, each = 64, 20
	before := disk.count.Load()
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for i := range each {
				if _, err := db.Store().Create(context.Background(), fmt.Sprintf("%d/%d", w, i), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	syncs := disk.count.Load() - before
	t.Logf("%d fsyncs for %d creates", syncs, writers*each)
	if syncs*16 > writers*each {
		t.Errorf("%d fsyncs for %d creates of %d writers", syncs, writers*each, writers)
	}
}

// TestBusyQueue fills the queue of a database whose disk does not answer: publishes are refused at once with ErrBusy, and
// each is answered exactly once in the end.
func TestBusyQueue(t *testing.T) {
	disk := &slowSync{FS: vfs.NewMem()}
	db := open(t, "db", Options{FS: disk, Queue: 8, CommitTimeout: patience})
	const count = 100
	var busy, done atomic.Int32
	disk.hangs.Lock()
	for range count {
		db.Bus().Publish("a", nil, broker.Keep{Messages: 5}, func(_ broker.Position, err error) {
			done.Add(1)
			if errors.Is(err, broker.ErrBusy) {
				busy.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	disk.hangs.Unlock() // so far nothing was written: no publish has waited for the disk
	eventually(t, "all answers", func() bool { return done.Load() == count })
	if busy.Load() < count/2 {
		t.Errorf("only %d of %d were refused by a queue of 8", busy.Load(), count)
	}
	if n := db.bus.lane("a").pendingCount(); n != 0 {
		t.Errorf("%d messages are still counted as under way", n)
	}
}

func (l *lane) pendingCount() int {
	l.Lock()
	defer l.Unlock()
	return len(l.pending)
}

// TestCloseWhileHanging closes a database whose commit hangs: Close returns an error in bounded time.
func TestCloseWhileHanging(t *testing.T) {
	disk := &slowSync{FS: vfs.NewMem()}
	db, err := Open("db", testOptions(t, Options{FS: disk, CommitTimeout: time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	disk.hangs.Lock()
	done := make(chan error, 2)
	go func() {
		_, err := db.Store().Put(context.Background(), "a", nil)
		done <- err
	}()
	if err := <-done; !errors.Is(err, broker.ErrTimeout) {
		t.Errorf("the put got %v", err)
	}
	if err := db.Health(); !errors.Is(err, broker.ErrBusy) {
		t.Errorf("health is %v", err)
	}
	go func() { done <- db.Close() }()
	select {
	case err := <-done:
		if !errors.Is(err, broker.ErrTimeout) {
			t.Errorf("close got %v", err)
		}
	case <-time.After(patience):
		t.Error("close waits for the disk")
	}
	disk.hangs.Unlock()
	<-db.committer.idle // the commit does end; what was left open here is freed for the other tests
	close(db.courier.parcels)
	<-db.courier.idle
	db.view.close()
	if err := db.pebble.Close(); err != nil {
		t.Error(err)
	}
}
