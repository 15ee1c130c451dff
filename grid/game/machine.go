package game

import (
	"fmt"
	"time"

	"gosper/grid"
)

// machine is a game without its surroundings: no clock, no log, no goroutine. The same events at the same generations
// give the same machine, cell by cell. It belongs to one goroutine at a time.
type machine struct {
	// Static after creation.
	budget  *grid.Budget
	created int64 // unix milliseconds
	specs   []GridSpec
	grids   []*grid.Grid

	// Changed by events.
	name       string
	users      users
	interval   time.Duration
	persistent bool
	relaxed    bool // edits are answered before they are durable: see relaxed.go
	state      State
	epoch      uint32
	ended      bool
	edits      uint64 // edits that were applied or refused by a grid, over all requests
	next       uint64 // number of the next batch

	// Changed by events and ticks.
	generation uint64
}

// Ack is the answer to a request of edits.
type Ack struct {
	Seq        uint64 // place of the request's last edit in the order of all edits of the game, from 1
	Generation uint64 // at which they were applied
	Changed    int    // cells placed or killed
	Refused    []Refusal
}

// Refusal is one edit of a request that a grid refused. The others were applied.
type Refusal struct {
	Index int // of the edit in the request
	Err   error
}

// Err returns the first refusal, nil when every edit was applied.
func (a *Ack) Err() error {
	if len(a.Refused) == 0 {
		return nil
	}
	return a.Refused[0].Err
}

// result is what an event led to.
type result struct {
	ack  Ack
	user User
	err  error
}

// newMachine makes an empty machine that waits for its evCreate or a snapshot.
func newMachine(budget *grid.Budget) *machine {
	return &machine{budget: budget, users: users{owner: -1}}
}

// release gives the memory of the grids back. Calling it twice is harmless.
func (m *machine) release() {
	for _, g := range m.grids {
		g.Release()
	}
	m.grids = nil
}

// makeGrids makes empty grids, all or none. Errors wrap grid.ErrBudget or grid.ErrOptions.
func (m *machine) makeGrids(specs []GridSpec) error {
	if need := memoryOf(specs); m.budget != nil && need > m.budget.Available() {
		return &grid.BudgetError{Needed: need, Available: m.budget.Available()}
	}
	for _, s := range specs {
		g, err := grid.New(s.options(), m.budget)
		if err != nil {
			m.release()
			return err
		}
		m.grids = append(m.grids, g)
		m.specs = append(m.specs, s)
	}
	return nil
}

// Memory is what grids take of a budget, in bytes; those that cannot be count as nothing.
func Memory(specs []GridSpec) int64 { return memoryOf(specs) }

// memoryOf is what grids take, in bytes; bad specs count as nothing.
func memoryOf(specs []GridSpec) int64 {
	var sum int64
	for _, s := range specs {
		n, _ := grid.Size(s.options())
		sum += n
	}
	return sum
}

// mostUsers is how many users the grids can tell apart.
func (m *machine) mostUsers() int {
	most := MaxUsers
	for _, s := range m.specs {
		if s.Mode == Owners {
			most = min(most, s.Owners)
		}
	}
	return most
}

// run computes generations until the machine is at generation to.
func (m *machine) run(to uint64) {
	if to <= m.generation {
		return
	}
	for _, g := range m.grids {
		g.Run(to-m.generation, nil)
	}
	m.generation = to
}

// apply does what an event says, at the present generation.
func (m *machine) apply(e *event) result {
	switch e.kind {
	case evCreate:
		return m.applyCreate(e)
	case evOpen:
		m.epoch = e.epoch
	case evJoin:
		u, err := m.users.join(e.user, e.name, e.colour, m.mostUsers())
		if err != nil {
			return result{err: err}
		}
		return result{user: *u}
	case evLeave:
		if !m.users.leave(int(e.number)) {
			return result{err: ErrNotMember}
		}
		m.ended = m.ended || m.users.count() == 0 && !m.persistent
	case evState:
		m.state = e.state
	case evConfigure:
		m.name, m.interval, m.persistent, m.relaxed = e.title, e.interval, e.persistent, e.relaxed
	case evColour:
		u := m.users.byNumber(int(e.by) - 1)
		if u == nil {
			return result{err: ErrNotMember}
		}
		u.Colour = m.users.colourFor(e.colour, u.ID)
		return result{user: *u}
	case evEdits:
		return m.applyEdits(e)
	case evRewind:
		return result{err: m.applyRewind(e)}
	case evEnd:
		m.ended = true
	default:
		return result{err: fmt.Errorf("%w: event %d", errCorrupt, e.kind)}
	}
	return result{}
}

func (m *machine) applyCreate(e *event) result {
	if len(m.grids) != 0 {
		return result{err: errCorrupt}
	}
	if err := m.makeGrids(e.grids); err != nil {
		return result{err: err}
	}
	return m.start(e)
}

// start does what is left of an evCreate once the grids are made.
func (m *machine) start(e *event) result {
	m.created, m.epoch = e.created, e.epoch
	m.name, m.interval, m.persistent, m.relaxed = e.title, e.interval, e.persistent, e.relaxed
	u, err := m.users.join(e.user, e.name, e.colour, m.mostUsers())
	if err != nil {
		return result{err: err}
	}
	return result{user: *u}
}

func (m *machine) applyEdits(e *event) result {
	u := m.users.byNumber(int(e.by) - 1)
	switch {
	case u == nil || !u.Present:
		return result{err: ErrNotMember}
	case m.state == Stopped:
		return result{err: ErrStopped}
	case e.grid >= len(m.grids):
		return result{err: ErrNoGrid}
	}
	ack := Ack{Generation: m.generation}
	g, mode := m.grids[e.grid], m.specs[e.grid].Mode
	for i := range e.edits {
		n, err := e.edits[i].apply(g, mode, u)
		if err != nil {
			ack.Refused = append(ack.Refused, Refusal{Index: i, Err: err})
		}
		ack.Changed += n
	}
	m.edits += uint64(len(e.edits))
	ack.Seq = m.edits
	return result{ack: ack}
}

func (m *machine) applyRewind(e *event) error {
	r := reader{b: e.meta}
	m.readMeta(&r)
	if r.err != nil || len(r.b) != 0 {
		return errCorrupt
	}
	m.epoch = e.epoch
	return nil
}
