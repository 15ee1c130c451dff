package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"gosper/grid"
	"gosper/protocol"
)

// WatchOptions say how to watch a grid of a game. The zero value watches all cells.
type WatchOptions struct {
	Mode protocol.WatchMode
	View protocol.GridRect // for protocol.WatchView
	// OnChange is called after each frame that was applied, as a handler of pushes is: one at a time and in order. The
	// grid may be looked at with Watch.Look.
	OnChange func(*Watch)
	// OnLost is called when the watch ended for a reason that watching again does not heal, such as the end of the game.
	OnLost    func(*Watch, error)
	MaxMemory int64 // of the copy in bytes; 0 means 64 MiB
}

// Watch is a copy of a grid of a game that follows it, over lost connections too: when a frame is missing or a hash is
// wrong, and when the connection came back, it begins again with a snapshot by itself.
type Watch struct {
	// static after Client.Watch
	client *Client
	name   gridName
	opts   WatchOptions

	// guarded by mu
	mu       sync.Mutex
	follower *Follower
	stats    WatchStats
	again    bool // a snapshot is being asked for
	closed   bool
}

// WatchStats count what came.
type WatchStats struct {
	Frames    uint64
	Bytes     uint64 // of their payloads
	Snapshots uint64
	Repairs   uint64 // snapshots that had to be asked for because a frame did not fit
}

// gridName names a watched grid: the number of the game and the index.
type gridName struct {
	game uint64
	grid uint16
}

// gameIDChars are the digits of a game's id, 5 bits each.
const gameIDChars = "0123456789abcdefghjkmnpqrstvwxyz"

// gameNumber is the number that frames have for a game's id.
func gameNumber(id string) (n uint64, ok bool) {
	if len(id) != 10 {
		return 0, false
	}
	for i := range len(id) {
		v := strings.IndexByte(gameIDChars, id[i])
		if v < 0 {
			return 0, false
		}
		n = n<<5 | uint64(v)
	}
	return n, true
}

func gameID(n uint64) string {
	var b [10]byte
	for i := range b {
		b[9-i] = gameIDChars[n>>(5*i)&31]
	}
	return string(b[:])
}

// watchRequest is the content of /game/watch and /game/unwatch.
type watchRequest struct {
	Game string     `json:"game"`
	Grid uint16     `json:"grid"`
	Mode string     `json:"mode,omitempty"`
	View *watchView `json:"view,omitempty"`
}

type watchView struct {
	X      int32 `json:"x"`
	Y      int32 `json:"y"`
	Width  int32 `json:"width"`
	Height int32 `json:"height"`
}

// description is what a follower of a text stream needs of the answer of /game/stats.
type description struct {
	Game struct {
		Grids []struct {
			Width    int    `json:"width"`
			Height   int    `json:"height"`
			Rule     string `json:"rule"`
			Topology string `json:"topology"`
			Owners   int    `json:"owners"`
		} `json:"grids"`
	} `json:"game"`
}

// Watch follows a grid of a game until Watch.Close. A client watches a grid in one way at a time: another Watch of the
// same grid ends the one before. The server has to let the client watch first, which takes a login or a registration.
func (c *Client) Watch(ctx context.Context, game string, index uint16, o WatchOptions) (*Watch, error) {
	number, ok := gameNumber(game)
	if !ok {
		return nil, fmt.Errorf("watch: %q is not the id of a game", game)
	}
	w := &Watch{client: c, name: gridName{number, index}, opts: o, follower: NewFollower(o.Mode, o.MaxMemory)}
	c.mu.Lock()
	before := c.watches[w.name]
	c.watches[w.name] = w
	c.mu.Unlock()
	if before != nil {
		before.end()
	}
	ctx, cancel := c.bound(ctx)
	defer cancel()
	l, err := c.link(ctx)
	if err == nil {
		err = w.ask(ctx, l)
	}
	if err != nil {
		c.forget(w)
		return nil, err
	}
	return w, nil
}

// ask has the server send the stream from a snapshot on.
func (w *Watch) ask(ctx context.Context, l *link) error {
	in := watchRequest{Game: gameID(w.name.game), Grid: w.name.grid, Mode: w.opts.Mode.String()}
	if w.opts.Mode == protocol.WatchView {
		in.View = (*watchView)(&w.opts.View)
	}
	if l.line {
		if err := w.describe(ctx, l); err != nil {
			return err
		}
	}
	return w.client.callOn(ctx, l, "/game/watch", in, nil)
}

// describe learns what a text stream does not tell of its grid, once: that never changes.
func (w *Watch) describe(ctx context.Context, l *link) error {
	w.mu.Lock()
	known := w.follower.shape != grid.Options{}
	w.mu.Unlock()
	if known {
		return nil
	}
	var out description
	if err := w.client.callOn(ctx, l, "/game/stats", map[string]string{"game": gameID(w.name.game)}, &out); err != nil {
		return err
	}
	if int(w.name.grid) >= len(out.Game.Grids) {
		return fmt.Errorf("watch: the game has no grid %d", w.name.grid)
	}
	g := out.Game.Grids[w.name.grid]
	shape := grid.Options{Width: g.Width, Height: g.Height, Owners: g.Owners}
	var err error
	if shape.Rule, err = grid.ParseRule(g.Rule); err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	if g.Topology == grid.Plane.String() {
		shape.Topology = grid.Plane
	}
	w.mu.Lock()
	w.follower = NewTextFollower(w.opts.Mode, shape, w.opts.MaxMemory)
	w.mu.Unlock()
	return nil
}

// Close ends the watch.
func (w *Watch) Close(ctx context.Context) error {
	if !w.client.forget(w) {
		return nil
	}
	return w.client.Call(ctx, "/game/unwatch", watchRequest{Game: gameID(w.name.game), Grid: w.name.grid}, nil)
}

// Game returns the id of the game.
func (w *Watch) Game() string { return gameID(w.name.game) }

// Look calls f with the copy, which stands still meanwhile. f is not called before the first snapshot, and while a
// broken copy is being repaired; Look says whether it was.
func (w *Watch) Look(f func(*Follower)) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.follower.Begun() {
		return false
	}
	f(w.follower)
	return true
}

// Stats returns what came so far.
func (w *Watch) Stats() WatchStats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// forget takes a watch out of the client's, unless another has taken its place.
func (c *Client) forget(w *Watch) bool {
	w.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watches[w.name] != w {
		return false
	}
	delete(c.watches, w.name)
	return true
}

func (w *Watch) end() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
}

// watch returns the watch that a frame is for, nil for none.
func (c *Client) watch(n gridName) *Watch {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.watches[n]
}

// frame hands a binary message to its watch. b is the caller's.
func (c *Client) frame(b []byte) error {
	h, _, err := protocol.ParseGridHeader(b)
	if err != nil {
		return err
	}
	if w := c.watch(gridName{h.Game, h.Grid}); w != nil {
		b = append([]byte(nil), b...)
		c.enqueue(func() {
			w.take(len(b), h.Kind == protocol.GridSnapshot, func(f *Follower) error { return f.Frame(b) })
		})
	}
	return nil
}

// gridLine hands the payload of a GRID or DELTA line to its watch.
func (c *Client) gridLine(payload []byte, whole bool) error {
	l, err := protocol.ParseGridLine(payload, whole)
	if err != nil {
		return err
	}
	number, ok := gameNumber(l.Game)
	if !ok {
		return fmt.Errorf("a line of the unknown game %q", l.Game)
	}
	if w := c.watch(gridName{number, l.Grid}); w != nil {
		b := append([]byte(nil), payload...)
		c.enqueue(func() { w.take(len(b), whole, func(f *Follower) error { return f.Line(b, whole) }) })
	}
	return nil
}

// take applies a frame. It runs as a handler.
func (w *Watch) take(size int, snapshot bool, apply func(*Follower) error) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.stats.Frames++
	w.stats.Bytes += uint64(size)
	if snapshot {
		w.stats.Snapshots++
	}
	err := apply(w.follower)
	repair := err != nil && !errors.Is(err, ErrNotBegun) && !errors.Is(err, ErrTooLarge) && !w.again
	if repair {
		w.again = true
		w.stats.Repairs++
	}
	w.mu.Unlock()
	switch {
	case repair:
		w.client.others.Go(w.repair)
	case errors.Is(err, ErrTooLarge):
		w.lost(err)
	case err == nil && w.opts.OnChange != nil:
		w.opts.OnChange(w)
	}
}

// repair asks for a snapshot on the present connection. When that breaks, coming back does the same.
func (w *Watch) repair() {
	ctx, cancel := w.client.bound(w.client.ctx)
	defer cancel()
	l, err := w.client.link(ctx)
	if err == nil {
		err = w.ask(ctx, l)
	}
	w.mu.Lock()
	w.again = false
	w.mu.Unlock()
	var status *StatusError
	if errors.As(err, &status) {
		w.client.alone.Lock() // the queue of the handlers may be closed by now
		defer w.client.alone.Unlock()
		w.lost(err)
	}
}

// lost ends a watch that cannot go on.
func (w *Watch) lost(err error) {
	if w.client.forget(w) && w.opts.OnLost != nil {
		w.opts.OnLost(w, err)
	}
}

// rewatch asks for all streams again on a new link.
func (c *Client) rewatch(ctx context.Context, l *link) error {
	c.mu.Lock()
	all := make([]*Watch, 0, len(c.watches))
	for _, w := range c.watches {
		all = append(all, w)
	}
	c.mu.Unlock()
	for _, w := range all {
		err := w.ask(ctx, l)
		var status *StatusError
		if errors.As(err, &status) && status.Status != protocol.StatusBusy {
			c.enqueue(func() { w.lost(err) })
		} else if err != nil {
			return err
		}
	}
	return nil
}
