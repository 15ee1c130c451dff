package pebble

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gosper/broker"
)

// cutsPerLife is how many power cuts one database lives through before the next begins with an empty disk.
const cutsPerLife = 20

// TestPowerCuts cuts the power of a database under load, again and again (GOSPER_POWER_CUTS times), at random moments: a copy of the disk is
// taken in which writes that were not synced are lost, whole or in part. Whatever was acknowledged, delivered to a
// subscriber or seen by a reader before the cut must be in the copy; what was deleted or taken must not.
func TestPowerCuts(t *testing.T) {
	lives := max(1, countFrom("GOSPER_POWER_CUTS", 2000/slowdown)/cutsPerLife)
	if testing.Short() {
		lives = 2
	}
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := report{crashes: "power cuts"}
	defer r.print(t)
	for life := 0; life < lives && !t.Failed(); life++ {
		l := newLife(t, Options{}, seed+uint64(life))
		for range cutsPerLife {
			r.check(t, l.cut(), "life %d", life)
			r.count++
		}
		r.acknowledged += l.stop()
	}
}

// TestPowerCutsControl runs the same without fsync: the test above must notice that.
func TestPowerCutsControl(t *testing.T) {
	r := report{crashes: "power cuts without fsync"}
	l := newLife(t, Options{noSync: true}, 1)
	for range cutsPerLife {
		r.note(l.cut())
		r.count++
	}
	r.acknowledged = l.stop()
	if r.print(t); r.lost+r.doubled == 0 {
		t.Error("a database that never syncs lost nothing: the test can not see a loss")
	}
}

// countFrom reads a count from the environment.
func countFrom(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return otherwise
}

// life is one database under load on a disk that can be cut off.
type life struct {
	t       testing.TB
	options Options
	random  *rand.Rand
	disk    *vfs.MemFS
	db      *DB
	epoch   uint64
	workers []*worker
	heard   []atomic.Int64 // highest offset delivered to a subscriber, by worker
	ended   atomic.Bool
	wait    sync.WaitGroup
}

func newLife(t testing.TB, o Options, seed uint64) *life {
	o.MemTable = 256 << 10 // so that flushes and compactions are cut too
	l := &life{t: t, options: testOptions(t, o), random: rand.New(rand.NewPCG(seed, 0)), disk: vfs.NewCrashableMem()}
	l.options.FS = l.disk
	db, err := Open("db", l.options)
	if err != nil {
		t.Fatal(err)
	}
	l.db, l.epoch = db, db.bus.epoch
	l.heard = make([]atomic.Int64, 8)
	for i := range l.heard {
		w := &worker{name: fmt.Sprint("w", i)}
		l.workers = append(l.workers, w)
		if _, err := db.Bus().Subscribe(w.subject(), broker.Handler{Message: func(m *broker.Message) {
			l.heard[i].Store(int64(m.Offset))
		}}); err != nil {
			t.Fatal(err)
		}
		l.wait.Go(func() {
			if err := w.run(db, &l.ended); err != nil {
				t.Error(err)
			}
		})
	}
	return l
}

// cut copies the disk as a power cut would leave it and checks what a start finds there.
func (l *life) cut() error {
	l.awaitWork(1 + l.random.IntN(8))
	before := l.seen()
	unsynced := []int{0, 50, 100}[l.random.IntN(3)]
	copied := l.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: l.random})
	after := l.acks()
	o := l.options
	o.FS, o.noSync = copied, false
	db, err := Open("db", o)
	if err != nil {
		return err
	}
	defer db.Close()
	for i, w := range l.workers {
		if err := w.verify(db, before[i], after[i], l.epoch); err != nil {
			return fmt.Errorf("%w (%d%% of unsynced data kept)", err, unsynced)
		}
	}
	return nil
}

// awaitWork waits until the first worker has done more steps.
func (l *life) awaitWork(steps int) {
	w := l.workers[l.random.IntN(len(l.workers))]
	goal := w.snapshot().Taken + steps
	for end := time.Now().Add(patience); w.snapshot().Taken < goal; time.Sleep(50 * time.Microsecond) {
		if time.Now().After(end) {
			l.t.Fatal("the workers stand still")
		}
	}
}

func (l *life) acks() []progress {
	var all []progress
	for _, w := range l.workers {
		all = append(all, w.snapshot())
	}
	return all
}

// seen is acks with what subscribers and readers already know, which may be more.
func (l *life) seen() []progress {
	all := l.acks()
	for i, w := range l.workers {
		all[i].Top = max(all[i].Top, int(l.heard[i].Load()))
		if _, err := l.db.Store().Get(within(l.t), w.record(all[i].Created)); err == nil {
			all[i].Created++
		}
	}
	return all
}

// stop ends the workers and the database, and returns the number of acknowledgements.
func (l *life) stop() (acknowledged int) {
	l.ended.Store(true)
	l.wait.Wait()
	for _, p := range l.acks() {
		acknowledged += p.sum()
	}
	if err := l.db.Close(); err != nil {
		l.t.Error(err)
	}
	return acknowledged
}
