package game

import (
	"context"
	"fmt"
	"time"
)

// A game that is handed over would stand still while the other node reads its snapshot, which takes long when it is large. So that node
// reads all there is while the game still runs (Prepare), and behind that only what came in between. What it prepared counts only if
// it ends where the game was held, in the same epoch: a rewind meanwhile has cut the log, and the next entries took the places of old ones.

// prepared is a game that another node is about to hand over.
type prepared struct {
	*loading
	late *time.Timer
}

// preparedFor is how long a prepared game keeps its memory: it is handed over in a moment, or not at all.
const preparedFor = 30 * time.Second

// Prepare loads a game of another node, which goes on meanwhile, so that an Adopt that follows soon has little to load. The game
// is still the other's. Errors: as of Adopt, when this host has no room for the game, cannot read it, or has it.
func (h *Host) Prepare(ctx context.Context, id ID) error {
	if err := h.beginAdopting(id); err != nil {
		return err
	}
	defer h.endAdopting(id)
	if g, _ := h.Game(id); g != nil {
		return fmt.Errorf("%w: the game is here", ErrBusy)
	}
	h.unprepare(id)
	w, err := h.beginLoading(ctx, id, newest)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		w.m.release()
		return ErrClosed
	}
	h.prepared[id] = prepared{w, time.AfterFunc(preparedFor, func() { h.unprepare(id) })}
	return nil
}

// takePrepared returns what was prepared of a game, which is the caller's then; nil for nothing.
func (h *Host) takePrepared(id ID) *loading {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.prepared[id]
	if !ok {
		return nil
	}
	p.late.Stop()
	delete(h.prepared, id)
	return p.loading
}

// unprepare gives the memory of a prepared game back, if there is one.
func (h *Host) unprepare(id ID) {
	if w := h.takePrepared(id); w != nil {
		w.m.release()
	}
}

// loadPassed loads a game that this host has fenced: what was prepared and the rest, or all.
func (h *Host) loadPassed(ctx context.Context, id ID, at *Passed) (*loaded, error) {
	if at.Epoch == 0 {
		h.unprepare(id)
	}
	w := h.takePrepared(id)
	if w == nil {
		return h.load(ctx, id, newest)
	}
	l, err := h.finishLoading(ctx, id, w)
	switch m := w.m; {
	case err != nil:
		h.log.Warn("a prepared game is loaded once more", "game", id, "err", err)
	case m.epoch == at.Epoch && m.next == at.Number && m.generation == at.Generation:
		preparedTotal.Inc()
		return l, nil
	default: // rewound, or its epoch is not in the log
		m.release()
	}
	return h.load(ctx, id, newest)
}
