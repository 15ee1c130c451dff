package jobs

import (
	"fmt"
	"time"

	"gosper/broker"
)

// Row is one job. Times are in milliseconds of the Unix epoch.
type Row struct {
	ID       uint64
	Tube     *Tube
	Body     []byte
	State    broker.JobState // where it rests: ready, delayed or buried. A reserved job keeps the one it was taken from
	Priority uint32
	Delay    time.Duration
	TTR      time.Duration
	Created  int64
	Due      int64 // of a delayed job
	Reason   string
	Unique   string

	Reserves, Timeouts, Releases, Buries, Kicks uint32

	Changed bool // it differs from what was put: the engine has stored more than the put
}

// minTTR is the shortest time to run.
const minTTR = time.Second

// maxReason bounds the reason of a buried job, in bytes.
const maxReason = 1024

// NewRow makes a job that was put now.
func NewRow(id uint64, t *Tube, body []byte, o broker.PutOptions, now time.Time) *Row {
	r := &Row{ID: id, Tube: t, Body: body, Priority: o.Priority, TTR: max(o.TTR, minTTR), Created: now.UnixMilli(), Unique: o.Unique}
	r.wait(o.Delay, now)
	return r
}

// wait makes the job ready, or delayed when delay is more than nothing.
func (r *Row) wait(delay time.Duration, now time.Time) {
	r.State, r.Delay, r.Due = broker.JobReady, max(delay, 0), 0
	if delay > 0 {
		r.State, r.Due = broker.JobDelayed, Millis(now.Add(delay))
	}
}

// Release makes a job that was given back wait again.
func (r *Row) Release(priority uint32, delay time.Duration, now time.Time) {
	r.Changed = true
	r.Priority = priority
	r.Releases++
	r.wait(delay, now)
}

// Bury puts the job aside.
func (r *Row) Bury(priority uint32, reason string) {
	r.Changed = true
	r.State, r.Priority, r.Due = broker.JobBuried, priority, 0
	r.Reason = reason[:min(len(reason), maxReason)]
	r.Buries++
}

// Kick makes a delayed or buried job ready.
func (r *Row) Kick() {
	r.Wake()
	r.Kicks++
}

// Wake makes a job ready whose delay has ended.
func (r *Row) Wake() {
	r.Changed = true
	r.State, r.Due, r.Reason = broker.JobReady, 0, ""
}

// Limit buries a job that has been tried too often, and reports whether it did.
func (r *Row) Limit(l broker.TubeLimits) bool {
	switch {
	case l.Reserves > 0 && r.Reserves >= l.Reserves:
		r.Bury(r.Priority, fmt.Sprintf("reserved %d times", r.Reserves))
	case l.Timeouts > 0 && r.Timeouts >= l.Timeouts:
		r.Bury(r.Priority, fmt.Sprintf("timed out %d times", r.Timeouts))
	default:
		return false
	}
	return true
}

// Key returns the job's place in the index of its state.
func (r *Row) Key() Key {
	switch r.State {
	case broker.JobDelayed:
		return Key{uint64(r.Due), r.ID}
	case broker.JobBuried:
		return Key{0, r.ID}
	}
	return Key{uint64(r.Priority), r.ID}
}

// Job returns a copy for a caller. lease is nil for a job that nobody has reserved.
func (r *Row) Job(lease *Lease) broker.Job {
	j := broker.Job{
		ID: r.ID, Tube: r.Tube.Name, Body: append([]byte{}, r.Body...), State: r.State, Priority: r.Priority, Delay: r.Delay, TTR: r.TTR,
		Created: time.UnixMilli(r.Created), Reason: r.Reason,
		Reserves: r.Reserves, Timeouts: r.Timeouts, Releases: r.Releases, Buries: r.Buries, Kicks: r.Kicks,
	}
	if r.Due != 0 {
		j.Due = time.UnixMilli(r.Due)
	}
	if lease != nil {
		j.State, j.Lease, j.Due = broker.JobReserved, lease.Token, lease.Deadline
	}
	return j
}

// Millis returns t in milliseconds, rounded up, so that nothing happens early. A time before 1970 is 0.
func Millis(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return max(ms, 0)
}
