package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"gosper/broker"
	"gosper/broker/pebble"
)

func init() {
	Register(Scenario{
		Name:    "schedule",
		Summary: "durable timers in this process: lateness with many pending, memory a timer, restart; peers: beanstalkd's delay, redis, jetstream",
		Peers:   []string{"beanstalkd", "redis", "jetstream"},
		Run:     runSchedule,
	})
}

const (
	timersPending      = 1_000_000
	timersPendingQuick = 10_000
	timersRate         = 500 // that come due, a second
	timersTube         = "timers"
	timersSetters      = 256
)

func runSchedule(ctx context.Context, r *Run) error {
	if r.Target != "self" {
		return errors.New("target: the schedule scenario runs in its own process")
	}
	pending := timersPending
	if r.Quick {
		pending = timersPendingQuick
	}
	r.Setting("timers", pending)
	r.Setting("due_per_s", timersRate)
	r.Setting("durability", "a timer is on disk when Set returns; row and job change in one commit with fsync")
	dir, err := os.MkdirTemp("", "gosper-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := openInside(dir)
	if err != nil {
		return err
	}
	r.Step(0, "setting %d timers", pending)
	err = pendingTimers(ctx, r, db, pending)
	if err == nil {
		r.Step(0.4, "waiting for timers")
		err = lateTimers(ctx, r, db)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	r.Step(0.8, "restart")
	if err := restartTimers(r, dir, pending); err != nil {
		return err
	}
	if r.Against != "" {
		r.Step(0.9, "%s", r.Against)
		return latePeer(ctx, r)
	}
	return nil
}

// heap returns the bytes in use after a collection.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// pendingTimers sets timers that are due in an hour or later.
func pendingTimers(ctx context.Context, r *Run, db *pebble.DB, n int) error {
	before, start := heap(), time.Now()
	far := start.Add(time.Hour)
	var mu sync.Mutex
	var err error
	var work sync.WaitGroup
	for w := range timersSetters {
		work.Go(func() {
			for i := w; i < n && ctx.Err() == nil; i += timersSetters {
				fault := db.Schedule().Set(ctx, timerAt(fmt.Sprintf("far.%d", i), far.Add(time.Duration(i)*time.Millisecond)))
				if fault != nil {
					mu.Lock()
					err = errors.Join(err, fault)
					mu.Unlock()
					return
				}
			}
		})
	}
	work.Wait()
	r.Figure("sets_per_s", float64(n)/time.Since(start).Seconds())
	r.Figure("bytes_per_timer", (heap()-before)/float64(n))
	return errors.Join(err, ctx.Err())
}

func timerAt(key string, due time.Time) broker.Timer {
	return broker.Timer{Key: key, Due: due, Tube: timersTube, Body: []byte(key), Put: broker.PutOptions{Priority: 1000, TTR: time.Minute}}
}

// lateTimers measures how late timers become jobs while the others wait.
func lateTimers(ctx context.Context, r *Run, db *pebble.DB) error {
	n := int(r.Duration.Seconds() * timersRate)
	lead := 500*time.Millisecond + time.Duration(n)*time.Second/10_000 // time to set them all
	first := time.Now().Add(lead).Truncate(time.Millisecond)
	due := func(i int) time.Time { return first.Add(time.Duration(i) * time.Second / timersRate) }
	var work sync.WaitGroup
	faults := make(chan error, timersSetters)
	for w := range timersSetters {
		work.Go(func() {
			for i := w; i < n; i += timersSetters {
				if err := db.Schedule().Set(ctx, timerAt(fmt.Sprint(i), due(i))); err != nil {
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
	}
	lat, seen, doubled := newLatencies(), make(map[string]bool, n), uint64(0)
	deleted := make(chan error, n)
	for len(seen) < n {
		body, at, err := takeTimer(ctx, db.Queue(), deleted)
		if errors.Is(err, broker.ErrNotFound) {
			break // some are missing
		}
		if err != nil {
			return err
		}
		if seen[body] {
			doubled++
		}
		seen[body] = true
		var i int
		if _, err := fmt.Sscan(body, &i); err != nil {
			return fmt.Errorf("a timer of another time fired: %q", body)
		}
		lat.add(at.Sub(due(i).Truncate(time.Millisecond)))
	}
	r.Balance(uint64(n), uint64(len(seen))+doubled, uint64(n-len(seen)), doubled)
	r.Figure("lateness_p50_ms", lat.quantile(0.5)/1000)
	r.Figure("lateness_p99_ms", lat.quantile(0.99)/1000)
	r.Figure("lateness_max_ms", lat.quantile(1)/1000)
	for range len(seen) {
		if err := <-deleted; err != nil {
			return err
		}
	}
	return nil
}

// takeTimer waits for a job and deletes it.
func takeTimer(ctx context.Context, q broker.Queue, deleted chan<- error) (body string, at time.Time, err error) {
	type result struct {
		job broker.Job
		at  time.Time
		err error
	}
	got := make(chan result, 1)
	cancel := q.Reserve(broker.Reservation{Owner: 1, Tubes: []string{timersTube}, Wait: drainTimeout,
		Got: func(j broker.Job, err error) { got <- result{j, time.Now(), err} }})
	select {
	case g := <-got:
		if g.err == nil {
			q.Delete(g.job.ID, g.job.Lease, func(err error) { deleted <- err })
		}
		return string(g.job.Body), g.at, g.err
	case <-ctx.Done():
		cancel()
		<-got
		return "", time.Time{}, ctx.Err()
	}
}

// restartTimers opens the store again.
func restartTimers(r *Run, dir string, want int) error {
	start := time.Now()
	db, err := openInside(dir)
	if err != nil {
		return err
	}
	r.Figure("restart_s", time.Since(start).Seconds())
	if n := db.Schedule().Pending(); n != want {
		err = fmt.Errorf("%d of %d timers came back", n, want)
	}
	return errors.Join(err, db.Close())
}
