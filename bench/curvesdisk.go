package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker"
	"gosper/broker/pebble"
)

const curveCycles = 2000 // put, reserve and delete beside the jobs that wait

// mergingNote explains why durable records cost a little more each as they become many.
const mergingNote = "With the merging of files in the background: a record is written once more for each level of the store, and levels grow with the logarithm."

// The store merges files in the background for a while after a load. It counts as calm when this process uses less than
// calmShare of a core over calmLook, or after calmMost.
const (
	calmLook  = 200 * time.Millisecond
	calmShare = 0.1
	calmMost  = 30 * time.Second
)

// calmDown waits until the store has merged its files, so that their cost counts for the load that made them.
func calmDown(ctx context.Context) error {
	for end := time.Now().Add(calmMost); time.Now().Before(end); {
		before := processCPU()
		if err := pause(ctx, calmLook); err != nil {
			return err
		}
		if (processCPU() - before).Seconds() < calmShare*calmLook.Seconds() {
			return nil
		}
	}
	return nil
}

// climbJobs keeps adding durable jobs to one queue in this process.
func climbJobs(ctx context.Context, c *climber) error {
	c.curve("jobs_put", "Putting durable jobs, 64 producers", "jobs", "CPU ms", 1)
	c.curve("jobs_memory", "Memory of waiting jobs", "jobs", "heap bytes", 1)
	c.curve("jobs_cycle", "Put, reserve and delete beside waiting jobs", "waiting jobs", "CPU µs a cycle", 0)
	c.costs["jobs_put"].Note = mergingNote
	return withStore(func(dir string) error {
		db, err := openInside(dir)
		if err != nil {
			return err
		}
		base, used, have := heap(), time.Duration(0), 0
		for i, n := range c.steps {
			c.step(i)
			cpu := processCPU()
			if err = putJobs(ctx, db.Queue(), n-have); err != nil {
				break
			}
			if err = calmDown(ctx); err != nil {
				break
			}
			used, have = used+processCPU()-cpu, n
			cpu = processCPU()
			if _, err = insideCycles(ctx, db.Queue(), queueMany, make([]byte, queueBody), curveCycles); err != nil {
				break
			}
			c.note("jobs_cycle", float64(n), (processCPU()-cpu).Seconds()*1e6/curveCycles)
			c.note("jobs_put", float64(n), used.Seconds()*1000)
			c.note("jobs_memory", float64(n), heap()-base)
		}
		if err == nil {
			err = c.count(db.Queue(), have)
		}
		return errors.Join(err, db.Close())
	})
}

// count compares the jobs that wait with those that were put.
func (c *climber) count(q broker.Queue, put int) error {
	stats, err := q.Stats("puts")
	if err != nil {
		return err
	}
	held := stats.Ready
	c.r.Balance(uint64(put), held, uint64(put)-min(held, uint64(put)), held-min(held, uint64(put)))
	return nil
}

// putJobs puts n jobs, and returns when all are durable.
func putJobs(ctx context.Context, q broker.Queue, n int) error {
	body := make([]byte, queueBody)
	return share(ctx, queueMany, n, func(int) error {
		done := make(chan error, 1)
		q.Put("puts", body, broker.PutOptions{Priority: 1000, TTR: time.Minute}, func(_ uint64, err error) { done <- err })
		return <-done
	})
}

// share lets workers do n pieces of work together. It returns when all are done, or the first error.
func share(ctx context.Context, workers, n int, piece func(i int) error) error {
	var next atomic.Int64
	var work sync.WaitGroup
	faults := make(chan error, workers)
	for range workers {
		work.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := piece(int(i)); err != nil {
					faults <- err
					return
				}
			}
		})
	}
	work.Wait()
	select {
	case err := <-faults:
		return err
	default:
		return ctx.Err()
	}
}

// climbTimers keeps adding durable timers that are due tomorrow, and opens the store again at each step.
func climbTimers(ctx context.Context, c *climber) error {
	c.curve("timers_set", "Setting durable timers", "timers", "CPU ms", 1)
	c.curve("timers_memory", "Memory of pending timers", "timers", "heap bytes", 1)
	c.curve("timers_restart", "Start of a store with pending timers", "timers", "ms", 1)
	c.costs["timers_set"].Note = mergingNote
	return withStore(func(dir string) error {
		base, used, have := heap(), time.Duration(0), 0
		far := time.Now().Add(24 * time.Hour)
		for i, n := range c.steps {
			c.step(i)
			start := time.Now()
			db, err := openInside(dir)
			if err != nil {
				return err
			}
			if have > 0 {
				c.note("timers_restart", float64(have), time.Since(start).Seconds()*1000)
			}
			cpu := processCPU()
			err = share(ctx, timersSetters, n-have, func(k int) error {
				return db.Schedule().Set(ctx, timerAt(fmt.Sprintf("far.%d", have+k), far.Add(time.Duration(have+k)*time.Millisecond)))
			})
			if err == nil {
				err = calmDown(ctx)
			}
			used, have = used+processCPU()-cpu, n
			if err == nil {
				c.note("timers_set", float64(n), used.Seconds()*1000)
				c.note("timers_memory", float64(n), heap()-base)
				c.pending(db, n)
			}
			if err = errors.Join(err, db.Close()); err != nil {
				return err
			}
		}
		start := time.Now()
		db, err := openInside(dir)
		if err != nil {
			return err
		}
		c.note("timers_restart", float64(have), time.Since(start).Seconds()*1000)
		c.pending(db, have)
		return db.Close()
	})
}

// pending compares the timers that the store has with those that were set.
func (c *climber) pending(db *pebble.DB, set int) {
	have := uint64(db.Schedule().Pending())
	c.r.Balance(uint64(set), have, uint64(set)-min(have, uint64(set)), have-min(have, uint64(set)))
}

// withStore gives f a folder that is removed afterwards.
func withStore(f func(dir string) error) error {
	dir, err := os.MkdirTemp("", "gosper-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return f(dir)
}
