package jobs

import (
	"container/list"
	"time"

	"gosper/broker"
)

// urgent is the priority below which beanstalkd calls a job urgent.
const urgent = 1024

// Tube is one named queue of jobs.
type Tube struct {
	Name   string
	ID     uint32 // the engine's
	Limits broker.TubeLimits
	Batch  uint64 // the engine's: the last batch that changed it
	Moving int    // jobs on their way to another state or to their end

	ready, delayed, buried Window
	counts                 [5]uint64 // by JobState
	urgent                 uint64
	puts, deletes          uint64
	kicks, timeouts        uint64

	waiters  list.List // of *waiter: those who wait for a job of this tube, first come first served
	pausedAt time.Time
	paused   time.Duration
	pause    Alarm // when the pause ends
	due      Alarm // when the first delayed job is due, in wall time
}

// Live reports whether anything is in the tube or wants something of it; a tube that is not does not exist for callers.
func (t *Tube) Live() bool {
	return t.Jobs() > 0 || t.Moving > 0 || t.waiters.Len() > 0 || t.pause.place != 0
}

// Jobs returns how many jobs the tube has.
func (t *Tube) Jobs() uint64 {
	return t.counts[broker.JobReady] + t.counts[broker.JobReserved] + t.counts[broker.JobDelayed] + t.counts[broker.JobBuried]
}

// window returns the index of a state.
func (t *Tube) window(s broker.JobState) *Window {
	switch s {
	case broker.JobDelayed:
		return &t.delayed
	case broker.JobBuried:
		return &t.buried
	}
	return &t.ready
}

// Each calls fn for every job of a state that rests in memory, in the order of the state. fn must not change the tube.
func (t *Tube) Each(s broker.JobState, fn func(Key)) {
	t.window(s).keys.Each(Key{}, func(k Key) bool {
		fn(k)
		return true
	})
}

// count changes the number of jobs of a state.
func (t *Tube) count(s broker.JobState, by int, priority uint32) {
	t.counts[s] += uint64(by)
	if s == broker.JobReady && priority < urgent {
		t.urgent += uint64(by)
	}
}

// Loaded counts a job that an engine found when it started.
func (t *Tube) Loaded(s broker.JobState, priority uint32) { t.count(s, 1, priority) }
