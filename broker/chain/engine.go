package chain

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"gosper/broker"
)

// Errors of the engine, beside those of the broker.
var (
	ErrRunning = errors.New("the chain has not ended")   // a chain that moves cannot be deleted or resumed
	ErrEnded   = errors.New("the chain has ended")       // nothing is left to cancel
	ErrUnasked = errors.New("no item waits for this")    // a notification nobody waits for
	ErrForeign = errors.New("another account's message") // the same work, submitted by somebody else
)

// Step is one call that an Executor makes.
type Step struct {
	Key     string // Idempotency-Key: the same for every attempt of an item, other for its compensation
	Hash    string
	Order   int
	Request Request // with its markers filled in
	Attempt int     // from 1; since the node started
}

// Outcome is what came of one call.
type Outcome struct {
	Response Response
	Retry    bool          // the same call may do better later
	After    time.Duration // the target asks not to come back before; 0: it did not say
	Unmade   bool          // with Retry: nothing was called, so this counts as no attempt
}

// Executor makes the calls of items. Do ends when its context does; it is called by many goroutines at once.
type Executor interface {
	Do(ctx context.Context, s Step) Outcome
}

// Event says that a chain or an item has moved. What it tells can be read from Status.
type Event struct {
	Hash    string
	Account string
	Order   int   // -1: the chain itself
	Item    State // "" for the chain itself
	Chain   State
}

// EngineOptions of an Engine. The zero value of a figure means its default.
type EngineOptions struct {
	Store    broker.Store
	Queue    broker.Queue // its WorkTube brings messages, its CompletionTube gets completions; nil: none of both
	Executor Executor
	// Changed is told of every move, after it was committed and in order for one chain. It must not block.
	Changed func(Event)
	// Locked is told the state of the lock when it was changed, and when the last call under a shut lock has ended. It must
	// not block.
	Locked func(Settings)
	// Completed is told of every chain that has ended until it returns nil, so at least once, also after a crash.
	Completed func(context.Context, Status) error

	Limits     Limits
	Active     int           // chains that have not ended; more are refused as busy. Default 10,000
	Memory     int64         // bytes of their messages. Default 256 MiB
	Steps      int           // calls at a time. Default 256
	Keep       time.Duration // an ended chain is kept so long: its message counts as the same until then. Default 24 h
	Timeout    time.Duration // of one call. Default 10 s
	Attempts   int           // calls for one item. Default 10: a target that is away for ten seconds costs no chain
	Backoff    time.Duration // a retry waits a random time up to Backoff doubled for each one. Default 200 ms
	MaxBackoff time.Duration // but no longer. Default 30 s
	Deadline   time.Duration // of a chain that has none. Default 1 h
	Log        *slog.Logger
	Now        func() time.Time
	// Nodes are those that have the same Store, of which one runs all chains at a time; nil: this node is alone.
	Nodes *Nodes
}

// CompletionTube is where completion messages go as jobs, each once while it lives there.
const CompletionTube = "completions"

func (o *EngineOptions) complete() {
	o.Limits = o.Limits.WithDefaults()
	for _, f := range []struct {
		value *time.Duration
		def   time.Duration
	}{{&o.Keep, 24 * time.Hour}, {&o.Timeout, 10 * time.Second}, {&o.Backoff, 200 * time.Millisecond},
		{&o.MaxBackoff, 30 * time.Second}, {&o.Deadline, time.Hour}} {
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	for _, f := range []struct {
		value *int
		def   int
	}{{&o.Active, 10_000}, {&o.Steps, 256}, {&o.Attempts, 10}} {
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	if o.Memory == 0 {
		o.Memory = 256 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// runner runs chains while this node is the one that does. Its methods may block and may be called from any goroutine.
type runner struct {
	o     EngineOptions
	steps chan struct{} // a place for each call
	ctx   context.Context
	stop  context.CancelFunc
	work  sync.WaitGroup
	lock  *lock
	// term is written with each record, so that a runner that was replaced cannot write any more; 0: the node is alone.
	term  uint64
	found finds // chains that other nodes have stored

	mu     sync.Mutex
	closed bool
	runs   map[string]*run          // chains that have not ended
	claims map[string]chan struct{} // chains that are being made, resumed or deleted; closed when that is done
	memory int64                    // bytes of their messages
	counts map[State]int            // of all chains that are kept
	untold []string                 // ended, and somebody waits for the news
}

// newRunner returns a runner without chains. It ends with the context, or when it is closed.
func newRunner(ctx context.Context, o EngineOptions, l *lock, term uint64) *runner {
	e := &runner{o: o, lock: l, term: term, steps: make(chan struct{}, o.Steps), runs: make(map[string]*run), claims: make(map[string]chan struct{}),
		counts: make(map[State]int), found: newFinds()}
	e.ctx, e.stop = context.WithCancel(ctx)
	return e
}

// load reads the chains of the store. Nothing moves before start.
func (e *runner) load(ctx context.Context) error {
	moving := make(map[string]State)
	err := e.each(ctx, "", func(hash string, r *record) bool {
		e.counts[r.State]++
		switch {
		case !r.State.over():
			moving[hash] = r.State
		case !r.Told:
			e.untold = append(e.untold, hash)
		}
		return true
	})
	if err != nil {
		return err
	}
	places := make(chan struct{}, restorers)
	var group sync.WaitGroup
	for hash, was := range moving {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			now, err := e.restore(ctx, hash)
			if err != nil {
				e.o.Log.Error("chain: cannot go on", "hash", hash, "error", err)
				if errors.Is(err, broker.ErrBusy) || errors.Is(err, broker.ErrTimeout) { // tried again by adoptLoop
					e.moved(was, "")
					e.found.put(hash)
				}
				return
			}
			e.reread(hash, was, now)
		})
	}
	group.Wait()
	metrics.watch(e)
	return ctx.Err()
}

// restorers is how many chains are read at a time.
const restorers = 32

// reread notes that a chain was ended by another node since it was counted.
func (e *runner) reread(hash string, was, now State) {
	if was == now {
		return
	}
	e.moved(was, now)
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.over() {
		e.untold = append(e.untold, hash)
	}
}

// restore makes the run of a chain that a former process left, or another node, and returns its state: there is no run of one that
// is over.
func (e *runner) restore(ctx context.Context, hash string) (State, error) {
	w, r, err := e.own(ctx, hash)
	if err != nil {
		return "", err
	}
	if r.State.over() {
		return r.State, nil
	}
	answers, err := e.answers(ctx, hash, len(w.Items))
	if err != nil {
		return "", err
	}
	size := len(AppendWork(nil, &w))
	e.mu.Lock()
	defer e.mu.Unlock()
	e.newRunLocked(w, r, size).takeAnswers(answers)
	return r.State, nil
}

// takeAnswers gives a new run what is stored: answers that later payloads use, and those of notifications that came
// before the crash.
func (r *run) takeAnswers(answers []*Response) {
	for i, a := range answers {
		if r.used[i] && r.record.Items[i].State.over() {
			r.answers[i] = a
		}
		if a != nil && !r.record.Items[i].State.over() && r.work.Items[i].Options.Await {
			r.noted[i] = true
			r.notes[i] <- *a
		}
	}
}

// claim keeps others from making, resuming and deleting the same chain until release is called.
func (e *runner) claim(ctx context.Context, hash string) (release func(), err error) {
	for {
		e.mu.Lock()
		other := e.claims[hash]
		if other == nil {
			mine := make(chan struct{})
			e.claims[hash] = mine
			e.mu.Unlock()
			return func() {
				e.mu.Lock()
				delete(e.claims, hash)
				e.mu.Unlock()
				close(mine)
			}, nil
		}
		e.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// own reads a chain and, among nodes, makes this one the only one that may write it.
func (e *runner) own(ctx context.Context, hash string) (w Work, r *record, err error) {
	for {
		if w, r, err = e.read(ctx, hash); err != nil {
			return w, r, err
		}
		if e.term == 0 || r.Term == e.term || r.State.over() {
			return w, r, nil
		}
		r.Term = e.term
		if err = e.save(ctx, hash, r); !errors.Is(err, broker.ErrConflict) { // else the runner before has written it once more
			return w, r, err
		}
	}
}

// start lets chains run, beginning with those that a former process left. It is called once.
func (e *runner) start() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.runs {
		e.work.Go(r.loop)
	}
	e.work.Go(e.sweepLoop)
	e.work.Go(e.adoptLoop)
	e.work.Go(e.retellLoop)
	if e.o.Queue != nil {
		e.work.Go(e.intake)
	}
}

// close stops all calls and waits for their goroutines. What was under way runs again after the next start.
func (e *runner) close() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.stop()
	e.work.Wait()
	metrics.unwatch(e)
}

// newRecord returns the record of a chain that is submitted now.
func (e *runner) newRecord(w *Work, account string) *record {
	now := e.o.Now().Truncate(time.Millisecond)
	deadline := w.Options.Deadline
	if deadline == 0 {
		deadline = e.o.Deadline
	}
	r := &record{Account: account, State: Running, Created: now, Modified: now, Deadline: now.Add(deadline), Items: make([]progress, len(w.Items)), Term: e.term}
	if e.lock.locked() {
		r.State = Created
	}
	return r
}

// submit is Engine.Submit on the node that runs chains.
func (e *runner) submit(ctx context.Context, w Work, account string) (s Status, isNew bool, err error) {
	r := e.newRecord(&w, account)
	if err := e.room(); err != nil {
		if s, err := e.status(ctx, w.Hash); err == nil {
			return same(s, account)
		}
		return Status{}, false, err
	}
	release, err := e.claim(ctx, w.Hash)
	if err != nil {
		return Status{}, false, err
	}
	defer release()
	size, err := e.create(ctx, &w, r)
	if errors.Is(err, broker.ErrExists) {
		if err := e.revive(ctx, w.Hash); err != nil {
			return Status{}, false, err
		}
		s, err := e.status(ctx, w.Hash)
		if err != nil {
			return s, false, err
		}
		return same(s, account)
	}
	if err != nil {
		return Status{}, false, err
	}
	return e.begin(w, r, size), true, nil
}

// revive lets a chain run that was stored by a submission whose answer was an error, since its commit came through later.
// REQUIRES: the chain is claimed.
func (e *runner) revive(ctx context.Context, hash string) error {
	if e.running(hash) != nil {
		return nil
	}
	r, err := e.loadRecord(ctx, hash)
	if err != nil || r.State.over() {
		return err
	}
	state, err := e.restore(ctx, hash)
	if err != nil {
		return err
	}
	e.moved("", state)
	e.mu.Lock()
	defer e.mu.Unlock()
	if run := e.runs[hash]; run != nil && !e.closed { // else the next process finds it
		e.changed(Event{Hash: hash, Account: r.Account, Order: -1, Chain: state})
		e.work.Go(run.loop)
	}
	return nil
}

// same answers a message that is known already.
func same(s Status, account string) (Status, bool, error) {
	if s.Account != account {
		return Status{}, false, ErrForeign
	}
	return s, false, nil
}

// room says whether another chain fits.
func (e *runner) room() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return broker.ErrClosed
	case len(e.runs) >= e.o.Active || e.memory >= e.o.Memory:
		metrics.refused.Inc()
		return broker.ErrBusy
	}
	return nil
}

// begin lets a chain run that was just stored.
func (e *runner) begin(w Work, r *record, size int) Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	run := e.newRunLocked(w, r, size)
	e.counts[r.State]++
	s := r.status(&w, make([]*Response, len(w.Items)))
	e.changed(Event{Hash: w.Hash, Account: r.Account, Order: -1, Chain: r.State})
	if !e.closed { // else the next process finds it
		e.work.Go(run.loop)
	}
	return s
}

// newRunLocked enters a run. REQUIRES: mu is held.
func (e *runner) newRunLocked(w Work, r *record, size int) *run {
	run := &run{engine: e, work: w, record: r, size: int64(size), used: w.referenced(), answers: make([]*Response, len(w.Items)),
		notes: make([]chan Response, len(w.Items)), noted: make([]bool, len(w.Items)), over: make(chan struct{}), writer: make(chan struct{}, 1)}
	for i := range run.notes {
		run.notes[i] = make(chan Response, 1)
	}
	run.ctx, run.cancel = context.WithCancelCause(e.ctx)
	e.runs[w.Hash] = run
	e.memory += run.size
	return run
}

// ended takes a run out.
func (e *runner) ended(r *run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.runs, r.work.Hash)
	e.memory -= r.size
	close(r.over)
}

// moved keeps the counts of states.
func (e *runner) moved(from, to State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if from != "" {
		e.counts[from]--
	}
	if to != "" {
		e.counts[to]++
	}
}

func (e *runner) changed(ev Event) {
	if e.o.Changed != nil {
		e.o.Changed(ev)
	}
}

// running returns the run of a chain that has not ended; nil for others.
func (e *runner) running(hash string) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.runs[hash]
}

// status tells where a chain stands: broker.ErrNotFound when there is none of that hash.
func (e *runner) status(ctx context.Context, hash string) (Status, error) {
	w, r, err := e.read(ctx, hash)
	if err != nil {
		return Status{}, err
	}
	answers, err := e.answers(ctx, hash, len(w.Items))
	if err != nil {
		return Status{}, err
	}
	s := r.status(&w, answers)
	if run := e.running(hash); run != nil {
		run.show(&s)
	}
	return s, nil
}

// await waits until a chain has ended here, and says whether it was here at all.
func (e *runner) await(ctx context.Context, hash string) (here bool) {
	run := e.running(hash)
	if run == nil {
		return false
	}
	select {
	case <-run.over:
	case <-e.ctx.Done():
	case <-ctx.Done():
	}
	return true
}

// Summary is one line of a list of chains.
type Summary struct {
	Hash     string    `json:"hash"`
	Account  string    `json:"account,omitempty"`
	State    State     `json:"state"`
	Reason   string    `json:"reason,omitempty"`
	Created  time.Time `json:"created"`
	Modified time.Time `json:"modified"`
	Done     int       `json:"done"` // items that are over
	Items    int       `json:"items"`
}

func (r *record) summary(hash string) Summary {
	s := Summary{hash, r.Account, r.State, r.Reason, r.Created, r.Modified, 0, len(r.Items)}
	for i := range r.Items {
		if r.Items[i].State.over() {
			s.Done++
		}
	}
	return s
}

// Summary returns the line of one chain: broker.ErrNotFound when there is none of that hash.
func (e *Engine) Summary(ctx context.Context, hash string) (Summary, error) {
	r, err := e.reader.loadRecord(ctx, hash)
	if err != nil {
		return Summary{}, err
	}
	return r.summary(hash), nil
}

// list is Engine.List.
func (e *runner) list(ctx context.Context, state State, after string, limit int) (list []Summary, err error) {
	if limit <= 0 {
		return nil, nil
	}
	err = e.each(ctx, after, func(hash string, r *record) bool {
		if state == "" || r.State == state {
			list = append(list, r.summary(hash))
		}
		return len(list) < limit
	})
	return list, err
}

// numbers tells what the runner does at this moment.
func (e *runner) numbers() numbers {
	running := len(e.steps)
	e.mu.Lock()
	defer e.mu.Unlock()
	return numbers{maps.Clone(e.counts), cap(e.steps), max(0, len(e.runs)-running), running}
}
