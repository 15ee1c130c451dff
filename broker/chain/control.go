package chain

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"gosper/broker"
)

// cancel ends a chain: calls under way are cut short, the rest is skipped. ErrEnded when there is nothing left to cancel,
// broker.ErrNotFound when there is no such chain. It returns when the chain has ended.
func (e *runner) cancel(ctx context.Context, hash string) (Status, error) {
	r, err := e.find(ctx, hash)
	if err != nil {
		return Status{}, err
	}
	if r == nil {
		return Status{}, ErrEnded
	}
	r.cancel(errCancelled)
	e.await(ctx, hash)
	return e.status(context.WithoutCancel(ctx), hash)
}

// find returns the run of a chain, nil when it has ended. One that was stored a moment ago, by another node perhaps, begins
// to run: who was told that it is taken may give orders before its run is made.
func (e *runner) find(ctx context.Context, hash string) (*run, error) {
	if r := e.running(hash); r != nil {
		return r, nil
	}
	s, err := e.status(ctx, hash)
	if err != nil || s.Over() {
		return nil, err
	}
	err = e.adopt(ctx, hash)
	return e.running(hash), err
}

// resume runs a failed or cancelled chain again from the items that were not completed. It has the whole of its time once
// more. ErrRunning when it has not ended, ErrEnded when it was completed.
func (e *runner) resume(ctx context.Context, hash string) (Status, error) {
	release, err := e.claim(ctx, hash)
	if err != nil {
		return Status{}, err
	}
	defer release()
	for {
		s, err := e.resumeOnce(ctx, hash)
		if !errors.Is(err, broker.ErrConflict) { // the news of its end was told at the same time
			return s, err
		}
	}
}

// resumeOnce is one try of resume. REQUIRES: the chain is claimed.
func (e *runner) resumeOnce(ctx context.Context, hash string) (Status, error) {
	if e.moving(ctx, hash) {
		return Status{}, ErrRunning
	}
	w, r, err := e.read(ctx, hash)
	switch {
	case err != nil:
		return Status{}, err
	case r.State == Completed:
		return Status{}, ErrEnded
	case !r.State.over():
		return Status{}, ErrRunning
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
	if err := e.save(ctx, hash, r, ops...); err != nil {
		return Status{}, err
	}
	e.moved(was, "")
	size := len(AppendWork(nil, &w))
	e.mu.Lock()
	run := e.newRunLocked(w, r, size)
	e.counts[r.State]++
	run.takeAnswers(answers)
	s := r.status(&w, answers)
	e.changed(Event{Hash: hash, Account: r.Account, Order: -1, Chain: r.State})
	if !e.closed {
		e.work.Go(run.loop)
	}
	e.mu.Unlock()
	return s, nil
}

// rewind makes a record one that runs again, and returns the writes that forget answers which do not count any more.
func (e *runner) rewind(w *Work, r *record, answers []*Response) (ops []broker.Op) {
	now := e.o.Now().Truncate(time.Millisecond)
	r.State, r.Reason, r.Told, r.Far, r.Term = Resumed, "", false, false, e.term
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

// resumeAll resumes every chain that has failed, and returns how many.
func (e *runner) resumeAll(ctx context.Context) (int, error) {
	n := 0
	for _, state := range []State{Failed, APIUnavailable, Inconsistent} {
		list, err := e.list(ctx, state, "", e.o.Active)
		if err != nil {
			return n, err
		}
		for _, s := range list {
			switch _, err := e.resume(ctx, s.Hash); {
			case err == nil:
				n++
			case !errors.Is(err, ErrRunning) && !errors.Is(err, broker.ErrNotFound):
				return n, err
			}
		}
	}
	return n, nil
}

// moving reports whether a chain has not ended. A run whose end is stored already is waited for: who has read of the end, on
// another node perhaps, may give the next order before the run has left the memory of this one.
func (e *runner) moving(ctx context.Context, hash string) bool {
	run := e.running(hash)
	if run == nil {
		return false
	}
	if _, r, err := e.read(ctx, hash); err != nil || !r.State.over() {
		return true
	}
	select {
	case <-run.over:
		return false
	case <-e.ctx.Done():
	case <-ctx.Done():
	}
	return true
}

// delete forgets an ended chain: ErrRunning for others.
func (e *runner) delete(ctx context.Context, hash string) error {
	release, err := e.claim(ctx, hash)
	if err != nil {
		return err
	}
	defer release()
	var r *record
	for err = broker.ErrConflict; errors.Is(err, broker.ErrConflict); { // the news of its end was told at the same time
		if e.moving(ctx, hash) {
			return ErrRunning
		}
		if _, r, err = e.read(ctx, hash); err != nil {
			return err
		}
		if !r.State.over() {
			return ErrRunning
		}
		err = e.forget(ctx, hash, r)
	}
	if err != nil {
		return err
	}
	e.moved(r.State, "")
	e.changed(Event{Hash: hash, Account: r.Account, Order: -1, Chain: r.State})
	return nil
}

// notify gives items that wait for a notification their answers, and returns how many took one, for good. ErrUnasked when
// none did, broker.ErrNotFound when there is no such chain.
func (e *runner) notify(ctx context.Context, hash string, items []Result) (int, error) {
	r, err := e.find(ctx, hash)
	if err != nil {
		return 0, err
	}
	if r == nil {
		return 0, ErrUnasked
	}
	n := 0
	for _, item := range items {
		taken, err := r.notify(ctx, item)
		if err != nil {
			return n, err
		}
		if taken {
			n++
		}
	}
	if n == 0 {
		return 0, ErrUnasked
	}
	return n, nil
}

// notify stores an answer for the first item of its order that waits for one and has none yet, and hands it over.
func (r *run) notify(ctx context.Context, a Result) (taken bool, err error) {
	select {
	case r.writer <- struct{}{}: // so that the item is not settled meanwhile
		defer func() { <-r.writer }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	i := r.unanswered(a.Order)
	if i < 0 {
		return false, nil
	}
	if err := r.saveNote(ctx, opAnswer(r.work.Hash, i, &a.Response)); err != nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noted[i] = true
	r.notes[i] <- a.Response // also one that is faster than the answer to the call
	return true, nil
}

// saveNote stores the answer of a notification; among nodes only if this one still runs the chain. REQUIRES: the place of writer is
// held.
func (r *run) saveNote(ctx context.Context, answer broker.Op) error {
	if r.engine.term == 0 {
		_, err := r.engine.o.Store.Commit(ctx, answer)
		return err
	}
	r.mu.Lock()
	stored := r.record.clone()
	r.mu.Unlock()
	stored.settled()
	if err := r.engine.save(ctx, r.work.Hash, stored, answer); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.revision = stored.revision
	return nil
}

// unanswered returns the first item of the order that is under way and waits for a notification; -1 when there is none.
func (r *run) unanswered(order int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.work.Items {
		it := &r.work.Items[i]
		switch {
		case it.Order < order && !r.record.Items[i].State.over():
			return -1
		case it.Order == order && it.Options.Await && !r.record.Items[i].State.over() && !r.noted[i]:
			return i
		}
	}
	return -1
}

// readExpiry takes the key of an expiry apart.
func readExpiry(key string) (at time.Time, hash string, ok bool) {
	ms, hash, ok := strings.Cut(strings.TrimPrefix(key, prefixExpiry), "/")
	n, err := strconv.ParseInt(ms, 10, 64)
	return time.UnixMilli(n), hash, ok && err == nil
}
