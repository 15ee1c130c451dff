package pebble

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"gosper/broker"
	"gosper/broker/brokertest"
	"gosper/broker/memory"
)

// both is a queue in memory and one on disk that get the same calls. Time stands still but for the calls that move it.
type both struct {
	t     *rapid.T
	wall  atomic.Int64
	model *memory.Queue
	plan  *memory.Schedule
	d     *durable
	a, b  brokertest.Verbs
	jobs  []pair
}

// pair is one job in both, since a restart skips ids; and its leases.
type pair struct{ a, b, leaseA, leaseB uint64 }

func newBoth(rt *rapid.T, t *testing.T) *both {
	x := &both{t: rt}
	x.wall.Store(1_700_000_000_000)
	o := broker.QueueOptions{Now: x.now, Cache: rapid.SampledFrom([]int64{1, 1000, 1 << 20}).Draw(rt, "cache"), Tubes: map[string]broker.TubeLimits{
		"limited": {Jobs: 4, Reserves: 3},
	}}
	x.model = memory.NewQueue(o)
	x.plan = memory.NewSchedule(x.model)
	x.d = &durable{options: testOptions(t, Options{
		FS: vfs.NewMem(), MemTable: rapid.SampledFrom([]int64{32 << 10, 1 << 20}).Draw(rt, "memtable"),
		Jobs: o, window: rapid.SampledFrom([]int{8, 16, 0}).Draw(rt, "window"),
	})}
	x.d.open(rt)
	x.a, x.b = brokertest.Verbs{T: t, Q: x.model}, brokertest.Verbs{T: t, Q: x.d.Queue()}
	return x
}

func (x *both) now() time.Time { return time.UnixMilli(x.wall.Load()) }

func (x *both) close() {
	x.model.Close()
	x.d.Close()
}

// settle waits until the durable queue has nothing to do.
func (x *both) settle() {
	for end := time.Now().Add(patience); !quietNow(x.d.Queue()); time.Sleep(20 * time.Microsecond) {
		if time.Now().After(end) {
			x.t.Fatal("the chores do not end")
		}
	}
}

// quietNow reports whether the queue has nothing to do until the clock goes on.
func quietNow(q *Queue) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	due, some := q.due(time.Now())
	return !q.choring && len(q.ended) == 0 && (!some || due > 0)
}

// advance moves the clock in both.
func (x *both) advance(d time.Duration) {
	x.wall.Add(d.Milliseconds())
	x.model.Wake()
	x.d.Queue().Wake()
	x.settle()
}

// restart ends all leases, which do not live through it, and opens the durable queue again.
func (x *both) restart() {
	x.endOwner(1)
	x.endOwner(2)
	x.d.reopen(x.t)
	x.b.Q = x.d.Queue()
	x.settle()
}

func (x *both) endOwner(owner uint64) {
	x.model.EndOwner(owner)
	x.d.Queue().EndOwner(owner)
	x.settle()
}

// any draws one of the jobs there ever were.
func (x *both) any(t *rapid.T) *pair {
	if len(x.jobs) == 0 {
		t.Skip("no jobs yet")
	}
	return &x.jobs[rapid.IntRange(max(0, len(x.jobs)-40), len(x.jobs)-1).Draw(t, "job")]
}

func (x *both) same(t *rapid.T, a, b error) {
	for _, kind := range []error{broker.ErrNotFound, broker.ErrExists, broker.ErrTubeFull, broker.ErrBuried} {
		if errors.Is(a, kind) != errors.Is(b, kind) {
			t.Fatalf("memory says %v, pebble says %v", a, b)
		}
	}
	if (a == nil) != (b == nil) {
		t.Fatalf("memory says %v, pebble says %v", a, b)
	}
}

// job compares what both say of one job.
func (x *both) job(t *rapid.T, a, b broker.Job) {
	a.ID, b.ID, a.Lease, b.Lease = 0, 0, 0, 0
	if a.State == broker.JobReserved {
		a.Due, b.Due = time.Time{}, time.Time{}
	}
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Fatalf("memory: %+v\npebble: %+v", a, b)
	}
}

// find returns the pair of a job of the model.
func (x *both) find(t *rapid.T, a, b uint64) *pair {
	i := slices.IndexFunc(x.jobs, func(p pair) bool { return p.a == a })
	if i < 0 { // a timer made it
		x.jobs = append(x.jobs, pair{a: a, b: b})
		return &x.jobs[len(x.jobs)-1]
	}
	if x.jobs[i].b != b {
		t.Fatalf("memory gave job %d, pebble %d instead of %d", a, b, x.jobs[i].b)
	}
	return &x.jobs[i]
}

// TestQueueModel makes random calls on both queues, with restarts and clock jumps: the histories are equal.
func TestQueueModel(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		x := newBoth(rt, t)
		defer x.close()
		tubes := rapid.SampledFrom([]string{"a", "b", "limited"})
		delays := rapid.SampledFrom([]time.Duration{0, 0, 0, time.Millisecond, time.Second, time.Hour})
		priorities := rapid.SampledFrom([]uint32{0, 5, 5, 1 << 31})
		owners := rapid.Uint64Range(1, 2)
		lent := func(t *rapid.T, a broker.Job, errA error, b broker.Job, errB error) {
			x.same(t, errA, errB)
			if errA == nil {
				x.job(t, a, b)
				p := x.find(t, a.ID, b.ID)
				p.leaseA, p.leaseB = a.Lease, b.Lease
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "count") {
					tube, body := tubes.Draw(t, "tube"), fmt.Sprint(len(x.jobs))
					o := broker.PutOptions{Priority: priorities.Draw(t, "priority"), Delay: delays.Draw(t, "delay"), TTR: time.Hour}
					o.Unique = rapid.SampledFrom([]string{"", "", "u"}).Draw(t, "unique")
					a, errA := x.a.TryPut(tube, body, o)
					b, errB := x.b.TryPut(tube, body, o)
					x.same(t, errA, errB)
					if errA == nil {
						x.jobs = append(x.jobs, pair{a: a, b: b})
					} else if errors.Is(errA, broker.ErrExists) {
						x.find(t, a, b)
					}
				}
			},
			"reserve": func(t *rapid.T) {
				owner, names := owners.Draw(t, "owner"), rapid.SliceOfN(tubes, 1, 3).Draw(t, "tubes")
				a, errA := x.a.Reserve(owner, names...)
				b, errB := x.b.Reserve(owner, names...)
				lent(t, a, errA, b, errB)
			},
			"reserve id": func(t *rapid.T) {
				owner, p := owners.Draw(t, "owner"), x.any(t)
				a, errA := x.a.ReserveID(owner, p.a)
				b, errB := x.b.ReserveID(owner, p.b)
				lent(t, a, errA, b, errB)
			},
			"delete": func(t *rapid.T) {
				p := x.any(t)
				if rapid.Bool().Draw(t, "without lease") {
					x.same(t, x.a.Delete(p.a, 0), x.b.Delete(p.b, 0))
					return
				}
				x.same(t, x.a.Delete(p.a, p.leaseA), x.b.Delete(p.b, p.leaseB))
			},
			"release": func(t *rapid.T) {
				p, priority, delay := x.any(t), priorities.Draw(t, "priority"), delays.Draw(t, "delay")
				x.same(t, x.a.Release(p.a, p.leaseA, priority, delay), x.b.Release(p.b, p.leaseB, priority, delay))
			},
			"bury": func(t *rapid.T) {
				p, priority := x.any(t), priorities.Draw(t, "priority")
				x.same(t, x.a.Bury(p.a, p.leaseA, priority, "why"), x.b.Bury(p.b, p.leaseB, priority, "why"))
			},
			"kick": func(t *rapid.T) {
				tube, bound := tubes.Draw(t, "tube"), rapid.IntRange(0, 12).Draw(t, "bound")
				if a, b := x.a.Kick(tube, bound), x.b.Kick(tube, bound); a != b {
					t.Fatalf("memory kicked %d, pebble %d", a, b)
				}
			},
			"kick job": func(t *rapid.T) {
				p := x.any(t)
				x.same(t, x.a.KickJob(p.a), x.b.KickJob(p.b))
			},
			"timer": func(t *rapid.T) {
				m := broker.Timer{Key: rapid.SampledFrom([]string{"k1", "k2", "k3", "k4"}).Draw(t, "key"), Tube: tubes.Draw(t, "tube")}
				m.Group = rapid.SampledFrom([]string{"", "g", "gg"}).Draw(t, "group")
				m.Due = x.now().Add(delays.Draw(t, "delay") - time.Millisecond)
				m.Put.Priority, m.Body = 7, []byte("t")
				switch rapid.IntRange(0, 3).Draw(t, "verb") {
				case 0, 1:
					x.same(t, x.plan.Set(ctx, m), x.d.Schedule().Set(ctx, m))
				case 2:
					x.same(t, x.plan.Cancel(ctx, m.Key), x.d.Schedule().Cancel(ctx, m.Key))
				case 3:
					a, errA := x.plan.Shift(ctx, "g", x.now(), time.Second)
					b, errB := x.d.Schedule().Shift(ctx, "g", x.now(), time.Second)
					x.same(t, errA, errB)
					if a != b {
						t.Fatalf("memory shifted %d, pebble %d", a, b)
					}
				}
				x.advance(0) // what is overdue fires
			},
			"advance": func(t *rapid.T) {
				x.advance(rapid.SampledFrom([]time.Duration{-time.Hour, time.Millisecond, time.Second, time.Hour}).Draw(t, "by"))
			},
			"lose owner": func(t *rapid.T) { x.endOwner(owners.Draw(t, "owner")) },
			"restart":    func(t *rapid.T) { x.restart() },
			"":           x.compare,
		})
	})
}

// compare looks at everything that can be seen.
func (x *both) compare(t *rapid.T) {
	ctx := context.Background()
	if a, b := x.model.Tubes(), x.d.Queue().Tubes(); !slices.Equal(a, b) {
		t.Fatalf("memory has tubes %v, pebble %v", a, b)
	}
	for _, tube := range x.model.Tubes() {
		a, errA := x.model.Stats(tube)
		b, errB := x.d.Queue().Stats(tube)
		x.same(t, errA, errB)
		if a.Urgent != b.Urgent || a.Ready != b.Ready || a.Reserved != b.Reserved || a.Delayed != b.Delayed || a.Buried != b.Buried {
			t.Fatalf("memory: %+v\npebble: %+v", a, b)
		}
		for s := broker.JobReady; s <= broker.JobBuried; s++ {
			ja, errA := x.model.ListJobs(ctx, tube, s, 0, 30)
			jb, errB := x.d.Queue().ListJobs(ctx, tube, s, 0, 30)
			x.same(t, errA, errB)
			if len(ja) != len(jb) {
				t.Fatalf("memory lists %d %s jobs of %s, pebble %d", len(ja), s, tube, len(jb))
			}
			for i := range ja {
				x.job(t, ja[i], jb[i])
			}
			pa, errA := x.model.PeekTube(ctx, tube, s)
			pb, errB := x.d.Queue().PeekTube(ctx, tube, s)
			x.same(t, errA, errB)
			x.job(t, pa, pb)
		}
	}
	ta, _ := x.plan.List(ctx, "", time.Time{}, 100)
	tb, err := x.d.Schedule().List(ctx, "", time.Time{}, 100)
	if err != nil || fmt.Sprint(ta) != fmt.Sprint(tb) || x.plan.Pending() != x.d.Schedule().Pending() {
		t.Fatalf("memory: %d %+v\npebble: %d %+v, %v", x.plan.Pending(), ta, x.d.Schedule().Pending(), tb, err)
	}
}
