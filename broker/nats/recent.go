package nats

import (
	"sync"
	"time"
)

// recent remembers the subjects of messages without history that were sent in the last recentWindow or two: nobody
// knows which of them a link that broke has carried.
type recent struct {
	mu       sync.Mutex
	now, old map[string]struct{}
	turned   time.Time
}

func (r *recent) note(subject string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil || at.Sub(r.turned) > recentWindow {
		r.now, r.old, r.turned = make(map[string]struct{}), r.now, at
	}
	if len(r.now) <= maxRecent {
		r.now[subject] = struct{}{}
	}
}

// take returns the subjects; all is true when there were too many to remember.
func (r *recent) take() (subjects []string, all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range []map[string]struct{}{r.now, r.old} {
		for subject := range m {
			subjects = append(subjects, subject)
		}
	}
	r.now, r.old = nil, nil
	return subjects, len(subjects) > maxRecent
}
