package chain

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"gosper/broker"
)

// finish ends a chain whose items have no more to do: what was not called is skipped, what must be undone is undone, and
// who wanted to know is told.
func (r *run) finish() {
	r.mu.Lock()
	over := r.record.State.over()
	r.mu.Unlock()
	if !over {
		if !r.end() {
			return
		}
	}
	metrics.ended(r.record.State, r.now().Sub(r.record.Created))
	r.engine.ended(r)
	r.engine.tell(r.work.Hash)
}

// end decides how the chain ends; false when the engine stops before.
func (r *run) end() bool {
	undone := true
	if r.mustUndo() {
		undone = r.undo()
		if r.engine.ctx.Err() != nil {
			return false
		}
	}
	return r.change(func() (more []broker.Op, tell []int) {
		for i := range r.record.Items {
			if p := &r.record.Items[i]; !p.State.over() {
				p.State, p.Ended = Skipped, r.now()
				more = append(more, opAnswer(r.work.Hash, i, failure("skipped", "an earlier item ended the chain")))
			}
		}
		state, reason := r.judgeLocked(undone)
		return append(more, r.endLocked(state, reason)), []int{-1}
	})
}

// judgeLocked says how the chain has ended and why. REQUIRES: mu is held.
func (r *run) judgeLocked(undone bool) (State, string) {
	state := r.record.verdict(&r.work)
	cause := context.Cause(r.ctx)
	switch {
	case errors.Is(cause, errCancelled):
		return Aborted, "cancelled"
	case state == Completed:
		return Completed, ""
	case !undone:
		return Inconsistent, "an item could not be undone"
	case !r.now().Before(r.record.Deadline):
		return Failed, "the chain's time was over"
	case r.record.Far:
		return APIUnavailable, "a target could not be reached"
	}
	return Failed, "an item failed"
}

// mustUndo says whether a failed item asks for what was done to be undone.
func (r *run) mustUndo() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.record.Items {
		if r.record.Items[i].State == Failed && r.work.Items[i].Options.OnFailure == Compensate {
			return true
		}
	}
	return false
}

// undo calls the compensations of what was done, last first, and reports whether all succeeded. The chain's own deadline
// and cancellation do not stop it.
func (r *run) undo() bool {
	all := true
	for i := len(r.work.Items) - 1; i >= 0; i-- {
		it := &r.work.Items[i]
		if it.Options.Compensate == nil || r.state(i) != Completed {
			continue
		}
		step := Step{Key: stepKey(r.work.Hash, i, "-undo"), Hash: r.work.Hash, Order: it.Order, Request: *it.Options.Compensate}
		out, err := r.call(r.engine.ctx, i, step, it.Options)
		if err != nil {
			return false
		}
		end := Completed
		if out.Response.OK {
			end = Compensated
		}
		all = all && out.Response.OK
		if !r.change(func() ([]broker.Op, []int) { r.setLocked(i, end); return nil, []int{i} }) {
			return false
		}
	}
	return all
}

// tell gives the news of an ended chain to all who want it. What fails is tried again until the engine stops, so each has
// it at least once.
func (e *runner) tell(hash string) {
	err := e.tellOnce(hash)
	if err == nil || e.ctx.Err() != nil || errors.Is(err, broker.ErrNotFound) {
		return
	}
	e.o.Log.Warn("chain: the news of its end did not arrive, tried again", "hash", hash, "error", err)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.untold = append(e.untold, hash)
}

const (
	retellEvery = 5 * time.Second
	retellers   = 16 // at a time: who is slow to hear news does not hold up all others
)

// retellLoop tells again what did not arrive, with a few goroutines for any number of chains.
func (e *runner) retellLoop() {
	for {
		e.mu.Lock()
		hashes := e.untold
		e.untold = nil
		e.mu.Unlock()
		places := make(chan struct{}, retellers)
		var group sync.WaitGroup
		for _, hash := range hashes {
			places <- struct{}{}
			group.Go(func() { e.tell(hash); <-places })
		}
		group.Wait()
		if pause(e.ctx, retellEvery) != nil {
			return
		}
	}
}

func (e *runner) tellOnce(hash string) error {
	w, r, err := e.read(e.ctx, hash)
	if err != nil || r.Told || !r.State.over() {
		return err // resumed meanwhile: its next end is told
	}
	answers, err := e.answers(e.ctx, hash, len(w.Items))
	if err != nil {
		return err
	}
	s := r.status(&w, answers)
	message := AppendCompletion(nil, hash, s.Results())
	if err := e.putCompletion(newsKey(hash, r), message); err != nil {
		return err
	}
	if e.o.Completed != nil {
		if err := e.o.Completed(e.ctx, s); err != nil {
			return err
		}
	}
	if w.Options.Webhook != "" {
		if err := e.callWebhook(&w, r, message); err != nil {
			return err
		}
	}
	r.Told = true
	err = e.save(e.ctx, hash, r)
	if errors.Is(err, broker.ErrConflict) {
		return nil // it was resumed meanwhile: its next end is told
	}
	return err
}

// putCompletion puts a completion message where other programs take it. A full tube is not waited for: the answer can
// be read for as long as the chain is kept.
func (e *runner) putCompletion(key string, message []byte) error {
	if e.o.Queue == nil {
		return nil
	}
	done := make(chan error, 1)
	e.o.Queue.Put(CompletionTube, message, broker.PutOptions{Priority: broker.DefaultPriority, TTR: broker.DefaultTTR, Unique: key},
		func(_ uint64, err error) { done <- err })
	err := <-done
	switch {
	case errors.Is(err, broker.ErrExists):
		return nil
	case errors.Is(err, broker.ErrTubeFull), errors.Is(err, broker.ErrTooBig):
		metrics.unqueued.Inc()
		e.o.Log.Warn("chain: no room for its completion message", "key", key, "tube", CompletionTube, "error", err)
		return nil
	}
	return err
}

// newsKey tells the ends of a chain apart, which may have more than one when it was resumed.
func newsKey(hash string, r *record) string {
	return hash + "-" + strconv.FormatInt(r.Modified.UnixMilli(), 10)
}

var errWebhook = errors.New("the webhook did not take the message")

// callWebhook posts the completion message. A refusal that no repetition changes ends it.
func (e *runner) callWebhook(w *Work, r *record, message []byte) error {
	select {
	case e.steps <- struct{}{}:
	case <-e.ctx.Done():
		return e.ctx.Err()
	}
	defer e.leave()
	ctx, cancel := context.WithTimeout(e.ctx, e.o.Timeout)
	defer cancel()
	kind := TypeHTTPS
	if strings.HasPrefix(strings.ToLower(w.Options.Webhook), "http:") {
		kind = TypeHTTP
	}
	out := e.do(ctx, Step{Key: newsKey(w.Hash, r), Hash: w.Hash, Order: -1, Attempt: 1,
		Request: Request{URL: w.Options.Webhook, Type: kind, Method: "POST", Payload: string(message)}})
	switch {
	case out.Response.OK:
		return nil
	case out.Retry && e.o.Now().Before(r.Modified.Add(e.o.Keep)):
		return errWebhook
	}
	e.o.Log.Warn("chain: the webhook refused the completion message", "hash", w.Hash)
	return nil
}

// sweepLoop forgets ended chains when their time is over.
func (e *runner) sweepLoop() {
	for {
		if err := e.sweep(e.ctx); err != nil && e.ctx.Err() == nil {
			e.o.Log.Error("chain: cannot forget old chains", "error", err)
		}
		if pause(e.ctx, time.Minute) != nil {
			return
		}
	}
}

// sweep forgets the ended chains whose time is over now.
func (e *runner) sweep(ctx context.Context) error {
	for {
		rows, err := e.o.Store.List(ctx, prefixExpiry, "", 256)
		if err != nil {
			return err
		}
		for _, row := range rows {
			at, hash, ok := readExpiry(row.Key)
			if ok && at.After(e.o.Now()) {
				return nil
			}
			if err := e.expire(ctx, hash); err != nil {
				return err
			}
			if err := e.o.Store.Delete(ctx, row.Key, broker.AnyRevision); err != nil {
				return err
			}
		}
		if len(rows) == 0 {
			return nil
		}
	}
}

// expire forgets a chain unless it runs again or somebody waits for its news.
func (e *runner) expire(ctx context.Context, hash string) error {
	r, err := e.loadRecord(ctx, hash)
	if errors.Is(err, broker.ErrNotFound) || err == nil && (!r.State.over() || e.o.Now().Before(r.Modified.Add(e.o.Keep))) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := e.forget(ctx, hash, r); errors.Is(err, broker.ErrConflict) {
		return nil // resumed meanwhile
	} else if err != nil {
		return err
	}
	e.moved(r.State, "")
	e.changed(Event{Hash: hash, Account: r.Account, Order: -1, Chain: r.State})
	return nil
}
