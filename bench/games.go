package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gosper/edge/client"
	"gosper/grid"
)

func init() {
	Register(Scenario{
		Name:    "games",
		Summary: "1,000 running games with a watcher each; one large game with 5,000 watchers, settled and fresh; edits from lines",
		Run:     runGames,
	})
}

const (
	gamesCount     = 1000
	gamesQuick     = 100
	gamesSide      = 320
	gamesInterval  = 500 * time.Millisecond
	gamesSoup      = 100 // side of the soup in each
	crowdCount     = 5000
	crowdQuick     = 500
	crowdSide      = 1024
	crowdInterval  = 100 * time.Millisecond
	crowdSettled   = 5000 // generations that its soup has behind it
	settledQuick   = 200
	crowdStep      = 100 // generations of one call
	crowdBand      = 32  // rows of the soup that one call draws
	gamesWorld     = "bench"
	gamesMakers    = 16 // calls under way while games are made
	gamesSoupShare = 3  // one cell of so many lives in a soup
)

// gamesBench is one run of the scenario.
type gamesBench struct {
	r    *Run
	node *node
	c    *client.Client // makes and drives the games
}

func runGames(ctx context.Context, r *Run) error {
	if r.Target != "self" {
		return errors.New("target: the games scenario starts its own server")
	}
	count, crowd, settled := gamesCount, crowdCount, crowdSettled
	if r.Quick {
		count, crowd, settled = gamesQuick, crowdQuick, settledQuick
	}
	r.Setting("games", count)
	r.Setting("games_side", gamesSide)
	r.Setting("games_hz", float64(time.Second)/float64(gamesInterval))
	r.Setting("watchers", crowd)
	r.Setting("watched_side", crowdSide)
	r.Setting("watched_hz", float64(time.Second)/float64(crowdInterval))
	r.Setting("watched_generation", settled)
	r.Setting("generator_threads", crowdReaders)
	for _, part := range []func(context.Context, *gamesBench) error{
		func(ctx context.Context, b *gamesBench) error { return b.many(ctx, count) },
		func(ctx context.Context, b *gamesBench) error { return b.crowd(ctx, crowd, settled) },
		func(ctx context.Context, b *gamesBench) error { return b.soup(ctx, crowd) },
		func(ctx context.Context, b *gamesBench) error { return b.edits(ctx) },
	} {
		if err := withGames(ctx, r, part); err != nil {
			return err
		}
	}
	return nil
}

// withGames runs one part on a server of its own, so that no part leaves load behind for the next.
func withGames(ctx context.Context, r *Run, part func(context.Context, *gamesBench) error) error {
	b := &gamesBench{r: r}
	var err error
	if b.node, err = startServer(ctx, r); err != nil {
		return err
	}
	defer b.node.stop()
	if b.c, err = client.Dial(ctx, "ws://"+b.node.web+"/ws", client.Options{NoReconnect: true}); err != nil {
		return err
	}
	defer b.c.Close()
	nonce := "maker"
	if err = b.node.nonce(ctx, nonce, map[string]string{"world": gamesWorld, "gn": nonce}); err != nil {
		return err
	}
	if err = b.c.Register(ctx, nonce); err != nil {
		return err
	}
	return onThread(func() error { return part(ctx, b) })
}

// create makes a paused game and returns its id.
func (b *gamesBench) create(ctx context.Context, side int, interval time.Duration) (string, error) {
	var out struct {
		Game struct {
			ID string `json:"id"`
		} `json:"game"`
	}
	err := b.c.Call(ctx, "/game/create", map[string]any{"name": "bench", "interval": float64(interval) / float64(time.Millisecond),
		"grids": []map[string]any{{"width": side, "height": side}}}, &out)
	return out.Game.ID, err
}

// draw lays a soup on a game, its rows from y on.
func (b *gamesBench) draw(ctx context.Context, game string, rng *rand.Rand, width, height, y int) error {
	p := &grid.Pattern{Width: int32(width), Height: int32(height), Rule: grid.Life}
	for cy := range height {
		for cx := range width {
			if rng.IntN(gamesSoupShare) == 0 {
				p.Cells = append(p.Cells, grid.Cell{X: int32(cx), Y: int32(cy), State: 1})
			}
		}
	}
	return b.c.Call(ctx, "/game/pattern", map[string]any{"game": game, "grid": 0, "x": 0, "y": y, "text": string(grid.AppendRLE(nil, p))}, nil)
}

func (b *gamesBench) start(ctx context.Context, game string) error {
	return b.c.Call(ctx, "/game/start", map[string]string{"game": game}, nil)
}

// make makes n running games with a soup each.
func (b *gamesBench) make(ctx context.Context, n int) ([]string, error) {
	ids, errs := make([]string, n), make([]error, gamesMakers)
	var all sync.WaitGroup
	for w := range gamesMakers {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(4, uint64(w)))
			for i := w; i < n && errs[w] == nil; i += gamesMakers {
				var err error
				if ids[i], err = b.create(ctx, gamesSide, gamesInterval); err == nil {
					err = b.draw(ctx, ids[i], rng, gamesSoup, gamesSoup, 0)
				}
				if err == nil {
					err = b.start(ctx, ids[i])
				}
				errs[w] = err
			}
		})
	}
	all.Wait()
	return ids, errors.Join(errs...)
}

// many measures a node full of small games, each with a watcher.
func (b *gamesBench) many(ctx context.Context, n int) error {
	b.r.Step(0, "making %d games", n)
	ids, err := b.make(ctx, n)
	if err != nil {
		return err
	}
	watches := make([]string, n)
	for i, id := range ids {
		watches[i] = watchMessage(id, "cells")
	}
	crowd, err := b.watchers(ctx, append(watches, watchMessage(ids[0], "edits")))
	if err != nil {
		return err
	}
	defer crowd.close()
	if err := crowd.settle(ctx, b.warmUp()); err != nil {
		return err
	}
	crowd.begin()
	before, err := b.lateness(ctx)
	if err != nil {
		return err
	}
	cpu, err := cpuTime(b.node.pid())
	if err != nil {
		return err
	}
	b.r.Step(0.1, "%d games run", n)
	started := time.Now()
	if err := crowd.run(ctx, b.r.Duration); err != nil {
		return err
	}
	seconds := time.Since(started).Seconds()
	used, err := cpuTime(b.node.pid())
	if err != nil {
		return err
	}
	after, err := b.lateness(ctx)
	if err != nil {
		return err
	}
	b.r.Figure("lateness_p99_ms", 1000*after.since(before).quantile(0.99))
	b.r.Figure("cores", (used-cpu).Seconds()/seconds)
	b.r.Figure("edits_mode_bytes_per_s", float64(crowd.quiet)/seconds)
	b.r.Figure("games_bytes_per_s", float64(crowd.bytes)/seconds)
	b.balance("games", crowd)
	return nil
}

// warmUp is how long a crowd is in step before it counts.
func (b *gamesBench) warmUp() time.Duration {
	if b.r.Quick {
		return 500 * time.Millisecond
	}
	return 3 * time.Second
}

// balance adds what a crowd got: each generation for each watcher, as a frame of its own or covered by a snapshot that
// told the watcher of the hole, and none twice. Small frames should not need that, so it has a figure.
func (b *gamesBench) balance(name string, c *gameCrowd) {
	b.r.Figure(name+"_skipped", float64(c.skipped))
	got := c.frames + c.skipped
	b.r.Balance(got+c.missed, got, c.missed, c.doubled)
}

// freshSoup makes a large paused game full of soup.
func (b *gamesBench) freshSoup(ctx context.Context) (id string, err error) {
	if id, err = b.create(ctx, crowdSide, crowdInterval); err != nil {
		return "", err
	}
	rng := rand.New(rand.NewPCG(4, 4))
	for y := 0; y < crowdSide; y += crowdBand {
		if err := b.draw(ctx, id, rng, crowdSide, crowdBand, y); err != nil {
			return "", err
		}
	}
	return id, nil
}

// crowd measures one large game that many watch, its soup settled for some generations.
func (b *gamesBench) crowd(ctx context.Context, n, settled int) error {
	id, err := b.freshSoup(ctx)
	if err != nil {
		return err
	}
	for g := 0; g < settled; g += crowdStep {
		b.r.Step(0.3, "settling: generation %d", g)
		if err := b.c.Call(ctx, "/game/step", map[string]any{"game": id, "generations": crowdStep}, nil); err != nil {
			return err
		}
	}
	watches := make([]string, n)
	for i := range watches {
		watches[i] = watchMessage(id, "cells")
	}
	crowd, err := b.watchers(ctx, watches)
	if err != nil {
		return err
	}
	defer crowd.close()
	if err := b.start(ctx, id); err != nil {
		return err
	}
	if err := crowd.settle(ctx, b.warmUp()); err != nil {
		return err
	}
	crowd.begin()
	cpu, err := cpuTime(b.node.pid())
	if err != nil {
		return err
	}
	b.r.Step(0.5, "%d watchers", n)
	started := time.Now()
	if err := crowd.run(ctx, b.r.Duration); err != nil {
		return err
	}
	used, err := cpuTime(b.node.pid())
	if err != nil {
		return err
	}
	last := crowd.lastArrivals(crowdInterval)
	b.r.Figure("watch5000_p50_ms", last.quantile(0.5)/1000)
	b.r.Figure("watch5000_p99_ms", last.quantile(0.99)/1000)
	b.r.Figure("watch5000_cores", (used-cpu).Seconds()/time.Since(started).Seconds())
	b.r.Figure("watch5000_frame_bytes", float64(crowd.bytes)/float64(max(1, crowd.frames)))
	b.balance("watch5000", crowd)
	return nil
}

// buckets is a histogram of the server: how many values are at most so many seconds.
type buckets map[float64]float64

// lateness reads how late the ticks of all games were.
func (b *gamesBench) lateness(ctx context.Context) (buckets, error) {
	text, err := b.node.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	all := buckets{}
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, `gosper_game_tick_lateness_seconds_bucket{le="`)
		if !ok {
			continue
		}
		bound, count, _ := strings.Cut(strings.TrimSpace(rest), `"} `)
		most, err1 := strconv.ParseFloat(bound, 64) // "+Inf" too
		n, err2 := strconv.ParseFloat(count, 64)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("metric %.100q", line)
		}
		all[most] = n
	}
	if len(all) == 0 {
		return nil, errors.New("the server has no histogram of the lateness of ticks")
	}
	return all, nil
}

// since returns what came after before.
func (h buckets) since(before buckets) buckets {
	d := buckets{}
	for most, n := range h {
		d[most] = n - before[most]
	}
	return d
}

// quantile returns the value below which the share q lies, taking the values of a bucket as spread evenly over it.
func (h buckets) quantile(q float64) float64 {
	bounds := slices.Sorted(maps.Keys(h))
	want := q * h[bounds[len(bounds)-1]]
	below, from := 0.0, 0.0
	for _, most := range bounds {
		if h[most] >= want && h[most] > below {
			if math.IsInf(most, 1) {
				return from
			}
			return from + (most-from)*(want-below)/(h[most]-below)
		}
		below, from = h[most], most
	}
	return from
}

// syncTime is what a small write with fsync takes on the disk of the server's data.
func (b *gamesBench) syncTime() (ms float64, err error) {
	dir, err := os.MkdirTemp(b.node.dir, "sync")
	if err != nil {
		return 0, err
	}
	us, err := measureSync(dir, time.Second)
	return us / 1000, err
}
