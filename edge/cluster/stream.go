package cluster

import (
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"gosper/grid/game"
)

// Frames takes the frames of all streams that are watched at this node: edge.Streams.
type Frames interface {
	Frame(f *game.Frame)
	Hole(id game.ID, s game.Stream)
}

// streamName names a stream among those of all games.
type streamName struct {
	game   game.ID
	stream game.Stream
}

// streams are those that are watched here, and those of games here that are watched elsewhere.
//
// Locks are taken in this order: watched.mu, streams.mu, link.mu; none while a game.Host is called, but that of a link.
type streams struct {
	cluster *Cluster

	mu      sync.RWMutex
	watched map[streamName]*watched
	remote  map[remoteName]*watched // those that come over a link
	relays  map[streamName][]*relay
	number  uint32 // the last one given to a stream
}

// remoteName is how a link names a stream.
type remoteName struct {
	link   *link
	number uint32
}

// watched is a stream that somebody watches here.
type watched struct {
	name streamName

	refs int // guarded by streams.mu

	// mu orders frames, and guards what follows
	mu     sync.Mutex
	at     place
	link   *link  // at remote
	number uint32 // at remote
	asked  bool   // the way to it is being made
}

// place is where the frames of a stream come from.
type place uint8

const (
	nowhere place = iota // it has to be found
	local
	remote
	over // the game has ended, or nobody watches any more
)

func newStreams(c *Cluster) *streams {
	return &streams{cluster: c, watched: map[streamName]*watched{}, remote: map[remoteName]*watched{}, relays: map[streamName][]*relay{}}
}

// Watch adds a watcher to a stream of a game, wherever that is. It waits for a game that moves, at most Options.Wait. Errors:
// those of game.Host.Watch, game.ErrMoving, broker.ErrBusy.
func (c *Cluster) Watch(id game.ID, s game.Stream) (game.Stream, error) {
	end := time.Now().Add(c.options.Wait)
	for {
		name, err := c.watchOnce(streamName{id, s}, end)
		if err == nil || !errors.Is(err, errTryAgain) {
			return name.stream, err
		}
		if time.Now().After(end) {
			return s, game.ErrMoving
		}
		select {
		case <-time.After(retryRest):
		case <-c.ctx.Done():
			return s, game.ErrClosed
		}
	}
}

// errTryAgain says that a game is not where it was looked for.
var errTryAgain = errors.New("the game is not there now")

// notHere says whether an error of the host means that another node may have the game.
func notHere(err error) bool { return errors.Is(err, game.ErrNoGame) || errors.Is(err, game.ErrMoved) }

// watchOnce tries to add a watcher where the game seems to be.
func (c *Cluster) watchOnce(name streamName, end time.Time) (streamName, error) {
	token := c.host.Token(name.game)
	s, err := c.host.Watch(name.game, name.stream)
	if err == nil {
		name.stream = s
		if !c.streams.join(name, local, nil, 0) {
			c.host.Unwatch(name.game, s)
		} else if c.host.Token(name.game) != token { // it left in between, and may be back
			c.streams.gameLeft(name.game)
		}
		return name, nil
	}
	if !notHere(err) {
		return name, err
	}
	l, token, err := c.linkTo(name.game, end)
	if err != nil {
		return name, err
	}
	return c.streams.watchRemote(l, token, name, end)
}

// join counts a watcher of a stream that comes from at; false: the stream was there already, and stays as it was.
func (st *streams) join(name streamName, at place, l *link, number uint32) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if w := st.watched[name]; w != nil {
		w.refs++
		return false
	}
	w := &watched{name: name, refs: 1, at: at, link: l, number: number}
	st.watched[name] = w
	if at == remote {
		st.remote[remoteName{l, number}] = w
	}
	return true
}

// nextNumber is a number that no stream has.
func (st *streams) nextNumber() uint32 {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.number++
	return st.number
}

// watchRemote asks the node behind l, which has the game by that token, for a stream and waits for the answer.
func (st *streams) watchRemote(l *link, token uint64, name streamName, end time.Time) (streamName, error) {
	type answered struct {
		stream game.Stream
		err    error
	}
	answer := make(chan answered, 1)
	number := st.nextNumber()
	err := st.askWatch(l, token, name, number, func(s game.Stream, err error) {
		if err == nil && !st.join(streamName{name.game, s}, remote, l, number) {
			l.send(frame{kind: kindUnwatch, number: number})
		}
		answer <- answered{s, err}
	})
	if err != nil {
		return name, errTryAgain
	}
	late := time.NewTimer(time.Until(end))
	defer late.Stop()
	select {
	case a := <-answer:
		name.stream = a.stream
		return name, a.err
	case <-late.C:
		go func() { // the answer comes, or the link ends
			if a := <-answer; a.err == nil {
				st.cluster.Unwatch(name.game, a.stream)
			}
		}()
		return name, game.ErrMoving
	}
}

// askWatch asks for a stream under a number. done is called by the reader of the link, before any frame of the stream.
func (st *streams) askWatch(l *link, token uint64, name streamName, number uint32, done func(game.Stream, error)) error {
	data, err := json.Marshal(newWatchRequest(number, name.stream))
	if err != nil {
		return err
	}
	return l.ask(askWatch, name.game, token, data, func(f frame, err error) {
		var out watchRequest
		switch {
		case err != nil || f.code == codeNotHere || f.code == codeBusy:
			done(name.stream, errTryAgain)
		case f.code == codeRefused:
			done(name.stream, parseRefusal(f.data))
		case json.Unmarshal(f.data, &out) != nil:
			l.close()
			done(name.stream, errTryAgain)
		default:
			done(out.stream(), nil)
		}
	})
}

// Unwatch takes a watcher away.
func (c *Cluster) Unwatch(id game.ID, s game.Stream) {
	st, name := c.streams, streamName{id, s}
	st.mu.Lock()
	w := st.watched[name]
	if w == nil {
		st.mu.Unlock()
		return
	}
	w.refs--
	last := w.refs == 0
	if last {
		delete(st.watched, name)
	}
	st.mu.Unlock()
	if last {
		st.end(w)
	}
}

// end lets go of a stream that nobody watches, or that has ended.
func (st *streams) end(w *watched) {
	w.mu.Lock()
	at, l, number := w.at, w.link, w.number
	w.at, w.link = over, nil
	w.mu.Unlock()
	switch at {
	case local:
		st.cluster.host.Unwatch(w.name.game, w.name.stream)
	case remote:
		st.mu.Lock()
		delete(st.remote, remoteName{l, number})
		st.mu.Unlock()
		l.send(frame{kind: kindUnwatch, number: number})
	}
}

// Want asks for a snapshot.
func (c *Cluster) Want(id game.ID, s game.Stream) {
	c.streams.mu.RLock()
	w := c.streams.watched[streamName{id, s}]
	c.streams.mu.RUnlock()
	if w == nil {
		return
	}
	w.mu.Lock()
	at, l, number := w.at, w.link, w.number
	w.mu.Unlock()
	switch at {
	case local:
		c.host.Want(id, s)
	case remote:
		l.send(frame{kind: kindWant, number: number})
	} // elsewhere: whoever finds it asks
}

// Frame takes a frame of a game of this node. It does not block.
func (c *Cluster) Frame(f *game.Frame) {
	st, name := c.streams, streamName{f.Game, f.Stream}
	st.mu.RLock()
	w, relays := st.watched[name], st.relays[name]
	st.mu.RUnlock()
	for _, r := range relays {
		r.offer(f)
	}
	if w == nil {
		return
	}
	w.mu.Lock()
	if w.at == local {
		c.frames.Frame(f)
	}
	w.mu.Unlock()
}

// arrived takes what a link brings of a stream.
func (st *streams) arrived(l *link, f *frame) {
	st.mu.RLock()
	w := st.remote[remoteName{l, f.number}]
	st.mu.RUnlock()
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at != remote || w.link != l || w.number != f.number {
		return
	}
	frames := st.cluster.frames
	switch f.kind {
	case kindHole:
		frames.Hole(w.name.game, w.name.stream)
	case kindGone:
		st.loseLocked(w)
	case kindFrame:
		framesIn.Inc()
		frames.Frame(&game.Frame{Game: w.name.game, Stream: w.name.stream, Kind: f.frame, Epoch: f.epoch, Generation: f.generation, Hash: f.hash, Data: f.data})
	}
}

// loseLocked notes that the frames of w come from nowhere now, and has them looked for. REQUIRES: w.mu.
func (st *streams) loseLocked(w *watched) {
	if w.at == remote {
		st.mu.Lock()
		delete(st.remote, remoteName{w.link, w.number})
		st.mu.Unlock()
	}
	w.at, w.link = nowhere, nil
	st.cluster.frames.Hole(w.name.game, w.name.stream)
	st.cluster.wake()
}

// lose detaches the streams that lost says from where they come.
func (st *streams) lose(lost func(*watched) bool) {
	st.mu.RLock()
	list := make([]*watched, 0, len(st.watched))
	for _, w := range st.watched {
		list = append(list, w)
	}
	st.mu.RUnlock()
	for _, w := range list {
		w.mu.Lock()
		if lost(w) {
			st.loseLocked(w)
		}
		w.mu.Unlock()
	}
}

// addRelay enters a relay and answers who asked for it; false when the node watches the stream already under this number, or the link
// has ended. The answer is on its way before anything else of the relay is, that it is gone above all.
func (st *streams) addRelay(r *relay, answer frame) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	r.link.mu.Lock()
	closed := r.link.closed
	if !closed {
		r.link.push(answer)
	}
	r.link.mu.Unlock()
	if closed || r.link.relays[r.number] != nil {
		return false
	}
	r.link.relays[r.number] = r
	st.relays[r.name] = append(slices.Clip(st.relays[r.name]), r) // readers have the old list
	return true
}

// wanted is a want of the other node.
func (st *streams) wanted(l *link, number uint32) {
	st.mu.RLock()
	r := l.relays[number]
	st.mu.RUnlock()
	if r != nil {
		r.wanted()
	}
}

// dropRelay ends a relay that the other node wants no more.
func (st *streams) dropRelay(l *link, number uint32) {
	st.mu.Lock()
	r := l.relays[number]
	st.removeLocked(r)
	st.mu.Unlock()
	if r != nil {
		st.cluster.host.Unwatch(r.name.game, r.name.stream)
	}
}

// removeLocked takes a relay off its lists. REQUIRES: mu.
func (st *streams) removeLocked(r *relay) {
	if r == nil {
		return
	}
	delete(r.link.relays, r.number)
	var rest []*relay
	for _, other := range st.relays[r.name] {
		if other != r {
			rest = append(rest, other)
		}
	}
	if st.relays[r.name] = rest; rest == nil {
		delete(st.relays, r.name)
	}
}

// linkEnded ends what goes over a link, in both directions.
func (st *streams) linkEnded(l *link) {
	st.mu.Lock()
	gone := make([]*relay, 0, len(l.relays))
	for _, r := range l.relays {
		gone = append(gone, r)
		st.removeLocked(r)
	}
	st.mu.Unlock()
	for _, r := range gone {
		st.cluster.host.Unwatch(r.name.game, r.name.stream)
	}
	st.lose(func(w *watched) bool { return w.at == remote && w.link == l })
}

// gameLeft ends the streams of a game that is not this node's any more.
func (st *streams) gameLeft(id game.ID) {
	st.mu.Lock()
	var gone []*relay
	for name, relays := range st.relays {
		if name.game == id {
			gone = append(gone, relays...)
		}
	}
	for _, r := range gone {
		st.removeLocked(r)
	}
	st.mu.Unlock()
	for _, r := range gone {
		r.gone()
	}
	st.lose(func(w *watched) bool { return w.name.game == id && w.at == local })
}
