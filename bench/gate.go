package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

func init() {
	Register(Scenario{
		Name:    "gate",
		Summary: "requests with a new connection each, answered in the server's process and by a worker in another",
		Run:     runGate,
	})
}

const (
	gateRate      = 5000 // requests a second, each on a new connection
	gateRateQuick = 1000
	gateWorkers   = 128 // connections on which the worker process takes jobs
	gateFunction  = "get_presence_chat"
)

// gateBench is one run of the scenario.
type gateBench struct {
	r            *Run
	node         *node
	here, worker *gateLoad
	series       map[string][]float64
}

func runGate(ctx context.Context, r *Run) error {
	if r.Target != "self" {
		return errors.New("target: the gate scenario starts its own server")
	}
	rate := gateRate
	if r.Quick {
		rate = gateRateQuick
	}
	r.Setting("requests_per_s", rate)
	r.Setting("connections_per_request", 1)
	r.Setting("function_here", gateFunction+", with a token that is checked")
	r.Setting("function_of_worker", gateEcho+", with a token that is checked, through the durable queue")
	r.Setting("worker_connections", gateWorkers)
	r.Setting("generator_threads", 1)
	b := &gateBench{r: r, series: map[string][]float64{}}
	var cl closers
	defer cl.close()
	err := onThread(func() error {
		if err := b.open(ctx, &cl); err != nil {
			return err
		}
		for turn := range r.Repeat {
			r.Step(float64(turn)/float64(r.Repeat), "turn %d of %d", turn+1, r.Repeat)
			if err := b.turn(ctx, rate); err != nil {
				return err
			}
		}
		return nil
	})
	for name, values := range b.series {
		r.Series(name, values)
	}
	return err
}

// open starts the server and the worker, and logs a player in.
func (b *gateBench) open(ctx context.Context, cl *closers) (err error) {
	b.r.Step(0, "starting the server")
	if b.node, err = startServer(ctx, b.r); err != nil {
		return err
	}
	cl.add(b.node.stop)
	b.r.Setting("durability", "a job is on disk before the worker gets it, and its end before the worker goes on")
	worker, _, _, err := startPeer(ctx, b.r.Options, gateWorkerPeer, b.node.queue, b.node.reply)
	if err != nil {
		return err
	}
	cl.add(worker.stop)
	token, err := gatePlayer(b.node.gate)
	if err != nil {
		return err
	}
	content := fmt.Appendf(nil, `{"token":%q}`, token)
	if b.here, err = newGateLoad(b.node.gate, gateFunction, content); err != nil {
		return err
	}
	cl.add(b.here.close)
	if b.worker, err = newGateLoad(b.node.gate, gateEcho, content); err != nil {
		return err
	}
	cl.add(b.worker.close)
	return warmGate(ctx, b.here, b.worker)
}

// warmGate lets both sides begin slowly, and unmeasured.
func warmGate(ctx context.Context, loads ...*gateLoad) error {
	for _, l := range loads {
		if _, err := l.pace(ctx, gateRateQuick, gateWarm, newLatencies()); err != nil {
			return err
		}
	}
	return nil
}

const gateWarm = 300 * time.Millisecond

// turn measures both sides once.
func (b *gateBench) turn(ctx context.Context, rate int) error {
	for _, side := range []struct {
		name string
		load *gateLoad
	}{{"here", b.here}, {"worker", b.worker}} {
		lat := newLatencies()
		before, err := cpuTime(b.node.pid())
		if err != nil {
			return err
		}
		start := time.Now()
		n, err := side.load.pace(ctx, rate, b.r.Slice()/2, lat)
		b.r.balanceOf(n)
		if err != nil {
			return fmt.Errorf("%s: %w", side.name, err)
		}
		after, err := cpuTime(b.node.pid())
		if err != nil {
			return err
		}
		add := func(figure string, v float64) {
			b.series[side.name+figure] = append(b.series[side.name+figure], v)
		}
		add("_per_s", float64(n.received)/time.Since(start).Seconds())
		add("_p50_us", lat.quantile(0.5))
		add("_p99_us", lat.quantile(0.99))
		add("_cpu_us_per_request", (after-before).Seconds()*1e6/float64(n.received))
	}
	return ctx.Err()
}
