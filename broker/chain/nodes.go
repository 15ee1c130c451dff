package chain

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"gosper/broker"
	"gosper/broker/lead"
)

// Nodes are several nodes with one Store. One of them runs all chains; another takes over within five seconds of its end, and what
// was under way is called again, with the same key. Every node takes chains and orders: a chain goes into the Store, where the one that runs finds
// it, an order is asked of it over the Bus.
type Nodes struct {
	Bus  broker.Bus // which the nodes share
	Name string     // of this node: a token of a subject that no other one has
	// Lease is how long a silent runner is waited for; 0 means lead.DefaultLease.
	Lease time.Duration
	// Idle keeps this node from running chains: it only takes them.
	Idle bool
}

// finds are chains that other nodes have stored and this one has not looked at.
type finds struct {
	mu     sync.Mutex
	hashes map[string]bool
	wake   chan struct{}
}

func newFinds() finds { return finds{hashes: make(map[string]bool), wake: make(chan struct{}, 1)} }

func (f *finds) put(hash string) {
	f.mu.Lock()
	f.hashes[hash] = true
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *finds) take() map[string]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.hashes
	f.hashes = make(map[string]bool)
	return all
}

// notice looks at a record that was written, perhaps by another node. It does not block.
func (e *runner) notice(stored broker.Record) {
	if stored.Revision == 0 {
		return
	}
	hash := stored.Key[len(prefixState):]
	if e.running(hash) != nil {
		return
	}
	if r, err := readRecord(stored); err == nil && !r.State.over() && r.Term < e.term {
		e.found.put(hash)
	}
}

// adoptLoop lets chains run that other nodes have stored.
func (e *runner) adoptLoop() {
	again := make(map[string]bool)
	for {
		wait := time.Hour
		if len(again) > 0 {
			wait = time.Second
		}
		t := time.NewTimer(wait)
		select {
		case <-e.found.wake:
		case <-t.C:
		case <-e.ctx.Done():
		}
		t.Stop()
		if e.ctx.Err() != nil {
			return
		}
		hashes := e.found.take()
		for hash := range again {
			hashes[hash] = true
		}
		again = make(map[string]bool)
		for hash := range hashes {
			if err := e.adopt(e.ctx, hash); err != nil && !errors.Is(err, broker.ErrNotFound) {
				e.o.Log.Error("chain: cannot run a chain of another node, tried again", "hash", hash, "error", err)
				again[hash] = true
			}
		}
	}
}

// adopt lets one chain run.
func (e *runner) adopt(ctx context.Context, hash string) error {
	release, err := e.claim(ctx, hash)
	if err != nil {
		return err
	}
	defer release()
	return e.revive(ctx, hash)
}

// act runs chains while this node leads.
func (e *Engine) act(ctx context.Context, term uint64) {
	r := newRunner(ctx, e.o, &e.lock, term)
	defer r.close()
	err := e.o.Store.Watch(r.ctx, prefixState, r.notice)
	if err == nil {
		err = r.load(r.ctx)
	}
	if err != nil {
		e.o.Log.Error("chain: this node cannot run chains", "error", err)
		return
	}
	r.start()
	e.put(r)
	r.lockMoved()
	<-r.ctx.Done()
	e.put(nil)
}

// put changes who runs chains here; nil: nobody does.
func (e *Engine) put(r *runner) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.runs = r
	close(e.turn)
	e.turn = make(chan struct{})
}

// here returns the runner of this node; nil when another node runs chains, or none.
func (e *Engine) here() *runner {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs
}

// runner waits for the runner of this node.
func (e *Engine) runner(ctx context.Context) (*runner, error) {
	for {
		e.mu.Lock()
		r, turn := e.runs, e.turn
		e.mu.Unlock()
		if r != nil {
			return r, nil
		}
		select {
		case <-turn:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// order is what a node asks of the one that runs chains.
type order struct {
	Hash  string   `json:"hash,omitempty"`
	Items []Result `json:"items,omitempty"`
}

// outcome answers an order.
type outcome struct {
	N       int          `json:"n,omitempty"`
	Numbers *numbers     `json:"numbers,omitempty"`
	Items   []ItemStatus `json:"items,omitempty"` // of a chain that has not ended: how they move
	Error   string       `json:"error,omitempty"` // one of orderErrors, or a text
}

// orderErrors are the errors that travel between nodes.
var orderErrors = map[string]error{"running": ErrRunning, "ended": ErrEnded, "unasked": ErrUnasked, "foreign": ErrForeign,
	"not found": broker.ErrNotFound, "busy": broker.ErrBusy, "timeout": broker.ErrTimeout, "disk full": broker.ErrDiskFull,
	"closed": broker.ErrClosed}

// Verbs of orders.
const (
	orderCancel    = "cancel"
	orderResume    = "resume"
	orderResumeAll = "resume-all"
	orderDelete    = "delete"
	orderNotify    = "notify"
	orderRoom      = "room"
	orderNumbers   = "numbers"
	orderItems     = "items"
)

// answer does what another node asks.
func (e *Engine) answer(ctx context.Context, verb string, content []byte) ([]byte, error) {
	var in order
	if err := json.Unmarshal(content, &in); err != nil {
		return nil, err
	}
	r, err := e.runner(ctx)
	var out outcome
	if err == nil {
		out, err = r.obey(ctx, verb, &in)
	}
	if err != nil {
		out.Error = err.Error()
		for word, known := range orderErrors {
			if errors.Is(err, known) {
				out.Error = word
			}
		}
	}
	return json.Marshal(out)
}

func (e *runner) obey(ctx context.Context, verb string, in *order) (out outcome, err error) {
	switch verb {
	case orderCancel:
		_, err = e.cancel(ctx, in.Hash)
	case orderResume:
		_, err = e.resume(ctx, in.Hash)
	case orderResumeAll:
		out.N, err = e.resumeAll(ctx)
	case orderDelete:
		err = e.delete(ctx, in.Hash)
	case orderNotify:
		out.N, err = e.notify(ctx, in.Hash, in.Items)
	case orderRoom:
		err = e.room()
	case orderNumbers:
		n := e.numbers()
		out.Numbers = &n
	case orderItems:
		if run := e.running(in.Hash); run != nil {
			out.Items = run.moves()
		}
	default:
		err = errors.New("chain: a node asks for what this one does not know")
	}
	return out, err
}

// ask has the node that runs chains obey. One that just stops to run them is no answer: the next does it.
func (e *Engine) ask(ctx context.Context, verb string, in order) (out outcome, err error) {
	for {
		out, err = e.askOnce(ctx, verb, in)
		if e.o.Nodes == nil || !errors.Is(err, broker.ErrClosed) || e.ctx.Err() != nil || pause(ctx, askPause) != nil {
			return out, err
		}
	}
}

// askPause is the time before an order is given once more.
const askPause = 100 * time.Millisecond

func (e *Engine) askOnce(ctx context.Context, verb string, in order) (out outcome, err error) {
	if r := e.here(); r != nil {
		return r.obey(ctx, verb, &in)
	}
	e.mu.Lock()
	seat := e.seat
	e.mu.Unlock()
	if seat == nil {
		return out, broker.ErrClosed
	}
	content, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	answer, err := seat.Ask(ctx, verb, content)
	if errors.Is(err, lead.ErrNobody) {
		return out, errors.Join(broker.ErrTimeout, err)
	}
	if err == nil {
		err = json.Unmarshal(answer, &out)
	}
	if err != nil || out.Error == "" {
		return out, err
	}
	if known := orderErrors[out.Error]; known != nil {
		return out, known
	}
	return out, errors.New(out.Error)
}

// moves tells how the items of a chain move at this moment, without answers.
func (r *run) moves() []ItemStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]ItemStatus, len(r.record.Items))
	for i, p := range r.record.Items {
		all[i] = ItemStatus{State: p.State, Attempts: p.Attempts, Begun: p.Begun}
	}
	return all
}

// show puts into a status what moves at this moment on the node that runs chains.
func (s *Status) show(moves []ItemStatus) {
	if len(moves) != len(s.Items) {
		return
	}
	for i := range s.Items {
		if p := &moves[i]; !s.Items[i].State.over() && !p.State.over() && p.State != pending {
			s.Items[i].State, s.Items[i].Attempts, s.Items[i].Begun = p.State, p.Attempts, p.Begun
		}
	}
}
