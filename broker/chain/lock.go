package chain

import (
	"context"
	"errors"
	"sync"

	"gosper/broker"
)

// lock stops new steps everywhere while it is shut.
type lock struct {
	mu   sync.Mutex
	shut bool
	open chan struct{} // closed while it is not shut
}

func (l *lock) locked() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shut
}

// set shuts or opens it, and says whether that changed anything.
func (l *lock) set(shut bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
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

// Settings returns the state of the lock.
func (e *Engine) Settings() Settings {
	s := Settings{GlobalLock: e.lock.locked(), GlobalStatus: "RUNNING", RunningProcesses: len(e.steps)}
	switch {
	case s.GlobalLock && s.RunningProcesses > 0:
		s.GlobalStatus = "PAUSING"
	case s.GlobalLock:
		s.GlobalStatus = "PAUSED"
	}
	return s
}

// Lock stops all new steps, or lets them go on, for good: a restart does not open the lock. Calls under way end as they
// would. It reports whether that was a change.
func (e *Engine) Lock(ctx context.Context, shut bool) (changed bool, err error) {
	if shut {
		_, err = e.o.Store.Put(ctx, keyLock, nil)
	} else {
		err = e.o.Store.Delete(ctx, keyLock, broker.AnyRevision)
	}
	if err != nil {
		return false, err
	}
	changed = e.lock.set(shut)
	e.lockMoved()
	return changed, nil
}

// lockMoved tells the state of the lock.
func (e *Engine) lockMoved() {
	if e.o.Locked != nil {
		e.o.Locked(e.Settings())
	}
}

// leave gives back the place of a call that has ended.
func (e *Engine) leave() {
	<-e.steps
	if e.lock.locked() && len(e.steps) == 0 {
		e.lockMoved()
	}
}

func (e *Engine) loadLock(ctx context.Context) error {
	_, err := e.o.Store.Get(ctx, keyLock)
	if errors.Is(err, broker.ErrNotFound) {
		return nil
	}
	e.lock.set(err == nil)
	return err
}
