package pebble

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"gosper/broker"
)

var oneTube = []string{"tube"}

// putWait is a durable put of 128 bytes.
func putWait(b testing.TB, q *Queue, done chan error) {
	q.Put("tube", make([]byte, 128), broker.PutOptions{Priority: 2000, TTR: time.Minute}, func(_ uint64, err error) { done <- err })
	if err := <-done; err != nil {
		b.Error(err)
	}
}

// BenchmarkPut measures durable puts on the real disk, by producers, with their p99.
func BenchmarkPut(b *testing.B) {
	for _, producers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprint("producers=", producers), func(b *testing.B) {
			db := open(b, b.TempDir(), Options{})
			lat := timed64(b, producers, func(done chan error) { putWait(b, db.Queue(), done) })
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
			b.ReportMetric(float64(lat.Microseconds()), "p99-µs")
		})
	}
}

// timed64 runs fn b.N times on so many goroutines and returns the p99 of its time.
func timed64(b *testing.B, goroutines int, fn func(done chan error)) time.Duration {
	b.ReportAllocs()
	var next atomic.Int64
	var wait sync.WaitGroup
	all := make([][]time.Duration, goroutines)
	b.ResetTimer()
	for g := range goroutines {
		wait.Go(func() {
			done := make(chan error, 1)
			for next.Add(1) <= int64(b.N) {
				start := time.Now()
				fn(done)
				all[g] = append(all[g], time.Since(start))
			}
		})
	}
	wait.Wait()
	b.StopTimer()
	flat := slices.Concat(all...)
	slices.Sort(flat)
	return flat[len(flat)*99/100]
}

// BenchmarkCycle measures put, reserve and delete, both durable.
func BenchmarkCycle(b *testing.B) {
	for _, workers := range []int{1, 64, 256} {
		b.Run(fmt.Sprint("workers=", workers), func(b *testing.B) {
			db := open(b, b.TempDir(), Options{})
			timed64(b, workers, func(done chan error) { cycle(b, db.Queue(), done) })
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "cycles/s")
		})
	}
}

func cycle(b testing.TB, q *Queue, done chan error) {
	putWait(b, q, done)
	consumeOne(b, q, done)
}

func consumeOne(b testing.TB, q *Queue, done chan error) {
	var job broker.Job
	q.Reserve(broker.Reservation{Tubes: oneTube, Wait: -1, Got: func(j broker.Job, err error) {
		job = j
		done <- err
	}})
	if err := <-done; err != nil {
		b.Error(err)
	}
	q.Delete(job.ID, job.Lease, func(err error) { done <- err })
	if err := <-done; err != nil {
		b.Error(err)
	}
}

// BenchmarkRestart measures the start with a million ready jobs, and the first reservation.
func BenchmarkRestart(b *testing.B) {
	dir := b.TempDir()
	db := open(b, dir, Options{})
	fillJobs(b, db.Queue(), 1_000_000)
	b.ResetTimer()
	for b.Loop() {
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		db = open(b, dir, Options{})
		done := make(chan error, 1)
		consumeOne(b, db.Queue(), done)
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms")
	}
}

// fillJobs puts jobs without waiting for each.
func fillJobs(b testing.TB, q *Queue, count int) {
	room := make(chan struct{}, 2000)
	for range count {
		room <- struct{}{}
		q.Put("tube", make([]byte, 128), broker.PutOptions{Priority: 2000, TTR: time.Minute}, func(_ uint64, err error) {
			if err != nil {
				b.Error(err)
			}
			<-room
		})
	}
	for range cap(room) {
		room <- struct{}{}
	}
}

// BenchmarkAging passes ten million jobs (GOSPER_BENCH_JOBS) through a tube that always holds 10,000, and reports the
// reservations' speed in the first and the last tenth.
func BenchmarkAging(b *testing.B) {
	total := countFrom("GOSPER_BENCH_JOBS", 200_000)
	for b.Loop() {
		db := open(b, b.TempDir(), Options{})
		fillJobs(b, db.Queue(), 10_000)
		var tenths []float64
		for range 10 {
			start := time.Now()
			var wait sync.WaitGroup
			for range 64 {
				wait.Go(func() {
					done := make(chan error, 1)
					for range total / 640 {
						cycle(b, db.Queue(), done)
					}
				})
			}
			wait.Wait()
			tenths = append(tenths, float64(total/640*64)/time.Since(start).Seconds())
		}
		b.ReportMetric(tenths[0], "first-cycles/s")
		b.ReportMetric(tenths[9], "last-cycles/s")
		if os.Getenv("GOSPER_BENCH_JOBS") != "" {
			b.Logf("cycles/s by tenth: %.0f", tenths)
		}
	}
}

// BenchmarkTimers sets a million timers (GOSPER_BENCH_TIMERS) over an hour and reports the memory they take, then
// measures how late ten thousand over ten seconds fire among them.
func BenchmarkTimers(b *testing.B) {
	count := countFrom("GOSPER_BENCH_TIMERS", 100_000)
	for b.Loop() {
		db := open(b, b.TempDir(), Options{})
		before := heap()
		start := time.Now()
		setTimers(b, db, count, func(i int) time.Time { return start.Add(time.Hour + time.Duration(rand.Int64N(int64(time.Hour)))) }, "far")
		b.ReportMetric(float64(count)/time.Since(start).Seconds(), "sets/s")
		b.ReportMetric(float64(heap()-before)/1e6, "MB")
		late := lateness(b, db, 5000, 5*time.Second)
		b.ReportMetric(float64(late[len(late)/2].Microseconds()), "p50-late-µs")
		b.ReportMetric(float64(late[len(late)*99/100].Microseconds()), "p99-late-µs")
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func setTimers(b testing.TB, db *DB, count int, due func(int) time.Time, name string) {
	var next atomic.Int64
	var wait sync.WaitGroup
	for range 64 {
		wait.Go(func() {
			for i := int(next.Add(1)); i <= count; i = int(next.Add(1)) {
				at := due(i)
				err := db.Schedule().Set(b.Context(), broker.Timer{
					Key: fmt.Sprint(name, i), Group: fmt.Sprint("empire.", i%1000), Due: at, Tube: "tube", Body: fmt.Append(nil, at.UnixMicro()),
					Put: broker.PutOptions{TTR: time.Minute},
				})
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	wait.Wait()
}

// lateness fires timers evenly over a time and returns how late each job reached its worker, sorted.
func lateness(b testing.TB, db *DB, count int, over time.Duration) []time.Duration {
	start := time.Now().Add(2 * time.Second)
	setTimers(b, db, count, func(i int) time.Time { return start.Add(over / time.Duration(count) * time.Duration(i)) }, "near")
	late := make([]time.Duration, 0, count)
	got := make(chan time.Duration, count)
	var ask func()
	ask = func() {
		db.Queue().Reserve(broker.Reservation{Tubes: oneTube, Wait: -1, Got: func(j broker.Job, err error) {
			if errors.Is(err, broker.ErrClosed) {
				return
			}
			if err != nil {
				b.Error(err)
			}
			var due int64
			fmt.Sscan(string(j.Body), &due)
			got <- time.Since(time.UnixMicro(due))
			db.Queue().Delete(j.ID, j.Lease, func(error) {})
			ask()
		}})
	}
	ask()
	for range count {
		late = append(late, <-got)
	}
	slices.Sort(late)
	return late
}

// TestReserveSteps passes many jobs through a tube and counts the keys that reservations look at on disk: about one a job,
// however many tombstones there are. A look from the start of the index would go over all of them.
func TestReserveSteps(t *testing.T) {
	db := open(t, "db", Options{FS: vfs.NewMem(), window: 64})
	q := db.Queue()
	const backlog, rounds = 2_000, 20_000
	fillJobs(t, q, backlog)
	done := make(chan error, 1)
	for range rounds / slowdown {
		cycle(t, q, done)
	}
	q.mu.Lock()
	steps, refills := q.steps, q.refills
	q.mu.Unlock()
	passed := uint64(backlog + rounds/slowdown)
	t.Logf("%d steps in %d refills for %d jobs", steps, refills, passed)
	if refills < 100/slowdown || steps > 2*passed {
		t.Errorf("%d steps in %d refills for %d jobs", steps, refills, passed)
	}
}

// TestPutSyncs counts the fsyncs that pass during each put of 256 producers: the one under way, its own, and a third for
// one in a hundred at most. That bounds the time of a put by that of the disk.
func TestPutSyncs(t *testing.T) {
	disk := &slowSync{FS: vfs.NewMem(), delay: time.Millisecond}
	db := open(t, "db", Options{FS: disk})
	const producers, each = 256, 20
	var mu sync.Mutex
	var passed []int64
	before := disk.count.Load()
	var wait sync.WaitGroup
	for range producers {
		wait.Go(func() {
			done := make(chan error, 1)
			for range each {
				start := disk.count.Load()
				var end int64
				db.Queue().Put("tube", make([]byte, 128), broker.PutOptions{}, func(_ uint64, err error) {
					end = disk.count.Load()
					done <- err
				})
				if err := <-done; err != nil {
					t.Error(err)
				}
				mu.Lock()
				passed = append(passed, end-start)
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	slices.Sort(passed)
	syncs, p99 := disk.count.Load()-before, passed[len(passed)*99/100]
	t.Logf("%d fsyncs for %d puts; p99 %d fsyncs a put, at most %d", syncs, len(passed), p99, passed[len(passed)-1])
	if p99 > 3 || syncs*16 > producers*each {
		t.Errorf("%d fsyncs for %d puts; p99 %d fsyncs a put", syncs, len(passed), p99)
	}
}
