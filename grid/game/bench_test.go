package game

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"gosper/broker/memory"
	"gosper/broker/pebble"
	"gosper/grid"
	"gosper/protocol"
)

// cpu is the processor time of this process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// lateness is the histogram of how late ticks were: counts up to each bound, in seconds.
func lateness() map[float64]float64 {
	var page bytes.Buffer
	metrics.WritePrometheus(&page, false)
	counts := map[float64]float64{}
	for _, line := range strings.Split(page.String(), "\n") {
		rest, ok := strings.CutPrefix(line, `gosper_game_tick_lateness_seconds_bucket{le="`)
		if !ok {
			continue
		}
		bound, count, _ := strings.Cut(rest, `"} `)
		le, _ := strconv.ParseFloat(strings.Replace(bound, "+Inf", "1e9", 1), 64)
		counts[le], _ = strconv.ParseFloat(count, 64)
	}
	return counts
}

// quantile is the smallest bound that share of the ticks since before were not later than.
func quantile(before, after map[float64]float64, share float64) float64 {
	best := 1e9
	for bound := range after {
		if after[bound]-before[bound] >= share*(after[1e9]-before[1e9]) {
			best = min(best, bound)
		}
	}
	return best
}

// byteCounter is a sink that counts.
type byteCounter struct{ frames, bytes atomic.Int64 }

func (c *byteCounter) Frame(f *Frame) {
	c.frames.Add(1)
	c.bytes.Add(int64(len(f.Data)))
}

func (c *byteCounter) Notice(*Notice) {}

// BenchmarkThousandGames runs 1,000 games of 320 by 320 at 2 Hz with a watcher each for b.N times two seconds, with their
// log on disk: share of one core, lateness, bytes.
func BenchmarkThousandGames(b *testing.B) {
	for _, mode := range []Mode{Plain, Owners} {
		b.Run(mode.String(), func(b *testing.B) { benchGames(b, mode) })
	}
}

func benchGames(b *testing.B, mode Mode) {
	const games, side = 1000, 320
	db, err := pebble.Open(b.TempDir(), pebble.Options{MinFree: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	l := DefaultLimits()
	l.GamesUser = games
	sink := &byteCounter{}
	h, err := NewHost(ctx, Config{Log: db.Log(), Store: db.Store(), Limits: l, Sink: sink})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	var group sync.WaitGroup
	slots := make(gate, 64)
	for i := range games {
		_ = slots.acquire(ctx)
		group.Go(func() {
			defer slots.release()
			g, err := h.Create(ctx, CreateRequest{
				Name: "bench", User: "u", UserName: "U", Interval: 500 * time.Millisecond, Grids: []GridSpec{{Width: side, Height: side, Mode: mode}},
			})
			if err == nil {
				_, err = h.Watch(g.ID(), Stream{Mode: protocol.WatchCells})
			}
			if err == nil {
				_, err = g.EditWait(ctx, "u", 0, Edit{Kind: Stamp, Pattern: soup(rand.New(rand.NewPCG(1, uint64(i))), 300, 300, 0.3)})
			}
			if err == nil {
				err = g.Start(ctx, "u")
			}
			if err != nil {
				b.Error(err)
			}
		})
	}
	group.Wait()
	<-time.After(2 * time.Second)
	before, used, frames, sent, ticks := lateness(), cpu(b), sink.frames.Load(), sink.bytes.Load(), ticksTotal.Get()
	skipped := ticksSkipped.Get()
	control := controlTimer()
	b.ResetTimer()
	for range b.N {
		<-time.After(2 * time.Second)
	}
	b.StopTimer()
	b.ReportMetric(1000*control().Seconds(), "control-p99-ms")
	seconds := b.Elapsed().Seconds()
	after := lateness()
	b.ReportMetric(100*(cpu(b)-used).Seconds()/seconds, "%core")
	b.ReportMetric(1000*quantile(before, after, 0.5), "p50-ms")
	b.ReportMetric(1000*quantile(before, after, 0.99), "p99-ms")
	b.ReportMetric(float64(ticksTotal.Get()-ticks)/seconds, "ticks/s")
	b.ReportMetric(float64(ticksSkipped.Get()-skipped), "skipped")
	b.ReportMetric(float64(sink.bytes.Load()-sent)/float64(max(sink.frames.Load()-frames, 1)), "bytes/tick")
}

// controlTimer measures how late this machine wakes a goroutine that sleeps and does nothing else: what any ticker
// suffers here. The function it returns gives the 99th percentile.
func controlTimer() func() time.Duration {
	var late []time.Duration
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			due := time.Now().Add(5 * time.Millisecond)
			<-time.After(5 * time.Millisecond)
			late = append(late, time.Since(due))
		}
	}()
	return func() time.Duration {
		close(stop)
		<-done
		slices.Sort(late)
		return late[len(late)*99/100]
	}
}

// BenchmarkEdits has 64 users edit one running game, each waiting for the answer before the next request.
func BenchmarkEdits(b *testing.B) {
	for _, size := range []int{1, 16} {
		b.Run(fmt.Sprintf("memory/%d", size), func(b *testing.B) {
			benchEdits(b, Config{Log: memory.NewLog(), Store: memory.NewStore()}, size)
		})
		b.Run(fmt.Sprintf("pebble/%d", size), func(b *testing.B) {
			db, err := pebble.Open(b.TempDir(), pebble.Options{MinFree: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			benchEdits(b, Config{Log: db.Log(), Store: db.Store()}, size)
		})
	}
}

func benchEdits(b *testing.B, c Config, size int) {
	c.Limits = DefaultLimits()
	c.Limits.EditsUser, c.Limits.EditsGame, c.Limits.Backlog = 1<<30, 1<<30, 1<<20
	h, err := NewHost(ctx, c)
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	g, err := h.Create(ctx, CreateRequest{
		Name: "bench", User: "u", UserName: "U", Interval: 100 * time.Millisecond, Grids: []GridSpec{{Width: 1024, Height: 1024, Mode: Owners, Owners: 64}},
	})
	if err == nil {
		_, err = h.Watch(g.ID(), Stream{Mode: protocol.WatchCells})
	}
	if err == nil {
		err = g.Start(ctx, "u")
	}
	if err != nil {
		b.Fatal(err)
	}
	var done atomic.Int64
	var worst atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		rng := rand.New(rand.NewPCG(1, uint64(done.Add(1))))
		for pb.Next() {
			edits := make([]Edit, size)
			for i := range edits {
				edits[i] = Edit{Kind: Place, X: rng.Int32N(1024), Y: rng.Int32N(1024), Policy: Overwrite}
			}
			start := time.Now()
			if _, err := g.EditWait(ctx, "u", 0, edits...); err != nil {
				b.Error(err)
				return
			}
			worst.Store(max(worst.Load(), int64(time.Since(start))))
		}
	})
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "edits/s")
	b.ReportMetric(float64(worst.Load())/1e6, "worst-ms")
}

// BenchmarkRecovery opens a host with 100 games whose logs have 1,000 generations to repeat.
func BenchmarkRecovery(b *testing.B) {
	log, store := memory.NewLog(), memory.NewStore()
	l := DefaultLimits()
	l.GamesUser = 100
	open := func() *Host {
		h, err := NewHost(ctx, Config{Log: log, Store: store, Limits: l, Budget: grid.NewBudget(1 << 30)})
		if err != nil {
			b.Fatal(err)
		}
		return h
	}
	h := open()
	for i := range 100 {
		g, err := h.Create(ctx, CreateRequest{Name: "bench", User: "u", UserName: "U", Persistent: true, Grids: []GridSpec{{Width: 320, Height: 320}}})
		if err == nil {
			_, err = g.EditWait(ctx, "u", 0, Edit{Kind: Stamp, Pattern: soup(rand.New(rand.NewPCG(1, uint64(i))), 300, 300, 0.3)})
		}
		for n := 0; n < 1000 && err == nil; n += 100 {
			_, err = g.Step(ctx, "u", 100)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	h.Close()
	b.ResetTimer()
	for range b.N {
		open().Close()
	}
}
