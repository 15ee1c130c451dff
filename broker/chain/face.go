package chain

import (
	"context"
	"errors"
	"sync"
	"time"

	"gosper/broker"
	"gosper/broker/lead"
)

// Engine runs chains, alone or as one of several nodes. Open reads what there is, Start lets it run. Its methods may block and may be
// called from any goroutine.
type Engine struct {
	o      EngineOptions
	lock   lock
	reader *runner    // runs nothing: it reads and makes records
	seat   *lead.Seat // nil: the node is alone
	ctx    context.Context
	stop   context.CancelFunc

	mu    sync.Mutex
	runs  *runner       // nil: another node runs chains, or none
	turn  chan struct{} // closed when runs changes
	known numbers       // as they were told last
}

// numbers tell what a runner does.
type numbers struct {
	Counts  map[State]int `json:"counts"`
	Places  int           `json:"places"`
	Waiting int           `json:"waiting"`
	Running int           `json:"running"`
}

// Open reads the chains of a store; among nodes that is done later, by the one that runs them. Nothing moves before Start.
func Open(ctx context.Context, o EngineOptions) (*Engine, error) {
	o.complete()
	e := &Engine{o: o, turn: make(chan struct{})}
	e.ctx, e.stop = context.WithCancel(context.Background())
	e.lock.open = make(chan struct{})
	close(e.lock.open)
	e.reader = newRunner(e.ctx, o, &e.lock, 0)
	if err := e.openLock(ctx); err != nil {
		e.stop()
		return nil, err
	}
	if o.Nodes != nil {
		return e, nil
	}
	e.runs = newRunner(e.ctx, o, &e.lock, 0)
	if err := e.runs.load(ctx); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

// openLock reads the lock, and follows it when other nodes may move it.
func (e *Engine) openLock(ctx context.Context) error {
	if e.o.Nodes != nil {
		err := e.o.Store.Watch(e.ctx, keyLock, func(stored broker.Record) {
			if r := e.here(); e.lock.heed(stored) && r != nil {
				r.lockMoved()
			}
		})
		if err != nil {
			return err
		}
	}
	stored, err := e.o.Store.Get(ctx, keyLock)
	if errors.Is(err, broker.ErrNotFound) {
		return nil
	}
	if err == nil {
		e.lock.heed(stored)
	}
	return err
}

// Start lets chains run, beginning with those that a former process left; among nodes, when it is this one's turn. It is called once.
func (e *Engine) Start() error {
	n := e.o.Nodes
	if n == nil {
		e.runs.start()
		return nil
	}
	o := lead.Options{Store: e.o.Store, Bus: n.Bus, Name: "chains", Node: n.Name, Lease: n.Lease, Act: e.act, Answer: e.answer, Log: e.o.Log}
	if n.Idle {
		o.Act = nil
	}
	seat, err := lead.Open(o)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seat = seat
	return err
}

// Close stops all calls and waits for their goroutines. What was under way runs again after the next start, or on another node.
func (e *Engine) Close() {
	e.stop()
	e.mu.Lock()
	seat, runs := e.seat, e.runs
	e.mu.Unlock()
	switch {
	case seat != nil:
		seat.Close()
	case runs != nil:
		runs.close()
	}
}

// Limits returns the limits of messages.
func (e *Engine) Limits() Limits { return e.o.Limits }

// roomTime bounds the wait for the runner's word on whether there is room: without it a chain is taken.
const roomTime = time.Second

// Submit takes a chain, for good when it returns nil. The same message again is the same chain: its status comes back,
// and isNew is false. Errors: ErrForeign when another account has submitted it, broker.ErrBusy when too many chains
// have not ended, and those of the Store.
func (e *Engine) Submit(ctx context.Context, w Work, account string) (s Status, isNew bool, err error) {
	if r := e.here(); r != nil {
		s, isNew, err = r.submit(ctx, w, account)
		if e.o.Nodes == nil || e.ctx.Err() != nil || !errors.Is(err, broker.ErrClosed) {
			return s, isNew, err
		}
	}
	if e.ctx.Err() != nil {
		return s, false, broker.ErrClosed
	}
	limited, cancel := context.WithTimeout(ctx, roomTime)
	defer cancel()
	if _, err := e.ask(limited, orderRoom, order{}); errors.Is(err, broker.ErrBusy) {
		if s, err := e.Status(ctx, w.Hash); err == nil {
			return same(s, account)
		}
		return s, false, err
	}
	r := e.reader.newRecord(&w, account)
	_, err = e.reader.create(ctx, &w, r)
	if errors.Is(err, broker.ErrExists) {
		if s, err = e.Status(ctx, w.Hash); err != nil {
			return s, false, err
		}
		return same(s, account)
	}
	if err != nil {
		return s, false, err
	}
	return r.status(&w, make([]*Response, len(w.Items))), true, nil
}

// lookTime bounds the wait for the runner's word on how items move: without it a status tells what is stored.
const lookTime = time.Second

// Status tells where a chain stands: broker.ErrNotFound when there is none of that hash.
func (e *Engine) Status(ctx context.Context, hash string) (Status, error) {
	if r := e.here(); r != nil {
		return r.status(ctx, hash)
	}
	s, err := e.reader.status(ctx, hash)
	if err != nil || s.Over() || e.o.Nodes == nil {
		return s, err
	}
	limited, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	if out, err := e.ask(limited, orderItems, order{Hash: hash}); err == nil {
		s.show(out.Items)
	}
	return s, nil
}

// waitLook is how often a chain that another node runs is looked at, should a notice of its end be late.
const waitLook = 5 * time.Second

// Wait returns the status of a chain when it has ended, or when the context ends, whichever is first.
func (e *Engine) Wait(ctx context.Context, hash string) (Status, error) {
	watch, cancel := context.WithCancel(ctx)
	defer cancel()
	moved := make(chan struct{}, 1)
	if e.o.Nodes != nil {
		err := e.o.Store.Watch(watch, prefixState+hash, func(broker.Record) {
			select {
			case moved <- struct{}{}:
			default:
			}
		})
		if err != nil {
			return Status{}, err
		}
	}
	for {
		r := e.here()
		here := r != nil && r.ctx.Err() == nil && r.await(ctx, hash)
		s, err := e.reader.status(context.WithoutCancel(ctx), hash)
		if err != nil || s.Over() || e.o.Nodes == nil || ctx.Err() != nil || e.ctx.Err() != nil {
			if err == nil && !s.Over() {
				return e.Status(context.WithoutCancel(ctx), hash)
			}
			return s, err
		}
		if here {
			continue // it was resumed, or moves to another node
		}
		t := time.NewTimer(waitLook)
		select {
		case <-moved:
		case <-t.C:
		case <-ctx.Done():
		case <-e.ctx.Done():
		}
		t.Stop()
	}
}

// List returns at most limit chains, by hash, after one ("": from the first). A state other than "" chooses.
func (e *Engine) List(ctx context.Context, state State, after string, limit int) ([]Summary, error) {
	return e.reader.list(ctx, state, after, limit)
}

// numbersTime bounds the wait for the runner's numbers: without them those of before are told.
const numbersTime = time.Second

// numbers returns those of the node that runs chains.
func (e *Engine) numbers() numbers {
	if r := e.here(); r != nil {
		return r.numbers()
	}
	ctx, cancel := context.WithTimeout(e.ctx, numbersTime)
	defer cancel()
	out, err := e.ask(ctx, orderNumbers, order{})
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil && out.Numbers != nil {
		e.known = *out.Numbers
	}
	n := e.known
	n.Counts = make(map[State]int)
	for state, count := range e.known.Counts {
		n.Counts[state] = count
	}
	return n
}

// Counts returns how many chains are kept in each state. States without one may be missing. The map is the caller's own.
func (e *Engine) Counts() map[State]int { return e.numbers().Counts }

// Workers tells what the engine does at this moment.
func (e *Engine) Workers() (places, waiting, running int) {
	n := e.numbers()
	return n.Places, n.Waiting, n.Running
}

// Settings returns the state of the lock.
func (e *Engine) Settings() Settings { return settings(e.lock.locked(), e.numbers().Running) }

// Lock stops all new steps, or lets them go on, for good: a restart does not open the lock. Calls under way end as they
// would. It reports whether that was a change.
func (e *Engine) Lock(ctx context.Context, shut bool) (changed bool, err error) {
	value := []byte(nil)
	if !shut {
		value = lockOpen
	}
	revision, err := e.o.Store.Put(ctx, keyLock, value)
	if err != nil {
		return false, err
	}
	changed = e.lock.heed(broker.Record{Key: keyLock, Value: value, Revision: revision})
	if r := e.here(); r != nil {
		r.lockMoved()
	}
	return changed, nil
}

// Cancel ends a chain: calls under way are cut short, the rest is skipped. ErrEnded when there is nothing left to cancel,
// broker.ErrNotFound when there is no such chain. It returns when the chain has ended.
func (e *Engine) Cancel(ctx context.Context, hash string) (Status, error) {
	if r := e.here(); r != nil {
		return r.cancel(ctx, hash)
	}
	return e.obeyed(ctx, orderCancel, hash)
}

// Resume runs a failed or cancelled chain again from the items that were not completed. It has the whole of its time once
// more. ErrRunning when it has not ended, ErrEnded when it was completed.
func (e *Engine) Resume(ctx context.Context, hash string) (Status, error) {
	if r := e.here(); r != nil {
		return r.resume(ctx, hash)
	}
	return e.obeyed(ctx, orderResume, hash)
}

// obeyed has the node that runs chains obey, and returns how the chain stands then.
func (e *Engine) obeyed(ctx context.Context, verb, hash string) (Status, error) {
	if _, err := e.ask(ctx, verb, order{Hash: hash}); err != nil {
		return Status{}, err
	}
	return e.Status(context.WithoutCancel(ctx), hash)
}

// ResumeAll resumes every chain that has failed, and returns how many.
func (e *Engine) ResumeAll(ctx context.Context) (int, error) {
	out, err := e.ask(ctx, orderResumeAll, order{})
	return out.N, err
}

// Delete forgets an ended chain: ErrRunning for others.
func (e *Engine) Delete(ctx context.Context, hash string) error {
	_, err := e.ask(ctx, orderDelete, order{Hash: hash})
	return err
}

// Notify gives items that wait for a notification their answers, and returns how many took one, for good. ErrUnasked when
// none did, broker.ErrNotFound when there is no such chain.
func (e *Engine) Notify(ctx context.Context, hash string, items []Result) (int, error) {
	out, err := e.ask(ctx, orderNotify, order{Hash: hash, Items: items})
	return out.N, err
}
