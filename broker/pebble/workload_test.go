package pebble

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker"
)

// The crash tests share this workload: workers that write, and know at any time what was acknowledged.

const crashKeep = 50 // messages of history a worker's subject keeps

// progress is what one worker was acknowledged. Its numbers only grow.
type progress struct {
	Created int // records 0 … Created-1 were created
	Deleted int // records 0 … Deleted-1 were deleted again
	Taken   int // nonces 0 … Taken-1 were made and taken
	Top     int // offset of the last message
	Put     int // jobs 0 … Put-1 were put
	Done    int // jobs 0 … Done-1 were reserved in order and deleted
}

// worker is one goroutine of the workload.
type worker struct {
	name string
	mu   sync.Mutex
	acks progress
	told func(progress) // called after every acknowledgement; may be nil
}

// sum is how often it was acknowledged something.
func (p progress) sum() int { return p.Created + p.Deleted + p.Taken + p.Top + p.Put + p.Done }

func (w *worker) snapshot() progress {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acks
}

func (w *worker) acked(change func(*progress)) {
	w.mu.Lock()
	change(&w.acks)
	now := w.acks
	w.mu.Unlock()
	if w.told != nil {
		w.told(now)
	}
}

func (w *worker) record(i int) string { return fmt.Sprintf("rec/%s/%08d", w.name, i) }
func (w *worker) nonce(i int) string  { return fmt.Sprintf("nonce/%s/%08d", w.name, i) }
func (w *worker) subject() string     { return "crash." + w.name }

// run works until stop, or until the database fails.
func (w *worker) run(db *DB, stop *atomic.Bool) error {
	for i := 0; !stop.Load(); i++ {
		if err := w.step(db, i); err != nil {
			return fmt.Errorf("step %d of %s: %w", i, w.name, err)
		}
	}
	return nil
}

// step makes record i, deletes record i-3, makes and takes nonce i, publishes message i, and puts job i and finishes job
// i-3.
func (w *worker) step(db *DB, i int) error {
	ctx := context.Background()
	text := fmt.Appendf(nil, "%s %d", w.name, i)
	if _, err := db.Store().Create(ctx, w.record(i), text); err != nil {
		return err
	}
	w.acked(func(p *progress) { p.Created = i + 1 })
	if i >= 3 {
		if err := db.Store().Delete(ctx, w.record(i-3), broker.AnyRevision); err != nil {
			return err
		}
		w.acked(func(p *progress) { p.Deleted = i - 2 })
	}
	if err := db.Registry().Create(ctx, w.nonce(i), text, time.Hour); err != nil {
		return err
	}
	if _, err := db.Registry().Take(ctx, w.nonce(i)); err != nil {
		return err
	}
	w.acked(func(p *progress) { p.Taken = i + 1 })
	at, err := publishWait(db.Bus(), w.subject(), text, broker.Keep{Messages: crashKeep})
	if err != nil {
		return err
	}
	w.acked(func(p *progress) { p.Top = int(at.Offset) })
	return w.work(db.Queue(), i)
}

func (w *worker) work(q *Queue, i int) error {
	o := broker.PutOptions{TTR: time.Hour}
	if err := wait(func(done func(error)) {
		q.Put(w.name, fmt.Append(nil, i), o, func(_ uint64, err error) { done(err) })
	}); err != nil {
		return err
	}
	w.acked(func(p *progress) { p.Put = i + 1 })
	if i < 3 {
		return nil
	}
	job, err := reserveNow(q, w.name)
	if err != nil {
		return err
	}
	if string(job.Body) != fmt.Sprint(i-3) {
		return fmt.Errorf("job %q came instead of %d", job.Body, i-3)
	}
	if err := wait(func(done func(error)) { q.Delete(job.ID, job.Lease, done) }); err != nil {
		return err
	}
	w.acked(func(p *progress) { p.Done = i - 2 })
	return nil
}

// reserveNow reserves a job that is ready.
func reserveNow(q *Queue, tube string) (job broker.Job, err error) {
	err = wait(func(done func(error)) {
		q.Reserve(broker.Reservation{Tubes: []string{tube}, Got: func(j broker.Job, err error) {
			job = j
			done(err)
		}})
	})
	return job, err
}

// verifyJobs drains the worker's tube: the jobs that must be there are, in order, and no other.
func (w *worker) verifyJobs(db *DB, before, after progress) error {
	next := -1
	for {
		job, err := reserveNow(db.Queue(), w.name)
		if errors.Is(err, broker.ErrNotFound) {
			break
		}
		var n int
		if _, scan := fmt.Sscan(string(job.Body), &n); err != nil || scan != nil || next >= 0 && n != next {
			return fmt.Errorf("%w: %s: job %q came, want %d, %v", lostIf(n > next), w.name, job.Body, next, err)
		}
		if next < 0 && (n < before.Done || n > after.Done+1) {
			return fmt.Errorf("%w: %s: the first job is %d: %+v %+v", lostIf(n > after.Done+1), w.name, n, before, after)
		}
		next = n + 1
	}
	if before.Put > after.Done+1 && next < before.Put || next > after.Put+1 {
		return fmt.Errorf("%w: %s: jobs end before %d: %+v %+v", lostIf(next < before.Put), w.name, next, before, after)
	}
	return nil
}

func publishWait(b broker.Bus, subject string, data []byte, keep broker.Keep) (broker.Position, error) {
	type answer struct {
		at  broker.Position
		err error
	}
	done := make(chan answer, 1)
	b.Publish(subject, data, keep, func(p broker.Position, err error) { done <- answer{p, err} })
	a := <-done
	return a.at, a.err
}

// verify checks a database that came back from a crash. before was acknowledged when the crash began, after when it was
// over; what lies between may be there or not.
func (w *worker) verify(db *DB, before, after progress, epoch uint64) error {
	if err := errors.Join(w.verifyRecords(db, before, after), w.verifyJobs(db, before, after)); err != nil {
		return err
	}
	for i := max(0, before.Taken-100); i < before.Taken; i++ {
		if _, err := db.Registry().Get(context.Background(), w.nonce(i)); !errors.Is(err, broker.ErrNotFound) {
			return fmt.Errorf("%w: nonce %d of %s came back: %v", errTwice, i, w.name, err)
		}
	}
	return w.verifyHistory(db, before, after, epoch)
}

func (w *worker) verifyRecords(db *DB, before, after progress) error {
	found, err := db.Store().List(context.Background(), "rec/"+w.name+"/", "", 1<<20)
	if err != nil {
		return err
	}
	there := make(map[int]bool)
	for _, r := range found {
		var i int
		if _, err := fmt.Sscanf(r.Key, "rec/"+w.name+"/%d", &i); err != nil || string(r.Value) != fmt.Sprintf("%s %d", w.name, i) {
			return fmt.Errorf("record %q holds %q", r.Key, r.Value)
		}
		if i < before.Deleted {
			return fmt.Errorf("%w: record %d of %s came back: %+v", errTwice, i, w.name, before)
		}
		if i > after.Created {
			return fmt.Errorf("record %d of %s was never written: %+v", i, w.name, after)
		}
		there[i] = true
	}
	for i := after.Deleted + 1; i < before.Created; i++ {
		if !there[i] {
			return fmt.Errorf("%w: record %d of %s: %+v %+v", errLost, i, w.name, before, after)
		}
	}
	return nil
}

func (w *worker) verifyHistory(db *DB, before, after progress, epoch uint64) error {
	if before.Top == 0 {
		return nil
	}
	since := broker.Position{Epoch: epoch, Offset: uint64(before.Top)}
	r, err := db.Bus().History(context.Background(), w.subject(), since, 1<<20)
	if err != nil {
		return err
	}
	if int(r.Top.Offset) < before.Top || int(r.Top.Offset) > after.Top+1 || r.Top.Epoch != epoch {
		return fmt.Errorf("%w: %s: top is %+v after %+v %+v in epoch %d", lostIf(int(r.Top.Offset) < before.Top), w.name, r.Top, before, after, epoch)
	}
	if !r.Recovered && after.Top-before.Top < crashKeep-1 {
		return fmt.Errorf("%s: not recovered since %d: %+v", w.name, before.Top, r.Top)
	}
	all, err := db.Bus().History(context.Background(), w.subject(), broker.Position{}, 1<<20)
	if err != nil {
		return err
	}
	if want := min(int(r.Top.Offset), crashKeep); len(all.Messages) != want {
		return fmt.Errorf("%s: history has %d messages, want %d", w.name, len(all.Messages), want)
	}
	for _, m := range all.Messages {
		if string(m.Data) != fmt.Sprintf("%s %d", w.name, m.Offset-1) {
			return fmt.Errorf("%s: message %d is %q", w.name, m.Offset, m.Data)
		}
	}
	return nil
}
