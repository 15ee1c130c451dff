package nats

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
	"gosper/broker/keys"
)

// journal writes one log, for this node. While there is something to write it has a goroutine, and one write is on its
// way at a time.
type journal struct {
	// static after construction
	log    *Log
	name   string
	prefix string // of the log's subjects

	queue   []*task   // guarded by log.mu
	bytes   int       // guarded by log.mu: of entries in it
	running bool      // guarded by log.mu
	hint    hint      // guarded by log.mu: where the last Read ended
	yield   time.Time // guarded by log.mu: another node asks for its turn, so this one waits until then

	known bool // owned by the goroutine: end is what this node knows
	end   end  // owned by the goroutine
}

// task is an Append, or another change of the log.
type task struct {
	token    uint64
	entries  [][]byte
	size     int
	op       func(context.Context, *journal) error // nil for an Append
	done     func(first uint64, err error)
	deadline time.Time
}

// run works until nothing waits.
func (j *journal) run() {
	for {
		tasks := j.take()
		if len(tasks) == 0 {
			return
		}
		ctx, cancel := context.WithDeadline(j.log.state.life, tasks[0].deadline)
		var first uint64
		var err error
		if tasks[0].op != nil {
			err = tasks[0].op(ctx, j)
		} else {
			first, err = j.append(ctx, tasks)
		}
		cancel()
		if j.log.state.life.Err() != nil && err != nil {
			err = broker.ErrClosed
		}
		var behind []*task
		if tasks[0].op == nil && err != nil && !errors.Is(err, broker.ErrFenced) {
			behind = j.takeAll()
		}
		for _, t := range tasks {
			t.done(first, err)
			if err == nil {
				first += uint64(len(t.entries))
			}
		}
		for _, t := range behind {
			t.done(0, fmt.Errorf("%w: the entries before were not written to log %q: %w", broker.ErrBusy, j.name, unwrapped(err)))
		}
	}
}

// take returns what is done next: appends with one token, as many as make one message, or one other task. When there is
// nothing the goroutine ends.
func (j *journal) take() []*task {
	j.log.mu.Lock()
	defer j.log.mu.Unlock()
	n, size := 0, 0
	for n < len(j.queue) {
		t := j.queue[n]
		size += t.size
		if n > 0 && (t.op != nil || j.queue[0].op != nil || t.token != j.queue[0].token || size > j.log.part/2) {
			break
		}
		n++
	}
	j.running = n > 0
	return j.shift(n)
}

// takeAll returns all that waits.
func (j *journal) takeAll() []*task {
	j.log.mu.Lock()
	defer j.log.mu.Unlock()
	return j.shift(len(j.queue))
}

// shift takes n tasks off the queue. Caller holds log.mu.
func (j *journal) shift(n int) []*task {
	tasks := slices.Clone(j.queue[:n])
	j.queue = slices.Delete(j.queue, 0, n)
	for _, t := range tasks {
		j.bytes -= t.size
		j.log.queued.Add(-int64(t.size))
	}
	return tasks
}

// append writes the entries of the tasks and returns the Seq of the first.
func (j *journal) append(ctx context.Context, tasks []*task) (uint64, error) {
	var entries [][]byte
	for _, t := range tasks {
		entries = append(entries, t.entries...)
	}
	token := tasks[0].token
	first, err := j.commit(ctx, token, func(now end) (*change, error) {
		if len(entries) == 0 && token == now.token {
			return nil, nil
		}
		return &change{first: now.next(), entries: entries, low: now.low, dead: now.dead}, nil
	})
	if err == nil {
		logEntriesTotal.Add(len(entries))
	}
	return first, err
}

// change is what a commit makes of the end of a log.
type change struct {
	first   uint64
	entries [][]byte
	low     uint64
	dead    []span
	gone    []shot      // snapshots that are marked as gone together with it, and removed behind it
	with    []*nats.Msg // also stored together with it
}

// noToken is the token of a change that anybody may make.
const noToken = math.MaxUint64

// commit writes what plan makes of the log's end, with the condition that it is the end still; when another node was
// faster it plans again. A token below the log's is broker.ErrFenced. A plan of nil writes nothing. broker.ErrTimeout means
// that nobody knows whether it was written. It returns the change's first, or which entry comes next when nothing was written.
func (j *journal) commit(ctx context.Context, token uint64, plan func(now end) (*change, error)) (uint64, error) {
	w := &attempts{id: j.log.newID(), token: token, plan: plan}
	for {
		err := j.attempt(ctx, w)
		var refused *apiError
		switch {
		case err == nil:
			return w.first, nil
		case errors.Is(err, errRaced):
			if w.lost++; w.lost > 1 {
				j.log.vault.link.notice(wantSubject, j.name)
			}
		case errors.Is(err, errStale):
			continue
		case errors.Is(err, errChanged), errors.Is(err, broker.ErrTimeout), errors.Is(err, broker.ErrBusy):
		case errors.As(err, &refused) && refused.passing():
		case w.unsure && !errors.Is(err, broker.ErrClosed):
			return 0, fmt.Errorf("%w: log %q: %w", broker.ErrTimeout, j.name, unwrapped(err))
		default:
			return 0, err
		}
		select {
		case <-ctx.Done():
			if w.unsure {
				return 0, fmt.Errorf("%w: log %q: %w", broker.ErrTimeout, j.name, unwrapped(err))
			}
			return 0, away(ctx, err)
		case <-time.After(rand.N(raceWait)):
		}
	}
}

// attempts is a commit under way.
type attempts struct {
	id     string
	token  uint64
	plan   func(now end) (*change, error)
	first  uint64 // of the change of the last attempt, or of the one that was stored
	after  uint64 // the message behind which an attempt was to be stored; of several the oldest
	unsure bool   // nobody knows whether one was
	lost   int    // times that another node was faster
	fresh  bool   // the end of the log was read for this commit
}

// errStale: the answer needs a look at the end of the log.
var errStale = errors.New("nats: the end of the log may have changed")

// A node that writes without pause is always faster than one that has to read the end of the log first. So who has lost
// twice asks for a turn, and who won waits for yieldWait.
const (
	wantSubject = "_GOSPER.want"
	yieldWait   = 30 * time.Millisecond
)

// want takes note that another node wants to write a log.
func (l *Log) want(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if j := l.journals[name]; j != nil && j.running {
		j.yield = time.Now().Add(yieldWait)
	}
}

// turn waits while another node has its turn; the end of the log is not known then.
func (j *journal) turn(ctx context.Context) {
	j.log.mu.Lock()
	wait := time.Until(j.yield)
	j.log.mu.Unlock()
	if !j.known || wait <= 0 {
		return
	}
	j.known = false
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
}

// attempt tries once. It may be repeated after any error: at most one attempt is stored, as all behind one message have
// the same condition, and one behind another message is only made when those before were not stored.
func (j *journal) attempt(ctx context.Context, w *attempts) error {
	j.turn(ctx)
	if stored, err := j.refresh(ctx, w); stored || err != nil {
		return err
	}
	token := w.token
	if token == noToken {
		token = j.end.token
	}
	var c *change
	err := keys.Fenced(j.name, token, j.end.token)
	if token >= j.end.token {
		c, err = w.plan(j.end)
	}
	if c == nil && !w.fresh { // what is not written is not checked by the server either
		j.known = false
		return errStale
	}
	if c == nil || err != nil {
		j.known = j.known && !errors.Is(err, errChanged)
		w.first = j.end.next()
		return err
	}
	g := bundle{token: token, first: c.first, count: uint64(len(c.entries)), low: c.low, id: w.id, dead: c.dead}
	w.first = c.first
	if !w.unsure || j.end.seq < w.after {
		w.after = j.end.seq
	}
	short, cancel := context.WithTimeout(ctx, callTimeout) // an answer that is late may be found in the log
	defer cancel()
	with := append(j.marks(c.gone), c.with...)
	last, err := j.log.vault.write(short, append(g.messages(j.prefix+"e", c.entries, j.end.seq, j.log.part), with...)...)
	if err != nil {
		j.known = false
		w.unsure = w.unsure || errors.Is(err, broker.ErrTimeout) || j.log.vault.doubted(err)
		return err
	}
	j.end = end{g, last - uint64(len(with))}
	j.forget(ctx, c.gone) // when a write is found later, nobody knows with which of the plans: tidy removes what it marks
	return nil
}

// refresh reads the end of the log when it is not known. stored is true when an earlier attempt turns out to be there.
func (j *journal) refresh(ctx context.Context, w *attempts) (stored bool, err error) {
	if j.known {
		return false, nil
	}
	if j.end, err = j.load(ctx); err != nil {
		return false, err
	}
	w.fresh = true
	for at := w.after + 1; w.unsure && at <= j.end.seq; {
		m, err := j.log.vault.next(ctx, j.prefix+"e", at)
		if errors.Is(err, broker.ErrNotFound) {
			return false, errChanged
		}
		if err != nil {
			return false, err
		}
		if g, err := readGroup(m.header.Get(groupHeader)); err == nil && g.id == w.id {
			w.first, j.known = g.first, true
			return true, nil
		}
		at = m.seq + 1
	}
	w.unsure = w.unsure && j.end.seq <= w.after
	j.known = true
	return false, nil
}
