package pebble

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gosper/broker"
)

// jobNote is what a worker knows of one job that it made.
type jobNote int

const (
	asked   jobNote = iota + 1 // put, not answered
	there                      // the put was answered
	leaving                    // its delete was asked for
	gone                       // its delete was answered
)

// jobWorker puts jobs, directly and by timers, and reserves, releases, buries, kicks and deletes them; it appends to a
// log too. It notes every promise before and after.
type jobWorker struct {
	name  string
	mu    sync.Mutex
	notes map[string]jobNote // by body
	log   int                // entries of the log that were acknowledged
}

func (w *jobWorker) note(body string, n jobNote) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes[body] = n
}

func (w *jobWorker) snapshot() (map[string]jobNote, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.notes), w.log
}

func (w *jobWorker) logged() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log
}

// wait calls an asynchronous verb.
func wait(start func(done func(error))) error {
	done := make(chan error, 1)
	start(func(err error) { done <- err })
	return <-done
}

func (w *jobWorker) run(db *DB, stop *atomic.Bool) error {
	for i := 0; !stop.Load(); i++ {
		if err := w.step(db, i); err != nil {
			return fmt.Errorf("step %d of %s: %w", i, w.name, err)
		}
	}
	return nil
}

func (w *jobWorker) step(db *DB, i int) error {
	q, body := db.Queue(), fmt.Sprintf("%s/%d", w.name, i)
	w.note(body, asked)
	if i%5 == 0 {
		err := db.Schedule().Set(context.Background(), broker.Timer{
			Key: body, Group: w.name, Due: time.Now().Add(time.Duration(i%3) * time.Millisecond), Tube: w.name, Body: []byte(body), Put: broker.PutOptions{TTR: time.Hour},
		})
		if err != nil {
			return err
		}
	} else if err := wait(func(done func(error)) {
		o := broker.PutOptions{Priority: uint32(i % 3), TTR: time.Hour, Delay: time.Duration(i%2) * time.Millisecond, Unique: body}
		q.Put(w.name, []byte(body), o, func(_ uint64, err error) { done(err) })
	}); err != nil {
		return err
	}
	w.note(body, there)
	if err := wait(func(done func(error)) {
		db.Log().Append("log."+w.name, 0, [][]byte{[]byte(body)}, func(_ uint64, err error) { done(err) })
	}); err != nil {
		return err
	}
	w.mu.Lock()
	w.log = i + 1
	w.mu.Unlock()
	return w.consume(q, i)
}

// consume takes the next job through one of its ways.
func (w *jobWorker) consume(q *Queue, i int) error {
	var job broker.Job
	err := wait(func(done func(error)) {
		q.Reserve(broker.Reservation{Owner: 1, Tubes: []string{w.name}, Wait: 10 * time.Millisecond, Got: func(j broker.Job, err error) {
			job = j
			done(err)
		}})
	})
	if errors.Is(err, broker.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	switch i % 6 {
	case 0:
		return wait(func(done func(error)) { q.Release(job.ID, job.Lease, 1, 0, done) })
	case 1:
		if err := wait(func(done func(error)) { q.Bury(job.ID, job.Lease, 1, "", done) }); err != nil {
			return err
		}
		return wait(func(done func(error)) { q.KickJob(job.ID, done) })
	}
	w.note(string(job.Body), leaving)
	err = wait(func(done func(error)) { q.Delete(job.ID, job.Lease, done) })
	if err == nil {
		w.note(string(job.Body), gone)
	}
	return err
}

// verify drains what came back from a crash. before was known when it began, after when it was over.
func (w *jobWorker) verify(db *DB, before, after map[string]jobNote, logBefore, logAfter int) error {
	q := db.Queue()
	found := make(map[string]bool)
	for {
		var job broker.Job
		err := wait(func(done func(error)) {
			q.Reserve(broker.Reservation{Tubes: []string{w.name}, Got: func(j broker.Job, err error) { job = j; done(err) }})
		})
		if err != nil {
			if w.pending(db) == 0 && w.drained(q) {
				break
			}
			time.Sleep(50 * time.Microsecond)
			continue // a delay or a timer of some milliseconds has not ended yet
		}
		if body := string(job.Body); found[body] {
			return fmt.Errorf("%w: job %s", errTwice, body)
		} else if after[body] == 0 {
			return fmt.Errorf("job %s was never put", body)
		}
		found[string(job.Body)] = true
	}
	s, _ := q.Stats(w.name)
	buried, err := q.ListJobs(context.Background(), w.name, broker.JobBuried, 0, 10)
	if err != nil || uint64(len(buried)) != s.Buried || s.Reserved != uint64(len(found)) {
		return fmt.Errorf("%d jobs are buried, %+v, %v", len(buried), s, err)
	}
	for _, j := range buried {
		found[string(j.Body)] = true
	}
	for body, n := range after {
		switch {
		case before[body] == gone && found[body]:
			return fmt.Errorf("%w: job %s was deleted and is there", errTwice, body)
		case before[body] == there && n == there && !found[body]:
			return fmt.Errorf("%w: job %s", errLost, body)
		}
	}
	entries, err := db.Log().Read(context.Background(), "log."+w.name, 1, 1<<30)
	if err != nil || len(entries) < logBefore || len(entries) > logAfter+1 {
		return fmt.Errorf("%w: %d entries of the log, between %d and %d were acknowledged, %v", lostIf(len(entries) < logBefore), len(entries), logBefore, logAfter, err)
	}
	return nil
}

func (w *jobWorker) pending(db *DB) int {
	timers, _ := db.Schedule().List(context.Background(), w.name, time.Time{}, 1)
	return len(timers)
}

// drained reports whether no job of the tube is ready, delayed or on its way.
func (w *jobWorker) drained(q *Queue) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, err := q.room.Stats(w.name, time.Now(), time.Now())
	return !q.choring && len(q.ended) == 0 && (err != nil || s.Ready+s.Delayed == 0)
}

// TestQueuePowerCuts is TestPowerCuts for jobs, timers and logs.
func TestQueuePowerCuts(t *testing.T) {
	lives := max(1, countFrom("GOSPER_POWER_CUTS", 2000/slowdown)/cutsPerLife)
	if testing.Short() {
		lives = 1
	}
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := report{crashes: "power cuts of the queue"}
	defer r.print(t)
	for n := 0; n < lives && !t.Failed(); n++ {
		l := newJobLife(t, Options{}, seed+uint64(n))
		for range cutsPerLife {
			r.check(t, l.cut(), "life %d", n)
			r.count++
		}
		r.acknowledged += l.stop()
	}
}

// TestQueuePowerCutsControl runs the same without fsync: the test above must notice that.
func TestQueuePowerCutsControl(t *testing.T) {
	r := report{crashes: "power cuts of the queue without fsync"}
	l := newJobLife(t, Options{noSync: true}, 1)
	for range cutsPerLife {
		r.note(l.cut())
		r.count++
	}
	r.acknowledged = l.stop()
	if r.print(t); r.lost+r.doubled == 0 {
		t.Error("a database that never syncs lost nothing: the test can not see a loss")
	}
}

// jobLife is life for jobs, timers and logs.
type jobLife struct {
	t       *testing.T
	random  *rand.Rand
	disk    *vfs.MemFS
	db      *DB
	workers []*jobWorker
	ended   atomic.Bool
	wait    sync.WaitGroup
}

func newJobLife(t *testing.T, o Options, seed uint64) *jobLife {
	l := &jobLife{t: t, random: rand.New(rand.NewPCG(seed, 0)), disk: vfs.NewCrashableMem()}
	o = testOptions(t, o)
	o.FS, o.MemTable, o.window = l.disk, 256<<10, 16
	var err error
	if l.db, err = Open("db", o); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		w := &jobWorker{name: fmt.Sprint("w", i), notes: make(map[string]jobNote)}
		l.workers = append(l.workers, w)
		l.wait.Go(func() {
			if err := w.run(l.db, &l.ended); err != nil {
				t.Error(err)
			}
		})
	}
	return l
}

// stop ends the workers and the database, and returns the number of acknowledgements.
func (l *jobLife) stop() (acknowledged int) {
	l.ended.Store(true)
	l.wait.Wait()
	for _, w := range l.workers {
		notes, log := w.snapshot()
		acknowledged += log
		for _, n := range notes {
			switch n {
			case there, leaving:
				acknowledged++
			case gone:
				acknowledged += 2 // its put and its delete
			}
		}
	}
	if err := l.db.Close(); err != nil {
		l.t.Error(err)
	}
	return acknowledged
}

// jobView is what a worker knew at one moment.
type jobView struct {
	notes map[string]jobNote
	log   int
}

func (l *jobLife) look() (all []jobView) {
	for _, w := range l.workers {
		notes, log := w.snapshot()
		all = append(all, jobView{notes, log})
	}
	return all
}

// cut waits a little, takes a copy of the disk as a power cut would leave it, and looks what a start finds there.
func (l *jobLife) cut() error {
	w := l.workers[l.random.IntN(len(l.workers))]
	goal := w.logged() + 1 + l.random.IntN(6)
	for end := time.Now().Add(patience); w.logged() < goal; time.Sleep(50 * time.Microsecond) {
		if time.Now().After(end) {
			l.t.Fatal("the workers stand still")
		}
	}
	before := l.look()
	copied := l.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[l.random.IntN(3)], RNG: l.random})
	after := l.look()
	o := l.db.opts
	o.FS, o.noSync = copied, false
	again, err := Open("db", o)
	if err != nil {
		return err
	}
	defer again.Close()
	for _, i := range l.random.Perm(len(l.workers))[:4] {
		if err := l.workers[i].verify(again, before[i].notes, after[i].notes, before[i].log, after[i].log); err != nil {
			return err
		}
	}
	return nil
}
