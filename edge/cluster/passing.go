package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"gosper/broker"
	"gosper/grid/game"
)

// A game is handed over in this order, so that it stands still for a few writes to the log and the store, which come right behind a
// tick, and is never looked for where it is not:
//
//	old node                                  new node
//	snapshot, if there is much behind the last
//	askPrepare ──────────────────────────────▶ loads all there is; the game ticks on at the old one
//	tick, hold: mark in the log, record        who has read the record and asks too early waits
//	askAdopt: record, where it stands ───────▶ fence, entries since then, new epoch, next tick when it was due
//	                                           serves who waits
//	tells watchers that it has gone ◀───────── answer

// handOver is the data of askAdopt.
type handOver struct {
	ID         game.ID       `json:"id"`
	Revision   uint64        `json:"revision"`
	Record     game.Record   `json:"record"`
	Runs       bool          `json:"runs"`
	Left       time.Duration `json:"left"` // to the next tick, when it runs; negative: it is late
	Generation uint64        `json:"generation"`
	Number     uint64        `json:"number"`
	Epoch      uint32        `json:"epoch"`
}

func newHandOver(rec game.Record, p game.Passed) *handOver {
	h := &handOver{ID: rec.ID, Revision: rec.Revision, Record: rec, Runs: !p.Due.IsZero(), Generation: p.Generation, Number: p.Number, Epoch: p.Epoch}
	if h.Runs {
		h.Left = time.Until(p.Due)
	}
	return h
}

// passed is where the game stands, by the clock of a node that was told of it then.
func (h *handOver) passed(then time.Time) game.Passed {
	p := game.Passed{Generation: h.Generation, Number: h.Number, Epoch: h.Epoch}
	if h.Runs {
		p.Due = then.Add(h.Left)
	}
	return p
}

// servePrepare loads a game that another node is about to hand over.
func (c *Cluster) servePrepare(l *link, f *frame) {
	in, ok := l.handOver(f)
	if !ok {
		return
	}
	call := f.call
	c.games.note(in.Record) // so that a newer one is known to be newer
	c.group.Go(func() { l.reply(call, c.steward.prepare(c.ctx, in.ID)) })
}

// serveAdopt takes a game that another node hands over.
func (c *Cluster) serveAdopt(l *link, f *frame) {
	came := time.Now()
	in, ok := l.handOver(f)
	if !ok {
		return
	}
	call := f.call
	c.group.Go(func() { l.reply(call, c.steward.adopt(c.ctx, in.Record, in.passed(came))) })
}

// handOver reads what came of a game that is handed over. A link that brings nonsense ends.
func (l *link) handOver(f *frame) (in handOver, ok bool) {
	if err := json.Unmarshal(f.data, &in); err != nil {
		l.close()
		return in, false
	}
	in.Record.ID, in.Record.Revision = in.ID, in.Revision
	return in, true
}

// reply answers a question that was about whether something worked.
func (l *link) reply(call uint64, err error) {
	if err != nil {
		l.send(frame{kind: kindAnswer, call: call, code: codeRefused, data: appendRefusal(err)})
		return
	}
	l.send(frame{kind: kindAnswer, call: call, code: codeOK})
}

// coming is what other nodes ask of games that this node is about to have.
type coming struct {
	most    int           // questions
	patient time.Duration // with a game that does not come
	comes   func(id game.ID, token uint64) (here, comes bool)

	turns sync.Mutex // taken before mu; who has it serves what has waited
	mu    sync.Mutex
	games map[game.ID]*comer
	count int
}

// comer is one such game.
type comer struct {
	asked []func()
	token uint64 // the highest by which it is asked for
	late  *time.Timer
}

func (w *coming) init(most int, patient time.Duration, comes func(game.ID, uint64) (here, comes bool)) {
	w.most, w.patient, w.comes, w.games = most, patient, comes, map[game.ID]*comer{}
}

// wait keeps a question about a game until here when the game is about to come by that token, and reports whether it did.
// Error: broker.ErrBusy when too many wait.
func (w *coming) wait(id game.ID, token uint64, ask func()) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	here, comes := w.comes(id, token) // with mu, so that none comes to wait behind its here
	one := w.games[id]
	switch {
	case !here && !comes, here && one == nil:
		return false, nil
	case w.count >= w.most:
		return true, fmt.Errorf("%w: too many calls wait for games that move", broker.ErrBusy)
	case one == nil:
		one = &comer{late: time.AfterFunc(w.patient, func() { w.here(id) })}
		w.games[id] = one
	}
	one.asked = append(one.asked, ask)
	one.token = max(one.token, token)
	w.count++
	return true, nil
}

// elsewhere lets nobody wait any more for a game that another node has by that token.
func (w *coming) elsewhere(id game.ID, token uint64) {
	w.mu.Lock()
	one := w.games[id]
	gone := one != nil && token >= one.token
	w.mu.Unlock()
	if gone {
		w.here(id)
	}
}

// here serves what has waited for a game, in order, and lets nothing wait any more: it is there, or will not come.
func (w *coming) here(id game.ID) {
	w.turns.Lock() // one at a time keeps the order
	defer w.turns.Unlock()
	for {
		w.mu.Lock()
		one := w.games[id]
		if one == nil {
			w.mu.Unlock()
			return
		}
		if len(one.asked) == 0 {
			one.late.Stop()
			delete(w.games, id)
			w.mu.Unlock()
			return
		}
		asked := one.asked
		one.asked = nil
		w.count -= len(asked)
		w.mu.Unlock()
		for _, ask := range asked {
			ask()
		}
	}
}

// close lets nothing wait any more.
func (w *coming) close() {
	w.mu.Lock()
	ids := slices.Collect(maps.Keys(w.games))
	w.mu.Unlock()
	for _, id := range ids {
		w.here(id)
	}
}
