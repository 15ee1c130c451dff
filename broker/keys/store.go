package keys

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"

	"gosper/broker"
)

// CheckOps refuses a commit with a bad key, an over-long value or a key that is named twice: with a condition on each,
// "twice" has no meaning everybody would guess alike.
func CheckOps(ops []broker.Op) error {
	for i, op := range ops {
		if err := broker.CheckWrite(op.Key, op.Value); err != nil {
			return err
		}
		for _, earlier := range ops[:i] {
			if earlier.Key == op.Key {
				return fmt.Errorf("%w: key %q is named twice in one commit", broker.ErrBadName, op.Key)
			}
		}
	}
	return nil
}

// Condition checks op's condition against the key's present revision; 0 means there is no such key.
func Condition(op broker.Op, revision uint64) error {
	switch {
	case op.Revision == broker.AnyRevision || op.Revision == revision:
		return nil
	case op.Revision == 0:
		return named(broker.ErrExists, op.Key)
	case revision == 0:
		return named(broker.ErrNotFound, op.Key)
	}
	return fmt.Errorf("%w: key %q has revision %d, not %d", broker.ErrConflict, op.Key, revision, op.Revision)
}

// Watchers is the set of a Store's watches. The zero value is ready; its methods may be called from any goroutine.
type Watchers struct {
	mu  sync.RWMutex
	all map[*watcher]struct{}
}

type watcher struct {
	ctx    context.Context // its end is noticed at once, the removal from the set follows
	prefix string
	fn     func(broker.Record)
}

// Watch calls fn for later changes until ctx ends. It returns at once.
func (w *Watchers) Watch(ctx context.Context, prefix string, fn func(broker.Record)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	one := &watcher{ctx, prefix, fn}
	w.mu.Lock()
	if w.all == nil {
		w.all = make(map[*watcher]struct{})
	}
	w.all[one] = struct{}{}
	w.mu.Unlock()
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		delete(w.all, one)
		w.mu.Unlock()
	})
	return nil
}

// Any reports whether anybody watches.
func (w *Watchers) Any() bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return len(w.all) > 0
}

// Wants reports whether anybody watches key.
func (w *Watchers) Wants(key string) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	for one := range w.all {
		if strings.HasPrefix(key, one.prefix) && one.ctx.Err() == nil {
			return true
		}
	}
	return false
}

// Tell hands a change to those who watch its key, each with a copy of the value. Callers serialise the calls.
func (w *Watchers) Tell(change broker.Record) {
	w.mu.RLock()
	var fns []func(broker.Record)
	for one := range w.all {
		if strings.HasPrefix(change.Key, one.prefix) && one.ctx.Err() == nil {
			fns = append(fns, one.fn)
		}
	}
	w.mu.RUnlock()
	for _, fn := range fns {
		own := change
		own.Value = append([]byte(nil), change.Value...)
		call(fn, own)
	}
}

// call runs a watch function; its panic is logged and harms nobody else.
func call(fn func(broker.Record), change broker.Record) {
	defer func() {
		if r := recover(); r != nil {
			slog.Error("a watch function panicked", "key", change.Key, "panic", r, "stack", string(debug.Stack()))
		}
	}()
	fn(change)
}
