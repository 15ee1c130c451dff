// Package bench measures gosper and its peers on one machine: it starts a server as a child process, loads it from
// event loops of its own, checks that every message came back exactly once, and reports figures with their spread.
//
// A scenario is a function that gets a *Run: it states its settings, reports progress, and leaves figures, ratios
// and the balance of sent and received in the run's Result. Scenarios register themselves from init, one file a
// scenario, so a new one touches no other file.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"time"
)

// Scenario is one kind of load.
type Scenario struct {
	Name    string   // as on the command line, e.g. "echo"
	Summary string   // one line for --help
	Peers   []string // what --against takes; empty means none
	// Run measures and leaves its results in r. It returns when ctx ends, with what it has by then and ctx's error.
	// An error other than ctx's means that the figures must not be used.
	Run func(ctx context.Context, r *Run) error
}

var scenarios = map[string]Scenario{}

// Register adds a scenario. It is meant for init functions and panics when the name is taken.
func Register(s Scenario) {
	if _, taken := scenarios[s.Name]; taken || s.Name == "" || s.Run == nil {
		panic("bench: bad or double scenario " + s.Name)
	}
	scenarios[s.Name] = s
}

// Scenarios returns all scenarios by name.
func Scenarios() []Scenario {
	list := make([]Scenario, 0, len(scenarios))
	for _, s := range scenarios {
		list = append(list, s)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// Options are what the user chose.
type Options struct {
	// Target is "self" (start a server as a child process of this binary), or the address of a server that runs
	// already: "host" for the default ports, or "host:line,http,internal". Such a server's CPU and memory are not
	// known, so figures that need them are absent.
	Target string
	// Against names a peer that does the same work on the same machine in the same run. "" means none.
	Against string
	// Duration is the measured time of each side and mode, split evenly over the repeats. Default 10 s.
	Duration time.Duration
	// Repeat is how often every side is measured, in turns (A B A B …). Default 5.
	Repeat int
	// Quick asks for a short run with fewer connections: a check that all works, not a measurement.
	Quick bool
	// Binary is the program started as a child. Default: this very binary.
	Binary string
	// Time is how long a soak lasts. Default 10 min; in a quick run it is at most 20 s.
	Time time.Duration
	// Nodes of a crowd on several nodes. 0 means 6, or 2 in a quick run.
	Nodes int
	// Profile is a folder in which scenario profile leaves its CPU profiles, in pprof's format; "" keeps none.
	Profile string
	// Have are runs that were made before on this machine, e.g. a long soak. ExecuteAll takes them in the place of its own.
	Have []*Result
	// Progress receives the progress bar; nil means no bar.
	Progress io.Writer
	// Log receives the standard error of child processes; nil drops it.
	Log io.Writer

	part part // of the progress bar that this run is
}

// NewOptions returns the defaults.
func NewOptions() Options {
	return Options{Target: "self", Duration: 10 * time.Second, Repeat: 5, Time: 10 * time.Minute}
}

// Validate names the field that is wrong.
func (o *Options) Validate() error {
	if o.Target != "self" {
		if _, _, err := targetPorts(o.Target); err != nil {
			return err
		}
	}
	switch {
	case o.Duration < 100*time.Millisecond || o.Duration > time.Hour:
		return errors.New("duration: must be between 100ms and 1h")
	case o.Repeat < 1 || o.Repeat > 1000:
		return errors.New("repeat: must be between 1 and 1000")
	case o.Nodes < 0 || o.Nodes > MaxClusterNodes:
		return fmt.Errorf("nodes: must be between 1 and %d", MaxClusterNodes)
	case o.Time < time.Second || o.Time > 7*24*time.Hour:
		return errors.New("time: must be between 1s and a week")
	}
	return nil
}

// quickTime is how long a quick soak lasts.
const quickTime = 20 * time.Second

// Run is one execution of a scenario. It belongs to the scenario's goroutine.
type Run struct {
	Options
	Result *Result
	bar    bar
}

// Execute runs the scenario called name. The result is returned even when err is not nil, with what was measured by
// then; its OK is false then.
func Execute(ctx context.Context, name string, o Options) (*Result, error) {
	s, ok := scenarios[name]
	if !ok {
		return nil, fmt.Errorf("no scenario %q", name)
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := knownPeer(s, o.Against); err != nil {
		return nil, err
	}
	if o.Quick {
		o.Duration, o.Repeat, o.Time = min(o.Duration, 2*time.Second), min(o.Repeat, 2), min(o.Time, quickTime)
	}
	if o.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("own binary: %w", err)
		}
		o.Binary = self
	}
	r := &Run{Options: o, Result: newResult(s.Name), bar: bar{w: o.Progress, part: o.part}}
	r.Result.Against = o.Against
	r.Setting("target", o.Target)
	r.Setting("duration_s", o.Duration.Seconds())
	r.Setting("repeat", o.Repeat)
	r.Setting("quick", o.Quick)
	r.Setting("cores", pinned.String())
	err := s.Run(ctx, r)
	r.bar.clear()
	if err == nil {
		err = ctx.Err()
	}
	if ctx.Err() != nil {
		r.Note("interrupted: these are the figures so far")
	} else if err != nil {
		r.Note("%v", err)
	}
	r.Result.finish(err)
	return r.Result, err
}

func knownPeer(s Scenario, peer string) error {
	if peer == "" {
		return nil
	}
	for _, p := range s.Peers {
		if p == peer {
			return nil
		}
	}
	return fmt.Errorf("against: scenario %s knows the peers %v, not %q", s.Name, s.Peers, peer)
}

// Slice is how long one side is measured in one turn.
func (r *Run) Slice() time.Duration { return r.Duration / time.Duration(r.Repeat) }

// Setting states one circumstance of the run, e.g. a number of connections.
func (r *Run) Setting(name string, value any) { r.Result.Settings[name] = value }

// Figure records one figure. Its name says its unit last.
func (r *Run) Figure(name string, value float64) { r.Result.Figures[name] = value }

// Series records the median of values as figure name, and their least and greatest as its spread. No values record
// nothing.
func (r *Run) Series(name string, values []float64) {
	if len(values) > 0 {
		r.Result.Figures[name] = median(values)
		r.Result.Spread[name] = spread(values)
	}
}

// RatioSeries is Series for a ratio between sides of the same turn.
func (r *Run) RatioSeries(name string, values []float64) {
	if len(values) > 0 {
		r.Result.Ratios[name] = median(values)
		r.Result.Spread[name] = spread(values)
	}
}

// Ratio records a ratio of two figures of this run.
func (r *Run) Ratio(name string, value float64) { r.Result.Ratios[name] = value }

// PeerSeries is Series for a peer of the run.
func (r *Run) PeerSeries(peer, version, name string, values []float64) {
	p, ok := r.Result.Peers[peer]
	if !ok {
		p = &Peer{Version: version, Figures: map[string]float64{}}
		r.Result.Peers[peer] = p
	}
	if len(values) > 0 {
		p.Figures[name] = median(values)
		r.Result.Spread[peer+"."+name] = spread(values)
	}
}

// Note adds a line for the reader: why a figure is absent, what was unusual.
func (r *Run) Note(format string, args ...any) {
	r.Result.Notes = append(r.Result.Notes, fmt.Sprintf(format, args...))
}

// Balance adds to the balance of messages. Any that is missing or doubled makes the run fail.
func (r *Run) Balance(sent, received, missing, doubled uint64) {
	r.Result.Sent += sent
	r.Result.Received += received
	r.Result.Missing += missing
	r.Result.Doubled += doubled
}

// Step shows progress: part in 0…1 of the whole run, and what is done now.
func (r *Run) Step(part float64, format string, args ...any) {
	r.bar.show(part, fmt.Sprintf(format, args...))
}
