package bench

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gosper/broker"
	"gosper/broker/pebble"
)

func syncData(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

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
		n, seconds, err := insidePuts(ctx, db.Queue(), queueMany, b.body, b.r.Slice()/4)
		if err != nil {
			return err
		}
		rates = append(rates, float64(n)/seconds)
	}
	b.r.Series("put64_in_process_per_s", rates)
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

// insidePuts lets producers put for d.
func insidePuts(ctx context.Context, q broker.Queue, producers int, body []byte, d time.Duration) (n uint64, seconds float64, err error) {
	var mu sync.Mutex
	var work sync.WaitGroup
	start := time.Now()
	end := start.Add(d)
	for range producers {
		work.Go(func() {
			done := make(chan error, 1)
			count, fault := uint64(0), error(nil)
			for fault == nil && ctx.Err() == nil && time.Now().Before(end) {
				q.Put("puts", body, broker.PutOptions{Priority: 1000, TTR: time.Minute}, func(_ uint64, err error) { done <- err })
				if fault = <-done; fault == nil {
					count++
				}
			}
			mu.Lock()
			n, err = n+count, errors.Join(err, fault)
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
