package chain

import (
	"bytes"
	"context"
	"sync"

	"gosper/broker"
)

// lock stops new steps everywhere while it is shut.
type lock struct {
	mu   sync.Mutex
	shut bool
	open chan struct{} // closed while it is not shut
	// revision of the record that says so; 0: none is known
	revision uint64
}

func (l *lock) locked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shut
}

// setLocked shuts or opens it, and says whether that changed anything. REQUIRES: mu is held.
func (l *lock) setLocked(shut bool) bool {
	if l.shut == shut {
		return false
	}
	l.shut = shut
	if shut {
		l.open = make(chan struct{})
	} else {
		close(l.open)
	}
	return true
}

// wait returns when it is not shut, or with the context's error.
func (l *lock) wait(ctx context.Context) error {
	for {
		l.mu.Lock()
		shut, open := l.shut, l.open
		l.mu.Unlock()
		if !shut {
			return ctx.Err()
		}
		select {
		case <-open:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Settings tell whether the engine is locked.
type Settings struct {
	GlobalLock       bool   `json:"global_lock"`
	GlobalStatus     string `json:"global_status"`     // RUNNING, PAUSING while calls are under way, PAUSED
	RunningProcesses int    `json:"running_processes"` // calls under way
}

// settings returns the state of the lock.
func settings(shut bool, running int) Settings {
	s := Settings{GlobalLock: shut, GlobalStatus: "RUNNING", RunningProcesses: running}
	switch {
	case s.GlobalLock && s.RunningProcesses > 0:
		s.GlobalStatus = "PAUSING"
	case s.GlobalLock:
		s.GlobalStatus = "PAUSED"
	}
	return s
}

// lockMoved tells the state of the lock.
func (e *runner) lockMoved() {
	if e.o.Locked != nil {
		e.o.Locked(settings(e.lock.locked(), len(e.steps)))
	}
}

// leave gives back the place of a call that has ended.
func (e *runner) leave() {
	<-e.steps
	if e.lock.locked() && len(e.steps) == 0 {
		e.lockMoved()
	}
}

// The record of the lock. One that is not there is open.
var lockOpen = []byte("open")

// heed takes over the lock as it was stored, unless a later one is known, and says whether that changed anything.
func (l *lock) heed(stored broker.Record) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if stored.Revision <= l.revision {
		return false
	}
	l.revision = stored.Revision
	return l.setLocked(!bytes.Equal(stored.Value, lockOpen))
}
