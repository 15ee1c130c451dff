package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

func init() {
	Register(Scenario{
		Name:    "curves",
		Summary: "how costs grow: connections, frames, subscribers, games, cells, jobs, timers; the exponent of each is fitted",
		Run:     runCurves,
	})
}

// ladder is one kind of work, done in growing steps.
type ladder struct {
	name        string
	full, quick []int
	// climb measures all steps and records its curves, those of the steps that were done when it fails.
	climb func(ctx context.Context, c *climber) error
}

var ladders = []ladder{
	{"cells", []int{64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384}, []int{64, 128, 256, 512, 1024, 2048}, climbGrid}, // sides
	{"frames", []int{1, 4, 16, 64, 256, 1024, 4096}, []int{1, 8, 64, 256}, climbEcho},
	{"connections", []int{1000, 2000, 5000, 10_000, 19_000}, []int{250, 500, 1000, 2000}, climbConnections},
	{"subscribers", []int{10, 100, 1000, 5000, 10_000, 19_000}, []int{10, 100, 1000}, climbSubscribers},
	{"games", []int{10, 100, 1000, 3000, 10_000}, []int{10, 50, 200}, climbGames},
	{"jobs", []int{1000, 10_000, 100_000, 1_000_000, 10_000_000}, []int{1000, 5000, 20_000}, climbJobs},
	{"timers", []int{1000, 10_000, 100_000, 1_000_000}, []int{1000, 5000, 20_000}, climbTimers},
}

// climber is the state of one ladder under way.
type climber struct {
	r     *Run
	name  string
	steps []int
	from  float64 // share of the run where the ladder begins, and how much of it the ladder is
	width float64
	costs map[string]*Curve
	names []string // of costs, in their order
}

func runCurves(ctx context.Context, r *Run) error {
	if r.Target != "self" {
		return errors.New("target: the curves scenario starts its own servers")
	}
	r.Setting("repeat", 1)
	r.Setting("flagged_above", fmt.Sprintf("the exponent of a linear cost + %g", curveSlack))
	for i, l := range ladders {
		c := &climber{r: r, name: l.name, steps: l.full, from: float64(i) / float64(len(ladders)), width: 1 / float64(len(ladders)), costs: map[string]*Curve{}}
		if r.Quick {
			c.steps = l.quick
		}
		err := l.climb(ctx, c)
		for _, name := range c.names {
			r.Curve(*c.costs[name])
		}
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	return nil
}

// curve announces a cost. Its points follow.
func (c *climber) curve(name, title, work, cost string, linear float64) {
	c.costs[name] = &Curve{Name: name, Title: title, Work: work, Cost: cost, Linear: linear}
	c.names = append(c.names, name)
}

func (c *climber) note(name string, work, cost float64) {
	k := c.costs[name]
	k.Points = append(k.Points, Point{work, cost})
}

// step shows that step i is under way.
func (c *climber) step(i int) {
	c.r.Step(c.from+c.width*float64(i)/float64(len(c.steps)), "%s: %s", c.name, number(float64(c.steps[i])))
}

// slice is how long one step is measured.
func (c *climber) slice() time.Duration { return c.r.Duration / 5 }

// climbGrid grows a dense soup.
func climbGrid(ctx context.Context, c *climber) error {
	c.curve("grid_tick", "One generation of a dense soup", "cells", "CPU µs", 1)
	return onThread(func() error {
		for i, side := range c.steps {
			if err := ctx.Err(); err != nil {
				return err
			}
			c.step(i)
			k := &gridCase{perTick: micros, run: steps(max(2, gridDense*512/max(512, side)/4))}
			var err error
			if k.g, err = soup(gridOptions(side)); err != nil {
				return err
			}
			k.snapshot = k.g.AppendSnapshot(nil)
			if err := k.turn(c.slice()); err != nil {
				return err
			}
			c.note("grid_tick", float64(side)*float64(side), k.values[0])
			k.g.Release()
		}
		return nil
	})
}

// climbEcho grows the number of connections that echo, beside a bare gnet.
func climbEcho(ctx context.Context, c *climber) error {
	c.curve("echo_round", "A line frame from each connection and back", "connections", "server CPU µs", 1)
	return onThread(func() error {
		var cl closers
		defer cl.close()
		s, err := startServer(ctx, c.r)
		if err != nil {
			return err
		}
		cl.add(s.stop)
		peer, addr, _, err := startPeer(ctx, c.r.Options, "gnet", loopsArg(s.loops)...)
		if err != nil {
			return err
		}
		cl.add(peer.stop)
		lines := []Line{{Name: "line"}, {Name: "websocket"}, {Name: "bare gnet"}}
		defer func() {
			c.r.Plot(Plot{Name: "echo_throughput", Title: "Echo: throughput over connections, pipelines of 16", X: "connections", Y: "frames a server CPU second", LogX: true, Lines: lines})
		}()
		for i, n := range c.steps {
			c.step(i)
			nonces, err := s.noncesOf(ctx, fmt.Sprint("echo", i), 0, 2*n)
			if err != nil {
				return err
			}
			for side, at := range []struct {
				addr   string
				pid    int
				script echoScript
				greet  func(int) greeter
			}{
				{s.line, s.pid(), lineEcho(), func(k int) greeter { return &lineGreeting{nonce: nonces[k]} }},
				{s.web, s.pid(), webEcho(), func(k int) greeter { return &webGreeting{host: s.web, sub: subLine, nonce: nonces[n+k]} }},
				{addr, peer.pid, bareEcho(), func(int) greeter { return noGreeting{} }},
			} {
				load, err := newEchoLoad(ctx, at.addr, n, at.script, at.greet)
				if err != nil {
					return err
				}
				perCPU, err := c.echo(ctx, load, at.pid)
				load.close()
				if err != nil {
					return err
				}
				lines[side].Points = append(lines[side].Points, Point{float64(n), perCPU})
				if side == 0 {
					c.note("echo_round", float64(n), 1e6*float64(n)/perCPU)
				}
			}
		}
		return ctx.Err()
	})
}

// echo measures frames a CPU second of the server.
func (c *climber) echo(ctx context.Context, load *echoLoad, pid int) (float64, error) {
	n, err := load.saturate(ctx, echoDepth, c.slice()/4) // warm-up
	c.r.balanceOf(n)
	if err != nil {
		return 0, err
	}
	before, err := cpuTime(pid)
	if err != nil {
		return 0, err
	}
	n, err = load.saturate(ctx, echoDepth, c.slice()/2)
	c.r.balanceOf(n)
	if err != nil {
		return 0, err
	}
	after, err := cpuTime(pid)
	return float64(n.received) / (after - before).Seconds(), err
}
