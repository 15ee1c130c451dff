package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"gosper/broker"
	"gosper/grid/game"
)

// steward takes over games that have no living node, and hands over those of a node that goes.
type steward struct {
	cluster *Cluster
	slots   chan struct{} // games that are being taken or handed over
	loads   chan struct{} // games that are being prepared

	// owned by the goroutine of round
	orphans map[game.ID]time.Time // games that seem to be nowhere, since when

	// guarded by mu
	mu      sync.Mutex
	failed  map[game.ID]failure
	working map[game.ID]bool
}

// failure is a game that could not be taken over.
type failure struct {
	times int
	next  time.Time
}

// movers is how many games move at once; half as many are prepared.
const movers = 16

func (s *steward) init(c *Cluster) {
	s.cluster = c
	s.slots, s.loads = make(chan struct{}, movers), make(chan struct{}, movers/2)
	s.failed, s.working = map[game.ID]failure{}, map[game.ID]bool{}
	s.orphans = map[game.ID]time.Time{}
}

// round takes over what is this node's to take.
func (s *steward) round(now time.Time) {
	c := s.cluster
	if !c.members.current(now) {
		return
	}
	draining := c.draining.Load()
	names := []string{c.options.Node}
	for name, m := range c.members.alive() {
		if !m.Draining {
			names = append(names, name)
		}
	}
	judged, orphans := map[string]bool{}, map[game.ID]time.Time{}
	for _, rec := range c.games.all() {
		orphan, ok := judged[rec.Node]
		if !ok {
			orphan = s.judge(rec.Node, now)
			judged[rec.Node] = orphan
		}
		mine := rec.Node == c.options.Node
		if !orphan || mine && c.has(rec.ID) || !mine && draining {
			continue
		}
		since, ok := s.orphans[rec.ID]
		if !ok {
			since = now
		}
		orphans[rec.ID] = since
		turns := 2 // for a game that is being made, or handed to this node, which is told of it: unless that was lost
		if !mine {
			turns = rank(rec.ID, c.options.Node, names)
		}
		if now.Sub(since) >= time.Duration(turns)*c.options.Beat {
			s.take(rec, now)
		}
	}
	s.orphans = orphans
}

// judge says whether a game whose record names node may need another one.
func (s *steward) judge(node string, now time.Time) bool {
	return node == s.cluster.options.Node || node == "" || s.cluster.members.dead(node, now)
}

// rank is the place of a node among those that may take a game over: all of them agree on it without asking.
func rank(id game.ID, node string, names []string) int {
	mine, place := weight(id, node), 0
	for _, other := range names {
		if w := weight(id, other); w > mine || w == mine && other > node {
			place++
		}
	}
	return place
}

func weight(id game.ID, node string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id.String() + node)) // never fails
	w := h.Sum64()
	w ^= w >> 33 // the last letters of a name must count as much as the first
	w *= 0xff51afd7ed558ccd
	return w ^ w>>33
}

// take begins to take a game over, unless that goes on already or failed a moment ago.
func (s *steward) take(rec game.Record, now time.Time) {
	s.mu.Lock()
	busy := s.working[rec.ID] || now.Before(s.failed[rec.ID].next)
	if !busy {
		s.working[rec.ID] = true
	}
	s.mu.Unlock()
	if busy {
		return
	}
	s.cluster.group.Go(func() {
		err := s.adoptFound(rec)
		s.mu.Lock()
		delete(s.working, rec.ID)
		s.mu.Unlock()
		if err == nil && rec.Node != s.cluster.options.Node {
			s.cluster.options.Log.Info("a game was taken over", "game", rec.ID, "from", rec.Node)
		}
	})
}

// adoptFound takes a game over. A record that names this node is looked at once more: the game may be on its way to another one.
func (s *steward) adoptFound(rec game.Record) error {
	c := s.cluster
	if rec.Node == c.options.Node {
		now, err := c.games.lookUp(c.ctx, c.options.Store, rec.ID)
		if err != nil || now.Revision != rec.Revision {
			s.reread(c.ctx, rec.ID)
			return errTryAgain
		}
	}
	return s.adopt(c.ctx, rec, game.Passed{})
}

// prepare lets the host load a game that another node is about to hand over.
func (s *steward) prepare(ctx context.Context, id game.ID) error {
	select {
	case s.loads <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.loads }()
	return s.cluster.host.Prepare(ctx, id)
}

// adopt lets the host have a game, and remembers when that failed.
func (s *steward) adopt(ctx context.Context, rec game.Record, p game.Passed) error {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.slots }()
	c := s.cluster
	err := c.host.Adopt(ctx, rec, p)
	c.coming.here(rec.ID)
	if err == nil || errors.Is(err, game.ErrGone) {
		s.mu.Lock()
		delete(s.failed, rec.ID)
		s.mu.Unlock()
		c.wake()
	}
	switch {
	case err == nil:
	case errors.Is(err, game.ErrGone):
		c.games.remove(rec.ID)
	case errors.Is(err, broker.ErrConflict), errors.Is(err, broker.ErrNotFound), errors.Is(err, broker.ErrFenced):
		s.reread(ctx, rec.ID) // another node was faster
	case errors.Is(err, game.ErrBusy), errors.Is(err, game.ErrClosed), ctx.Err() != nil:
	default:
		s.rest(rec.ID, err)
	}
	return err
}

// reread looks at a record that was not what it seemed.
func (s *steward) reread(ctx context.Context, id game.ID) {
	c := s.cluster
	if _, err := c.games.lookUp(ctx, c.options.Store, id); errors.Is(err, broker.ErrNotFound) {
		c.games.remove(id)
	}
}

// Rests after failures: twice as long each time.
const (
	firstRest = 500 * time.Millisecond
	mostRests = 7 // doublings: 64 s
)

func (s *steward) rest(id game.ID, err error) {
	s.mu.Lock()
	f := s.failed[id]
	f.next = time.Now().Add(firstRest << min(f.times, mostRests))
	f.times++
	s.failed[id] = f
	s.mu.Unlock()
	s.cluster.options.Log.Error("a game could not be taken over", "game", id, "times", f.times, "err", err)
}

// handAll hands every game over, a few at a time, until none is left, nobody takes one, or ctx ends.
func (s *steward) handAll(ctx context.Context) {
	for round := 0; ctx.Err() == nil && round < 3; round++ {
		ids := s.cluster.host.IDs()
		if len(ids) == 0 {
			return
		}
		var group sync.WaitGroup
		slots := make(chan struct{}, movers/2)
		for _, id := range ids {
			slots <- struct{}{}
			group.Go(func() {
				defer func() { <-slots }()
				if err := s.hand(ctx, id); err != nil && !errors.Is(err, game.ErrNoGame) {
					s.cluster.options.Log.Warn("a game was not handed over", "game", id, "err", err)
				}
			})
		}
		group.Wait()
	}
}

// errNobody says that no other node can take games.
var errNobody = errors.New("no other node takes games")

// hand gives one game to another node. When that one does not take it, this node does so again.
func (s *steward) hand(ctx context.Context, id game.ID) error {
	c := s.cluster
	g, err := c.host.Game(id)
	if err != nil {
		return err
	}
	info := g.Info()
	to := c.pick(game.Memory(info.Grids), false)
	if to == "" {
		return errNobody
	}
	l := c.links.get(to)
	if l == nil {
		return errNobody
	}
	if err := c.host.Save(ctx, id); err != nil {
		return err
	}
	rec, err := c.games.lookUp(ctx, c.options.Store, id)
	if err != nil {
		return err
	}
	if err := s.pass(ctx, l, askPrepare, rec, game.Passed{}); err != nil {
		return err
	}
	c.left.keep(id, true)
	defer func() {
		c.left.keep(id, false)
		c.streamsLeft() // at once: the game may be back in a moment
		c.wake()
	}()
	begin := time.Now()
	rec, p, err := c.host.Hand(ctx, id, to)
	if err != nil {
		return err
	}
	err = s.pass(ctx, l, askAdopt, rec, p)
	handSeconds.UpdateDuration(begin)
	if !p.Due.IsZero() && time.Since(p.Due) > info.Interval {
		handsLate.Inc()
	}
	if err != nil && ctx.Err() == nil { // it finds the game in the records, or others do when it is dead
		s.reread(ctx, id)
	}
	return err
}

// pass tells the node behind l that a game is, or will be, its own, and waits until it has done its part.
func (s *steward) pass(ctx context.Context, l *link, w what, rec game.Record, p game.Passed) error {
	data, err := json.Marshal(newHandOver(rec, p))
	if err != nil {
		return err
	}
	answer := make(chan error, 1)
	err = l.ask(w, rec.ID, 0, data, func(f frame, err error) {
		if err == nil && f.code != codeOK {
			err = parseRefusal(f.data)
		}
		answer <- err
	})
	s.cluster.games.note(rec) // not before: calls follow, and do not overtake
	if err != nil {
		return err
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Place chooses the node for a new game of that many bytes of memory: the one with the fewest games among those with room,
// this one when it is as good as others, or has nobody else. "" when this node runs no games and reaches none with room. A node
// that runs none and reaches none that does, since it has just begun or they are exchanged, waits for one until the context
// ends, for Options.Wait at most.
func (c *Cluster) Place(ctx context.Context, bytes int64) string {
	node := c.pick(bytes, !c.draining.Load())
	switch {
	case node != "":
		return node
	case !c.options.Guest:
		return c.options.Node
	case !c.reachesGames() && c.waitForGames(ctx):
		return c.pick(bytes, false)
	}
	return ""
}

// reachesGames says whether there is a link to a node that takes games.
func (c *Cluster) reachesGames() bool {
	for name, m := range c.members.alive() {
		if !m.Draining && c.links.get(name) != nil {
			return true
		}
	}
	return false
}

// waitForGames waits for a link to a node that takes games, and reports whether there is one.
func (c *Cluster) waitForGames(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, c.options.Wait)
	defer cancel()
	again := time.NewTicker(retryRest)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			if c.reachesGames() {
				return true
			}
		case <-ctx.Done():
			return false
		case <-c.ctx.Done():
			return false
		}
	}
}

// pick chooses a node with room, "" for none, and counts the game as sent there.
func (c *Cluster) pick(bytes int64, here bool) string {
	type choice struct {
		node  string
		games int
		free  int64
	}
	var all []choice
	for name, m := range c.members.alive() {
		if !m.Draining && c.links.get(name) != nil {
			all = append(all, choice{name, m.Games + m.placed, m.Free - int64(m.placed)*bytes})
		}
	}
	if free, _, games := c.host.Load(); here {
		all = append(all, choice{c.options.Node, games, free})
	}
	all = slices.DeleteFunc(all, func(one choice) bool { return one.free < bytes })
	if len(all) == 0 {
		return ""
	}
	best := slices.MinFunc(all, func(a, b choice) int {
		if by := cmp.Compare(a.games, b.games); by != 0 {
			return by
		}
		if a.node == c.options.Node || b.node == c.options.Node {
			return cmp.Compare(btoi(a.node != c.options.Node), btoi(b.node != c.options.Node))
		}
		return cmp.Or(cmp.Compare(b.free, a.free), cmp.Compare(a.node, b.node))
	})
	c.members.place(best.node)
	return best.node
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
