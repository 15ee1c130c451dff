package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker"
	"gosper/grid/game"
)

// Cluster is one node among those that run games together. All methods may be called from any goroutine.
//
// A node is put together in this order, since each part needs the one before:
//
//	c, err := cluster.New(options)
//	host, err := game.NewHost(ctx, game.Config{…, Sink: … frames to c, Node: c.Node(), Left: c.Left})
//	table, err := module.New(module.Config{…, Nodes: c})
//	err = c.Start(ctx, host, streams, table.ServeNode)
type Cluster struct {
	// static after construction
	options Options

	// static after Start
	host   *game.Host
	frames Frames
	serve  Serve
	ctx    context.Context // ends with the Cluster
	cancel context.CancelFunc
	server net.Listener
	addr   string

	members *members
	games   *directory
	links   *links
	streams *streams
	calls   calls
	coming  coming
	group   sync.WaitGroup
	woken   chan struct{} // something may be found now
	left    leftGames
	steward steward

	// atomic
	started  atomic.Bool
	draining atomic.Bool
	renewal  atomic.Int64 // when this node's record was written last, on the clock of begun
	begun    time.Time

	closeOnce sync.Once
}

// Serve answers a question of another node, or of this one, about a game of this node, or about none. It must not block; done
// is called once, from any goroutine. here is false when the game is not at this node: then nothing was done. data belongs
// to Serve.
type Serve func(data []byte, done func(answer []byte, here bool))

// New checks the options. Nothing runs before Start, but Frame and Left may be called.
func New(o Options) (*Cluster, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	c := &Cluster{options: o, begun: time.Now(), woken: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.members = newMembers(c)
	c.games = newDirectory(c.recordChanged)
	c.links = newLinks(c)
	c.streams = newStreams(c)
	c.draining.Store(o.Guest)
	c.calls.init(c)
	c.coming.init(o.Waiting, o.Wait, c.comes)
	c.steward.init(c)
	return c, nil
}

// Node is the name of this node.
func (c *Cluster) Node() string { return c.options.Node }

// Addr is the address that other nodes dial; after Start.
func (c *Cluster) Addr() string { return c.addr }

// Start makes the node known and begins to run games: those that have no node are taken over from now on. The context bounds the
// start only. After an error nothing runs.
func (c *Cluster) Start(ctx context.Context, host *game.Host, frames Frames, serve Serve) error {
	c.host, c.frames, c.serve = host, frames, serve
	var err error
	if c.server, err = net.Listen("tcp", c.options.Listen); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	if c.addr = c.options.Advertise; c.addr == "" {
		c.addr = c.server.Addr().String()
	}
	if err := c.follow(ctx); err != nil {
		c.cancel()
		return errors.Join(fmt.Errorf("cluster: %w", err), c.server.Close())
	}
	c.started.Store(true)
	watchMetrics(c)
	c.group.Go(c.links.accept)
	c.group.Go(c.beats)
	c.group.Go(c.finds)
	c.group.Go(c.resync)
	return nil
}

// follow reads who and what is there.
func (c *Cluster) follow(ctx context.Context) error {
	if err := c.options.Store.Watch(c.ctx, game.RecordPrefix, c.games.take); err != nil {
		return err
	}
	if err := c.members.bury(ctx); err != nil {
		return err
	}
	if err := c.members.beat(ctx, c.selfRecord()); err != nil {
		return err
	}
	return c.games.read(ctx, c.options.Store)
}

// selfRecord is what this node tells the others now.
func (c *Cluster) selfRecord() *nodeRecord {
	free, _, games := c.host.Load()
	return &nodeRecord{Addr: c.addr, Beat: uint64(time.Since(c.begun) / time.Millisecond), Games: games, Free: free, Draining: c.draining.Load()}
}

// beats keeps this node's record and looks at the others', dials them, and takes games over.
func (c *Cluster) beats() {
	tick := time.NewTicker(c.options.Beat)
	defer tick.Stop()
	failing := false
	for {
		err := c.members.beat(c.ctx, c.selfRecord())
		c.judgeSelf(time.Now())
		if failing != (err != nil) && c.ctx.Err() == nil {
			if failing = err != nil; failing {
				c.options.Log.Warn("the store of the nodes does not answer", "err", err)
			} else {
				c.options.Log.Info("the store of the nodes answers again")
			}
		}
		if err == nil {
			c.links.dial()
			c.steward.round(time.Now())
		}
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// renewed notes that this node's record was written by a call that began then.
func (c *Cluster) renewed(begin time.Time) { c.renewal.Store(int64(begin.Sub(c.begun))) }

// judgeSelf stops edits when others may soon take this node for dead, and allows them again.
func (c *Cluster) judgeSelf(now time.Time) {
	away := now.Sub(c.begun)-time.Duration(c.renewal.Load()) > c.options.Lease/2
	if c.host.Away(away) != away {
		if away {
			awayTotal.Inc()
		}
		c.wake()
	}
}

// resync reads all records now and then, should the Store have told less than all.
func (c *Cluster) resync() {
	tick := time.NewTicker(10 * c.options.Lease)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
			ctx, cancel := context.WithTimeout(c.ctx, 5*c.options.Lease)
			_ = c.games.read(ctx, c.options.Store) // the next time
			cancel()
		}
	}
}

// recordChanged is told of each new record of a game.
func (c *Cluster) recordChanged(rec *game.Record) {
	if !c.started.Load() {
		return
	}
	if rec.Node != c.options.Node {
		c.host.Lost(rec.ID, rec.Token)
		c.coming.elsewhere(rec.ID, rec.Token)
	}
	c.wake()
}

// leftGames are those that the host has let go of, until finds has seen to their streams.
type leftGames struct {
	mu   sync.Mutex
	list []game.ID
	kept map[game.ID]bool // on their way to another node: their streams stay as they are until they are there
}

// Left is for game.Config.
func (c *Cluster) Left(id game.ID) {
	c.left.mu.Lock()
	c.left.list = append(c.left.list, id)
	c.left.mu.Unlock()
	c.wake()
}

// take returns those whose streams are to be looked for now.
func (l *leftGames) take() []game.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list, rest []game.ID
	for _, id := range l.list {
		if l.kept[id] {
			rest = append(rest, id)
		} else {
			list = append(list, id)
		}
	}
	l.list = rest
	return list
}

// keep says whether a game that leaves is on its way.
func (l *leftGames) keep(id game.ID, on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !on {
		delete(l.kept, id)
		return
	}
	if l.kept == nil {
		l.kept = map[game.ID]bool{}
	}
	l.kept[id] = true
}

// wake lets finds look again for what waits. It does not block.
func (c *Cluster) wake() {
	select {
	case c.woken <- struct{}{}:
	default:
	}
}

// retryRest is the time between two looks for a game that is not where it should be.
const retryRest = 20 * time.Millisecond

// finds sends waiting calls and streams on, as soon as their games are found: whenever something changes, and while
// something waits now and then.
func (c *Cluster) finds() {
	rest := time.NewTimer(retryRest)
	defer rest.Stop()
	for {
		c.streamsLeft()
		waiting := c.calls.retry()
		waiting = c.streams.attach() || waiting
		var again <-chan time.Time
		if waiting {
			rest.Reset(retryRest)
			again = rest.C
		}
		select {
		case <-c.ctx.Done():
			return
		case <-c.woken:
		case <-again:
		}
	}
}

// streamsLeft ends the streams of games that the host has let go of.
func (c *Cluster) streamsLeft() {
	for _, id := range c.left.take() {
		c.streams.gameLeft(id)
	}
}

// has says whether the game is at this node.
func (c *Cluster) has(id game.ID) bool {
	_, err := c.host.Game(id)
	return err == nil
}

// linkNow returns the link to the node of a game, and the token by which that has it. Errors: game.ErrNoGame when no record of it is known, errTryAgain.
func (c *Cluster) linkNow(id game.ID) (l *link, token uint64, err error) {
	rec, ok := c.games.get(id)
	if !ok {
		return nil, 0, game.ErrNoGame
	}
	if l := c.links.get(rec.Node); l != nil {
		return l, rec.Token, nil
	}
	return nil, 0, errTryAgain
}

// linkTo is linkNow for callers that may wait: it asks the Store for a game that is not known.
func (c *Cluster) linkTo(id game.ID, end time.Time) (l *link, token uint64, err error) {
	l, token, err = c.linkNow(id)
	if !errors.Is(err, game.ErrNoGame) {
		return l, token, err
	}
	ctx, cancel := context.WithDeadline(c.ctx, end)
	defer cancel()
	switch _, err := c.games.lookUp(ctx, c.options.Store, id); {
	case errors.Is(err, broker.ErrNotFound):
		return nil, 0, game.ErrNoGame
	case err != nil:
		return nil, 0, fmt.Errorf("%w: %w", game.ErrAway, err)
	}
	return c.linkNow(id)
}

// Drain hands all games to other nodes, as far as there are some, and lets this one take none any more. It returns how many
// games are left here, and the error of ctx.
func (c *Cluster) Drain(ctx context.Context) (left int, err error) {
	c.draining.Store(true)
	if err := c.members.beat(ctx, c.selfRecord()); err != nil {
		c.options.Log.Warn("the other nodes do not know that this one drains", "err", err)
	}
	c.steward.handAll(ctx)
	_, _, left = c.host.Load()
	return left, ctx.Err()
}

// Close ends the links and says good-bye: games that are here still have no node from then on. Close the Host first.
func (c *Cluster) Close() error {
	var err error
	c.closeOnce.Do(func() { err = c.close() })
	return err
}

func (c *Cluster) close() error {
	c.cancel()
	if !c.started.Load() {
		return nil
	}
	unwatchMetrics(c)
	err := c.server.Close()
	c.links.close()
	c.group.Wait()
	c.calls.close()
	c.coming.close()
	ctx, cancel := context.WithTimeout(context.Background(), c.options.Lease/2)
	defer cancel()
	if gone := c.options.Store.Delete(ctx, nodePrefix+c.options.Node, broker.AnyRevision); gone != nil {
		c.options.Log.Warn("this node could not say good-bye", "err", gone)
	}
	return err
}
