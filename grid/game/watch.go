package game

import (
	"time"

	"gosper/protocol"
)

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
