package gate

import (
	"crypto/rand"
	"encoding/hex"
	"sync"

	"gosper/edge/module"
	"gosper/protocol"
)

// job is a request on its way to a worker and back.
type job struct {
	// static once it was entered
	visit    *visit
	id       string
	function string
	done     func(module.Reply) // to be called once, by who has taken the job

	// guarded by jobs.mu
	ended  bool   // answered, or nobody waits any more
	queued uint64 // id in the queue; 0 until it is there
}

// jobs are the open ones by id.
type jobs struct {
	mu   sync.Mutex
	open map[string]*job // guarded by mu
}

func newJobs() *jobs { return &jobs{open: map[string]*job{}} }

func (t *jobs) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// enter gives a job an id, unless nobody waits for it any more or there are most jobs already.
func (t *jobs) enter(j *job, most int) (entered, full bool) {
	var b [protocol.JobIDSize / 2]byte
	rand.Read(b[:])
	t.mu.Lock()
	defer t.mu.Unlock()
	if full = len(t.open) >= most; full || j.ended {
		return false, full
	}
	j.id = hex.EncodeToString(b[:])
	t.open[j.id] = j
	return true, false
}

// take ends the job of an id and returns it to who is to answer it: nil when there is none.
func (t *jobs) take(id []byte) *job {
	t.mu.Lock()
	defer t.mu.Unlock()
	j := t.open[string(id)]
	if j != nil {
		t.endLocked(j)
	}
	return j
}

// end ends a job; false when it has ended before.
func (t *jobs) end(j *job) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.endLocked(j)
}

func (t *jobs) endLocked(j *job) bool {
	if j.ended {
		return false
	}
	j.ended = true
	delete(t.open, j.id)
	return true
}

// put notes the id that the queue has given, and says whether the job is still open.
func (t *jobs) put(j *job, queued uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	j.queued = queued
	return !j.ended
}

// queued returns the id in the queue, 0 for none.
func (t *jobs) queued(j *job) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return j.queued
}
