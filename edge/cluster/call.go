package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"gosper/broker"
	"gosper/grid/game"
)

// calls are the questions that wait for their game to be found, in order for each game.
type calls struct {
	cluster *Cluster

	mu      sync.Mutex
	waiting map[game.ID]*queue
	count   int
	closed  bool

	lookups chan struct{} // places for questions to the Store
}

// queue is what waits for one game.
type queue struct {
	list    []*asking
	looking bool // the Store is being asked for the game
}

// asking is one question on its way.
type asking struct {
	game  game.ID
	data  []byte
	again bool // asking twice does no harm
	until time.Time
	done  func([]byte, error)
}

func (cs *calls) init(c *Cluster) {
	cs.cluster = c
	cs.waiting = map[game.ID]*queue{}
	cs.lookups = make(chan struct{}, 64)
}

// Ask brings a question to the node of a game and its answer back. While the game has none, or moves, the question waits, in the
// order in which those of the game came, until the time given (zero: for Options.Wait). again says that asking twice does no
// harm: then it is asked once more when a link is lost. It never blocks; done is called once, from any goroutine or before Ask returns,
// and must not block. Errors: game.ErrNoGame, game.ErrMoving and broker.ErrBusy (nothing was done), game.ErrAway (the store cannot be
// asked), game.ErrUnknown, broker.ErrTooLarge, game.ErrClosed.
func (c *Cluster) Ask(id game.ID, data []byte, again bool, until time.Time, done func(answer []byte, err error)) {
	if most := time.Now().Add(c.options.Wait); until.IsZero() || until.After(most) {
		until = most
	}
	a := &asking{id, data, again, until, done}
	cs := &c.calls
	cs.mu.Lock()
	behind := cs.waiting[id] != nil
	if behind {
		err := cs.addLocked(a)
		cs.mu.Unlock()
		if err != nil {
			done(nil, err)
		}
		return
	}
	cs.mu.Unlock()
	if !cs.try(a) {
		cs.wait(a)
	}
}

// try sends a question where its game is; false when that is not known now, or not reached.
func (cs *calls) try(a *asking) bool {
	c := cs.cluster
	if c.has(a.game) {
		c.serve(a.data, func(answer []byte, here bool) {
			if !here {
				cs.wait(a)
				return
			}
			asksHere.Inc()
			a.done(answer, nil)
		})
		return true
	}
	l, err := c.linkNow(a.game)
	if err != nil {
		return false
	}
	err = l.ask(askCall, a.game, a.data, func(f frame, err error) { cs.answered(a, &f, err) })
	switch {
	case errors.Is(err, errNoLink):
		return false
	case err != nil:
		a.done(nil, err)
	}
	return true
}

// answered takes the answer of a node.
func (cs *calls) answered(a *asking, f *frame, err error) {
	switch {
	case err != nil && a.again:
		cs.wait(a)
	case err != nil:
		asksUnknown.Inc()
		a.done(nil, game.ErrUnknown)
	case f.code == codeOK:
		asksThere.Inc()
		a.done(f.data, nil)
	case f.code == codeNotHere:
		cs.wait(a)
	default:
		a.done(nil, fmt.Errorf("%w: the node of the game", broker.ErrBusy))
	}
}

// wait puts a question behind those that wait for its game.
func (cs *calls) wait(a *asking) {
	cs.mu.Lock()
	err := cs.addLocked(a)
	cs.mu.Unlock()
	if err != nil {
		a.done(nil, err)
		return
	}
	cs.cluster.wake()
}

func (cs *calls) addLocked(a *asking) error {
	switch {
	case cs.closed:
		return game.ErrClosed
	case cs.count >= cs.cluster.options.Waiting:
		asksBusy.Inc()
		return fmt.Errorf("%w: too many calls wait for games that move", broker.ErrBusy)
	}
	q := cs.waiting[a.game]
	if q == nil {
		q = &queue{}
		cs.waiting[a.game] = q
	}
	q.list = append(q.list, a)
	cs.count++
	return nil
}

// retry sends what can be sent now, and reports whether something waits still.
func (cs *calls) retry() bool {
	cs.mu.Lock()
	ids := make([]game.ID, 0, len(cs.waiting))
	for id := range cs.waiting {
		ids = append(ids, id)
	}
	cs.mu.Unlock()
	now := time.Now()
	for _, id := range ids {
		cs.retryGame(id, now)
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.waiting) > 0
}

// retryGame sends the questions of a game in order, and gives up those whose time is over.
func (cs *calls) retryGame(id game.ID, now time.Time) {
	known := cs.known(id)
	for {
		cs.mu.Lock()
		q := cs.waiting[id]
		if q == nil {
			cs.mu.Unlock()
			return
		}
		if len(q.list) == 0 {
			if !q.looking {
				delete(cs.waiting, id)
			}
			cs.mu.Unlock()
			return
		}
		a := q.list[0]
		late := now.After(a.until)
		if !late && !known {
			cs.lookLocked(id, q)
			cs.mu.Unlock()
			return
		}
		if !late && !cs.cluster.reachable(id) {
			cs.mu.Unlock()
			return
		}
		q.list[0] = nil
		q.list = q.list[1:]
		cs.count--
		cs.mu.Unlock()
		if late {
			asksLate.Inc()
			a.done(nil, cs.tooLate())
			continue
		}
		if !cs.try(a) {
			cs.putBack(a)
			return
		}
	}
}

// tooLate says why a game was not found in time.
func (cs *calls) tooLate() error {
	if cs.cluster.members.current(time.Now()) {
		return game.ErrMoving
	}
	return game.ErrAway
}

func (cs *calls) known(id game.ID) bool {
	_, ok := cs.cluster.games.get(id)
	return ok || cs.cluster.has(id)
}

// reachable says whether a question about a game can be sent now.
func (c *Cluster) reachable(id game.ID) bool {
	if c.has(id) {
		return true
	}
	_, err := c.linkNow(id)
	return err == nil
}

// putBack returns a question to the front.
func (cs *calls) putBack(a *asking) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	q := cs.waiting[a.game]
	if q == nil {
		q = &queue{}
		cs.waiting[a.game] = q
	}
	q.list = append([]*asking{a}, q.list...)
	cs.count++
}

// lookLocked asks the Store for a game that no record is known of. REQUIRES: mu.
func (cs *calls) lookLocked(id game.ID, q *queue) {
	if q.looking {
		return
	}
	select {
	case cs.lookups <- struct{}{}:
	default:
		return // the next round
	}
	q.looking = true
	cs.cluster.group.Go(func() {
		defer func() { <-cs.lookups }()
		cs.look(id, q)
	})
}

func (cs *calls) look(id game.ID, q *queue) {
	c := cs.cluster
	ctx, cancel := context.WithTimeout(c.ctx, c.options.Lease/2)
	defer cancel()
	_, err := c.games.lookUp(ctx, c.options.Store, id)
	cs.mu.Lock()
	q.looking = false
	var gone []*asking
	if errors.Is(err, broker.ErrNotFound) {
		gone, q.list = q.list, nil
		cs.count -= len(gone)
	}
	cs.mu.Unlock()
	for _, a := range gone {
		a.done(nil, game.ErrNoGame)
	}
	c.wake()
}

// close refuses what waits.
func (cs *calls) close() {
	cs.mu.Lock()
	cs.closed = true
	waiting := cs.waiting
	cs.waiting = map[game.ID]*queue{}
	cs.mu.Unlock()
	for _, q := range waiting {
		for _, a := range q.list {
			a.done(nil, game.ErrClosed)
		}
	}
}

// answer serves a question of another node. It does not block.
func (c *Cluster) answer(l *link, f frame) {
	reply := func(code code, data []byte) { l.send(frame{kind: kindAnswer, call: f.call, code: code, data: data}) }
	switch f.what {
	case askWatch:
		c.serveWatch(l, &f)
	case askAdopt:
		c.serveAdopt(l, &f)
	default:
		if f.game != 0 && !c.has(f.game) {
			reply(codeNotHere, nil)
			return
		}
		c.serve(f.data, func(answer []byte, here bool) {
			switch {
			case !here:
				reply(codeNotHere, nil)
			case len(answer)+answerSize > c.options.FrameBytes:
				reply(codeRefused, appendRefusal(broker.ErrTooLarge))
			default:
				reply(codeOK, answer)
			}
		})
	}
}

// AskNode brings a question that belongs to no game to a node, this one too. done as for Ask. Errors: game.ErrMoving when there is no
// link (nothing was done), game.ErrUnknown, broker.ErrBusy, broker.ErrTooLarge.
func (c *Cluster) AskNode(node string, data []byte, done func(answer []byte, err error)) {
	if node == c.options.Node {
		c.serve(data, func(answer []byte, _ bool) { done(answer, nil) })
		return
	}
	l := c.links.get(node)
	if l == nil {
		done(nil, game.ErrMoving)
		return
	}
	err := l.ask(askCall, 0, data, func(f frame, err error) {
		switch {
		case err != nil:
			done(nil, game.ErrUnknown)
		case f.code != codeOK:
			done(nil, broker.ErrBusy)
		default:
			done(f.data, nil)
		}
	})
	if err != nil {
		done(nil, err)
	}
}

// AskAll asks every other node that there is a link to and returns the answers that came in time.
func (c *Cluster) AskAll(ctx context.Context, data []byte) [][]byte {
	links := c.links.all()
	answers := make(chan []byte, len(links))
	for _, l := range links {
		c.AskNode(l.node, data, func(answer []byte, err error) {
			if err != nil {
				answer = nil
			}
			answers <- answer
		})
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.Lease)
	defer cancel()
	var list [][]byte
	for range links {
		select {
		case answer := <-answers:
			if answer != nil {
				list = append(list, answer)
			}
		case <-ctx.Done():
			return list
		}
	}
	return list
}

// Known says whether there is such a game at any node, as far as this one has heard. It does not block.
func (c *Cluster) Known(id game.ID) bool { return c.calls.known(id) }

// handOver is the data of askAdopt.
type handOver struct {
	ID       game.ID       `json:"id"`
	Revision uint64        `json:"revision"`
	Record   game.Record   `json:"record"`
	Left     time.Duration `json:"left"` // to the next tick; negative: it does not run
}

// serveAdopt takes a game that another node hands over.
func (c *Cluster) serveAdopt(l *link, f *frame) {
	var in handOver
	if err := json.Unmarshal(f.data, &in); err != nil {
		l.close()
		return
	}
	in.Record.ID, in.Record.Revision = in.ID, in.Revision
	came := time.Now()
	c.group.Go(func() {
		if in.Left >= 0 {
			in.Left = max(in.Left-time.Since(came), 0)
		}
		err := c.steward.adopt(c.ctx, in.Record, in.Left)
		if err != nil {
			l.send(frame{kind: kindAnswer, call: f.call, code: codeRefused, data: appendRefusal(err)})
			return
		}
		l.send(frame{kind: kindAnswer, call: f.call, code: codeOK})
	})
}
