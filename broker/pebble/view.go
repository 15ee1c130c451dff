package pebble

import (
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// view is what readers see: a snapshot taken after every commit. Pebble shows a write to readers before its fsync has
// ended; behind a snapshot nobody can act on something that a power cut may still take back.
type view struct {
	mu      sync.RWMutex
	current *snapshot // guarded by mu; nil after close
}

// snapshot is a Pebble snapshot with a count of its users; the view is one of them.
type snapshot struct {
	*pebble.Snapshot
	users atomic.Int64
}

// advance shows everything that was committed so far. It is called by the committer between two commits.
func (v *view) advance(db *pebble.DB) {
	fresh := &snapshot{Snapshot: db.NewSnapshot()}
	fresh.users.Store(1)
	v.replace(fresh)
}

// close lets the last snapshot go.
func (v *view) close() { v.replace(nil) }

func (v *view) replace(fresh *snapshot) {
	v.mu.Lock()
	old := v.current
	v.current = fresh
	v.mu.Unlock()
	if old != nil {
		old.release()
	}
}

// acquire returns the present snapshot, to be released by the caller; nil after close.
func (v *view) acquire() *snapshot {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.current != nil {
		v.current.users.Add(1)
	}
	return v.current
}

func (s *snapshot) release() {
	if s.users.Add(-1) == 0 {
		_ = s.Close() // only fails on a closed database
	}
}
