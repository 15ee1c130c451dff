// Package gate is the door of phones that ask one thing and go: one JSON line in, one JSON line out, then the gate closes.
//
//	C→S {"world":"0","function":"<name>","data":{"token":"…",…}} CR LF
//	S→C {"status":n,"message":"…","data":…} CR LF, end
//
// Functions of the node's table run in this process. Any other name is a function of a worker, in another process and
// perhaps in another language. It becomes a job on the tube "jobs" of the queue, and a worker answers on the worker port,
// to which it keeps one connection:
//
//	job            <job id>~{"world":"0","function":"<name>","data":{…}}
//	worker → gate  <job id>~{"status":n,"message":"…","data":…} CR LF
//
// A job id is 32 hex digits. A worker answers first and then deletes the job. One that dies before gives the job back with
// its lease, and another does it again: what a worker does should bear that. The client gets one answer, whatever happens:
// the first reply, or status -2 when there is none in time.
//
// The gate has read the token of a job: data.unique_id is the id of the account, whatever the client wrote there. Functions
// that need no token (a registration, say) have to be named in Config.Open. The registry tells where to answer: key
// gates.id.<gate id> holds host:port of the worker port, key <job id> holds the gate id. Gates that share the queue with
// others take replies to each other's jobs too, so a worker may answer at any of them.
//
// A client that closes its half of the connection is taken to have gone.
package gate

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker"
	"gosper/edge"
	"gosper/edge/module"
)

// Tube is where jobs for workers are put.
const Tube = "jobs"

// Table is what a gate needs of the function table. Its methods do not block.
type Table interface {
	// Has says whether there is a function of this route or gate name.
	Has(name string) bool
	// Admit checks the token and the rate of a call that a worker is to answer, and fills in who calls. See module.Table.
	Admit(c *module.Call, open bool, done func(module.Reply))
}

// Config is what a gate is made of. The engines stay the caller's.
type Config struct {
	Table    Table
	Queue    broker.Queue    // nil: there are no workers elsewhere
	Registry broker.Registry // nil: the gate is not entered
	Bus      broker.Bus      // which gates share that share Queue; nil: this one is alone
	// Consumers says whether a worker takes jobs of Tube at all; without one, functions that are not in the table are
	// unknown. It does not block. nil: the queue is asked whether one waits.
	Consumers func() bool
	Open      []string // functions of workers that need no token
	Timeout   time.Duration
	Log       *slog.Logger // nil means none
}

// Gate joins the two doors of a gate. All methods may be called from any goroutine.
type Gate struct {
	// static after construction
	config Config
	open   map[string]bool
	log    *slog.Logger
	end    context.Context // ends when Close begins
	cancel context.CancelFunc
	work   sync.WaitGroup

	jobs *jobs

	// atomic
	id     atomic.Pointer[string] // nil until the gate is entered in the registry
	visits atomic.Int64           // requests that are not answered
}

// New returns a gate. Config.Timeout must be the limit gate_timeout of the engine that runs its doors.
func New(c Config) *Gate {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gate{config: c, open: map[string]bool{}, log: c.Log, jobs: newJobs()}
	for _, name := range c.Open {
		g.open[name] = true
	}
	g.end, g.cancel = context.WithCancel(context.Background())
	if c.Queue != nil {
		g.work.Go(g.sweeping)
	}
	if c.Bus != nil {
		g.follow()
	}
	openJobs.watch(g)
	return g
}

// Client returns the door of clients. One serves all listeners, with and without TLS.
func (g *Gate) Client() edge.Door { return &Client{gate: g} }

// Worker returns the door of workers' replies, which belongs on loopback or a trusted network: it knows no login.
func (g *Gate) Worker() edge.Door { return &Worker{gate: g} }

// Busy says whether a client waits for its answer.
func (g *Gate) Busy() bool { return g.visits.Load() > 0 }

// Close takes the gate out of the registry. Call it after the end of the engine and before that of queue and registry.
func (g *Gate) Close() {
	g.cancel()
	g.work.Wait()
	openJobs.unwatch(g)
}
