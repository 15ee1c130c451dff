package game

import (
	"context"
	"fmt"
	"time"

	"gosper/grid"
	"gosper/protocol"
)

// Every call here that changes the game returns when the change is durable and done, or says why it was not. Common errors:
// ErrNotMember, ErrNotOwner, ErrBusy, ErrFault, ErrGone, ErrClosed, broker.ErrDiskFull (nothing was done),
// broker.ErrTimeout (the log does not answer; nothing was done here, and nothing will be unless the node dies now), and
// that of the context, after which the change may still be made.

// member returns the number of a present user plus one, as events have it.
func (m *machine) member(user string) (uint16, error) {
	u := m.users.present(user)
	if u == nil {
		return 0, ErrNotMember
	}
	return uint16(u.Number) + 1, nil
}

// ownerOnly is member for what only the owner may do.
func (m *machine) ownerOnly(user string) (uint16, error) {
	by, err := m.member(user)
	if err == nil && int(by)-1 != m.users.owner {
		err = ErrNotOwner
	}
	return by, err
}

// Join makes somebody a user of the game, or brings one back who left: with the number and, if nobody took it meanwhile,
// the colour from before. Who is in it already stays as they are, so joining again after a lost connection is right. A
// colour that another user has is replaced by a free one, in this game alone. Errors also: ErrFull, ErrLimit, ErrInvalid.
func (g *Game) Join(ctx context.Context, user, name string, colour Colour) (User, error) {
	if err := checkUser(user, name); err != nil {
		return User{}, err
	}
	if colour > AnyColour {
		return User{}, ErrColour
	}
	r, err := g.ask(ctx, func(m *machine) (event, error) {
		if m.users.present(user) == nil {
			if err := within("users_game", m.users.count()+1, g.host.limits.UsersGame); err != nil {
				return event{}, err
			}
			if m.users.count() >= m.mostUsers() {
				return event{}, ErrFull
			}
		}
		return event{kind: evJoin, user: user, name: name, colour: colour}, nil
	})
	return r.user, err
}

// Leave takes a user out of the game. If it was the owner, the game passes to who has been in it longest; if it was the
// last one, a game that is not persistent ends. The user's cells live on.
func (g *Game) Leave(ctx context.Context, user string) error { return g.remove(ctx, user, user) }

// Remove lets the owner send a user away, as if they left.
func (g *Game) Remove(ctx context.Context, owner, user string) error {
	return g.remove(ctx, owner, user)
}

func (g *Game) remove(ctx context.Context, by, user string) error {
	_, err := g.ask(ctx, func(m *machine) (event, error) {
		from, err := m.member(by)
		if by != user && err == nil {
			from, err = m.ownerOnly(by)
		}
		u := m.users.present(user)
		if err == nil && u == nil {
			err = ErrNotMember
		}
		if err != nil {
			return event{}, err
		}
		return event{kind: evLeave, by: from, number: u.Number}, nil
	})
	return err
}

// Start lets the game run. Any user may, unless it was stopped: then only its owner. A game that an internal error paused is
// first loaded again from its log, with a new epoch.
func (g *Game) Start(ctx context.Context, user string) error {
	if g.info.Load().Fault != "" {
		if u, ok := g.info.Load().User(user); !ok || !u.Present {
			return ErrNotMember
		}
		if err := g.reload(ctx); err != nil {
			return err
		}
	}
	return g.setState(ctx, user, Running)
}

// Pause stops the ticks and keeps everything else. Any user may.
func (g *Game) Pause(ctx context.Context, user string) error { return g.setState(ctx, user, Paused) }

// Stop ends ticks and edits until the owner starts the game again. Only for the owner.
func (g *Game) Stop(ctx context.Context, owner string) error { return g.setState(ctx, owner, Stopped) }

func (g *Game) setState(ctx context.Context, user string, s State) error {
	_, err := g.ask(ctx, func(m *machine) (event, error) {
		by, err := m.member(user)
		if err == nil && (s == Stopped || m.state == Stopped) {
			by, err = m.ownerOnly(user)
		}
		return event{kind: evState, by: by, state: s}, err
	})
	return err
}

// Step computes n generations of a paused game, at most Limits.StepGenerations, and returns the generation it has then.
// Watchers get each of them. Any user may. Errors also: ErrRunning, ErrStopped, ErrLimit.
func (g *Game) Step(ctx context.Context, user string, n int) (uint64, error) {
	if n < 1 {
		return 0, fmt.Errorf("%w: %d generations", ErrInvalid, n)
	}
	if err := within("step_generations", n, g.host.limits.StepGenerations); err != nil {
		return 0, err
	}
	type stepped struct {
		generation uint64
		err        error
	}
	answer := make(chan stepped, 1)
	err := g.whenQuiet(func(fault error) {
		if fault == nil {
			fault = g.mayStep(user)
		}
		if fault != nil {
			answer <- stepped{err: fault}
			return
		}
		now := time.Now()
		for range n {
			g.step(now)
		}
		generation := g.m.generation
		g.snapshotIfDue(time.Since(now))
		g.mark(now, func(err error) { answer <- stepped{generation, err} })
	})
	if err != nil {
		return 0, err
	}
	select {
	case s := <-answer:
		return s.generation, s.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (g *Game) mayStep(user string) error {
	_, err := g.m.member(user)
	switch {
	case err != nil:
		return err
	case g.m.state == Running:
		return ErrRunning
	case g.m.state == Stopped:
		return ErrStopped
	}
	return nil
}

// Settings are what Configure changes; nil leaves as it is.
type Settings struct {
	Name       *string
	Interval   *time.Duration
	Persistent *bool
}

// Configure changes the settings of the game. Only for the owner. Errors also: ErrInvalid.
func (g *Game) Configure(ctx context.Context, owner string, s Settings) error {
	_, err := g.ask(ctx, func(m *machine) (event, error) {
		by, err := m.ownerOnly(owner)
		if err != nil {
			return event{}, err
		}
		e := event{kind: evConfigure, by: by, title: m.name, interval: m.interval, persistent: m.persistent}
		if s.Name != nil {
			e.title = *s.Name
		}
		if s.Interval != nil {
			e.interval = *s.Interval
		}
		if s.Persistent != nil {
			e.persistent = *s.Persistent
		}
		return e, checkSettings(e.title, e.interval, &g.host.limits)
	})
	return err
}

// Recolour gives a user another colour, or one like it when another user has that. Cells that live keep theirs.
func (g *Game) Recolour(ctx context.Context, user string, c Colour) (User, error) {
	if c > AnyColour {
		return User{}, ErrColour
	}
	r, err := g.ask(ctx, func(m *machine) (event, error) {
		by, err := m.member(user)
		return event{kind: evColour, by: by, colour: c}, err
	})
	return r.user, err
}

// End ends the game for everybody and removes it with its history. Only for the owner.
func (g *Game) End(ctx context.Context, owner string) error {
	_, err := g.ask(ctx, func(m *machine) (event, error) {
		by, err := m.ownerOnly(owner)
		return event{kind: evEnd, by: by}, err
	})
	return err
}

// endIfIdle ends a game that is not persistent when nobody has asked or watched for long.
func (g *Game) endIfIdle(now time.Time) {
	g.mu.Lock()
	idle := len(g.watches) == 0 && now.Sub(g.seen) > g.host.limits.IdleEnd
	g.mu.Unlock()
	if !idle || g.info.Load().Persistent {
		return
	}
	limitHit("idle_end")
	_ = g.enqueue(&request{ // refused: it is ending already
		admit: func(m *machine) (event, error) { return event{kind: evEnd}, nil },
		done:  func(result) {},
	})
}

// Edit changes a grid as user. It never blocks. done is called exactly once, on a worker or before Edit returns, when the
// edits are durable and applied, with their place in the order and the generation they apply at; it must not block. Each
// edit is all or nothing for itself: an Ack names those that the grid refused. An error means that none was applied.
// Errors also: ErrNoGrid, ErrInvalid, ErrLimit, ErrRate, ErrStopped, grid.ErrOutside.
func (g *Game) Edit(user string, index int, edits []Edit, done func(Ack, error)) {
	if err := g.edit(user, index, edits, false, done); err != nil {
		countRefused(err, len(edits))
		done(Ack{}, err)
	}
}

func countRefused(err error, n int) {
	switch err {
	case ErrRate:
		editsRate.Add(n)
	case ErrBusy:
		editsBusy.Add(n)
	default:
		editsBad.Add(n)
	}
}

func (g *Game) edit(user string, index int, edits []Edit, owner bool, done func(Ack, error)) error {
	info := g.info.Load()
	u, ok := info.User(user)
	switch {
	case !ok || !u.Present:
		return ErrNotMember
	case index < 0 || index >= len(info.Grids):
		return ErrNoGrid
	case info.State == Stopped:
		return ErrStopped
	}
	e := event{kind: evEdits, by: uint16(u.Number) + 1, grid: index, edits: make([]Edit, len(edits))}
	cost, err := g.checkEdits(e.edits, edits, owner)
	if err != nil {
		return err
	}
	g.mu.Lock()
	err = g.rates.take(user, cost, &g.host.limits, time.Now())
	g.mu.Unlock()
	if err != nil {
		return err
	}
	return g.enqueue(&request{
		cost: cost,
		admit: func(m *machine) (event, error) {
			switch now := m.users.byNumber(int(e.by) - 1); {
			case now == nil || now.ID != user || !now.Present:
				return e, ErrNotMember
			case m.state == Stopped:
				return e, ErrStopped
			case owner && m.users.owner != int(e.by)-1:
				return e, ErrNotOwner
			}
			return e, nil
		},
		done: func(r result) { done(r.ack, r.err) },
	})
}

// checkEdits copies edits as the log will have them, and weighs them.
func (g *Game) checkEdits(dst, edits []Edit, owner bool) (cost int, err error) {
	l := &g.host.limits
	if len(edits) == 0 {
		return 0, fmt.Errorf("%w: no edits", ErrInvalid)
	}
	if err := within("edits_request", len(edits), l.EditsRequest); err != nil {
		return 0, err
	}
	cells := 0
	for i := range edits {
		e := &edits[i]
		if err := e.check(l); err != nil {
			return 0, err
		}
		if e.Kind == Clear && !owner {
			return 0, ErrNotOwner
		}
		if e.patterned() {
			cells += len(e.Pattern.Cells)
		}
		dst[i] = e.oriented()
		dst[i].states = owner && e.states
		cost += e.cost()
	}
	return cost, within("cells_request", cells, l.CellsRequest)
}

// EditWait is Edit for callers that may wait. An error of the Ack is an error here too, and the Ack stands beside it.
func (g *Game) EditWait(ctx context.Context, user string, index int, edits ...Edit) (Ack, error) {
	return waitAck(ctx, func(done func(Ack, error)) { g.Edit(user, index, edits, done) })
}

func waitAck(ctx context.Context, start func(func(Ack, error))) (Ack, error) {
	type answered struct {
		ack Ack
		err error
	}
	answer := make(chan answered, 1)
	start(func(a Ack, err error) { answer <- answered{a, err} })
	select {
	case a := <-answer:
		if a.err == nil {
			a.err = a.ack.Err()
		}
		return a.ack, a.err
	case <-ctx.Done():
		return Ack{}, ctx.Err()
	}
}

// Import replaces all cells of a grid with a pattern, its corner at (x, y). On a grid with owners the cells keep the owners
// that the pattern's states name. Only for the owner.
func (g *Game) Import(ctx context.Context, owner string, index int, p *grid.Pattern, x, y int32) (Ack, error) {
	edits := []Edit{{Kind: Clear}, {Kind: Stamp, Pattern: p, X: x, Y: y, states: true}}
	if u, ok := g.info.Load().User(owner); ok && u.ID != g.info.Load().Owner {
		return Ack{}, ErrNotOwner
	}
	return waitAck(ctx, func(done func(Ack, error)) {
		if err := g.edit(owner, index, edits, true, done); err != nil {
			countRefused(err, len(edits))
			done(Ack{}, err)
		}
	})
}

// look runs f on the worker that has the game and waits for it. The grids do not move meanwhile; f must be quick.
func (g *Game) look(ctx context.Context, f func() error) error {
	answer := make(chan error, 1)
	g.mu.Lock()
	err := g.closed
	g.seen = time.Now()
	g.mu.Unlock()
	if err != nil {
		return err
	}
	g.post(func() {
		switch {
		case g.over:
			answer <- ErrGone
		case g.broken:
			answer <- ErrFault
		default:
			answer <- f()
		}
	})
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// whenQuiet runs f on the worker when no edits are on their way to the log, or with an error when that will not be.
func (g *Game) whenQuiet(f func(error)) error {
	g.mu.Lock()
	err := g.closed
	g.seen = time.Now()
	g.mu.Unlock()
	if err != nil {
		return err
	}
	g.post(func() {
		switch {
		case g.over:
			f(ErrGone)
		case g.broken:
			f(ErrFault)
		default:
			g.quiet = append(g.quiet, f)
		}
	})
	return nil
}

// shut makes the game refuse everything, notes its generation when nothing is under way, and calls done.
func (g *Game) shut(done func()) {
	g.post(func() {
		g.closing = true
		g.refuseAll(ErrClosed)
		if g.over || g.broken {
			done()
			return
		}
		g.quiet = append(g.quiet, func(err error) {
			g.stopping = true
			if err != nil {
				done()
				return
			}
			g.mark(time.Now(), func(error) { done() })
		})
	})
}

// Export returns the live cells of a grid as a pattern of the grid's size, with owners as states. Error also: ErrNoGrid,
// ErrLimit.
func (g *Game) Export(ctx context.Context, index int) (*grid.Pattern, error) {
	var p *grid.Pattern
	err := g.look(ctx, func() (err error) {
		if index < 0 || index >= len(g.m.grids) {
			return ErrNoGrid
		}
		gr, spec := g.m.grids[index], g.m.specs[index]
		if err := within("live_cells", int(gr.Population()), g.host.limits.SnapshotCells); err != nil {
			return err
		}
		p, err = gr.Extract(grid.Rect{Width: spec.Width, Height: spec.Height})
		if err == nil {
			p.Name, p.Bounds = g.m.name, spec.bounds()
		}
		return err
	})
	return p, err
}

// bounds is the universe that a pattern file names for the grid.
func (s GridSpec) bounds() grid.Bounds {
	b := grid.Bounds{Kind: 'T', Width: int32(s.Width), Height: int32(s.Height)}
	if s.Topology == grid.Plane {
		b.Kind = 'P'
	}
	return b
}

// GridStats are figures of one grid.
type GridStats struct {
	Generation     uint64
	Population     int64
	Births, Deaths int64 // of the last generation
	Hash           uint64
	Owners         map[string]int64 // mode Owners: live cells by user id; users nobody knows any more under ""
	Memory         int64            // bytes
}

// Stats returns figures of all grids, all of the same generation.
func (g *Game) Stats(ctx context.Context) ([]GridStats, error) {
	var stats []GridStats
	err := g.look(ctx, func() error {
		for i, gr := range g.m.grids {
			s := GridStats{Generation: gr.Generation(), Population: gr.Population(), Hash: gr.Hash(), Memory: gr.Memory()}
			s.Births, s.Deaths = gr.Changes()
			if g.m.specs[i].Mode == Owners {
				s.Owners = g.m.byOwner(gr, g.m.specs[i].Owners)
			}
			stats = append(stats, s)
		}
		return nil
	})
	return stats, err
}

func (m *machine) byOwner(gr *grid.Grid, owners int) map[string]int64 {
	live := map[string]int64{}
	for n := range owners {
		id := ""
		if u := m.users.byNumber(n); u != nil {
			id = u.ID
		}
		if cells := gr.PopulationOf(uint8(n)); cells > 0 {
			live[id] += cells
		}
	}
	return live
}

// Watch adds a watcher to a stream of a game and returns the stream with its view made one of whole tiles: frames come
// under that name until as many Unwatch as Watch were called. Errors: ErrNoGame, ErrNoGrid, ErrInvalid, ErrLimit.
func (h *Host) Watch(id ID, s Stream) (Stream, error) {
	g, err := h.Game(id)
	if err != nil {
		return s, err
	}
	if s, err = checkStream(s, g.info.Load().Grids, &h.limits); err != nil {
		return s, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		return s, g.closed
	}
	w := g.watches[s]
	if w == nil {
		if s.Mode == protocol.WatchView {
			if err := within("views_game", g.views+1, h.limits.Views); err != nil {
				return s, err
			}
			g.views++
		}
		w = &watch{}
		g.watches[s] = w
		g.rewatched = true
	}
	w.refs++
	g.seen = time.Now()
	return s, nil
}

// Unwatch takes a watcher away from a stream, by the name that Watch returned. Unknown ones are ignored.
func (h *Host) Unwatch(id ID, s Stream) {
	g, err := h.Game(id)
	if err != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.watches[s]
	if w == nil {
		return
	}
	g.seen = time.Now()
	if w.refs--; w.refs == 0 {
		delete(g.watches, s)
		g.rewatched = true
		if s.Mode == protocol.WatchView {
			g.views--
		}
	}
}

// Want asks for a snapshot frame of a stream, by the name that Watch returned, as soon as possible: one for all who ask
// before it is made. Every frame of the stream after it follows it without a hole. It never blocks.
func (h *Host) Want(id ID, s Stream) {
	g, err := h.Game(id)
	if err != nil {
		return
	}
	g.mu.Lock()
	w := g.watches[s]
	if w == nil || w.wanted {
		g.mu.Unlock()
		return
	}
	w.wanted = true
	g.wanted = append(g.wanted, s)
	g.mu.Unlock()
	g.schedule()
}
