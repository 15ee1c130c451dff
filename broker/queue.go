package broker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors of queues, named after the answers of the beanstalkd protocol.
var (
	ErrDeadlineSoon = errors.New("a reserved job's time to run ends within a second")
	ErrTooBig       = errors.New("job is larger than the limit")
	ErrDraining     = errors.New("the queue takes no new jobs")
	ErrTubeFull     = errors.New("tube has as many jobs as it may have")
	ErrBuried       = errors.New("job was tried too often and is buried now")
)

// MaxTube is the longest name of a tube in bytes. A name is valid UTF-8 without control characters.
const MaxTube = 200

// MaxUnique is the longest PutOptions.Unique in bytes.
const MaxUnique = 512

// QueueOptions of an engine. The zero value of a field means its default.
type QueueOptions struct {
	MaxJob   int                   // bytes of a job's body, above: ErrTooBig. Default 65,535, as beanstalkd's
	MaxTubes int                   // tubes with jobs or waiting reservations, above: ErrBusy. Default 100,000
	Limits   TubeLimits            // of every tube that Tubes does not name
	Tubes    map[string]TubeLimits // of single tubes
	MaxJobs  int                   // jobs and timers of an engine that has an entry of each in memory, above: ErrBusy. Default 4,000,000
	Cache    int64                 // bytes of bodies an engine on disk keeps in memory. Default 32 MiB
	Now      func() time.Time      // the wall clock, for delays and timers. Default time.Now
}

// TubeLimits bound what a tube holds and how often a job is tried. Zero means no limit.
type TubeLimits struct {
	Jobs     int    // jobs in the tube; more puts get ErrTubeFull. What a Schedule fires is always taken
	Reserves uint32 // a job that was reserved so often and comes back is buried
	Timeouts uint32 // a job whose lease expired so often is buried
}

// LimitsOf returns the limits of a tube.
func (o QueueOptions) LimitsOf(tube string) TubeLimits {
	if l, ok := o.Tubes[tube]; ok {
		return l
	}
	return o.Limits
}

// WithDefaults fills in the defaults.
func (o QueueOptions) WithDefaults() QueueOptions {
	if o.MaxJob == 0 {
		o.MaxJob = 65535
	}
	if o.MaxTubes == 0 {
		o.MaxTubes = 100_000
	}
	if o.MaxJobs == 0 {
		o.MaxJobs = 4_000_000
	}
	if o.Cache == 0 {
		o.Cache = 32 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Validate names the first field that makes no sense.
func (o QueueOptions) Validate() error {
	switch {
	case o.MaxJob < 0 || o.MaxJob > MaxValue:
		return fmt.Errorf("field MaxJob must be between 0 and %d", MaxValue)
	case o.MaxTubes < 0:
		return errors.New("field MaxTubes must not be negative")
	case o.MaxJobs < 0:
		return errors.New("field MaxJobs must not be negative")
	case o.Cache < 0:
		return errors.New("field Cache must not be negative")
	case o.Limits.Jobs < 0:
		return errors.New("field Limits.Jobs must not be negative")
	}
	for name, l := range o.Tubes {
		if l.Jobs < 0 {
			return fmt.Errorf("field Tubes[%q].Jobs must not be negative", name)
		}
	}
	return nil
}

// JobState is where a job stands.
type JobState uint8

// States of a job.
const (
	JobReady JobState = iota + 1
	JobReserved
	JobDelayed
	JobBuried
)

// String returns beanstalkd's word for the state.
func (s JobState) String() string {
	switch s {
	case JobReady:
		return "ready"
	case JobReserved:
		return "reserved"
	case JobDelayed:
		return "delayed"
	case JobBuried:
		return "buried"
	}
	return "unknown"
}

// DefaultPriority and DefaultTTR are what callers use who have no opinion: Keno Antigen's values.
const (
	DefaultPriority = 2000
	DefaultTTR      = 120 * time.Second
)

// PutOptions are the properties of a new job.
type PutOptions struct {
	Priority uint32        // lower is sooner
	Delay    time.Duration // ready after it
	TTR      time.Duration // time to run once reserved; below a second counts as a second
	Unique   string        // while a job with the same text lives in the tube, Put answers its id and ErrExists; "" for none
}

// Job is one job with its counters, a copy.
type Job struct {
	ID       uint64
	Tube     string
	Body     []byte
	State    JobState
	Priority uint32
	Delay    time.Duration
	TTR      time.Duration
	Created  time.Time
	Due      time.Time // when a delayed job becomes ready, when a lease ends
	Reason   string    // why it was buried
	Lease    uint64    // fencing token of a reserved job, else 0

	Reserves, Timeouts, Releases, Buries, Kicks uint32
}

// Reservation asks for one job.
type Reservation struct {
	Owner uint64        // the connection or worker whose leases end together; see EndOwner
	Tubes []string      // at least one
	ID    uint64        // when not 0: this job, whatever its tube, if it is not reserved; Wait is not used
	Wait  time.Duration // < 0: as long as it takes
	// Got is called exactly once, from any goroutine or before Reserve returns: a job, or ErrNotFound (nothing came in
	// time), ErrDeadlineSoon, ErrClosed, or context.Canceled after cancel.
	Got func(Job, error)
}

// TubeStats are the counters of one tube.
type TubeStats struct {
	Tube                                     string
	Urgent, Ready, Reserved, Delayed, Buried uint64        // jobs now; urgent: ready with priority below 1024
	Puts, Deletes, Kicks, Timeouts           uint64        // since the node started
	Waiting                                  uint64        // reservations waiting
	Oldest                                   time.Duration // age of the oldest ready job (of the next 4,096)
	PausedFor, PauseLeft                     time.Duration
}

// Queue holds jobs in tubes with beanstalkd's semantics: at least once, in the order of priority then id. A put, delete,
// release, bury and kick that was answered is durable in the sense of the engine's mode; leases live in memory and a
// crash makes reserved jobs ready again. Methods with a done never block and call it exactly once, from any goroutine or
// before they return; one caller's operations keep their order. lease is the Job.Lease the caller got; a stale one is
// ErrNotFound.
type Queue interface {
	// Put owns body from now on.
	Put(tube string, body []byte, o PutOptions, done func(id uint64, err error))
	Reserve(r Reservation) (cancel func())
	Delete(id, lease uint64, done func(error)) // lease 0: a job that nobody has reserved
	// Release gives a job back. When it has reached a limit of its tube it is buried, with its reason: ErrBuried.
	Release(id, lease uint64, priority uint32, delay time.Duration, done func(error))
	Bury(id, lease uint64, priority uint32, reason string, done func(error))
	Touch(id, lease uint64) error
	// EndOwner releases all leases of the owner and cancels its reservations.
	EndOwner(owner uint64)
	KickJob(id uint64, done func(error))
	// Kick makes buried jobs ready, the lowest ids first; when there are none, delayed ones, the soonest due first.
	Kick(tube string, bound int, done func(kicked int, err error))

	Peek(ctx context.Context, id uint64) (Job, error)
	PeekTube(ctx context.Context, tube string, state JobState) (Job, error)                            // the next of that state
	ListJobs(ctx context.Context, tube string, state JobState, after uint64, limit int) ([]Job, error) // by id
	Pause(tube string, d time.Duration) error
	Stats(tube string) (TubeStats, error) // ErrNotFound
	Tubes() []string                      // those with jobs, waiting reservations or a pause; others do not exist
	// Drain refuses new jobs with ErrDraining, or takes them again. What a Schedule fires is always taken.
	Drain(on bool)
	// Wake looks at the wall clock now. Engines look by themselves within a second; only tests that set the clock need it.
	Wake()
	Close() error
}

// Timer is one pending entry of a Schedule.
type Timer struct {
	Key   string    // unique in the schedule: names of a route and its object, "building.<id>"
	Group string    // timers of one group can be shifted together, "" for none
	Due   time.Time // kept in milliseconds, rounded up
	Tube  string
	Body  []byte
	Put   PutOptions // Delay is not used
}

// Schedule holds durable timers. Timers due at the same millisecond fire in the order they were set. When a timer is due it
// becomes a job of its tube exactly once: its row goes and the job comes in one commit. All methods block until the change
// is durable; they are never called on a loop.
type Schedule interface {
	Set(ctx context.Context, t Timer) error             // creates or replaces the timer of that key
	Cancel(ctx context.Context, key string) error       // ErrNotFound
	Get(ctx context.Context, key string) (Timer, error) // ErrNotFound
	// Shift moves every timer of the group that is due later than after by d, in one commit, and returns how many.
	Shift(ctx context.Context, group string, after time.Time, d time.Duration) (int, error)
	// List returns timers by due time, those due later than after first, at most limit; group "" lists all.
	List(ctx context.Context, group string, after time.Time, limit int) ([]Timer, error)
	Pending() int
	Close() error
}
