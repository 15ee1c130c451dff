package cluster

import (
	"errors"

	"gosper/grid/game"
)

// attach looks for the games of streams that come from nowhere, and reports whether some are still to be found.
func (st *streams) attach() (missing bool) {
	st.mu.RLock()
	var list []*watched
	for _, w := range st.watched {
		list = append(list, w)
	}
	st.mu.RUnlock()
	for _, w := range list {
		w.mu.Lock()
		look := w.at == nowhere
		asked := w.asked
		w.asked = w.asked || look
		w.mu.Unlock()
		missing = missing || look
		if look && !asked {
			st.find(w)
		}
	}
	return missing
}

// find makes a way to a stream. REQUIRES: w.asked, which it takes back at the end.
func (st *streams) find(w *watched) {
	c, name := st.cluster, w.name
	token := c.host.Token(name.game)
	_, err := c.host.Watch(name.game, name.stream)
	switch {
	case err == nil:
		st.foundHere(w, token)
		return
	case !notHere(err):
		st.lost(w, err)
		return
	}
	l, token, err := c.linkNow(name.game)
	switch {
	case errors.Is(err, game.ErrNoGame):
		st.lost(w, err)
		return
	case err != nil:
		st.lost(w, errTryAgain)
		return
	}
	number := st.nextNumber()
	err = st.askWatch(l, token, name, number, func(_ game.Stream, err error) {
		if err != nil {
			st.lost(w, err)
			return
		}
		st.foundThere(w, l, number)
	})
	if err != nil {
		st.lost(w, errTryAgain)
	}
}

// foundHere notes that a stream is one of the host's, which had the game by that token before.
func (st *streams) foundHere(w *watched, token uint64) {
	c, name := st.cluster, w.name
	w.mu.Lock()
	w.asked = false
	ok := w.at == nowhere
	if ok {
		w.at = local
	}
	w.mu.Unlock()
	switch {
	case !ok:
		c.host.Unwatch(name.game, name.stream)
	case c.host.Token(name.game) != token: // it left in between, and may be back
		st.gameLeft(name.game)
	default:
		c.host.Want(name.game, name.stream)
	}
}

// foundThere notes that a stream comes over a link.
func (st *streams) foundThere(w *watched, l *link, number uint32) {
	w.mu.Lock()
	w.asked = false
	ok := w.at == nowhere
	if ok {
		w.at, w.link, w.number = remote, l, number
		st.mu.Lock()
		st.remote[remoteName{l, number}] = w
		st.mu.Unlock()
	}
	w.mu.Unlock()
	if ok {
		l.send(frame{kind: kindWant, number: number})
	} else {
		l.send(frame{kind: kindUnwatch, number: number})
	}
}

// lost notes that a way was not found: for now, or because the game is over or has no such stream any more.
func (st *streams) lost(w *watched, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = false
	if w.at == nowhere && !errors.Is(err, errTryAgain) {
		w.at = over
		st.cluster.frames.Frame(&game.Frame{Game: w.name.game, Stream: w.name.stream, Kind: game.FrameEnd})
	}
}
