package game

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker"
)

// Game is one game of a Host. Its methods may be called from any goroutine; those that take a context wait for the log.
//
// What happens, in this order: a request is checked and put into the mailbox; a worker takes the mailbox, puts all
// requests it finds into one entry of the log, with the present generation, and lets go of the game; when the entry is
// durable, a worker applies its events to the grids, which are still at that generation, answers the requests, and
// makes frames for the watchers. A tick that comes due meanwhile waits, at most Limits.CommitWait.
type Game struct {
	// Static after construction.
	id   ID
	host *Host
	own  ownership

	// Atomic.
	info       atomic.Pointer[Info] // as of the last event; its Generation is that of then
	generation atomic.Uint64

	// Guarded by mu: the mailbox.
	mu        sync.Mutex
	scheduled bool // in the run queue or with a worker
	again     bool // something came while a worker had the game
	closed    error
	calls     []func()
	requests  []*request
	backlog   int // cost of edits that wait
	rates     rates
	watches   map[Stream]*watch
	views     int  // different views in watches
	rewatched bool // watches changed since the worker looked
	wanted    []Stream
	seen      time.Time // last request or watcher, for games nobody cares about any more
	seq       uint64    // the next entry gets at least this place in the log

	// Owned by the wheel and by the run queue.
	timer  wheelLink
	fired  *Game
	queued *Game

	// Owned by the worker that has the game.
	m        *machine
	plans    []gridPlan
	scratch  []byte
	tail     tail          // of a game of relaxed durability
	inflight *commit       // edits on their way to the log: no tick meanwhile
	applying *commit       // its events are being applied: whom to answer after a panic
	lost     int           // appends that were given up and are not answered yet
	marking  bool          // a mark is on its way
	held     bool          // somebody outside works with the log: nothing moves
	taken    bool          // another node has the game: it goes when it is not held any more
	holds    []hold        // who wants to
	quiet    []func(error) // what waits until nothing is on its way to the log
	broken   bool          // m cannot be trusted after a panic
	over     bool          // ended or unloaded: nothing is done any more
	saved    []func()      // who waits for a snapshot
	closing  bool          // the node goes down, as soon as nothing is under way
	closeBy  time.Time     // when closing: it waits no longer for its tail
	stopping bool          // the last mark is on its way: no more ticks
	due      time.Time     // of the next tick, when running
	marked   time.Time     // last mark or batch
	hashed   time.Time     // last marks for watchers of edits
	history  history
}

// newGame wraps a machine. The caller starts it.
func newGame(h *Host, id ID, own ownership, l *loaded) *Game {
	now := time.Now()
	g := &Game{
		id: id, host: h, own: own, m: l.m, seq: l.next, watches: map[Stream]*watch{}, seen: now, marked: now, history: l.history,
		rates: newRates(&h.limits, now),
	}
	if l.m != nil {
		g.plans = newGridPlans(len(l.m.grids), nil)
		g.publish()
	}
	return g
}

// ID returns the game's name for ever.
func (g *Game) ID() ID { return g.id }

// Info describes the game as it is now.
func (g *Game) Info() Info {
	info := *g.info.Load()
	info.Generation = g.generation.Load()
	return info
}

// publish makes the machine's state visible to all goroutines.
func (g *Game) publish() {
	m := g.m
	info := &Info{
		ID: g.id, Name: m.name, Owner: m.users.ownerID(), Users: append([]User(nil), m.users.list...), Grids: m.specs,
		Interval: m.interval, State: m.state, Persistent: m.persistent, Relaxed: m.relaxed, Created: time.UnixMilli(m.created), Epoch: m.epoch,
		Generation: m.generation,
	}
	if g.broken {
		info.State, info.Fault = Paused, ErrFault.Error()
	}
	old := g.info.Swap(info)
	g.generation.Store(m.generation)
	wasRunning, running := old != nil && old.State == Running, info.State == Running
	switch {
	case running && !wasRunning:
		runningGauge.Inc()
	case wasRunning && !running:
		runningGauge.Dec()
	}
}

// schedule puts the game into the run queue unless it is there.
func (g *Game) schedule() {
	g.mu.Lock()
	run := !g.scheduled
	g.again = !run
	g.scheduled = true
	g.mu.Unlock()
	if run {
		g.host.queue.push(g)
	}
}

// post runs f on the worker that has the game, in the order of posts.
func (g *Game) post(f func()) {
	g.mu.Lock()
	g.calls = append(g.calls, f)
	g.mu.Unlock()
	g.schedule()
}

// run is one turn with a worker.
func (g *Game) run() {
	g.turn()
	g.mu.Lock()
	more := g.again
	g.again = false
	g.scheduled = more
	g.mu.Unlock()
	if more {
		g.host.queue.push(g)
	}
}

// turn does what is to be done now: answers of the log, one tick, one batch. What is left waits for the next turn, behind
// the other games.
func (g *Game) turn() {
	defer func() {
		if r := recover(); r != nil {
			g.panicked(r)
		}
	}()
	g.mu.Lock()
	calls := g.calls
	g.calls = nil
	g.mu.Unlock()
	for _, f := range calls {
		f()
	}
	if g.over {
		return
	}
	g.rewatch()
	if !g.held {
		g.advance(time.Now())
	}
	if !g.over {
		g.host.wheel.set(g, g.wake())
	}
}

// rewatch takes over who watches what, and serves those who wait for a snapshot.
func (g *Game) rewatch() {
	if g.broken {
		return
	}
	g.mu.Lock()
	var plans []gridPlan
	if g.rewatched {
		plans = newGridPlans(len(g.m.grids), g.watches)
		g.rewatched = false
	}
	wanted := g.wanted
	g.wanted = nil
	for _, s := range wanted {
		if w := g.watches[s]; w != nil {
			w.wanted = false
		}
	}
	g.mu.Unlock()
	if plans != nil {
		for i := range plans {
			plans[i].text, plans[i].valid = g.plans[i].text, g.plans[i].valid
		}
		g.plans = plans
	}
	g.sendSnapshots(wanted)
}

// advance gives up on the log when it takes too long, ticks, and starts the next batch.
func (g *Game) advance(now time.Time) {
	if c := g.inflight; c != nil {
		if end := g.patience(c); !end.IsZero() && !now.Before(end) {
			g.abandon(c)
		}
	}
	g.writeTail(now)
	if g.inflight != nil {
		return
	}
	if g.closing && len(g.tail.list) > 0 && !now.Before(g.closeBy) {
		g.dropTail(errTail)
	}
	if !g.marking {
		g.runQuiet(nil)
	}
	if g.tryHold(now, false) {
		return
	}
	if g.ticking() && !now.Before(g.due) {
		g.tick(now)
		if g.tryHold(now, true) {
			return
		}
	}
	g.batch(now)
}

// runQuiet runs what waited for a quiet moment: one after the other, while it stays quiet, or all with an error.
func (g *Game) runQuiet(err error) {
	for len(g.quiet) > 0 && (err != nil || g.inflight == nil && !g.marking && len(g.tail.list) == 0) {
		f := g.quiet[0]
		g.quiet = g.quiet[1:]
		f(err)
	}
}

func (g *Game) ticking() bool { return g.m.state == Running && !g.broken && !g.over && !g.stopping }

// wake is when the game has to do something next without being asked.
func (g *Game) wake() time.Time {
	switch {
	case g.held:
		return time.Time{}
	case g.inflight != nil:
		return g.patience(g.inflight)
	}
	var next time.Time
	if g.ticking() && (len(g.holds) == 0 || g.holdsGently(time.Now())) {
		next = g.due
	}
	if g.tail.failed {
		next = earlier(next, g.tail.next)
	}
	if g.closing && len(g.tail.list) > 0 {
		next = earlier(next, g.closeBy)
	}
	return next
}

// earlier is the earlier of two times; the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// patience is when a game stops waiting for the log: once a tick is due and has waited, or the node goes down. With
// nothing to hold up, the log takes its time; then patience is the zero time.
func (g *Game) patience(c *commit) time.Time {
	switch {
	case g.closing:
		return c.deadline
	case !g.ticking():
		return time.Time{}
	case g.due.After(c.deadline):
		return g.due
	}
	return c.deadline
}

// startTicking sets the first tick: within one interval, at a place in it that depends on the game, so that games that
// are started together do not tick together.
func (g *Game) startTicking(now time.Time) {
	g.due = now.Add(time.Duration((1 - g.id.phase()) * float64(g.m.interval)))
}

// tick computes one generation of all grids.
func (g *Game) tick(now time.Time) {
	late := now.Sub(g.due)
	tickLateness.Update(late.Seconds())
	interval := g.m.interval
	if skipped := late / interval; skipped > 0 {
		ticksSkipped.Add(int(skipped))
		g.due = g.due.Add(skipped * interval)
	}
	g.due = g.due.Add(interval)
	g.step(now)
	tickSeconds.UpdateDuration(now)
	g.snapshotIfDue(time.Since(now))
	if now.Sub(g.marked) >= g.host.limits.MarkEvery {
		g.mark(now, nil)
	}
}

// step computes one generation and sends it.
func (g *Game) step(now time.Time) {
	for i := range g.m.grids {
		g.stepGrid(i, now)
	}
	g.m.generation++
	g.generation.Store(g.m.generation)
	g.history.generations++
	if now.Sub(g.hashed) >= g.host.limits.HashEvery {
		g.hashed = now
	}
	ticksTotal.Inc()
}

// panicked pauses the game alone: its grids may be half done, so nothing of it is used until it is loaded again.
func (g *Game) panicked(r any) {
	panicsTotal.Inc()
	g.host.log.Error("panic in a game, which is paused until it is started again", "game", g.id, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
	g.broken = true
	g.publish()
	for _, c := range []*commit{g.applying, g.inflight} {
		if c != nil {
			c.answer(result{err: ErrFault})
		}
	}
	if g.inflight != nil {
		g.inflight.abandoned = true
		g.inflight = nil
		g.lost++
	}
	g.applying = nil
	g.refuseAll(ErrFault)
	g.runQuiet(ErrFault)
	g.notice(NoticeState, "")
	g.host.wheel.set(g, time.Time{})
}

// notice tells the sink.
func (g *Game) notice(kind NoticeKind, previous string) {
	info := g.Info()
	g.host.sink.Notice(&Notice{Kind: kind, Info: &info, Previous: previous})
}

// finish ends the game for good, or unloads it: requests are refused with err, watchers are told, memory is given back.
func (g *Game) finish(err error, end bool) {
	if g.over {
		return
	}
	g.over = true
	if c := g.inflight; c != nil {
		c.abandoned, g.inflight = true, nil
		unknown := err
		if errors.Is(err, ErrMoved) {
			unknown = fmt.Errorf("%w: another node runs the game now", broker.ErrTimeout)
		}
		c.answer(result{err: unknown})
	}
	g.refuseAll(err)
	g.mu.Lock()
	watches := g.watches
	g.watches, g.wanted = map[Stream]*watch{}, nil
	g.mu.Unlock()
	g.host.wheel.set(g, time.Time{})
	if end {
		for s := range watches {
			g.emit(s, FrameEnd, nil)
		}
		g.notice(NoticeEnd, "")
	}
	for _, h := range g.holds {
		h.answer <- held{err: err}
	}
	g.holds = nil
	g.runQuiet(err)
	g.runSaved()
	g.dropTail(err)
	memoryGauge.Add(-float64(memoryOf(g.m.specs)))
	if g.info.Load().State == Running {
		runningGauge.Dec()
	}
	g.m.release()
	g.plans = make([]gridPlan, len(g.plans))
}

// refuseAll answers every request that waits, and all later ones, with err; ErrFault does not outlast the fault.
func (g *Game) refuseAll(err error) {
	g.mu.Lock()
	requests := g.requests
	g.requests, g.backlog = nil, 0
	if !errors.Is(err, ErrFault) {
		g.closed = err
	}
	g.mu.Unlock()
	for _, r := range requests {
		r.done(result{err: err})
	}
}
