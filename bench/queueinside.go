package bench

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gosper/broker"
	"gosper/broker/pebble"
)

// openInside opens a store in this process.
func openInside(dir string) (*pebble.DB, error) {
	return pebble.Open(dir, pebble.Options{Log: slog.New(slog.DiscardHandler)})
}

// age measures the queue without a network, and how its cycles slow down as jobs come and go.
func (b *queueBench) age(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "gosper-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := openInside(dir)
	if err != nil {
		return err
	}
	defer db.Close()
	var rates []float64
	for range b.r.Repeat {
		n, seconds, err := insidePuts(ctx, db.Queue(), queueMany, b.body, b.r.Slice()/4, nil)
		if err != nil {
			return err
		}
		rates = append(rates, float64(n)/seconds)
	}
	b.r.Series("put64_in_process_per_s", rates)
	if err := b.slowly(ctx); err != nil {
		return err
	}
	jobs := queueAged
	if b.r.Quick {
		jobs = queueAgedQuick
	}
	b.r.Setting("aged_jobs", jobs)
	part := jobs / 20
	var first, last float64
	for done := 0; done < jobs && ctx.Err() == nil; done += part {
		seconds, err := insideCycles(ctx, db.Queue(), queueMany, b.body, part)
		if err != nil {
			return err
		}
		if last = float64(part) / seconds; done == part { // the first part warms up
			first = last
		}
		b.r.Step(0.95+0.05*float64(done)/float64(jobs), "ageing, %d of %d jobs", done, jobs)
	}
	b.r.Figure("cycle64_in_process_per_s", last)
	b.r.Figure("aged_slowdown", first/last)
	return ctx.Err()
}

// slowSync is how much longer each fsync of the slow disk takes: about as long as in a cloud.
const slowSync = 3 * time.Millisecond

// slowly measures how many fsyncs of a slow disk a put of 256 producers takes: there the disk and not the processor decides.
func (b *queueBench) slowly(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "gosper-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	disk := &slowDisk{FS: vfs.Default, delay: slowSync}
	db, err := pebble.Open(dir, pebble.Options{Log: slog.New(slog.DiscardHandler), FS: disk})
	if err != nil {
		return err
	}
	defer db.Close()
	var fsync, p50, p99 []float64
	for range b.r.Repeat {
		lat := newLatencies()
		disk.forget()
		if _, _, err := insidePuts(ctx, db.Queue(), queueCrowd, b.body, b.r.Slice()/4, &lat); err != nil {
			return err
		}
		us := disk.mean()
		fsync = append(fsync, us)
		p50, p99 = append(p50, lat.quantile(0.5)/us), append(p99, lat.quantile(0.99)/us)
	}
	b.r.Series("fsync_slow_us", fsync)
	b.r.Series("put256_p50_vs_fsync_slow", p50)
	b.r.Series("put256_p99_vs_fsync_slow", p99)
	return nil
}

// insidePuts lets producers put for d, and notes the time of each put unless lat is nil.
func insidePuts(ctx context.Context, q broker.Queue, producers int, body []byte, d time.Duration, lat *latencies) (n uint64, seconds float64, err error) {
	var mu sync.Mutex
	var work sync.WaitGroup
	start := time.Now()
	end := start.Add(d)
	for range producers {
		work.Go(func() {
			done := make(chan error, 1)
			count, fault := uint64(0), error(nil)
			var took []time.Duration
			for begun := time.Now(); fault == nil && ctx.Err() == nil && begun.Before(end); {
				q.Put("puts", body, broker.PutOptions{Priority: 1000, TTR: time.Minute}, func(_ uint64, err error) { done <- err })
				if fault = <-done; fault == nil {
					count++
				}
				now := time.Now()
				if lat != nil {
					took = append(took, now.Sub(begun))
				}
				begun = now
			}
			mu.Lock()
			n, err = n+count, errors.Join(err, fault)
			for _, d := range took {
				lat.add(d)
			}
			mu.Unlock()
		})
	}
	work.Wait()
	return n, time.Since(start).Seconds(), err
}

// insideCycles puts, reserves and deletes jobs.
func insideCycles(ctx context.Context, q broker.Queue, workers int, body []byte, jobs int) (seconds float64, err error) {
	var mu sync.Mutex
	var work sync.WaitGroup
	start := time.Now()
	for w := range workers {
		work.Go(func() {
			done := make(chan error, 1)
			got := make(chan broker.Job, 1)
			fault := error(nil)
			for i := w; i < jobs && fault == nil && ctx.Err() == nil; i += workers {
				q.Put("cycles", body, broker.PutOptions{Priority: 1000, TTR: time.Minute}, func(_ uint64, err error) { done <- err })
				if fault = <-done; fault != nil {
					break
				}
				q.Reserve(broker.Reservation{Owner: uint64(w + 1), Tubes: []string{"cycles"}, Wait: -1, Got: func(j broker.Job, err error) {
					done <- err
					got <- j
				}})
				if fault = <-done; fault != nil {
					break
				}
				j := <-got
				q.Delete(j.ID, j.Lease, func(err error) { done <- err })
				fault = <-done
			}
			mu.Lock()
			err = errors.Join(err, fault)
			mu.Unlock()
		})
	}
	work.Wait()
	return time.Since(start).Seconds(), err
}
