package worker

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gosper/broker"
	"gosper/broker/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a queue and workers on one tube.
type rig struct {
	t     *testing.T
	queue *memory.Queue
	run   *Runtime
}

func newRig(t *testing.T, tube Tube) *rig {
	r := &rig{t: t, queue: memory.NewQueue(broker.QueueOptions{})}
	tube.Name = "bg_test"
	var err error
	if r.run, err = Start(Options{Queue: r.queue, Tubes: []Tube{tube}}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) close() {
	if err := errors.Join(r.run.Stop(context.Background()), r.queue.Close()); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) put(body string) (id uint64) {
	r.queue.Put("bg_test", []byte(body), broker.PutOptions{TTR: 2 * time.Second}, func(got uint64, err error) {
		if err != nil {
			r.t.Error(err)
		}
		id = got
	})
	return id
}

func (r *rig) state(id uint64) (broker.Job, bool) {
	j, err := r.queue.Peek(context.Background(), id)
	return j, err == nil
}

// Goal: a job is worked on once and gone; competing consumers share; the limit of concurrency holds. Method: 100 jobs, 3 at
// a time, in a bubble.
func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most, all atomic.Int64
		r := newRig(t, Tube{Concurrency: 3, Routes: Routes{"/a/b": func(context.Context, *Job) error {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			now.Add(-1)
			all.Add(1)
			return nil
		}}})
		for range 100 {
			r.put(`{"route":"/A/b"}`)
		}
		time.Sleep(40 * time.Second)
		if all.Load() != 100 || most.Load() != 3 {
			t.Errorf("%d jobs, %d at a time", all.Load(), most.Load())
		}
		if _, err := r.queue.Stats("none"); !errors.Is(err, broker.ErrNotFound) {
			t.Error(err)
		}
		r.close()
	})
}

// Goal: what fails is tried again later and later, and is buried with its reason at the end; what cannot be mended at once.
// Method: functions that fail, panic, are unknown; the clock of a bubble.
func TestRetriesAndPoison(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times []time.Time
		r := newRig(t, Tube{Concurrency: 1, Attempts: 4, Base: time.Second, Cap: 4 * time.Second, Routes: Routes{
			"/fails":  func(context.Context, *Job) error { times = append(times, time.Now()); return errors.New("out of luck") },
			"/panics": func(context.Context, *Job) error { panic("boom") },
			"/never":  func(context.Context, *Job) error { return Permanent(errors.New("no such address")) },
			"/second": func(_ context.Context, j *Job) error {
				if j.Reserves == 1 {
					return errors.New("not yet")
				}
				return nil
			},
		}})
		want := map[uint64]string{
			r.put(`{"route":"/fails"}`): "out of luck", r.put(`{"route":"/panics"}`): "panic: boom", r.put(`{"route":"/never"}`): "no such address",
			r.put(`{"route":"/user/login"}`): "no function", r.put(`nonsense`): errBody.Error(), r.put(`{"route":"/fails","content":[]}`): errBody.Error(),
			r.put(`{"content":{}}`): errBody.Error(),
		}
		mended := r.put(`{"route":"/second"}`)
		time.Sleep(time.Minute)
		for id, reason := range want {
			if j, ok := r.state(id); !ok || j.State != broker.JobBuried || !strings.Contains(j.Reason, reason) {
				t.Errorf("job %d: %v %q, want %q", id, j.State, j.Reason, reason)
			}
		}
		if _, ok := r.state(mended); ok {
			t.Error("the job that was mended is still there")
		}
		if len(times) != 4 {
			t.Fatalf("%d tries", len(times))
		}
		for i := range 3 {
			if gap := times[i+1].Sub(times[i]); gap > time.Second<<i+100*time.Millisecond {
				t.Errorf("try %d after %v", i+2, gap)
			}
		}
		r.close()
	})
}

// Goal: a function that takes long keeps its lease within its time limit and loses the job after it. Method: one that obeys
// its context, one that never answers while another worker takes the job over.
func TestTimeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := atomic.Int64{}
		stuck := make(chan struct{})
		r := newRig(t, Tube{Concurrency: 2, Timeout: 10 * time.Second, Attempts: 3, Base: time.Millisecond, Cap: time.Millisecond, Routes: Routes{
			"/long":  func(context.Context, *Job) error { runs.Add(1); time.Sleep(9 * time.Second); return nil },
			"/obeys": func(ctx context.Context, _ *Job) error { <-ctx.Done(); return ctx.Err() },
			"/stuck": func(_ context.Context, j *Job) error {
				if j.Reserves == 1 {
					<-stuck
				}
				return nil
			},
		}})
		long := r.put(`{"route":"/long"}`)
		time.Sleep(10 * time.Second)
		if _, ok := r.state(long); ok || runs.Load() != 1 {
			t.Errorf("the long job ran %d times", runs.Load())
		}
		obeys := r.put(`{"route":"/obeys"}`)
		time.Sleep(40 * time.Second)
		if j, _ := r.state(obeys); j.State != broker.JobBuried || j.Reserves != 3 {
			t.Errorf("%+v", j)
		}
		id := r.put(`{"route":"/stuck"}`)
		time.Sleep(20 * time.Second)
		if _, ok := r.state(id); ok {
			t.Error("nobody took the job of the worker that never answers")
		}
		close(stuck)
		r.close()
	})
}

// Goal: a stop waits for what runs, takes no more, and gives back what does not end in time. Method: a job that outlasts the
// stop.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Tube{Concurrency: 1, Routes: Routes{"/long": func(ctx context.Context, _ *Job) error {
			select {
			case <-time.After(30 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}})
		first, second := r.put(`{"route":"/long"}`), r.put(`{"route":"/long"}`)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := r.run.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		for _, id := range []uint64{first, second} {
			if j, ok := r.state(id); !ok || j.State != broker.JobReady {
				t.Errorf("job %d: %v", id, j.State)
			}
		}
		r.close()
	})
}

// Goal: namespaces and figures are checked. Method: table.
func TestTubeIsChecked(t *testing.T) {
	routes := Routes{"/a": func(context.Context, *Job) error { return nil }}
	for _, bad := range []Tube{{Name: "ws_x", Routes: routes}, {Name: "bg", Routes: routes}, {Name: "bg_x"}, {Name: "mq_x", Routes: routes, Base: time.Hour}} {
		if r, err := Start(Options{Queue: memory.NewQueue(broker.QueueOptions{}), Tubes: []Tube{bad}}); err == nil {
			t.Errorf("%+v was taken", bad)
			_ = r.Stop(t.Context())
		}
	}
	for tries := range uint32(80) {
		tube := Tube{Base: time.Second, Cap: 5 * time.Minute}
		if d := tube.backoff(tries); d < 0 || d > tube.Cap || tries == 0 && d > time.Second {
			t.Errorf("after %d tries: %v", tries, d)
		}
	}
}
