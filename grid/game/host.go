package game

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker"
	"gosper/grid"
)

// Config is what a Host needs.
type Config struct {
	Log    broker.Log   // what happened in each game
	Store  broker.Store // which games there are, under "game/"
	Budget *grid.Budget // memory of all grids together; nil: no bound
	Limits Limits       // zero value: DefaultLimits
	Sink   Sink         // takes frames and notices; nil: nobody listens
	// Workers is how many goroutines compute games. Default: one a processor.
	Workers int
	// Token is the fencing token of the node's lease on its games, 0 without one. It is not looked at when there is a Node.
	Token uint64
	// Node is the name of this host among several that share Log and Store; no process has had it before. Such a host begins
	// without games and has those that it makes or adopts (see Adopt). "": the host has all games of the store.
	Node string
	// Left is told of each game that goes on at another node. It is called by a worker and must not block. nil: nobody.
	Left   func(ID)
	Logger *slog.Logger // default slog.Default()
}

// Host runs the games of a node. All methods may be called from any goroutine.
type Host struct {
	// Static after construction.
	storage broker.Log
	store   broker.Store
	budget  *grid.Budget
	limits  Limits
	sink    Sink
	token   uint64
	node    string
	left    func(ID)
	log     *slog.Logger
	wheel   *wheel
	queue   *runQueue
	lookers gate               // loads that users ask for
	savers  gate               // snapshots being written
	ctx     context.Context    // ends with the Host
	cancel  context.CancelFunc // of ctx
	others  sync.WaitGroup     // background work

	away atomic.Bool // see Away

	// Guarded by mu.
	mu     sync.RWMutex
	games  map[ID]*Game
	making map[string]int // games being created, by user, for the limits
	closed bool

	adopting map[ID]bool // games that are being taken over
	prepared map[ID]prepared
}

// NewHost starts a host. Without a Node it loads all games of the store from their logs, each with the cells that its log tells and with a new epoch, and
// lets those run that ran. A game whose log cannot be played is left out, reported and counted; its log stays as it is.
func NewHost(ctx context.Context, c Config) (*Host, error) {
	if c.Log == nil || c.Store == nil {
		return nil, errors.New("a host of games needs a Log and a Store")
	}
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits()
	}
	if err := c.Limits.Validate(); err != nil {
		return nil, err
	}
	if c.Sink == nil {
		c.Sink = nobodyListens{}
	}
	if c.Left == nil {
		c.Left = func(ID) {}
	}
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	h := &Host{
		storage: c.Log, store: c.Store, budget: c.Budget, limits: c.Limits, sink: c.Sink, token: c.Token, node: c.Node, left: c.Left, log: c.Logger,
		lookers: make(gate, 2), savers: make(gate, 2), games: map[ID]*Game{}, making: map[string]int{}, adopting: map[ID]bool{}, prepared: map[ID]prepared{},
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.queue = newRunQueue(c.Workers, (*Game).run)
	h.wheel = newWheel((*Game).schedule)
	if h.node == "" {
		if err := h.recover(ctx, c.Workers); err != nil {
			h.stop()
			return nil, err
		}
	}
	h.others.Go(h.janitor)
	return h, nil
}

type nobodyListens struct{}

func (nobodyListens) Frame(*Frame)   {}
func (nobodyListens) Notice(*Notice) {}

// recover loads all games, a few at a time.
func (h *Host) recover(ctx context.Context, workers int) error {
	slots := make(gate, workers)
	var group sync.WaitGroup
	defer group.Wait()
	for after := ""; ; {
		const page = 256
		records, err := h.store.List(ctx, RecordPrefix, after, page)
		if err != nil {
			return fmt.Errorf("list of games: %w", err)
		}
		for _, r := range records {
			after = r.Key
			id, err := ParseID(r.Key[len(RecordPrefix):])
			if err != nil {
				h.log.Warn("a record among the games is none", "key", r.Key)
				continue
			}
			if err := slots.acquire(ctx); err != nil {
				return err
			}
			group.Go(func() {
				defer slots.release()
				h.recoverGame(ctx, id)
			})
		}
		if len(records) < page {
			return nil
		}
	}
}

func (h *Host) recoverGame(ctx context.Context, id ID) {
	next, err := h.storage.Next(ctx, id.logName())
	if err == nil && next == 1 {
		h.forget(ctx, id, broker.AnyRevision) // it was never acknowledged, or has ended
		return
	}
	l, err := h.load(ctx, id, newest)
	if err != nil {
		unavailableTotal.Inc()
		h.log.Error("a game could not be loaded; its log stays as it is", "game", id, "err", err)
		return
	}
	if l.m.ended {
		l.m.release()
		h.forget(ctx, id, broker.AnyRevision)
		return
	}
	e := event{kind: evOpen, epoch: h.newEpoch(l.m.epoch)}
	l.m.apply(&e)
	_ = h.appendEvent(id, h.token, l, &e)
	recoveredTotal.Inc()
	_ = h.addAt(newGame(h, id, h.alone(), l), time.Time{}) // nobody closes a host that is being made
}

// forget removes what is left of a game that has ended, unless its record has changed since revision.
func (h *Host) forget(ctx context.Context, id ID, revision uint64) {
	err := h.storage.Drop(ctx, id.logName())
	if err == nil {
		err = h.store.Delete(ctx, id.recordKey(), revision)
	}
	if err != nil && !errors.Is(err, broker.ErrNotFound) {
		h.log.Warn("a game that has ended is still stored; the next start removes it", "game", id, "err", err)
	}
}

// newEpoch is greater than the one before and than those of all earlier seconds, so that it is new even if the log
// never heard of some in between.
func (h *Host) newEpoch(before uint32) uint32 { return max(before+1, uint32(time.Now().Unix())) }

// addAt makes a loaded game one of the host's, with its next tick when it is due, or when that is zero within an interval.
// Error: ErrClosed; the game has given its memory back then.
func (h *Host) addAt(g *Game, due time.Time) error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		g.m.release()
		return ErrClosed
	}
	h.games[g.id] = g
	h.mu.Unlock()
	gamesGauge.Inc()
	memoryGauge.Add(float64(memoryOf(g.m.specs)))
	begin := time.Now()
	g.post(func() {
		if g.m.state != Running {
			return
		}
		g.startTicking(begin)
		if !due.IsZero() && !due.After(begin.Add(g.m.interval)) {
			g.due = due
		}
	})
	return nil
}

// Game returns a game by its id. Error: ErrNoGame.
func (h *Host) Game(id ID) (*Game, error) {
	h.mu.RLock()
	g := h.games[id]
	h.mu.RUnlock()
	if g == nil {
		return nil, ErrNoGame
	}
	return g, nil
}

// List describes at most limit games with ids above after, by id: the pages of a list of all.
func (h *Host) List(after ID, limit int) []Info {
	h.mu.RLock()
	games := make([]*Game, 0, len(h.games))
	for id, g := range h.games {
		if id > after {
			games = append(games, g)
		}
	}
	h.mu.RUnlock()
	slices.SortFunc(games, func(a, b *Game) int {
		if a.id < b.id {
			return -1
		}
		return 1
	})
	games = games[:min(len(games), max(limit, 0))]
	infos := make([]Info, len(games))
	for i, g := range games {
		infos[i] = g.Info()
	}
	return infos
}

// Limits returns the limits in force.
func (h *Host) Limits() Limits { return h.limits }

// end removes a game that has ended. Called by the worker that has it.
func (h *Host) end(g *Game) {
	if !h.remove(g) {
		return
	}
	g.finish(ErrGone, true)
	h.background(func(ctx context.Context) { h.forget(ctx, g.id, g.own.revision) }, func() {})
}

// unload lets go of a game that another node runs from now on, because it was handed over (err nil) or taken over. Called
// by the worker that has it.
func (h *Host) unload(g *Game, err error) {
	if !h.remove(g) {
		return
	}
	if err != nil {
		fencedTotal.Inc()
		h.log.Warn("another node runs this game now", "game", g.id, "err", err)
	}
	g.finish(ErrMoved, false)
	h.left(g.id)
}

func (h *Host) remove(g *Game) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.games[g.id] != g {
		return false
	}
	delete(h.games, g.id)
	gamesGauge.Dec()
	return true
}

// background runs work that waits for the log, a few at a time; refused instead when the host is closing.
func (h *Host) background(work func(context.Context), refused func()) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		refused()
		return
	}
	h.others.Add(1)
	h.mu.Unlock()
	go func() {
		defer h.others.Done()
		if h.savers.acquire(h.ctx) != nil {
			return
		}
		defer h.savers.release()
		work(context.WithoutCancel(h.ctx))
	}()
}

// janitor ends games that nobody has cared about for long.
func (h *Host) janitor() {
	tick := time.NewTicker(min(h.limits.IdleEnd/4, time.Hour))
	defer tick.Stop()
	for {
		select {
		case <-h.ctx.Done():
			return
		case now := <-tick.C:
			for _, g := range h.all() {
				g.endIfIdle(now)
			}
		}
	}
}

func (h *Host) all() []*Game {
	h.mu.RLock()
	defer h.mu.RUnlock()
	games := make([]*Game, 0, len(h.games))
	for _, g := range h.games {
		games = append(games, g)
	}
	return games
}

// Close stops all games where they are, notes their generations in their logs, and waits until nothing is under way.
// Games that ran run again when a Host opens the same log. It does not close the Log and the Store.
func (h *Host) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.mu.Unlock()
	var group sync.WaitGroup
	for _, g := range h.all() {
		group.Add(1)
		g.shut(group.Done)
	}
	group.Wait()
	h.stop()
	return nil
}

// stop ends the goroutines. Games that are left give their memory back.
func (h *Host) stop() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.cancel()
	h.wheel.close()
	h.others.Wait()
	h.queue.close()
	for _, g := range h.all() {
		if h.remove(g) {
			g.finish(ErrClosed, false)
		}
	}
	h.mu.RLock()
	ids := slices.Collect(maps.Keys(h.prepared))
	h.mu.RUnlock()
	for _, id := range ids {
		h.unprepare(id)
	}
}
