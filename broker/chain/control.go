package chain

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"gosper/broker"
)

// Cancel ends a chain: calls under way are cut short, the rest is skipped. ErrEnded when there is nothing left to cancel,
// broker.ErrNotFound when there is no such chain. It returns when the chain has ended.
func (e *Engine) Cancel(ctx context.Context, hash string) (Status, error) {
	r := e.running(hash)
	if r == nil {
		if _, err := e.Status(ctx, hash); err != nil {
			return Status{}, err
		}
		return Status{}, ErrEnded
	}
	r.cancel(errCancelled)
	return e.Wait(ctx, hash)
}

// Resume runs a failed or cancelled chain again from the items that were not completed. It has the whole of its time once
// more. ErrRunning when it has not ended, ErrEnded when it was completed.
func (e *Engine) Resume(ctx context.Context, hash string) (Status, error) {
	if e.running(hash) != nil {
		return Status{}, ErrRunning
	}
	w, r, err := e.load(ctx, hash)
	if err != nil {
		return Status{}, err
	}
	if r.State == Completed {
		return Status{}, ErrEnded
	}
	if err := e.room(); err != nil {
		return Status{}, err
	}
	answers, err := e.answers(ctx, hash, len(w.Items))
	if err != nil {
		return Status{}, err
	}
	was := r.State
	ops := e.rewind(&w, r, answers)
	if err := e.save(ctx, hash, r, ops...); errors.Is(err, broker.ErrConflict) {
		return Status{}, ErrRunning // somebody was faster
	} else if err != nil {
		return Status{}, err
	}
	e.moved(was, "")
	size := len(AppendWork(nil, &w))
	e.mu.Lock()
	run := e.newRunLocked(w, r, size)
	e.counts[r.State]++
	for i, used := range run.used {
		if used {
			run.answers[i] = answers[i]
		}
	}
	s := r.status(&w, answers)
	e.changed(Event{Hash: hash, Account: r.Account, Order: -1, Chain: r.State})
	if !e.closed {
		e.work.Go(run.loop)
	}
	e.mu.Unlock()
	return s, nil
}

// rewind makes a record one that runs again, and returns the writes that forget answers which do not count any more.
func (e *Engine) rewind(w *Work, r *record, answers []*Response) (ops []broker.Op) {
	now := e.o.Now().Truncate(time.Millisecond)
	r.State, r.Reason, r.Told, r.Far = Resumed, "", false, false
	r.Deadline = now.Add(r.Deadline.Sub(r.Created))
	r.Modified = now
	for i := range r.Items {
		if r.Items[i].State == Completed {
			continue
		}
		r.Items[i] = progress{}
		answers[i] = nil
		ops = append(ops, broker.OpDelete(answerKey(w.Hash, i), broker.AnyRevision))
	}
	return ops
}

// ResumeAll resumes every chain that has failed, and returns how many.
func (e *Engine) ResumeAll(ctx context.Context) (int, error) {
	n := 0
	for _, state := range []State{Failed, APIUnavailable, Inconsistent} {
		list, err := e.List(ctx, state, "", e.o.Active)
		if err != nil {
			return n, err
		}
		for _, s := range list {
			switch _, err := e.Resume(ctx, s.Hash); {
			case err == nil:
				n++
			case !errors.Is(err, ErrRunning) && !errors.Is(err, broker.ErrNotFound):
				return n, err
			}
		}
	}
	return n, nil
}

// Delete forgets an ended chain: ErrRunning for others.
func (e *Engine) Delete(ctx context.Context, hash string) error {
	if e.running(hash) != nil {
		return ErrRunning
	}
	_, r, err := e.load(ctx, hash)
	if err != nil {
		return err
	}
	if err := e.forget(ctx, hash, r); errors.Is(err, broker.ErrConflict) {
		return ErrRunning
	} else if err != nil {
		return err
	}
	e.moved(r.State, "")
	e.changed(Event{Hash: hash, Account: r.Account, Order: -1, Chain: r.State})
	return nil
}

// Notify gives items that wait for a notification their answers, and returns how many took one. ErrUnasked when none did,
// broker.ErrNotFound when there is no such chain.
func (e *Engine) Notify(ctx context.Context, hash string, items []Result) (int, error) {
	r := e.running(hash)
	if r == nil {
		if _, err := e.Status(ctx, hash); err != nil {
			return 0, err
		}
		return 0, ErrUnasked
	}
	n := 0
	for _, item := range items {
		if r.notify(item) {
			n++
		}
	}
	if n == 0 {
		return 0, ErrUnasked
	}
	return n, nil
}

// notify hands an answer to the first item of its order that waits for one and has none yet.
func (r *run) notify(a Result) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.work.Items {
		it := &r.work.Items[i]
		if it.Order != a.Order || !it.Options.Await || r.record.Items[i].State.over() {
			continue
		}
		select {
		case r.notes[i] <- a.Response: // also one that is faster than the answer to the call
			return true
		default:
		}
	}
	return false
}

// readExpiry takes the key of an expiry apart.
func readExpiry(key string) (at time.Time, hash string, ok bool) {
	ms, hash, ok := strings.Cut(strings.TrimPrefix(key, prefixExpiry), "/")
	n, err := strconv.ParseInt(ms, 10, 64)
	return time.UnixMilli(n), hash, ok && err == nil
}
