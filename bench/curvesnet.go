package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gosper/grid"
)

func gridOptions(side int) grid.Options { return grid.Options{Width: side, Height: side} }

// climbConnections keeps adding websockets, each with a subscription and presence, to one server.
func climbConnections(ctx context.Context, c *climber) error {
	c.curve("connections_memory", "Memory of idle websockets", "connections", "resident bytes", 1)
	c.curve("connections_admit", "Letting websockets in: handshake, registration, subscription, presence", "connections", "server CPU ms", 1)
	c.curve("connections_round", "A ping from each websocket and its pong", "connections", "server CPU µs", 1)
	per := Line{Name: "websocket with subscription and presence"}
	defer func() {
		c.r.Plot(Plot{Name: "memory_per_connection", Title: "Memory of one idle connection", X: "connections", Y: "resident bytes a connection", LogX: true, Lines: []Line{per}})
	}()
	if err := c.bareSockets(); err != nil {
		return err
	}
	return onThread(func() error {
		s, err := startServer(ctx, c.r)
		if err != nil {
			return err
		}
		defer s.stop()
		p, err := newPoller()
		if err != nil {
			return err
		}
		defer p.close()
		dial, err := newDialer(s.web)
		if err != nil {
			return err
		}
		side := idleSide{name: "curve", pid: s.pid(), calm: calm(c.r) / 3}
		side.rest = func(ctx context.Context) { _, _ = s.get(ctx, "/debug/pprof/heap?gc=1") }
		base, err := side.settle(ctx, func(d time.Duration) error { return pause(ctx, d) })
		if err != nil {
			return err
		}
		load := newIdleLoad(p, nil, idleWeb)
		defer func() { closeAll(load.links) }()
		admitted := time.Duration(0)
		for i, n := range c.steps {
			c.step(i)
			have := len(load.links)
			nonces, err := s.noncesOf(ctx, idleWorld, have, n-have)
			if err != nil {
				return err
			}
			cpu, err := cpuTime(s.pid())
			if err != nil {
				return err
			}
			more, err := open(ctx, p, plan{addr: s.web, n: n - have, firstID: have, dial: dial, greet: func(k int) greeter {
				return &webGreeting{host: s.web, sub: subEnvelopes, nonce: nonces[k]}
			}})
			if err != nil {
				return err
			}
			load.links = append(load.links, more...)
			used, err := cpuTime(s.pid())
			if err != nil {
				return err
			}
			admitted += used - cpu
			resident, err := side.settle(ctx, load.serve)
			if err != nil {
				return err
			}
			round, err := c.round(s, load)
			if err != nil {
				return err
			}
			c.note("connections_memory", float64(n), resident-base)
			c.note("connections_admit", float64(n), admitted.Seconds()*1000)
			c.note("connections_round", float64(n), round)
			per.Points = append(per.Points, Point{float64(n), (resident - base) / float64(n)})
		}
		c.r.balanceOf(load.total)
		return ctx.Err()
	})
}

// bareSockets measures what the machine alone asks for a message to each of so many sockets. A socket that is touched once a
// round leaves the processor's caches when there are thousands, so even this may grow faster than the work.
func (c *climber) bareSockets() error {
	const rounds = 10
	c.curve("loopback_round", "A write and a read of each of so many bare sockets, without a server", "sockets", "µs", 1)
	bare := c.costs["loopback_round"]
	for _, n := range c.steps {
		if n > descriptorsLeft()/2 {
			break // both ends are in this process
		}
		write, read, err := loopbackCost(n, fanBytes, rounds)
		if err != nil {
			return err
		}
		c.note("loopback_round", float64(n), float64(n)*(write+read))
	}
	bare.Note = "This is the machine: kernel and caches."
	c.costs["connections_round"].Note = fmt.Sprintf("Bare sockets without a server: exponent %.2f.", exponent(bare.Points))
	return nil
}

// round measures the CPU µs that a sign of life of every connection costs the server.
func (c *climber) round(s *node, load *idleLoad) (float64, error) {
	before, err := cpuTime(s.pid())
	if err != nil {
		return 0, err
	}
	rounds := 0
	for end := time.Now().Add(c.slice() / 2); rounds == 0 || time.Now().Before(end); rounds++ {
		if err := load.roundTrip(); err != nil {
			return 0, err
		}
	}
	after, err := cpuTime(s.pid())
	return (after - before).Seconds() * 1e6 / float64(rounds), err
}

// climbSubscribers sends one message at a time to ever more websockets.
func climbSubscribers(ctx context.Context, c *climber) error {
	c.curve("subscribers_cpu", "One message to all subscribers", "subscribers", "server CPU µs", 1)
	c.curve("subscribers_p99", "One message to all subscribers: 99 % have it", "subscribers", "ms after it was sent", 1)
	return onThread(func() error {
		s, err := startServer(ctx, c.r)
		if err != nil {
			return err
		}
		defer s.stop()
		for i, n := range c.steps {
			c.step(i)
			world := fmt.Sprint(fanWorld, i)
			players, err := fanPlayers(ctx, s, n, 1, world)
			if err != nil {
				return err
			}
			load, err := newFanLoad(ctx, s.web, n, 1, fanBytes, envelopeFan(s, players), nil)
			if err != nil {
				return err
			}
			err = c.fan(ctx, s, load, n)
			load.close()
			if err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}

func (c *climber) fan(ctx context.Context, s *node, load *fanLoad, n int) error {
	note := func(k fanCounts) { c.r.Balance(k.sent, k.received, k.sent-min(k.sent, k.received), k.doubled) }
	k, err := load.single(ctx, c.slice()/4, newLatencies()) // warm-up
	if note(k); err != nil {
		return err
	}
	before, err := cpuTime(s.pid())
	if err != nil {
		return err
	}
	lat := newLatencies()
	k, err = load.single(ctx, c.slice(), lat)
	if note(k); err != nil {
		return err
	}
	after, err := cpuTime(s.pid())
	if err != nil || k.sent == 0 {
		return err
	}
	c.note("subscribers_cpu", float64(n), (after-before).Seconds()*1e6*float64(n)/float64(k.sent))
	c.note("subscribers_p99", float64(n), lat.quantile(0.99)/1000)
	return nil
}

// What runs in the curve of games.
const (
	curveGameSide     = 64
	curveGameSoup     = 32
	curveGameInterval = time.Second
)

// climbGames keeps adding running games, which nobody watches, to one server.
func climbGames(ctx context.Context, c *climber) error {
	c.curve("games_cpu", "Running games of 64×64, once a second", "games", "server CPU ms a second", 1)
	c.curve("games_memory", "Memory of running games of 64×64", "games", "live heap bytes", 1)
	c.curve("games_lateness", "Lateness of their ticks: 99 % are less late", "games", "ms", 1)
	late := Plot{Name: "tick_lateness", Title: "Lateness of ticks, games of 64×64 once a second", X: "one tick in … is later", Y: "ms", LogX: true, LogY: true}
	defer func() { c.r.Plot(late) }()
	return withGames(ctx, c.r, func(ctx context.Context, b *gamesBench) error {
		base, err := b.node.live(ctx)
		if err != nil {
			return err
		}
		have := 0
		for i, n := range c.steps {
			c.step(i)
			if err := b.addGames(ctx, have, n); err != nil {
				return err
			}
			have = n
			if err := pause(ctx, min(curveGameInterval, c.slice())); err != nil { // until the new ones run evenly
				return err
			}
			seconds, cpu, ticks, err := b.watchTicks(ctx, max(c.slice(), curveGameInterval))
			if err != nil {
				return err
			}
			memory, err := b.node.live(ctx)
			if err != nil {
				return err
			}
			c.note("games_cpu", float64(n), 1000*cpu.Seconds()/seconds)
			c.note("games_memory", float64(n), memory-base)
			c.note("games_lateness", float64(n), 1000*ticks.quantile(0.99))
			late.Lines = append(late.Lines, ticks.line(short(float64(n))+" games"))
		}
		return nil
	})
}

// addGames makes running games until there are n.
func (b *gamesBench) addGames(ctx context.Context, have, n int) error {
	errs := make(chan error, gamesMakers)
	var work sync.WaitGroup
	for w := range gamesMakers {
		work.Go(func() {
			rng := rand.New(rand.NewPCG(7, uint64(have+w)))
			for i := have + w; i < n; i += gamesMakers {
				id, err := b.create(ctx, curveGameSide, curveGameInterval)
				if err == nil {
					err = b.draw(ctx, id, rng, curveGameSoup, curveGameSoup, 0)
				}
				if err == nil {
					err = b.start(ctx, id)
				}
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	work.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// watchTicks measures the server for a while: its CPU time, and how late its ticks were.
func (b *gamesBench) watchTicks(ctx context.Context, d time.Duration) (seconds float64, cpu time.Duration, ticks buckets, err error) {
	before, err := b.lateness(ctx)
	if err != nil {
		return 0, 0, nil, err
	}
	used, err := cpuTime(b.node.pid())
	if err != nil {
		return 0, 0, nil, err
	}
	start := time.Now()
	if err := pause(ctx, d); err != nil {
		return 0, 0, nil, err
	}
	seconds = time.Since(start).Seconds()
	after, err := cpuTime(b.node.pid())
	if err != nil {
		return 0, 0, nil, err
	}
	now, err := b.lateness(ctx)
	return seconds, after - used, now.since(before), err
}

// line makes a line of the percentiles of a histogram, in milliseconds.
func (h buckets) line(name string) Line {
	l := Line{Name: name}
	for _, in := range []float64{1.25, 2, 4, 10, 20, 50, 100, 200, 500, 1000} {
		if ms := 1000 * h.quantile(1-1/in); ms > 0 {
			l.Points = append(l.Points, Point{in, ms})
		}
	}
	return l
}

// processCPU is the CPU time this process has used.
func processCPU() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
