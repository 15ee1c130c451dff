package game

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gosper/broker"
	"gosper/grid"
	"gosper/protocol"
)

// CreateRequest says what game to make.
type CreateRequest struct {
	Name       string // 1 to 32 printable characters, for display
	User       string // id of the owner, who is its first user
	UserName   string
	Colour     Colour
	Grids      []GridSpec
	Interval   time.Duration // 0 means DefaultInterval
	Persistent bool
	Relaxed    bool // durability: edits are answered before they are durable, and taken while the log is away
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
	if h.away.Load() {
		return nil, ErrAway
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
		persistent: r.Persistent, relaxed: r.Relaxed, created: now.UnixMilli(), epoch: h.newEpoch(0),
	}
	m.start(&e)
	g, err := h.write(ctx, m, &e)
	if err != nil {
		m.release()
		return nil, err
	}
	defer h.endMaking(g.id)
	return g, h.addAt(g, time.Time{})
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

// write makes a new game durable: the record first, so that no log is ever without one. The caller ends its making.
func (h *Host) write(ctx context.Context, m *machine, e *event) (*Game, error) {
	own := h.alone()
	first := Record{Name: e.title, Owner: e.user, Created: time.UnixMilli(e.created)}
	if first.Node = h.node; h.node != "" {
		first.Token, own.token = 1, 1
	}
	value, err := json.Marshal(first)
	if err != nil {
		return nil, err
	}
	id := newID()
	for {
		h.beginMaking(id)
		revision, err := h.store.Create(ctx, id.recordKey(), value)
		if err == nil {
			if h.node != "" {
				own.revision = revision
			}
			break
		}
		h.endMaking(id)
		if !errors.Is(err, broker.ErrExists) {
			return nil, err
		}
		id = newID()
	}
	begin := entry{time: e.created, events: []event{*e}}
	data := begin.append(nil)
	seq, err := h.appendWait(id, own.token, data) // leaving early would leave a game that nobody knows
	if err == nil && h.node != "" {
		err = h.stillOwns(ctx, id, own)
	}
	if err != nil {
		h.forget(context.WithoutCancel(ctx), id, own.revision)
		h.endMaking(id)
		return nil, err
	}
	m.next = 1
	return newGame(h, id, own, &loaded{m: m, next: seq + 1, history: history{whole: true, bytes: len(data)}}), nil
}

// stillOwns looks whether the record of a new game is as it was written. Another node that took this one for dead meanwhile
// has dropped the log, and with it the fence.
func (h *Host) stillOwns(ctx context.Context, id ID, own ownership) error {
	stored, err := h.store.Get(ctx, id.recordKey())
	if err == nil && stored.Revision != own.revision {
		err = broker.ErrFenced
	}
	return err
}

// beginMaking notes that a game is being made, so that nobody adopts it before it is there.
func (h *Host) beginMaking(id ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.adopting[id] = true
}

func (h *Host) endMaking(id ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.adopting, id)
}
