package game

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"gosper/broker"
	"gosper/grid"
	"gosper/protocol"
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
	// Token is the fencing token of the node's lease on its games, 0 without one.
	Token  uint64
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
	log     *slog.Logger
	wheel   *wheel
	queue   *runQueue
	lookers gate               // loads that users ask for
	savers  gate               // snapshots being written
	ctx     context.Context    // ends with the Host
	cancel  context.CancelFunc // of ctx
	others  sync.WaitGroup     // background work

	// Guarded by mu.
	mu     sync.RWMutex
	games  map[ID]*Game
	making map[string]int // games being created, by user, for the limits
	closed bool
}

// NewHost loads all games of the store from their logs, each with the cells that its log tells and with a new epoch, and
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
	if c.Workers <= 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	h := &Host{
		storage: c.Log, store: c.Store, budget: c.Budget, limits: c.Limits, sink: c.Sink, token: c.Token, log: c.Logger,
		lookers: make(gate, 2), savers: make(gate, 2), games: map[ID]*Game{}, making: map[string]int{},
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.queue = newRunQueue(c.Workers, (*Game).run)
	h.wheel = newWheel((*Game).schedule)
	if err := h.recover(ctx, c.Workers); err != nil {
		h.stop()
		return nil, err
	}
	h.others.Go(h.janitor)
	return h, nil
}

type nobodyListens struct{}

func (nobodyListens) Frame(*Frame)   {}
func (nobodyListens) Notice(*Notice) {}

// record is what the Store holds of a game: that it exists. Everything else is in its log.
type record struct {
	Name    string    `json:"name"`
	Owner   string    `json:"owner"`
	Created time.Time `json:"created"`
}

// recover loads all games, a few at a time.
func (h *Host) recover(ctx context.Context, workers int) error {
	slots := make(gate, workers)
	var group sync.WaitGroup
	defer group.Wait()
	for after := ""; ; {
		const page = 256
		records, err := h.store.List(ctx, recordPrefix, after, page)
		if err != nil {
			return fmt.Errorf("list of games: %w", err)
		}
		for _, r := range records {
			after = r.Key
			id, err := ParseID(r.Key[len(recordPrefix):])
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
		h.forget(ctx, id) // it was never acknowledged, or has ended
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
		h.forget(ctx, id)
		return
	}
	e := event{kind: evOpen, epoch: h.newEpoch(l.m.epoch)}
	l.m.apply(&e)
	h.appendEvent(id, l, &e)
	recoveredTotal.Inc()
	h.add(newGame(h, id, l))
}

// forget removes what is left of a game that has ended.
func (h *Host) forget(ctx context.Context, id ID) {
	err := h.storage.Drop(ctx, id.logName())
	if err == nil {
		err = h.store.Delete(ctx, id.recordKey(), broker.AnyRevision)
	}
	if err != nil && !errors.Is(err, broker.ErrNotFound) {
		h.log.Warn("a game that has ended is still stored; the next start removes it", "game", id, "err", err)
	}
}

// newEpoch is greater than the one before and than those of all earlier seconds, so that it is new even if the log
// never heard of some in between.
func (h *Host) newEpoch(before uint32) uint32 { return max(before+1, uint32(time.Now().Unix())) }

// add makes a loaded game one of the host's.
func (h *Host) add(g *Game) {
	h.mu.Lock()
	h.games[g.id] = g
	h.mu.Unlock()
	gamesGauge.Inc()
	memoryGauge.Add(float64(memoryOf(g.m.specs)))
	g.post(func() {
		if g.m.state == Running {
			g.startTicking(time.Now())
		}
	})
}

// CreateRequest says what game to make.
type CreateRequest struct {
	Name       string // 1 to 32 printable characters, for display
	User       string // id of the owner, who is its first user
	UserName   string
	Colour     Colour
	Grids      []GridSpec
	Interval   time.Duration // 0 means DefaultInterval
	Persistent bool
}

// DefaultInterval is the time between two generations of a game that does not say.
const DefaultInterval = time.Second

// check fills defaults and refuses what no game can be.
func (r *CreateRequest) check(l *Limits) error {
	if err := checkUser(r.User, r.UserName); err != nil {
		return err
	}
	if r.Interval == 0 {
		r.Interval = DefaultInterval
	}
	if err := checkSettings(r.Name, r.Interval, l); err != nil {
		return err
	}
	if len(r.Grids) == 0 {
		return fmt.Errorf("%w: a game needs at least one grid", ErrInvalid)
	}
	if err := within("grids_game", len(r.Grids), l.GridsGame); err != nil {
		return err
	}
	r.Grids = slices.Clone(r.Grids)
	for i := range r.Grids {
		s := r.Grids[i].withDefaults()
		r.Grids[i] = s
		if err := within("grid_side", max(s.Width, s.Height), l.GridSide); err != nil {
			return err
		}
		if s.Mode > Channels {
			return fmt.Errorf("%w: colour mode %d of grid %d", ErrInvalid, s.Mode, i)
		}
		if _, err := grid.Size(s.options()); err != nil {
			return fmt.Errorf("grid %d: %w", i, err)
		}
	}
	return nil
}

func checkSettings(name string, interval time.Duration, l *Limits) error {
	if !protocol.ValidDisplayName(name) {
		return fmt.Errorf("%w: a game's name has 1 to %d printable characters", ErrInvalid, protocol.MaxDisplayName)
	}
	if interval < l.IntervalMin || interval > l.IntervalMax {
		limit, most := "interval_min", l.IntervalMin
		if interval > l.IntervalMax {
			limit, most = "interval_max", l.IntervalMax
		}
		limitHit(limit)
		return fmt.Errorf("%w: an interval of %v: it must be %v to %v: %w", ErrInvalid, interval, l.IntervalMin, l.IntervalMax,
			&LimitError{Limit: limit, Most: most.Milliseconds(), Asked: interval.Milliseconds()})
	}
	return nil
}

// Create makes a game with its owner in it, paused at generation 0, and returns when that is durable. Errors: ErrInvalid,
// ErrLimit, grid.ErrOptions, grid.ErrBudget with needed and available bytes, ErrClosed, those of the log.
func (h *Host) Create(ctx context.Context, r CreateRequest) (*Game, error) {
	if err := r.check(&h.limits); err != nil {
		return nil, err
	}
	if err := h.reserve(r.User); err != nil {
		return nil, err
	}
	defer func() {
		h.mu.Lock()
		if h.making[r.User]--; h.making[r.User] == 0 {
			delete(h.making, r.User)
		}
		h.mu.Unlock()
	}()
	m := newMachine(h.budget)
	if err := m.makeGrids(r.Grids); err != nil {
		return nil, err
	}
	now := time.Now()
	e := event{
		kind: evCreate, title: r.Name, user: r.User, name: r.UserName, colour: r.Colour, grids: r.Grids, interval: r.Interval,
		persistent: r.Persistent, created: now.UnixMilli(), epoch: h.newEpoch(0),
	}
	m.start(&e)
	g, err := h.write(ctx, m, &e)
	if err != nil {
		m.release()
		return nil, err
	}
	h.add(g)
	return g, nil
}

// reserve counts a game that is about to be made, or refuses it.
func (h *Host) reserve(user string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	all, owned := len(h.games)+1, h.making[user]+1
	for _, n := range h.making {
		all += n
	}
	if err := within("games", all, h.limits.Games); err != nil {
		return err
	}
	for _, g := range h.games {
		if g.info.Load().Owner == user {
			owned++
		}
	}
	if err := within("games_user", owned, h.limits.GamesUser); err != nil {
		return err
	}
	h.making[user]++
	return nil
}

// write makes a new game durable: the record first, so that no log is ever without one.
func (h *Host) write(ctx context.Context, m *machine, e *event) (*Game, error) {
	value, err := json.Marshal(record{Name: e.title, Owner: e.user, Created: time.UnixMilli(e.created)})
	if err != nil {
		return nil, err
	}
	id := newID()
	for {
		_, err := h.store.Create(ctx, id.recordKey(), value)
		if err == nil {
			break
		}
		if !errors.Is(err, broker.ErrExists) {
			return nil, err
		}
		id = newID()
	}
	first := entry{time: e.created, events: []event{*e}}
	type written struct {
		seq uint64
		err error
	}
	answer := make(chan written, 1)
	data := first.append(nil)
	h.storage.Append(id.logName(), h.token, [][]byte{data}, func(seq uint64, err error) { answer <- written{seq, err} })
	w := <-answer // the log bounds how long this takes; leaving early would leave a game that nobody knows
	if w.err != nil {
		h.forget(context.WithoutCancel(ctx), id)
		return nil, w.err
	}
	m.next = 1
	return newGame(h, id, &loaded{m: m, next: w.seq + 1, history: history{whole: true, bytes: len(data)}}), nil
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
	h.background(func(ctx context.Context) { h.forget(ctx, g.id) }, func() {})
}

// unload lets go of a game that another node has taken over. Called by the worker that has it.
func (h *Host) unload(g *Game, err error) {
	if h.remove(g) {
		h.log.Warn("another node runs this game now", "game", g.id, "err", err)
		g.finish(fmt.Errorf("%w: %w", ErrNoGame, err), false)
	}
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
}
