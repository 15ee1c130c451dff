package jobs

import (
	"time"

	"gosper/broker"
)

// Moved is a job on its way from one engine to another: all that an engine on disk keeps of it. Its State is ready,
// delayed or buried; a lease does not move.
type Moved struct {
	broker.Job
	Unique string // what its unique text is known by, 16 bytes of a hash; "" for none
}

// Changed reports whether the job is no more as it was put.
func (m *Moved) Changed() bool {
	asPut := m.State == broker.JobReady && m.Due.IsZero() || m.State == broker.JobDelayed && !m.Due.IsZero()
	return !asPut || m.Reason != "" || m.Reserves|m.Timeouts|m.Releases|m.Buries|m.Kicks != 0
}

// Row makes the job a row of a tube. It keeps the body.
func (m *Moved) Row(t *Tube) *Row {
	r := &Row{ID: m.ID, Tube: t, Body: m.Body, State: m.State, Priority: m.Priority, Delay: m.Delay, TTR: m.TTR,
		Created: m.Created.UnixMilli(), Reason: m.Reason, Unique: m.Unique, Changed: m.Changed(),
		Reserves: m.Reserves, Timeouts: m.Timeouts, Releases: m.Releases, Buries: m.Buries, Kicks: m.Kicks}
	if !m.Due.IsZero() {
		r.Due = m.Due.UnixMilli()
	}
	return r
}

// Frozen is a clock for QueueOptions.Now of an engine whose content moves: nothing is due by it, so no delay ends and no
// timer fires meanwhile.
func Frozen() time.Time { return time.UnixMilli(0) }
