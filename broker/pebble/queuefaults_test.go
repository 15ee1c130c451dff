package pebble

import (
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
	"gosper/broker/brokertest"
)

// TestQueueRestart closes a database with jobs in every state: reserved ones are ready again, the order and the counters
// are kept, old tokens are worth nothing, ids and tokens grow, unique texts hold.
func TestQueueRestart(t *testing.T) {
	db := open(t, t.TempDir(), Options{})
	v := brokertest.Verbs{T: t, Q: db.Queue()}
	a, b := v.Put("t", "a", 5, 0), v.Put("t", "b", 1, 0)
	d := v.Put("t", "d", 0, time.Hour)
	u, err := v.TryPut("t", "u", broker.PutOptions{Priority: 9, Unique: "u"})
	if err != nil {
		t.Fatal(err)
	}
	job, err := v.Reserve(1, "t")
	if err != nil || job.ID != b {
		t.Fatal(job, err)
	}
	other, _ := v.ReserveID(1, a)
	if err := v.Bury(a, other.Lease, 5, "why"); err != nil {
		t.Fatal(err)
	}
	db = reopen(t, db, Options{})
	v.Q = db.Queue()
	if s, err := v.Q.Stats("t"); err != nil || s.Ready != 2 || s.Buried != 1 || s.Delayed != 1 || s.Reserved != 0 || s.Urgent != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := v.Delete(b, job.Lease); !errors.Is(err, broker.ErrNotFound) {
		t.Errorf("an old token deletes: %v", err)
	}
	again, err := v.Reserve(1, "t")
	if err != nil || again.ID != b || again.Lease <= job.Lease {
		t.Errorf("%+v after token %d, %v", again, job.Lease, err)
	}
	if j, err := v.Q.Peek(within(t), a); err != nil || j.State != broker.JobBuried || j.Reason != "why" || j.Reserves != 1 || j.Buries != 1 {
		t.Errorf("%+v, %v", j, err)
	}
	if j, err := v.Q.Peek(within(t), d); err != nil || j.State != broker.JobDelayed || j.Delay != time.Hour {
		t.Errorf("%+v, %v", j, err)
	}
	if id, err := v.TryPut("t", "u", broker.PutOptions{Unique: "u"}); id != u || !errors.Is(err, broker.ErrExists) {
		t.Errorf("job %d, %v", id, err)
	}
	if id := v.Put("t", "new", 0, 0); id <= u {
		t.Errorf("job %d after %d", id, u)
	}
}

// TestOverdue sets timers, closes the database until they are due, and opens it: they fire at once and in order.
func TestOverdue(t *testing.T) {
	var wall atomic.Int64
	o := Options{Jobs: broker.QueueOptions{Now: func() time.Time { return time.UnixMilli(wall.Load()) }}}
	db := open(t, t.TempDir(), o)
	for i := range 300 {
		due := 1 + i*7919%3001
		m := broker.Timer{Key: fmt.Sprint(i), Due: time.UnixMilli(int64(due)), Tube: "t", Body: fmt.Append(nil, due)}
		if err := db.Schedule().Set(within(t), m); err != nil {
			t.Fatal(err)
		}
	}
	wall.Store(5000)
	db = reopen(t, db, o)
	v := brokertest.Verbs{T: t, Q: db.Queue()}
	last := 0
	for range 300 {
		j, err := v.ReserveWait(1, patience, "t")
		var due int
		if _, scan := fmt.Sscan(string(j.Body), &due); err != nil || scan != nil || due <= last {
			t.Fatalf("%q came after %d, %v", j.Body, last, err)
		}
		last = due
		if err := v.Delete(j.ID, j.Lease); err != nil {
			t.Fatal(err)
		}
	}
	if db.Schedule().Pending() != 0 {
		t.Errorf("%d timers are left", db.Schedule().Pending())
	}
}

// TestQueueSyncFails makes every fsync fail while producers put: none is answered with success from then on.
func TestQueueSyncFails(t *testing.T) {
	var broken atomic.Bool
	fs, toggle := faulty(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo) {
			broken.Store(true)
			return syscall.EIO
		}
		return nil
	})
	var fatal, acked, late atomic.Int32
	db, err := Open("db", testOptions(t, Options{FS: fs, Fatal: func(error) { fatal.Add(1) }}))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() // its log can not be closed: the error is expected
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			v := brokertest.Verbs{T: t, Q: db.Queue()}
			for {
				before := broken.Load()
				if _, err := v.TryPut("t", "x", broker.PutOptions{}); err != nil {
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
}

// TestQueueWatermark lets the disk get nearly full: puts and timers are refused with ErrDiskFull and at once, workers go
// on until it is worse, and what came due meanwhile comes when there is room.
func TestQueueWatermark(t *testing.T) {
	disk := &smallDisk{FS: vfs.NewMem()}
	const low = 10 << 20
	disk.free.Store(2 * low)
	db := open(t, "db", Options{FS: disk, MinFree: low})
	v := brokertest.Verbs{T: t, Q: db.Queue()}
	v.Put("t", "a", 0, 0)
	b := v.Put("t", "b", 0, 0)
	due := time.Now().Add(100 * time.Millisecond)
	if err := db.Schedule().Set(within(t), broker.Timer{Key: "k", Due: due, Tube: "late", Body: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	disk.free.Store(low - 1)
	eventually(t, "the free space is noticed", func() bool {
		_, err := v.TryPut("t", "x", broker.PutOptions{})
		return errors.Is(err, broker.ErrDiskFull)
	})
	if err := db.Schedule().Set(within(t), broker.Timer{Key: "l", Tube: "late"}); !errors.Is(err, broker.ErrDiskFull) {
		t.Errorf("a timer was taken: %v", err)
	}
	j, err := v.Reserve(1, "t")
	if err != nil || v.Delete(j.ID, j.Lease) != nil {
		t.Errorf("a worker can not finish: %v", err)
	}
	disk.free.Store(low/2 - 1)
	if _, err := v.ReserveID(2, b); err != nil {
		t.Errorf("a reservation was refused: %v", err)
	}
	if err := v.Delete(b, 0); err == nil {
		t.Error("a reserved job was deleted")
	}
	db.Queue().EndOwner(2)
	eventually(t, "the timer is due on a full disk", func() bool { return time.Now().After(due) })
	disk.free.Store(2 * low)
	for i, tube := range []string{"t", "late"} {
		if _, err := v.ReserveWait(uint64(3+i), patience, tube); err != nil {
			t.Errorf("no job came in tube %s: %v", tube, err)
		}
	}
}
