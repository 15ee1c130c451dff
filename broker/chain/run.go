package chain

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"gosper/broker"
)

// run is one chain that has not ended.
type run struct {
	// Static after construction.
	engine *runner
	work   Work
	size   int64
	used   []bool // answers that later payloads use
	ctx    context.Context
	cancel context.CancelCauseFunc
	notes  []chan Response // a notification for each item
	over   chan struct{}   // closed when the chain has ended
	writer chan struct{}   // one place: held while the record is changed and stored; taken before mu

	// Guarded by mu.
	mu      sync.Mutex
	record  *record     // its states of items that are over are stored or on their way, others are told only
	answers []*Response // of used items
	noted   []bool      // items whose notification has come
}

// Causes of an end before the end.
var (
	errCancelled = errors.New("cancelled")
	errDeadline  = errors.New("deadline")
)

// loop moves the chain until it ends or the engine stops.
func (r *run) loop() {
	ctx, cancel := context.WithDeadlineCause(r.ctx, r.record.Deadline, errDeadline)
	defer cancel()
	if r.engine.lock.wait(ctx) == nil {
		r.begun()
	}
	for from, to := range r.orders() {
		if r.failed() {
			break
		}
		var group sync.WaitGroup
		for i := from; i < to; i++ {
			if !r.state(i).over() {
				group.Go(func() { r.item(ctx, i) })
			}
		}
		group.Wait()
		if r.engine.ctx.Err() != nil {
			return // the next process goes on
		}
	}
	r.finish()
}

// begun makes a chain that was taken while the engine was locked a running one.
func (r *run) begun() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.record.State == Created {
		r.engine.moved(Created, Running)
		r.record.State = Running
		r.tellLocked(-1)
	}
}

// orders yields the ranges of items that have one order.
func (r *run) orders() func(yield func(from, to int) bool) {
	return func(yield func(from, to int) bool) {
		items := r.work.Items
		for from := 0; from < len(items); {
			to := from + 1
			for to < len(items) && items[to].Order == items[from].Order {
				to++
			}
			if !yield(from, to) {
				return
			}
			from = to
		}
	}
}

func (r *run) state(i int) State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.record.Items[i].State
}

// failed says whether an item has failed in a way that ends the chain.
func (r *run) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.record.Items {
		if r.record.Items[i].State == Failed && r.work.Items[i].Options.OnFailure != Continue || r.record.Items[i].State == Skipped {
			return true
		}
	}
	return false
}

// item gets the answer of one item.
func (r *run) item(ctx context.Context, i int) {
	it := &r.work.Items[i]
	r.mu.Lock()
	answers := append([]*Response(nil), r.answers...)
	r.mu.Unlock()
	request, err := r.work.fill(i, answers, r.engine.o.Limits.Payload)
	if err != nil {
		r.settle(i, Failed, failure("reference", err.Error()))
		return
	}
	step := Step{Key: stepKey(r.work.Hash, i, ""), Hash: r.work.Hash, Order: it.Order, Request: request}
	var out Outcome
	if noted := r.hasNote(i); !noted { // one that came before a crash says that the call was made
		out, err = r.call(ctx, i, step, it.Options)
	}
	if it.Options.Await && err == nil && (out.Response.OK || r.hasNote(i)) {
		out.Response, err = r.await(ctx, i)
	}
	if err != nil {
		r.interrupted(ctx, i)
		return
	}
	end := Completed
	if !out.Response.OK {
		end = Failed
		r.mu.Lock()
		r.record.Far = r.record.Far || out.Response.Error && out.Retry
		r.mu.Unlock()
	}
	r.settle(i, end, &out.Response)
}

// stepKey is the Idempotency-Key of an item.
func stepKey(hash string, item int, suffix string) string {
	return fmt.Sprintf("%s-%d%s", hash, item, suffix)
}

// failure is an answer that no service gave.
func failure(reason, detail string) *Response {
	metadata, _ := appendCanonical(nil, map[string]any{"reason": reason, "detail": detail}) // texts cannot fail
	return &Response{Error: true, Metadata: string(metadata)}
}

// interrupted settles an item whose call was cut short, unless the engine stops: then it is called again by the next.
func (r *run) interrupted(ctx context.Context, i int) {
	switch cause := context.Cause(ctx); {
	case r.engine.ctx.Err() != nil:
	case errors.Is(cause, errDeadline):
		r.settle(i, Failed, failure("deadline", "the chain's time was over"))
	default:
		r.settle(i, Failed, failure("cancelled", "the chain was cancelled"))
	}
}

// call makes the calls of one item until it has an answer, or must not be called again. The error is the context's.
func (r *run) call(ctx context.Context, i int, step Step, o ItemOptions) (Outcome, error) {
	e := r.engine
	attempts := o.Attempts
	if attempts == 0 {
		attempts = e.o.Attempts
	}
	for step.Attempt = 1; ; {
		out, err := r.once(ctx, i, step, o.Timeout)
		wait := out.After
		switch {
		case err != nil:
			return out, err
		case out.Unmade: // those who wait for the same target do not come back together
			wait += rand.N(out.After/2 + 10*time.Millisecond)
		case out.Response.OK || !out.Retry || step.Attempt >= attempts:
			return out, nil
		default:
			metrics.retries.Inc()
			wait = max(wait, e.backoff(o, step.Attempt))
			step.Attempt++
		}
		r.mark(i, Waiting, 0)
		if err := pause(ctx, wait); err != nil {
			return out, err
		}
	}
}

// once makes one call, when the engine is not locked and has a place for it.
func (r *run) once(ctx context.Context, i int, step Step, timeout time.Duration) (Outcome, error) {
	e := r.engine
	for {
		if err := e.lock.wait(ctx); err != nil {
			return Outcome{}, err
		}
		select {
		case e.steps <- struct{}{}:
		case <-ctx.Done():
			return Outcome{}, ctx.Err()
		}
		if !e.lock.locked() {
			break
		}
		<-e.steps
	}
	defer e.leave()
	if timeout == 0 {
		timeout = e.o.Timeout
	}
	r.mark(i, Running, step.Attempt)
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	begun := time.Now()
	out := e.do(limited, step)
	if !out.Unmade {
		metrics.called(step.Request.Type, out, time.Since(begun))
	}
	if out.Response.OK {
		return out, nil
	}
	return out, ctx.Err()
}

// do makes a call. A panic of the executor fails one item, not the node.
func (e *runner) do(ctx context.Context, step Step) (out Outcome) {
	defer func() {
		if p := recover(); p != nil {
			metrics.panics.Inc()
			e.o.Log.Error("chain: a call panicked", "hash", step.Hash, "order", step.Order, "panic", p, "stack", string(debug.Stack()))
			out = Outcome{Response: *failure("internal", "the call could not be made")}
		}
	}()
	return e.o.Executor.Do(ctx, step)
}

// backoff returns how long to wait before the next attempt: a random time, so that what failed together does not come
// back together.
func (e *runner) backoff(o ItemOptions, attempts int) time.Duration {
	base, most := e.o.Backoff, e.o.MaxBackoff
	if o.Backoff > 0 {
		base = o.Backoff
	}
	if o.MaxBackoff > 0 {
		most = o.MaxBackoff
	}
	if d := base << min(attempts-1, 30); d > 0 && d < most {
		most = d
	}
	return rand.N(most + 1)
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hasNote says whether the notification of an item has come.
func (r *run) hasNote(i int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.noted[i]
}

// await waits for the notification of an item.
func (r *run) await(ctx context.Context, i int) (Response, error) {
	r.mark(i, AwaitingCallback, 0)
	select {
	case a := <-r.notes[i]:
		return a, nil
	case <-ctx.Done():
		return Response{}, ctx.Err()
	}
}

// mark tells that an item moves, which is not stored: after a crash it begins again.
func (r *run) mark(i int, s State, attempt int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.record.Items[i]
	if attempt > 0 {
		p.Attempts = attempt
	}
	if p.Begun.IsZero() {
		p.Begun = r.now()
	}
	p.State = s
	r.tellLocked(i)
}

func (r *run) now() time.Time { return r.engine.o.Now().Truncate(time.Millisecond) }

// tellLocked tells of a move of item i, -1 for the chain. REQUIRES: mu is held, which keeps the order.
func (r *run) tellLocked(i int) {
	ev := Event{Hash: r.work.Hash, Account: r.record.Account, Order: -1, Chain: r.record.State}
	if i >= 0 {
		ev.Order, ev.Item = r.work.Items[i].Order, r.record.Items[i].State
	}
	r.engine.changed(ev)
}

// settle stores what came of an item, with the end of the chain when it was the last.
func (r *run) settle(i int, s State, a *Response) {
	r.change(func() (more []broker.Op, tell []int) {
		r.setLocked(i, s)
		if r.used[i] {
			r.answers[i] = a
		}
		more, tell = append(more, opAnswer(r.work.Hash, i, a)), append(tell, i)
		if r.allLocked() {
			more, tell = append(more, r.endLocked(Completed, "")), append(tell, -1)
		}
		return more, tell
	})
}

// setLocked notes that an item is over. REQUIRES: mu is held.
func (r *run) setLocked(i int, s State) {
	p := &r.record.Items[i]
	p.State, p.Ended = s, r.now()
	if p.Begun.IsZero() {
		p.Begun = p.Ended
	}
}

// change changes the record by fn, which holds mu, stores it with more, and then tells of items. It reports false when the
// engine stops before that is done; then the next process repeats what is lost.
func (r *run) change(fn func() (more []broker.Op, tell []int)) bool {
	r.writer <- struct{}{}
	defer func() { <-r.writer }()
	r.mu.Lock()
	more, tell := fn()
	r.record.Modified = r.now()
	stored := r.record.clone()
	r.mu.Unlock()
	if !r.save(stored, more) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record.revision = stored.revision
	for _, i := range tell {
		r.tellLocked(i)
	}
	return true
}

// allLocked says whether all items are completed: then there is nothing left to decide. REQUIRES: mu is held.
func (r *run) allLocked() bool {
	for i := range r.record.Items {
		if r.record.Items[i].State != Completed {
			return false
		}
	}
	return true
}

// endLocked makes the record that of an ended chain and returns what belongs to the same commit. REQUIRES: mu is held.
func (r *run) endLocked(s State, reason string) broker.Op {
	r.engine.moved(r.record.State, s)
	r.record.State, r.record.Reason = s, reason
	r.record.Told = !r.wantsNews()
	return r.engine.opExpiry(r.work.Hash, r.now())
}

// wantsNews says whether somebody is told of the end.
func (r *run) wantsNews() bool {
	return r.engine.o.Queue != nil || r.engine.o.Completed != nil || r.work.Options.Webhook != ""
}

// save stores a record until that succeeds or the engine stops. REQUIRES: the place of writer is held.
func (r *run) save(stored *record, more []broker.Op) bool {
	stored.settled()
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := r.engine.save(r.engine.ctx, r.work.Hash, stored, more...)
		if err == nil {
			return true
		}
		if r.engine.ctx.Err() != nil {
			return false
		}
		r.engine.o.Log.Error("chain: a step was not stored, tried again", "hash", r.work.Hash, "error", err)
		if pause(r.engine.ctx, wait) != nil {
			return false
		}
		// A commit that timed out may have come through: nobody else writes this record, unless another node runs chains now.
		now, err := r.engine.loadRecord(r.engine.ctx, r.work.Hash)
		if err == nil && now.Term > r.engine.term {
			r.engine.stop()
			return false
		}
		if err == nil {
			stored.revision = now.revision
		}
	}
}

// show puts into a status what moves at this moment.
func (r *run) show(s *Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range s.Items {
		p := &r.record.Items[i]
		if !s.Items[i].State.over() && !p.State.over() && p.State != pending {
			s.Items[i].State, s.Items[i].Attempts, s.Items[i].Begun = p.State, p.Attempts, p.Begun
		}
	}
}
