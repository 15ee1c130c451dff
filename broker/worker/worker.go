// Package worker runs functions on the jobs of a queue: competing consumers with a fixed number a tube, a time limit a job,
// retries with exponential backoff and full jitter, and an end to retries, after which a job is buried with its reason.
//
// A job is JSON {"route","content","user_id"?,"msgId"?}; see Message. Routes are looked up in the namespace that the name of
// the tube begins with: "bg" for background work (bg_email), "mq" for messages (mq_…). A function for one namespace can
// never be called through another, nor a client's function through a tube.
//
// Jobs run at least once: a function may see a job again after a crash, so what it does must bear that.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker"
)

// Function does the work of one job. An error has the job tried again later, unless it is Permanent. The context ends when
// the time limit is over or the runtime is told to stop at once.
type Function func(ctx context.Context, j *Job) error

// Job is a job with what its body says.
type Job struct {
	broker.Job
	Message
}

// Tube says how the jobs of one tube are worked on. The zero value of a figure means its default.
type Tube struct {
	Name        string
	Concurrency int           // jobs at a time; default 4
	Timeout     time.Duration // for one try; default 60 s
	Attempts    uint32        // tries, after which a job that failed is buried; default 10
	Base, Cap   time.Duration // a retry waits a random time up to Base doubled for each try, at most Cap; default 1 s and 5 min
	Routes      Routes
}

// Options of a Runtime.
type Options struct {
	Queue broker.Queue
	Tubes []Tube
	Log   *slog.Logger // nil means none
}

// Runtime is a set of running workers. Its methods may be called from any goroutine.
type Runtime struct {
	queue broker.Queue
	log   *slog.Logger
	stop  context.CancelFunc // no more jobs
	cut   context.CancelFunc // ends the functions
	done  chan struct{}
}

// owners numbers the consumers of this process, apart from the numbers of connections.
var owners atomic.Uint64

const ownerBit = 1 << 63

// Start runs the workers.
func Start(o Options) (*Runtime, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Runtime{queue: o.Queue, log: o.Log, done: make(chan struct{})}
	for i := range o.Tubes {
		if err := o.Tubes[i].complete(); err != nil {
			return nil, err
		}
	}
	taking, stop := context.WithCancel(context.Background())
	running, cut := context.WithCancel(context.Background())
	r.stop, r.cut = stop, cut
	var work sync.WaitGroup
	for i := range o.Tubes {
		t := &o.Tubes[i]
		m := newTubeMetrics(t.Name)
		for range t.Concurrency {
			c := &consumer{runtime: r, tube: t, metrics: m, owner: ownerBit | owners.Add(1), taking: taking, running: running}
			work.Go(c.run)
		}
	}
	go func() {
		work.Wait()
		cut()
		close(r.done)
	}()
	return r, nil
}

func (t *Tube) complete() error {
	if _, ok := namespaceOf(t.Name); !ok {
		return fmt.Errorf("tube %q: the name must begin with bg_ or mq_", t.Name)
	}
	if t.Concurrency == 0 {
		t.Concurrency = 4
	}
	if t.Timeout == 0 {
		t.Timeout = time.Minute
	}
	if t.Attempts == 0 {
		t.Attempts = 10
	}
	if t.Base == 0 {
		t.Base = time.Second
	}
	if t.Cap == 0 {
		t.Cap = 5 * time.Minute
	}
	if t.Concurrency < 0 || t.Timeout < 0 || t.Base < 0 || t.Cap < t.Base || len(t.Routes) == 0 {
		return fmt.Errorf("tube %q: figures must be positive, Cap at least Base, and routes are needed", t.Name)
	}
	return nil
}

// Stop takes no more jobs and waits for those under way. When ctx ends first, their functions are told to end, and their
// jobs become ready again for others. It returns ctx's error then. It is idempotent.
func (r *Runtime) Stop(ctx context.Context) error {
	r.stop()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		r.cut()
		<-r.done
		return ctx.Err()
	}
}

// Permanent marks an error that no retry can mend: the job is buried at once.
func Permanent(err error) error { return &permanent{err} }

// IsPermanent says whether an error was marked by Permanent.
func IsPermanent(err error) bool {
	var p *permanent
	return errors.As(err, &p)
}

type permanent struct{ error }

func (p *permanent) Unwrap() error { return p.error }

// backoff returns how long to wait before the next try, after tries of them: a random time, so that jobs that failed
// together do not come back together.
func (t *Tube) backoff(tries uint32) time.Duration {
	most := t.Cap
	if tries < 32 {
		if d := t.Base << tries; d > 0 && d < most {
			most = d
		}
	}
	return rand.N(most + 1)
}

// outcome is what becomes of a job.
type outcome uint8

const (
	outcomeDone outcome = iota
	outcomeRetry
	outcomeBury
	outcomeReturned // the runtime stops: at once ready for another
	outcomes
)

// judge decides what becomes of a job after one try.
func (t *Tube) judge(j *broker.Job, err error, stopping bool) outcome {
	switch {
	case err == nil:
		return outcomeDone
	case IsPermanent(err):
		return outcomeBury
	case stopping:
		return outcomeReturned
	case j.Reserves >= t.Attempts:
		return outcomeBury
	}
	return outcomeRetry
}
