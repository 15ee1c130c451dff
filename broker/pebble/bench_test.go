package pebble

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"gosper/broker"
)

// BenchmarkCreate measures durable creates on the real disk, by writers. Set TMPDIR to choose the disk.
func BenchmarkCreate(b *testing.B) {
	for _, writers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprint("writers=", writers), func(b *testing.B) {
			db := open(b, b.TempDir(), Options{})
			value := make([]byte, 128)
			spread(b, writers, func(i int64) {
				if _, err := db.Store().Create(context.Background(), fmt.Sprintf("rec/%012d", i), value); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// BenchmarkTake measures making and taking a nonce, both durable.
func BenchmarkTake(b *testing.B) {
	db := open(b, b.TempDir(), Options{})
	spread(b, 64, func(i int64) {
		key := fmt.Sprintf("nonce.%012d", i)
		if err := db.Registry().Create(context.Background(), key, nil, patience); err != nil {
			b.Error(err)
		}
		if _, err := db.Registry().Take(context.Background(), key); err != nil {
			b.Error(err)
		}
	})
}

// BenchmarkPublish measures durable publishes to ten subjects.
func BenchmarkPublish(b *testing.B) {
	db := open(b, b.TempDir(), Options{})
	value := make([]byte, 128)
	spread(b, 64, func(i int64) {
		subject := fmt.Sprint("chat.", i%10)
		if _, err := publishWait(db.Bus(), subject, value, broker.Keep{Messages: 100}); err != nil {
			b.Error(err)
		}
	})
}

// BenchmarkGet measures reads of records that are in memory.
func BenchmarkGet(b *testing.B) {
	db := open(b, b.TempDir(), Options{})
	for i := range 1000 {
		if _, err := db.Store().Put(context.Background(), fmt.Sprint("rec/", i), make([]byte, 128)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := db.Store().Get(context.Background(), fmt.Sprint("rec/", i%1000)); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// spread runs fn b.N times on so many goroutines and reports calls a second.
func spread(b *testing.B, goroutines int, fn func(i int64)) {
	b.ReportAllocs()
	var next atomic.Int64
	var wait sync.WaitGroup
	b.ResetTimer()
	for range goroutines {
		wait.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				fn(i)
			}
		})
	}
	wait.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
