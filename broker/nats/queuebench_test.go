package nats

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"gosper/broker"
)

// puts lets producers put jobs one after another, b.N in all.
func puts(b *testing.B, q *Queue, producers int) {
	b.Helper()
	body := make([]byte, 128)
	var left atomic.Int64
	left.Store(int64(b.N))
	var work sync.WaitGroup
	b.ResetTimer()
	for range producers {
		work.Go(func() {
			done := make(chan error, 1)
			for left.Add(-1) >= 0 {
				q.Put("bench", body, broker.PutOptions{TTR: time.Minute}, func(_ uint64, err error) { done <- err })
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
		})
	}
	work.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
}

// BenchmarkQueuePuts puts at the node that leads and at another one, with one server and with three.
func BenchmarkQueuePuts(b *testing.B) {
	for _, replicas := range []int{1, 3} {
		var servers []*server.Server
		query := ""
		if replicas == 1 {
			servers = append(servers, start(b, b.TempDir(), -1))
		} else {
			servers, query = cluster(b), "?replicas=3"
		}
		for _, producers := range []int{1, 64, 256} {
			for who, name := range []string{"leader", "other"} {
				b.Run(fmt.Sprintf("R%d/%s/%d", replicas, name, producers), func(b *testing.B) {
					space := newSpace()
					all := []*Queue{leads(b, queueAt(b, servers[0].ClientURL()+query, space)), queueAt(b, servers[len(servers)-1].ClientURL()+query, space)}
					puts(b, all[who], producers)
				})
			}
		}
	}
}

// BenchmarkQueueCycle puts, reserves and deletes at the node that leads.
func BenchmarkQueueCycle(b *testing.B) {
	q := leads(b, queueAt(b, start(b, b.TempDir(), -1).ClientURL(), newSpace()))
	var work sync.WaitGroup
	for owner := range 64 {
		n := b.N / 64
		if owner < b.N%64 {
			n++
		}
		work.Go(func() {
			put, got, ended := make(chan error, 1), make(chan broker.Job, 1), make(chan error, 1)
			for range n {
				q.Put("cycle", make([]byte, 128), broker.PutOptions{TTR: time.Minute}, func(_ uint64, err error) { put <- err })
				q.Reserve(broker.Reservation{Owner: uint64(owner + 1), Tubes: []string{"cycle"}, Wait: -1, Got: func(j broker.Job, err error) {
					if err != nil {
						b.Error(err)
					}
					got <- j
				}})
				j := <-got
				q.Delete(j.ID, j.Lease, func(err error) { ended <- err })
				if err1, err2 := <-put, <-ended; err1 != nil || err2 != nil {
					b.Error(err1, err2)
				}
			}
		})
	}
	work.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "cycles/s")
}

// BenchmarkQueueLoad reads 200,000 jobs as a new leader does.
func BenchmarkQueueLoad(b *testing.B) {
	const jobs = 200_000
	q := leads(b, queueAt(b, start(b, b.TempDir(), -1).ClientURL(), newSpace()))
	q.opts.Log = slog.New(slog.DiscardHandler)
	var work sync.WaitGroup
	for range 128 {
		work.Go(func() {
			done := make(chan error, 1)
			for range jobs / 128 {
				q.Put("load", make([]byte, 128), broker.PutOptions{TTR: time.Minute}, func(_ uint64, err error) { done <- err })
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
		})
	}
	work.Wait()
	b.ResetTimer()
	for range b.N {
		l := newLeader(q, 1)
		if err := l.load(context.Background(), q.leader().next-1); err != nil {
			b.Fatal(err)
		}
		l.do(func(time.Time) { l.resign("the benchmark is over") })
	}
	b.ReportMetric(jobs*float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
}
