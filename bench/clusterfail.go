package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"gosper/edge/client"
	"gosper/protocol"
)

const (
	failRounds      = 5
	failRoundsQuick = 1
	failSide        = 512                    // of the grid
	failInterval    = 100 * time.Millisecond // a generation
	failEdits       = 10 * time.Millisecond  // between two edits
	failBefore      = time.Second            // what is watched before something happens, and after it
	failPatience    = time.Minute
)

// clusterFail kills the node of a game again and again, then lets it go in good order, while somebody on another node
// watches and draws.
func clusterFail(ctx context.Context, r *Run, share clusterShare) error {
	rounds := failRounds
	if r.Quick {
		rounds = failRoundsQuick
	}
	r.Setting("fail_rounds", rounds)
	r.Setting("fail_interval_ms", failInterval.Milliseconds())
	r.Setting("late_ticks", "by how many intervals the latest generation came to somebody at another node behind the time-table that those before the hand-over kept; "+
		"undisturbed: the latest of those before")
	r.Step(share.at(0), "starting three nodes and three NATS servers")
	c, err := r.startCluster(ctx, ClusterOptions{Nodes: 3, NATS: 3, Store: true, Bus: BusNATS, Flags: []string{"--limit-drain-spread=0s"}})
	if err != nil {
		return err
	}
	defer c.Stop()
	var failover, late, undisturbed []float64
	for round := range rounds {
		for i, kind := range []string{"fail-over", "hand-over"} {
			r.Step(share.at((float64(round)+float64(i)/2)/float64(rounds)), "%s %d of %d", kind, round+1, rounds)
			g, err := newFailGame(ctx, c)
			if err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
			var figure, quiet float64
			if i == 0 {
				figure, err = g.failOver(ctx)
				failover = append(failover, figure)
			} else {
				figure, quiet, err = g.handOver(ctx)
				late, undisturbed = append(late, figure), append(undisturbed, quiet)
			}
			err = errors.Join(err, g.end(ctx))
			r.Balance(g.sent, g.sent-g.lost, g.lost, 0)
			if err != nil {
				return fmt.Errorf("%s: %w", kind, err)
			}
		}
	}
	r.Series("failover_s", failover)
	r.Series("handover_late_ticks", late)
	r.Series("undisturbed_late_ticks", undisturbed)
	return nil
}

// failGame is a running game with somebody on another node than its own who watches and draws.
type failGame struct {
	cluster *Cluster
	owner   *ClusterNode // has the game
	client  *client.Client
	watch   *client.Watch
	id      string
	drawn   chan struct{} // closed when drawing has ended
	stop    context.CancelFunc

	mu     sync.Mutex
	frames []failFrame // guarded by mu
	acked  []int       // places of blocks that the server has acknowledged; guarded by mu
	lostBy error       // why the watch ended; guarded by mu

	sent, lost uint64 // acknowledged edits, and those of them that are not there in the end
}

// failFrame is when a generation came.
type failFrame struct {
	at         time.Time
	generation uint64
	epoch      uint32
}

// newFailGame makes a game, finds its node, and begins to watch and draw on another one.
func newFailGame(ctx context.Context, c *Cluster) (*failGame, error) {
	g := &failGame{cluster: c, drawn: make(chan struct{}), stop: func() {}}
	close(g.drawn) // nobody draws yet
	maker, err := failClient(ctx, c.Nodes[0], "maker")
	if err != nil {
		return g, err
	}
	defer maker.Close()
	var made struct{ Game struct{ ID string } }
	in := map[string]any{"name": "fail", "persistent": true, "interval": failInterval.Milliseconds(),
		"grids": []map[string]any{{"width": failSide, "height": failSide}}}
	if err := maker.Call(ctx, "/game/create", in, &made); err != nil {
		return g, err
	}
	g.id = made.Game.ID
	if err := maker.Call(ctx, "/game/start", map[string]any{"game": g.id}, nil); err != nil {
		return g, err
	}
	if g.owner, err = c.Owner(ctx, g.id); err != nil {
		return g, err
	}
	other := c.Nodes[0]
	if other == g.owner {
		other = c.Nodes[1]
	}
	return g, g.join(ctx, other)
}

// failClient enters as a guest.
func failClient(ctx context.Context, n *ClusterNode, name string) (*client.Client, error) {
	nonces, err := n.nonces(ctx, 1, "fail-"+name)
	if err != nil {
		return nil, err
	}
	cl, err := client.Dial(ctx, "ws://"+n.web+"/ws", client.Options{MaxMessage: 16 << 20})
	if err != nil {
		return nil, err
	}
	if err := cl.Register(ctx, nonces[0]); err != nil {
		return nil, errors.Join(err, cl.Close())
	}
	return cl, nil
}

// Owner asks all nodes which of them has the game. It fails while none of them says so, or one does not run.
func (c *Cluster) Owner(ctx context.Context, game string) (*ClusterNode, error) {
	for _, n := range c.Nodes {
		b, err := n.get(ctx, "/admin/state")
		if err != nil {
			return nil, err
		}
		var state struct{ Games []struct{ ID string } }
		if err := json.Unmarshal(b, &state); err != nil {
			return nil, err
		}
		for _, g := range state.Games {
			if g.ID == game {
				return n, nil
			}
		}
	}
	return nil, fmt.Errorf("no node says that it has game %s", game)
}

// join watches the game on a node and draws there.
func (g *failGame) join(ctx context.Context, at *ClusterNode) (err error) {
	if g.client, err = failClient(ctx, at, "watcher"); err != nil {
		return err
	}
	if err := g.client.Call(ctx, "/game/join", map[string]any{"game": g.id}, nil); err != nil {
		return err
	}
	g.watch, err = g.client.Watch(ctx, g.id, 0, client.WatchOptions{Mode: protocol.WatchCells, OnChange: g.note,
		OnLost: func(_ *client.Watch, err error) { g.fail(err) }})
	if err != nil {
		return err
	}
	drawing, stop := context.WithCancel(ctx)
	g.stop, g.drawn = stop, make(chan struct{})
	go g.draw(drawing)
	return pause(ctx, failBefore)
}

func (g *failGame) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lostBy = fmt.Errorf("the game was lost: %w", err)
}

// note notes a frame.
func (g *failGame) note(w *client.Watch) {
	now := time.Now()
	w.Look(func(f *client.Follower) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.frames = append(g.frames, failFrame{now, f.Generation(), f.Epoch()})
	})
}

// draw lays blocks, which never change, side by side. What is refused meanwhile is not counted, what is answered is.
func (g *failGame) draw(ctx context.Context) {
	defer close(g.drawn)
	const row = failSide / 4
	for place := 0; place < row*row; place++ {
		in := map[string]any{"game": g.id, "grid": 0, "x": 4 * (place % row), "y": 4 * (place / row), "text": "2o$2o!"}
		call, cancel := context.WithTimeout(ctx, failPatience)
		err := g.client.Call(call, "/game/pattern", in, nil)
		cancel()
		if err == nil {
			g.mu.Lock()
			g.acked = append(g.acked, place)
			g.mu.Unlock()
		}
		if pause(ctx, failEdits) != nil {
			return
		}
	}
}

// moved waits until a frame of another owner's epoch comes and returns when it came.
func (g *failGame) moved(ctx context.Context, from uint32) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, failPatience)
	defer cancel()
	for {
		g.mu.Lock()
		last, err := g.frames[len(g.frames)-1], g.lostBy
		for _, f := range g.frames {
			if f.epoch != from && f.at.Before(last.at) {
				last = f
				break
			}
		}
		g.mu.Unlock()
		if err != nil || last.epoch != from {
			return last.at, err
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return last.at, fmt.Errorf("no other node took the game in time: %w", err)
		}
	}
}

// epoch returns the present epoch of the game.
func (g *failGame) epoch() (uint32, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.frames) == 0 {
		return 0, errors.New("no frame of the game came")
	}
	return g.frames[len(g.frames)-1].epoch, nil
}

// failOver kills the game's node and returns after how many seconds the next frame came.
func (g *failGame) failOver(ctx context.Context) (float64, error) {
	epoch, err := g.epoch()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	g.owner.Kill()
	at, err := g.moved(ctx, epoch)
	return at.Sub(begin).Seconds(), err
}

// handOver lets the game's node go and returns by how many intervals the latest generation was late, and the same for those that came
// before.
func (g *failGame) handOver(ctx context.Context) (late, undisturbed float64, err error) {
	epoch, err := g.epoch()
	if err != nil {
		return 0, 0, err
	}
	g.mu.Lock()
	before := len(g.frames)
	g.mu.Unlock()
	g.owner.asked()
	if _, err := g.moved(ctx, epoch); err != nil {
		return 0, 0, err
	}
	if err := pause(ctx, failBefore); err != nil {
		return 0, 0, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	all, quiet := newGenerations(g.frames), newGenerations(g.frames[:before])
	return lateTicks(quiet, all[len(quiet):], failInterval), lateTicks(quiet, quiet, failInterval), nil
}

// newGenerations returns the frames that brought a generation when it was new: there is one for each edit too, whose generation may
// be an interval old, and so may be that of the first frame.
func newGenerations(frames []failFrame) (list []failFrame) {
	if len(frames) == 0 {
		return nil
	}
	last := frames[0].generation
	for _, f := range frames {
		if f.generation > last {
			last = f.generation
			list = append(list, f)
		}
	}
	return list
}

// lateTicks returns by how many intervals the latest of some generations came behind the time-table that those before
// them kept. A frame that stands for several generations is as late as its newest.
func lateTicks(before, frames []failFrame, interval time.Duration) float64 {
	if len(before) == 0 {
		return 0
	}
	start := before[0]
	due := func(f failFrame) time.Duration {
		return f.at.Sub(start.at) - time.Duration(int64(f.generation)-int64(start.generation))*interval
	}
	base, worst := due(before[0]), time.Duration(0)
	for _, f := range before {
		base = min(base, due(f))
	}
	for _, f := range frames {
		worst = max(worst, due(f)-base)
	}
	return worst.Seconds() / interval.Seconds()
}

// end stops drawing, counts what was acknowledged and is not there, and brings the node back.
func (g *failGame) end(ctx context.Context) error {
	g.stop()
	<-g.drawn
	var errs []error
	if g.watch != nil {
		errs = append(errs, g.count(ctx))
	}
	if g.client != nil {
		errs = append(errs, g.client.Close())
	}
	if g.owner != nil {
		g.owner.Stop()
		errs = append(errs, g.owner.Start())
		errs = append(errs, g.owner.WaitReady(ctx))
	}
	return errors.Join(errs...)
}

// count waits until every acknowledged block is on the grid, or patience is over.
func (g *failGame) count(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, failPatience)
	defer cancel()
	g.mu.Lock()
	g.sent = uint64(len(g.acked))
	acked := g.acked
	g.mu.Unlock()
	const row = failSide / 4
	for {
		g.lost = 0
		seen := g.watch.Look(func(f *client.Follower) {
			for _, place := range acked {
				if !f.Grid().Alive(4*(place%row), 4*(place/row)) {
					g.lost++
				}
			}
		})
		if seen && g.lost == 0 {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d acknowledged edits are lost", g.lost, g.sent)
		}
	}
}
