package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"gosper/broker"
	"gosper/grid/game"
)

// calls are the questions about games, on their way and waiting. Those of one game are done in the order in which they came, also when
// it moves: as long as one is under way to where the game was, those behind it are not sent to where it is now. Each says by which
// token its node has the game. A node that had the game before, and has it again, takes none of those that were sent to it then:
// others before them were refused.
type calls struct {
	cluster *Cluster

	mu     sync.Mutex
	games  map[game.ID]*queue // that something is asked of
	count  int                // that wait
	closed bool

	lookups chan struct{} // places for questions to the Store
}

// queue is what is asked of one game.
type queue struct {
	list     []*asking // that wait, by turn
	turns    uint64    // that were given
	underway int
	at       whereabouts // where those under way are, or the last ones were
	rest     time.Time   // the game was not there, so that nothing is sent there before this time
	sending  bool        // somebody sends what waits
	looking  bool        // the Store is being asked for the game
}

// whereabouts is where a game is.
type whereabouts struct {
	link  *link  // nil: at this node
	token uint64 // by which its node has it
}

// asking is one question on its way.
type asking struct {
	game  game.ID
	data  []byte
	again bool // asking twice does no harm
	until time.Time
	done  func([]byte, error)
	turn  uint64
}

func (cs *calls) init(c *Cluster) {
	cs.cluster = c
	cs.games = map[game.ID]*queue{}
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
	cs := &c.calls
	first, err := cs.add(&asking{game: id, data: data, again: again, until: until, done: done})
	if err != nil {
		done(nil, err)
		return
	}
	if cs.send(id) && first {
		c.wake()
	}
}

// add gives a question its turn behind those that wait for its game, and says whether it is the first of them.
func (cs *calls) add(a *asking) (first bool, err error) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	q := cs.games[a.game]
	first = q == nil || len(q.list) == 0 && !q.sending
	if err := cs.roomLocked(); err != nil && (cs.closed || !first || !cs.cluster.reachable(a.game)) {
		asksBusy.Inc()
		return false, err
	}
	if q == nil {
		q = &queue{}
		cs.games[a.game] = q
	}
	a.turn = q.turns
	q.turns++
	q.list = append(q.list, a)
	cs.count++
	return first, nil
}

// roomLocked says why nothing more may wait. REQUIRES: mu.
func (cs *calls) roomLocked() error {
	switch {
	case cs.closed:
		return game.ErrClosed
	case cs.count >= cs.cluster.options.Waiting:
		return fmt.Errorf("%w: too many calls wait for games that move", broker.ErrBusy)
	}
	return nil
}

// send sends what waits for a game, as far as that is possible now, and reports whether something waits still.
func (cs *calls) send(id game.ID) (waits bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	q := cs.games[id]
	if q == nil || q.sending {
		return false // who sends sees to it
	}
	q.sending = true
	for cs.sendFirst(id, q) {
	}
	q.sending = false
	cs.dropLocked(id, q)
	return len(q.list) > 0
}

// sendFirst sends the first question that waits for a game, or gives it up when its time is over; false when it has to wait.
// REQUIRES: mu, which is let go of meanwhile, and that nobody else sends those of the game.
func (cs *calls) sendFirst(id game.ID, q *queue) bool {
	if len(q.list) == 0 {
		return false
	}
	now := time.Now()
	a := q.list[0]
	if now.After(a.until) {
		cs.takeLocked(q)
		cs.mu.Unlock()
		defer cs.mu.Lock()
		asksLate.Inc()
		a.done(nil, cs.tooLate())
		return true
	}
	at, err := cs.cluster.route(id)
	switch {
	case errors.Is(err, game.ErrNoGame):
		cs.lookLocked(id, q)
		return false
	case err != nil, q.at != at && q.underway > 0, q.at == at && now.Before(q.rest):
		return false
	}
	cs.takeLocked(q)
	q.underway++
	q.at = at
	cs.mu.Unlock()
	sent := cs.ask(a, at)
	if !sent {
		cs.notThere(a)
	}
	cs.mu.Lock()
	return sent
}

// takeLocked takes the first question off its list. REQUIRES: mu.
func (cs *calls) takeLocked(q *queue) {
	q.list[0] = nil
	q.list = q.list[1:]
	cs.count--
}

// dropLocked forgets a game that nothing is asked of. REQUIRES: mu.
func (cs *calls) dropLocked(id game.ID, q *queue) {
	if len(q.list) == 0 && q.underway == 0 && !q.sending && !q.looking && cs.games[id] == q {
		delete(cs.games, id)
	}
}

// route says where a game is. Errors: game.ErrNoGame when no record of it is known, errTryAgain.
func (c *Cluster) route(id game.ID) (whereabouts, error) {
	if token := c.host.Token(id); token > 0 {
		return whereabouts{token: token}, nil
	}
	l, token, err := c.linkNow(id)
	return whereabouts{l, token}, err
}

// reachable says whether a question about a game can be sent now.
func (c *Cluster) reachable(id game.ID) bool {
	_, err := c.route(id)
	return err == nil
}

// ask sends a question to where its game is; false when there is no link any more.
func (cs *calls) ask(a *asking, at whereabouts) bool {
	if at.link == nil {
		cs.cluster.serve(a.data, func(answer []byte, here bool) {
			if !here {
				cs.notThere(a)
				return
			}
			cs.landed(a)
			asksHere.Inc()
			a.done(answer, nil)
		})
		return true
	}
	err := at.link.ask(askCall, a.game, at.token, a.data, func(f frame, err error) { cs.answered(a, &f, err) })
	if errors.Is(err, errNoLink) {
		return false
	}
	if err != nil {
		cs.landed(a)
		a.done(nil, err)
	}
	return true
}

// answered takes the answer of a node.
func (cs *calls) answered(a *asking, f *frame, err error) {
	if err != nil && a.again || err == nil && f.code == codeNotHere {
		cs.notThere(a)
		return
	}
	cs.landed(a)
	switch {
	case err != nil:
		asksUnknown.Inc()
		a.done(nil, game.ErrUnknown)
	case f.code == codeOK:
		asksThere.Inc()
		a.done(f.data, nil)
	default:
		a.done(nil, fmt.Errorf("%w: the node of the game", broker.ErrBusy))
	}
}

// landed notes that a question is under way no more.
func (cs *calls) landed(a *asking) {
	cs.mu.Lock()
	q := cs.games[a.game]
	if q == nil { // closed
		cs.mu.Unlock()
		return
	}
	q.underway--
	next := q.underway == 0 && len(q.list) > 0
	cs.dropLocked(a.game, q)
	cs.mu.Unlock()
	if next {
		cs.cluster.wake()
	}
}

// notThere gives a question back its place before all that came behind it: its game was not where it was sent.
func (cs *calls) notThere(a *asking) {
	cs.mu.Lock()
	err := cs.backLocked(a)
	cs.mu.Unlock()
	if err != nil {
		a.done(nil, err)
		return
	}
	cs.cluster.wake()
}

// backLocked puts a question that was under way back into the list. After an error it is in none. REQUIRES: mu.
func (cs *calls) backLocked(a *asking) error {
	q := cs.games[a.game]
	if q == nil {
		return game.ErrClosed
	}
	q.underway--
	q.rest = time.Now().Add(retryRest)
	if err := cs.roomLocked(); err != nil {
		asksBusy.Inc()
		cs.dropLocked(a.game, q)
		return err
	}
	i, _ := slices.BinarySearchFunc(q.list, a.turn, func(b *asking, turn uint64) int { return cmp.Compare(b.turn, turn) })
	q.list = slices.Insert(q.list, i, a)
	cs.count++
	return nil
}

// retry sends what can be sent now, and reports whether something waits still.
func (cs *calls) retry() (waits bool) {
	cs.mu.Lock()
	ids := make([]game.ID, 0, len(cs.games))
	for id, q := range cs.games {
		if len(q.list) > 0 {
			ids = append(ids, id)
		}
	}
	cs.mu.Unlock()
	for _, id := range ids {
		waits = cs.send(id) || waits
	}
	return waits
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
	if errors.Is(err, broker.ErrNotFound) && cs.games[id] == q {
		gone, q.list = q.list, nil
		cs.count -= len(gone)
	}
	cs.dropLocked(id, q)
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
	games := cs.games
	cs.games, cs.count = map[game.ID]*queue{}, 0
	var list []*asking
	for _, q := range games {
		list = append(list, q.list...)
		q.list = nil
	}
	cs.mu.Unlock()
	for _, a := range list {
		a.done(nil, game.ErrClosed)
	}
}

// answer serves a question of another node. It does not block.
func (c *Cluster) answer(l *link, f frame) {
	serve := c.serveCall
	switch f.what {
	case askPrepare:
		c.servePrepare(l, &f)
		return
	case askAdopt:
		c.serveAdopt(l, &f)
		return
	case askWatch:
		serve = c.serveWatch
	}
	switch waits, err := c.coming.wait(f.game, f.token, func() { serve(l, &f) }); {
	case err != nil:
		l.send(frame{kind: kindAnswer, call: f.call, code: codeBusy})
	case !waits:
		serve(l, &f)
	}
}

// comes says whether this node has a game by a token, or is about to, as far as it knows. Who has read the new record may be faster
// than the game.
func (c *Cluster) comes(id game.ID, token uint64) (here, comes bool) {
	if id == 0 {
		return true, false
	}
	if mine := c.host.Token(id); mine != 0 {
		return mine == token, token > mine
	}
	rec, ok := c.games.get(id)
	return false, ok && (rec.Token < token || rec.Token == token && rec.Node == c.options.Node)
}

// serveCall serves a question of another node about a game, or about none.
func (c *Cluster) serveCall(l *link, f *frame) {
	reply := func(code code, data []byte) { l.send(frame{kind: kindAnswer, call: f.call, code: code, data: data}) }
	if here, _ := c.comes(f.game, f.token); !here {
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
	err := l.ask(askCall, 0, 0, data, func(f frame, err error) {
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
