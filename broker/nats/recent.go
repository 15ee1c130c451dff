package nats

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// recent remembers the subjects of messages without history that were sent in the last recentWindow or two: nobody
// knows which of them a link that broke has carried. While the link is away it forgets none, as none of them is carried.
type recent struct {
	mu       sync.Mutex
	now, old map[string]struct{}
	turned   time.Time
}

func (r *recent) note(subject string, at time.Time, away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil || !away && at.Sub(r.turned) > recentWindow {
		r.now, r.old, r.turned = make(map[string]struct{}), r.now, at
	}
	if len(r.now) <= maxRecent {
		r.now[subject] = struct{}{}
	}
}

// tell returns the subjects for a notice; all is true when there were too many to remember. They are remembered as if
// they were sent now: a link that breaks again may not have carried the notice.
func (r *recent) tell(at time.Time) (subjects []string, all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil {
		return nil, false
	}
	maps.Copy(r.now, r.old)
	r.old, r.turned = nil, at
	return slices.Collect(maps.Keys(r.now)), len(r.now) > maxRecent
}
