package game

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gosper/broker"
)

// request is one thing that somebody wants of a game.
type request struct {
	// admit turns the request into an event, on the worker, or refuses it. It sees the machine as it is before the
	// other events of the batch.
	admit func(m *machine) (event, error)
	cost  int // of edits, for the backlog
	// done is called once, on a worker or before the call that made the request returns; it must not block.
	done func(result)
}

// commit is a batch on its way to the log.
type commit struct {
	requests   []*request
	events     []event
	number     uint64
	generation uint64
	size       int
	started    time.Time
	deadline   time.Time
	abandoned  bool
	answered   int
}

// tell gives every request its own result.
func (c *commit) tell(results []result) {
	for i, r := range c.requests { // answered counts, so that a panic later on answers nobody twice
		c.answered = i + 1
		r.done(results[i])
	}
}

// answer gives every request that has none yet the same answer.
func (c *commit) answer(r result) {
	for ; c.answered < len(c.requests); c.answered++ {
		c.requests[c.answered].done(r)
	}
}

// Bounds of a batch: what one entry of the log may take, and what applying it may take of a worker's time.
const (
	batchBytes = 256 << 10
	batchCost  = 16 << 10
)

// enqueue puts a request into the mailbox. A refusal is the return value; done is not called then.
func (g *Game) enqueue(r *request) error {
	g.mu.Lock()
	switch {
	case g.closed != nil:
		g.mu.Unlock()
		return g.closed
	case g.backlog+r.cost > g.host.limits.Backlog && g.backlog > 0:
		g.mu.Unlock()
		limitHit("edit_backlog")
		return ErrBusy
	}
	g.backlog += r.cost
	g.requests = append(g.requests, r)
	g.seen = time.Now()
	g.mu.Unlock()
	g.schedule()
	return nil
}

// ask puts a request into the mailbox and waits for its result.
func (g *Game) ask(ctx context.Context, admit func(m *machine) (event, error)) (result, error) {
	answer := make(chan result, 1)
	if err := g.enqueue(&request{admit: admit, done: func(r result) { answer <- r }}); err != nil {
		return result{}, err
	}
	select {
	case r := <-answer:
		return r, r.err
	case <-ctx.Done():
		return result{}, ctx.Err()
	}
}

// batch takes waiting requests, as many as one entry may hold, and appends them to the log.
func (g *Game) batch(now time.Time) {
	g.mu.Lock()
	requests := g.requests
	g.requests = nil
	g.mu.Unlock()
	if len(requests) == 0 {
		return
	}
	if g.broken || g.lost > 0 && !g.relaxed() {
		g.refuseBatch(requests)
		return
	}
	drawing := requests[0].cost > 0
	atOnce := drawing && g.relaxed()
	if !atOnce && (g.host.away.Load() || g.lost > 0) {
		g.refuseBatch(requests)
		return
	}
	if !atOnce && g.waitsForTail(requests) {
		return
	}
	c := &commit{number: g.m.next, generation: g.m.generation, started: now, deadline: now.Add(g.host.limits.CommitWait)}
	var body []byte
	cost, taken := 0, 0
	for _, r := range requests {
		if taken > 0 && (len(body) > batchBytes || cost > batchCost || g.relaxed() && r.cost > 0 != drawing) {
			break
		}
		taken++
		e, err := r.admit(g.m)
		if err != nil {
			g.settle(r)
			r.done(result{err: err})
			continue
		}
		body = e.append(body)
		cost += r.cost
		c.requests, c.events = append(c.requests, r), append(c.events, e)
	}
	g.putBack(requests[taken:])
	if len(c.requests) == 0 {
		return
	}
	data := appendEntryHead(make([]byte, 0, len(body)+32), c.number, c.generation, c.started.UnixMilli(), len(c.events))
	data = append(data, body...)
	c.size = len(data)
	if atOnce {
		g.applyNow(c, data)
	} else {
		g.append(c, data)
	}
}

// putBack returns requests to the front of the mailbox.
func (g *Game) putBack(rest []*request) {
	if len(rest) == 0 {
		return
	}
	g.mu.Lock()
	g.requests = append(rest, g.requests...)
	g.again = true
	g.mu.Unlock()
}

// settle takes a request out of the backlog.
func (g *Game) settle(r *request) {
	if r.cost == 0 {
		return
	}
	g.mu.Lock()
	g.backlog = max(g.backlog-r.cost, 0)
	g.mu.Unlock()
}

// refuseBatch answers requests while the game cannot write.
func (g *Game) refuseBatch(requests []*request) {
	err := fmt.Errorf("%w: the log does not answer", ErrBusy)
	switch {
	case g.broken:
		err = ErrFault
	case g.host.away.Load() || g.tail.failed:
		err = ErrAway
	}
	for _, r := range requests {
		g.settle(r)
		r.done(result{err: err})
	}
}

// append hands a batch to the log.
func (g *Game) append(c *commit, data []byte) {
	g.inflight = c
	g.host.storage.Append(g.id.logName(), g.own.token, [][]byte{data}, func(first uint64, err error) {
		g.wrote(first, err)
		g.post(func() { g.committed(c, err) })
	})
}

// wrote notes where the log is. Any goroutine.
func (g *Game) wrote(first uint64, err error) {
	if err == nil {
		g.mu.Lock()
		g.seq = max(g.seq, first+1)
		g.mu.Unlock()
	}
}

// abandon gives up on a batch that takes too long, so that the game can go on. If it reaches the log after all, the next
// entry, which has the same number, makes it void.
func (g *Game) abandon(c *commit) {
	c.abandoned = true
	g.inflight = nil
	g.lost++
	commitsTimeout.Inc()
	g.fail(c, fmt.Errorf("%w: the log took more than %v", broker.ErrTimeout, g.host.limits.CommitWait))
}

// committed takes the answer of the log.
func (g *Game) committed(c *commit, err error) {
	if c.abandoned {
		g.lost--
		return
	}
	g.inflight = nil
	if g.over {
		return
	}
	if err != nil {
		countFailure(err)
		g.fail(c, err)
		return
	}
	commitSeconds.UpdateDuration(c.started)
	g.applyCommit(c)
}

func countFailure(err error) {
	switch {
	case errors.Is(err, broker.ErrDiskFull):
		commitsFull.Inc()
	case errors.Is(err, broker.ErrTimeout):
		commitsTimeout.Inc()
	default:
		commitsOther.Inc()
	}
}

// fail answers the requests of a batch that is not durable, as far as anybody knows.
func (g *Game) fail(c *commit, err error) {
	for _, r := range c.requests {
		if r.cost > 0 {
			editsLog.Add(r.cost)
		}
		g.settle(r)
	}
	c.answer(result{err: fmt.Errorf("nothing was done: %w", err)})
	g.fencedNow(err)
}

// fencedNow lets go of the game when an error of the log says that another node has it. Called by the worker that has it.
func (g *Game) fencedNow(err error) {
	if errors.Is(err, broker.ErrFenced) {
		g.host.unload(g, err)
	}
}

// fenced is fencedNow for any goroutine.
func (g *Game) fenced(err error) {
	if errors.Is(err, broker.ErrFenced) {
		g.post(func() { g.fencedNow(err) })
	}
}

// applyCommit does what a durable batch says.
func (g *Game) applyCommit(c *commit) {
	m := g.m
	g.applying = c
	m.next = c.number + 1
	g.marked = c.started
	g.history.bytes += c.size
	before := *g.info.Load()
	touched := make(map[int]bool, 1)
	cost := 0
	other := false
	results := make([]result, len(c.events))
	for i := range c.events {
		e := &c.events[i]
		if e.kind != evEdits {
			other = true
		} else if e.grid < len(m.grids) && !touched[e.grid] {
			touched[e.grid] = true
			g.beforeEdits(e.grid)
		}
		results[i] = m.apply(e)
		cost += c.requests[i].cost
		countEdits(e, &results[i])
	}
	if other {
		g.publish()
	}
	g.mu.Lock()
	g.backlog = max(g.backlog-cost, 0) // before the answers: who got one may ask again
	g.mu.Unlock()
	if !m.ended {
		c.tell(results)
	}
	for i := range m.grids {
		if touched[i] {
			g.afterEdits(i)
		}
	}
	if other {
		g.changed(&before)
	}
	if m.ended { // who ended it finds it no more
		g.host.end(g)
		c.tell(results)
	}
	g.applying = nil
	if !m.ended {
		g.snapshotIfDue(0)
	}
}

func countEdits(e *event, r *result) {
	if e.kind != evEdits {
		return
	}
	if r.err != nil {
		editsBad.Add(len(e.edits))
		return
	}
	editsCell.Add(len(r.ack.Refused))
	editsTotal.Add(len(e.edits) - len(r.ack.Refused))
}

// changed tells the sink what is new since before, and starts or moves ticks.
func (g *Game) changed(before *Info) {
	now := g.info.Load()
	if now.State == Running && (before.State != Running || before.Interval != now.Interval) {
		g.startTicking(time.Now())
	}
	if before.State == Running && now.State != Running {
		g.sendMarks()
	}
	if before.State != now.State || before.Interval != now.Interval || before.Name != now.Name || before.Persistent != now.Persistent || before.Relaxed != now.Relaxed ||
		before.Epoch != now.Epoch || before.Fault != now.Fault {
		g.notice(NoticeState, "")
	}
	if !sameUsers(before.Users, now.Users) {
		g.notice(NoticeUsers, "")
	}
	if before.Owner != now.Owner {
		g.notice(NoticeOwner, before.Owner)
	}
}

func sameUsers(a, b []User) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// mark notes the generation in the log. done (may be nil) is told when it is durable, or why it is not.
func (g *Game) mark(now time.Time, done func(error)) {
	if g.marking || g.lost > 0 {
		if done != nil {
			done(ErrBusy)
		}
		return
	}
	g.marked = now
	data := appendEntryHead(make([]byte, 0, 24), g.m.next, g.m.generation, now.UnixMilli(), 0)
	g.history.bytes += len(data)
	if len(g.tail.list) > 0 {
		g.markLater(data, done)
		return
	}
	g.marking = true
	g.host.storage.Append(g.id.logName(), g.own.token, [][]byte{data}, func(first uint64, err error) {
		g.wrote(first, err)
		g.post(func() {
			g.marking = false
			if err != nil {
				countFailure(err)
			}
			g.fencedNow(err)
			if done != nil {
				done(err)
			}
		})
	})
}
