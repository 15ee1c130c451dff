package pebble

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"gosper/broker"
)

const (
	// maxBatchWrites and maxBatchBytes close a batch: more would make everybody in it wait for little gain.
	maxBatchWrites = 1024
	maxBatchBytes  = 1 << 20
)

// work is one write on its way through the committer.
type work interface {
	// size is the bytes it will add to the batch, about; frees says that it makes the store smaller, so that it is
	// still welcome when the disk is nearly full.
	size() (bytes int, frees bool)
	// stage checks the conditions and adds to the batch. An error refuses this work alone: it has added nothing.
	stage(t *tx) error
	// apply runs after the commit and changes what memory holds.
	apply(t *tx)
	// answer tells the caller, once; later calls do nothing. Success of a publish is told by the courier instead.
	answer(err error)
	// refuse is answer for work that leaves the pipeline without having been committed.
	refuse(err error)
}

// call is the part of a work whose caller waits.
type call struct {
	answered atomic.Bool
	err      error // written before done is closed
	done     chan struct{}
}

func newCall() call { return call{done: make(chan struct{})} }

func (c *call) answer(err error) {
	if !c.answered.Swap(true) {
		c.err = err
		close(c.done)
	}
}

func (c *call) refuse(err error) { c.answer(err) }

// wait returns the answer. When the context ends first the outcome is unknown, which ErrTimeout says.
func (c *call) wait(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		refusedTimeout.Inc()
		return fmt.Errorf("%w: %w", broker.ErrTimeout, ctx.Err())
	}
}

// committer is the goroutine through which every write goes, with its queue and its watchdog.
type committer struct {
	db    *DB
	queue chan work
	idle  chan struct{} // closed when the goroutine has ended

	gate   sync.RWMutex // held for reading while queueing, so that nothing is queued after close
	closed bool         // guarded by gate

	stalled atomic.Bool // a commit exceeds the time-out: new work is refused at once
	timer   *time.Timer // fires when the batch under way takes too long

	mu     sync.Mutex
	flight []work // guarded by mu: the batch under way; nil between batches

	// owned by the goroutine
	tx     tx
	batch  []work        // what gather returns
	lasted time.Duration // how long the last batch took until it was durable
}

func newCommitter(db *DB) *committer {
	c := &committer{db: db, queue: make(chan work, db.opts.Queue), idle: make(chan struct{})}
	c.tx.init(db)
	c.timer = time.AfterFunc(time.Hour, c.stall)
	c.timer.Stop()
	return c
}

// do queues w and waits for its answer. ctx bounds both.
func (c *committer) do(ctx context.Context, w work, answer *call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.enqueue(ctx, w); err != nil {
		return err
	}
	return answer.wait(ctx)
}

// enqueue waits for room in the queue. After an error w is not in it.
func (c *committer) enqueue(ctx context.Context, w work) error {
	c.gate.RLock()
	defer c.gate.RUnlock()
	if err := c.open(); err != nil {
		return err
	}
	queueDepth.Inc()
	select {
	case c.queue <- w:
		return nil
	case <-ctx.Done():
		queueDepth.Dec()
		refusedBusy.Inc()
		return fmt.Errorf("%w: %w", broker.ErrBusy, ctx.Err())
	}
}

// offer is enqueue for those who must not wait.
func (c *committer) offer(w work) error {
	c.gate.RLock()
	defer c.gate.RUnlock()
	if err := c.open(); err != nil {
		return err
	}
	select {
	case c.queue <- w:
		queueDepth.Inc()
		return nil
	default:
		refusedBusy.Inc()
		return fmt.Errorf("%w: %d writes are waiting", broker.ErrBusy, cap(c.queue))
	}
}

// open returns why nothing can be queued, or nil. Caller holds gate.
func (c *committer) open() error {
	if c.closed {
		refusedClosed.Inc()
		return broker.ErrClosed
	}
	if c.stalled.Load() {
		return c.stallError()
	}
	return nil
}

// run is the goroutine. It ends when the queue is closed and empty.
func (c *committer) run() {
	defer close(c.idle)
	several := true
	for first := range c.queue {
		// One writer alone would wait for nothing.
		if several || len(c.queue) > 0 {
			c.rally()
		}
		batch := c.gather(first)
		for several = len(batch) > 1; len(batch) > 0; {
			batch = batch[c.commit(batch):]
		}
	}
	c.timer.Stop()
}

// rally yields while works come in: those who were just answered are about to write again, and so they share this fsync.
// Otherwise half of many writers would wait for the fsync of the other half, and the other way round. It ends when half of
// the time is over that the last commit took: on a fast disk the next writers may prepare during the fsync.
func (c *committer) rally() {
	for start := time.Now(); ; {
		before := len(c.queue)
		runtime.Gosched()
		if n := len(c.queue); n == before || n >= maxBatchWrites || time.Since(start) > c.lasted/2 {
			return
		}
	}
}

// gather takes what waits, up to a full batch. It owns the returned slice until the next call.
func (c *committer) gather(first work) []work {
	batch := append(c.batch[:0], first)
	defer func() { c.batch = batch }()
	bytes, _ := first.size()
	for len(batch) < maxBatchWrites && bytes < maxBatchBytes {
		select {
		case w, ok := <-c.queue:
			if !ok {
				return batch
			}
			n, _ := w.size()
			bytes += n
			batch = append(batch, w)
		default:
			return batch
		}
	}
	return batch
}

// commit takes the works of a batch, or the first of them, through all steps, and returns how many.
func (c *committer) commit(batch []work) int {
	start := time.Now()
	t := &c.tx
	t.begin(batch, start)
	c.launch(batch)
	t.stage()
	err := t.write()
	c.lasted = time.Since(start)
	c.land()
	if err == nil {
		t.publish()
	}
	for i, w := range t.works {
		if refusal := cmp.Or(err, t.errs[i]); refusal != nil {
			w.refuse(refusal)
		} else {
			w.apply(t)
		}
	}
	if err == nil {
		t.settle()
	}
	n := len(t.works)
	queueDepth.Add(-float64(n))
	if t.wrote {
		commitsTotal.Inc()
		writesTotal.Add(n)
		batchWrites.Update(float64(n))
		commitSeconds.UpdateDuration(start)
	}
	c.db.afterCommit()
	t.end()
	return n
}

// launch makes the batch visible to the watchdog.
func (c *committer) launch(batch []work) {
	c.mu.Lock()
	c.flight = batch
	c.mu.Unlock()
	c.timer.Reset(c.db.opts.CommitTimeout)
}

// land takes the batch back.
func (c *committer) land() {
	c.timer.Stop()
	c.mu.Lock()
	c.flight = nil
	c.mu.Unlock()
	if c.stalled.Swap(false) {
		c.db.log.Info("the commit that hung has returned")
	}
}

// stall runs when a commit takes too long, and again as long as it does: whoever waits gets an answer. What is in the
// batch may still become durable; what was only queued will not.
func (c *committer) stall() {
	c.mu.Lock()
	flight := c.flight
	if flight == nil {
		c.mu.Unlock()
		return
	}
	if !c.stalled.Swap(true) {
		stallsTotal.Inc()
		c.db.log.Error("a commit hangs: writes are refused until it returns",
			"after", c.db.opts.CommitTimeout, "writes", len(flight), "cause", c.db.cause())
	}
	for _, w := range flight {
		w.answer(fmt.Errorf("%w after %s", broker.ErrTimeout, c.db.opts.CommitTimeout))
	}
	refusedTimeout.Add(len(flight))
	c.timer.Reset(c.db.opts.CommitTimeout)
	c.mu.Unlock()
	c.refuseQueued()
}

func (c *committer) refuseQueued() {
	for range cap(c.queue) {
		select {
		case w, ok := <-c.queue:
			if !ok {
				return
			}
			queueDepth.Dec()
			w.refuse(c.stallError())
		default:
			return
		}
	}
}

// stallError says why nothing is taken while a commit hangs.
func (c *committer) stallError() error {
	if cause := c.db.cause(); cause != nil {
		return cause
	}
	refusedBusy.Inc()
	return fmt.Errorf("%w: a commit hangs", broker.ErrBusy)
}

// close lets queued work finish and waits for the goroutine, at most for the time.
func (c *committer) close(wait time.Duration) error {
	c.gate.Lock()
	c.closed = true
	close(c.queue)
	c.gate.Unlock()
	select {
	case <-c.idle:
		return nil
	case <-time.After(wait):
		return fmt.Errorf("%w: a commit hangs, the store is left as it is", broker.ErrTimeout)
	}
}

// commitOptions returns how the batch is written.
func (t *tx) commitOptions() *pebble.WriteOptions {
	if t.sync && !t.db.opts.noSync {
		return pebble.Sync
	}
	return pebble.NoSync
}
