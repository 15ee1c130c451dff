package game

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"gosper/broker"
)

// Hosts that share a Log and a Store each run some of the games. The record of a game in the Store names the node that runs
// it and a token, which grows with every new node. The token goes with each write to the log, and the log refuses older
// ones: a node that was replaced without knowing, because it slept or was cut off, writes nothing any more. So whether a
// node is dead may be judged wrongly: that costs a new epoch and no cell.
//
//	claim the record ─▶ fence the log ─▶ snapshot, entries ─▶ new epoch in the log ─▶ the game goes on
//
// The fence is an entry without meaning. Behind it nobody else writes, so what is read after it is all there is.

// RecordPrefix is where the Store keeps that a game exists: under it and the id.
const RecordPrefix = "game/"

// Record is what the Store holds of a game. Everything else is in its log.
type Record struct {
	ID       ID     `json:"-"`
	Revision uint64 `json:"-"` // of the record as it was read

	Name    string    `json:"name"` // as it was made
	Owner   string    `json:"owner"`
	Created time.Time `json:"created"`
	Node    string    `json:"node,omitempty"`  // that runs it; "": nobody
	Token   uint64    `json:"token,omitempty"` // of that node's writes
}

// ParseRecord reads a record of the Store whose key starts with RecordPrefix. Errors: ErrBadID, or of malformed JSON.
func ParseRecord(r broker.Record) (rec Record, err error) {
	if len(r.Key) < len(RecordPrefix) {
		return rec, ErrBadID
	}
	if rec.ID, err = ParseID(r.Key[len(RecordPrefix):]); err != nil {
		return rec, err
	}
	rec.Revision = r.Revision
	if err := json.Unmarshal(r.Value, &rec); err != nil {
		return rec, fmt.Errorf("record of game %s: %w", rec.ID, err)
	}
	return rec, nil
}

// ownership is by what right a host writes to the log of a game. It does not change while the host has the game.
type ownership struct {
	token    uint64
	revision uint64 // of the record; broker.AnyRevision: there is no other node
}

// alone is the ownership of all games of a host without a name.
func (h *Host) alone() ownership { return ownership{token: h.token, revision: broker.AnyRevision} }

// fence is an entry that a log is closed with to everybody whose token is smaller. When it is played it does nothing: the
// number leaves the batch before it valid, the generation is past.
var fence = entry{number: ^uint64(0)}

// Passed is where a game stands that is handed over. The zero value says nothing: a game that is taken over.
type Passed struct {
	Due        time.Time // of its next tick, by the clock of this process; zero when it does not run
	Generation uint64
	Number     uint64 // of its next batch
	Epoch      uint32
}

// Adopt takes over a game, as rec has it, and goes on with it at the generation that its log tells, or a later one that it
// reached without being written down, in a new epoch. A game that rec says is this node's already, because it was
// handed over, is only loaded, as far as Prepare has not done so, and ticks next when p says. A game that this host
// has already is left as it is. Errors: broker.ErrConflict when another node was faster, broker.ErrFenced likewise,
// ErrGone for a game that has ended meanwhile (its record goes), ErrUnavailable, grid.ErrBudget (then the record names
// nobody, for nodes with more memory), ErrClosed, those of the engines. After one, this host does not have the game.
func (h *Host) Adopt(ctx context.Context, rec Record, p Passed) error {
	if h.node == "" {
		return errors.New("a host without a name owns all games already")
	}
	if err := h.beginAdopting(rec.ID); err != nil {
		return err
	}
	defer h.endAdopting(rec.ID)
	if g, _ := h.Game(rec.ID); g != nil {
		return nil
	}
	if rec.Node != h.node {
		rec.Node = h.node
		rec.Token++
		if err := h.writeRecord(ctx, &rec); err != nil {
			return err
		}
	}
	err := h.adopt(ctx, &rec, &p)
	if err != nil && !errors.Is(err, broker.ErrFenced) && !errors.Is(err, ErrGone) && !errors.Is(err, ErrClosed) {
		h.disown(&rec)
	}
	return err
}

// beginAdopting lets one Adopt at a time work on a game.
func (h *Host) beginAdopting(id ID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	if h.adopting[id] {
		return fmt.Errorf("%w: the game is being taken over", ErrBusy)
	}
	h.adopting[id] = true
	h.others.Add(1)
	return nil
}

func (h *Host) endAdopting(id ID) {
	h.mu.Lock()
	delete(h.adopting, id)
	h.mu.Unlock()
	h.others.Done()
}

// writeRecord writes rec where its revision still stands, and notes the new one.
func (h *Host) writeRecord(ctx context.Context, rec *Record) error {
	value, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	revision, err := h.store.Update(ctx, rec.ID.recordKey(), value, rec.Revision)
	if err == nil {
		rec.Revision = revision
	}
	return err
}

// disown lets other nodes have what this one could not load.
func (h *Host) disown(rec *Record) {
	ctx, cancel := context.WithTimeout(context.Background(), h.limits.CommitWait)
	defer cancel()
	rec.Node = ""
	if err := h.writeRecord(ctx, rec); err != nil {
		h.log.Warn("a game that could not be loaded keeps this node's name", "game", rec.ID, "err", err)
	}
}

// adopt loads a game whose record names this node.
func (h *Host) adopt(ctx context.Context, rec *Record, p *Passed) error {
	own := ownership{token: rec.Token, revision: rec.Revision}
	first, err := h.appendWait(rec.ID, own.token, fence.append(nil))
	if err != nil {
		return err
	}
	if first == 1 { // it was never acknowledged, or has ended
		h.forget(ctx, rec.ID, own.revision)
		return ErrGone
	}
	l, err := h.loadPassed(ctx, rec.ID, p)
	if err != nil {
		unavailableTotal.Inc()
		return err
	}
	if l.m.ended {
		l.m.release()
		h.forget(ctx, rec.ID, own.revision)
		return ErrGone
	}
	e := event{kind: evOpen, epoch: h.newEpoch(l.m.epoch)}
	l.m.apply(&e)
	if err := h.appendEvent(rec.ID, own.token, l, &e); errors.Is(err, broker.ErrFenced) {
		l.m.release()
		return err
	}
	adoptedTotal.Inc()
	return h.addAt(newGame(h, rec.ID, own, l), p.Due)
}

// appendWait adds one entry to a log and returns its place.
func (h *Host) appendWait(id ID, token uint64, data []byte) (first uint64, err error) {
	type written struct {
		first uint64
		err   error
	}
	answer := make(chan written, 1)
	h.storage.Append(id.logName(), token, [][]byte{data}, func(first uint64, err error) { answer <- written{first, err} })
	w := <-answer // the log bounds how long this takes
	return w.first, w.err
}

// Hand stops a game between two ticks, with everything in its log, and makes another node the one that runs it; to ""
// leaves it to whoever takes it. It waits for a moment from which there is time until the next tick. It returns the new record
// and where the game stands: both are for the other node's Adopt. Meanwhile requests wait; then they are refused with ErrMoved.
// Watchers are told nothing. Errors: ErrNoGame, ErrFault, those of the engines; after one the game goes on here, unless it was
// broker.ErrConflict: then it is another node's.
func (h *Host) Hand(ctx context.Context, id ID, to string) (rec Record, p Passed, err error) {
	g, err := h.Game(id)
	if err != nil {
		return rec, p, err
	}
	if h.node == "" {
		return rec, p, errors.New("a host without a name has nobody to hand a game to")
	}
	if rec, err = h.recordOf(ctx, id); err != nil {
		return rec, p, err
	}
	state, err := g.holdWithin(ctx, gentleHold)
	if err != nil {
		return rec, p, err
	}
	err = h.letGo(ctx, g, &state, &rec, to)
	switch {
	case errors.Is(err, broker.ErrConflict), errors.Is(err, broker.ErrNotFound), errors.Is(err, broker.ErrFenced):
		g.leave(err)
		return rec, p, err
	case err != nil:
		g.release(nil)
		return rec, p, err
	}
	g.leave(nil)
	handedTotal.Inc()
	p = Passed{Generation: state.generation, Number: state.next, Epoch: state.epoch}
	if state.running {
		p.Due = state.due
	}
	return rec, p, nil
}

func (h *Host) recordOf(ctx context.Context, id ID) (Record, error) {
	stored, err := h.store.Get(ctx, id.recordKey())
	if err != nil {
		return Record{}, err
	}
	return ParseRecord(stored)
}

// letGo writes where a held game stands, and whose it is.
func (h *Host) letGo(ctx context.Context, g *Game, state *held, rec *Record, to string) error {
	mark := entry{number: state.next, generation: state.generation, time: time.Now().UnixMilli()}
	if _, err := h.appendWait(g.id, g.own.token, mark.append(nil)); err != nil {
		return err
	}
	rec.Revision = g.own.revision
	rec.Node = to
	rec.Token = g.own.token + 1
	return h.writeRecord(ctx, rec)
}

// leave takes a held game off its host, without a word to its watchers: another node goes on with it.
func (g *Game) leave(err error) {
	done := make(chan struct{})
	g.post(func() {
		defer close(done)
		g.held = false
		g.host.unload(g, err)
	})
	<-done
}

// Save saves a snapshot of a game when there is more behind the last one than a moment's work, so that who loads the game next
// has little to compute. The game goes on meanwhile. That it could not be saved is no error. Errors: ErrNoGame, ErrFault,
// ErrClosed, ErrMoved.
func (h *Host) Save(ctx context.Context, id ID) error {
	g, err := h.Game(id)
	if err != nil {
		return err
	}
	saved := make(chan error, 1)
	err = g.whenQuiet(func(fault error) {
		if fault != nil || g.history.generations < fewGenerations {
			saved <- fault
			return
		}
		g.saved = append(g.saved, func() { saved <- nil })
		g.snapshotIfDue(mostWork)
	})
	if err != nil {
		return err
	}
	select {
	case err := <-saved:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fewGenerations are computed again rather than saved.
const fewGenerations = 4

// Lost lets go of a game at once, without a write, when the token of this host is below that of the record. A game that this host
// holds to hand it over is let go by that.
func (h *Host) Lost(id ID, token uint64) {
	g, err := h.Game(id)
	if err != nil || g.own.token >= token {
		return
	}
	g.post(func() {
		if g.taken = true; !g.held {
			h.unload(g, broker.ErrFenced)
		}
	})
}

// Away says whether this host cannot reach what it shares with others, so that another may take its games over. While it
// is away, edits are refused with ErrAway; ticks and streams go on, and so do edits of games of relaxed durability. It returns
// what it was before.
func (h *Host) Away(away bool) (before bool) { return h.away.Swap(away) }

// Token returns the fencing token that this host writes to the game's log with, 0 for a game that it does not have.
func (h *Host) Token(id ID) uint64 {
	g, err := h.Game(id)
	if err != nil {
		return 0
	}
	return g.own.token
}

// Load tells what another game would meet here: bytes of memory that are free and taken, and the number of games.
func (h *Host) Load() (free, used int64, games int) {
	free = math.MaxInt64
	if h.budget != nil {
		free, used = h.budget.Available(), h.budget.Used()
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return free, used, len(h.games)
}

// IDs lists the games that the host has, in no order.
func (h *Host) IDs() []ID {
	h.mu.RLock()
	defer h.mu.RUnlock()
	ids := make([]ID, 0, len(h.games))
	for id := range h.games {
		ids = append(ids, id)
	}
	return ids
}
