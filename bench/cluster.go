package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

func init() {
	Register(Scenario{
		Name:    "cluster",
		Summary: "several nodes on one machine: talk across nodes over Redis and NATS, what a listener costs there, games that lose their node, a crowd on all",
		Run:     runCluster,
	})
}

const (
	clusterNodes      = 6 // of the crowd, when --nodes says nothing else
	clusterNodesQuick = 2
	chatRate          = 5000 // messages a second
	chatRateQuick     = 500
	chatListeners     = 4 // on the other node: more of them would measure a fan-out
	chatTalkers       = 50
	costRate          = 100 // messages a second
	costListeners     = 500
	costQuick         = 50
	clusterBytes      = 100 // of one message's text
	clusterWorld      = "bench"
)

// clusterPart is one part of the scenario.
type clusterPart struct {
	name string
	run  func(ctx context.Context, r *Run, part clusterShare) error
}

// clusterShare is where a part stands in the whole run.
type clusterShare struct{ from, width float64 }

func (s clusterShare) at(part float64) float64 { return s.from + part*s.width }

func runCluster(ctx context.Context, r *Run) error {
	if r.Target != "self" {
		return errors.New("target: the cluster scenario starts its own servers")
	}
	if _, err := findPeer("redis"); err != nil {
		r.Note("nothing was measured: a cluster needs Redis, and %v", err)
		return nil
	}
	parts := []clusterPart{}
	for _, bus := range []talkBus{
		{name: "redis", options: ClusterOptions{Bus: BusRedis, NATS: NoNATS}},
		{name: "nats", options: ClusterOptions{Bus: BusNATS, NATS: 1, Lazy: true}},
		{name: "nats3", options: ClusterOptions{Bus: BusNATS, NATS: 3}},
	} {
		parts = append(parts, clusterPart{"talk over " + bus.name, func(ctx context.Context, r *Run, s clusterShare) error { return clusterTalk(ctx, r, s, bus) }})
	}
	parts = append(parts, clusterPart{"games", clusterFail}, clusterPart{"crowd", clusterCrowd})
	r.Setting("durability", "talk: history before delivery, in memory. redis: of one server; nats: of one server; nats3: of three servers, answered when two of them have it")
	for i, p := range parts {
		share := clusterShare{float64(i) / float64(len(parts)), 1 / float64(len(parts))}
		if err := p.run(ctx, r, share); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// startCluster starts a cluster for a measurement.
func (r *Run) startCluster(ctx context.Context, o ClusterOptions) (*Cluster, error) {
	o.Binary, o.Log = r.Binary, r.Log
	o.Flags = append(append([]string{}, raisedLimits...), o.Flags...)
	return StartCluster(ctx, o)
}

// talkBus is one kind of bus whose talk is measured.
type talkBus struct {
	name    string // of its figures
	options ClusterOptions
}

// clusterTalk measures talk from one node to another, and what listeners cost at either.
func clusterTalk(ctx context.Context, r *Run, share clusterShare, bus talkBus) error {
	bus.options.Nodes = 2
	r.Step(share.at(0), "starting two nodes over %s", bus.name)
	c, err := r.startCluster(ctx, bus.options)
	if err != nil {
		return err
	}
	defer c.Stop()
	return onThread(func() error {
		if err := talkAcross(ctx, r, share, c, bus.name); err != nil {
			return err
		}
		return listenerCosts(ctx, r, clusterShare{share.at(0.5), share.width / 2}, c, bus.name)
	})
}

// clusterLoad lets talkers on one node and listeners on another of a world in.
func clusterLoad(ctx context.Context, from, to *ClusterNode, listeners, talkers int, world string) (*fanLoad, error) {
	nonces, err := fanPlayers(ctx, from.node, listeners, talkers, world)
	if err != nil {
		return nil, err
	}
	proto := envelopeFan(to.node, nonces)
	linePublisher(&proto, from.node, nonces)
	return newFanLoad(ctx, to.web, listeners, talkers, clusterBytes, proto, nil)
}

// talkAcross measures how long messages take from a node to listeners on the other, at a steady rate.
func talkAcross(ctx context.Context, r *Run, share clusterShare, c *Cluster, bus string) error {
	rate := chatRate
	if r.Quick {
		rate = chatRateQuick
	}
	r.Setting("chat_rate_per_s", rate)
	r.Setting("chat_talkers", chatTalkers)
	r.Setting("chat_listeners", chatListeners)
	load, err := clusterLoad(ctx, c.Nodes[0], c.Nodes[1], chatListeners, chatTalkers, clusterWorld)
	if err != nil {
		return err
	}
	defer load.close()
	if _, err := load.paced(ctx, r.Slice()/4, rate, newLatencies()); err != nil { // warm: scripts, streams, pools
		return err
	}
	var p50, p99, commands []float64
	all := newLatencies()
	for turn := range r.Repeat {
		r.Step(share.at(0.5*float64(turn)/float64(r.Repeat)), "%s: turn %d of %d at %d messages/s", bus, turn+1, r.Repeat, rate)
		lat := newLatencies()
		before, err := c.redisCommands()
		if err != nil {
			return err
		}
		n, err := load.paced(ctx, r.Slice(), rate, lat)
		r.Balance(n.sent, n.received, n.sent-min(n.sent, n.received), n.doubled)
		if err != nil {
			return err
		}
		after, err := c.redisCommands()
		if err != nil {
			return err
		}
		all.h.Merge(lat.h)
		p50, p99 = append(p50, lat.quantile(0.5)/1000), append(p99, lat.quantile(0.99)/1000)
		commands = append(commands, (after-before)/float64(max(n.sent/chatListeners, 1)))
	}
	r.Series(bus+"_chat_p50_ms", p50)
	r.Series(bus+"_chat_p99_ms", p99)
	if bus == BusRedis {
		r.Series("redis_commands_per_message", commands)
	}
	r.LatencyPlot("cluster_chat_"+bus, fmt.Sprintf("From a player on one node to players on another over %s, %d messages/s", bus, rate), latencyLine(bus, all))
	return nil
}

// listenerCosts compares what the nodes spend on a delivery when all listeners are where the talkers are, and when all
// are on the other node.
func listenerCosts(ctx context.Context, r *Run, share clusterShare, c *Cluster, bus string) error {
	listeners := costListeners
	if r.Quick {
		listeners = costQuick
	}
	r.Setting("cost_listeners", listeners)
	r.Setting("cost_rate_per_s", costRate)
	var loads []*fanLoad
	for i, n := range c.Nodes {
		load, err := clusterLoad(ctx, c.Nodes[0], n, listeners, 1, fmt.Sprintf("%s-%d", clusterWorld, i))
		if err != nil {
			return err
		}
		defer load.close()
		loads = append(loads, load)
	}
	costs := make([][]float64, len(loads))
	for turn := range r.Repeat {
		r.Step(share.at(float64(turn)/float64(r.Repeat)), "%s: cost of listeners, turn %d of %d", bus, turn+1, r.Repeat)
		for i, load := range loads {
			before, err := c.cpu()
			if err != nil {
				return err
			}
			n, err := load.paced(ctx, r.Slice()/2, costRate, newLatencies())
			r.Balance(n.sent, n.received, n.sent-min(n.sent, n.received), n.doubled)
			if err != nil {
				return err
			}
			after, err := c.cpu()
			if err != nil {
				return err
			}
			costs[i] = append(costs[i], (after-before).Seconds()*1e6/float64(max(n.received, 1)))
		}
	}
	r.Series(bus+"_first_node_cpu_us_per_delivery", costs[0])
	r.Series(bus+"_second_node_cpu_us_per_delivery", costs[1])
	r.RatioSeries(bus+"_second_vs_first", quotients(costs[1], costs[0]))
	return nil
}

// cpu is the CPU time of all nodes together.
func (c *Cluster) cpu() (sum time.Duration, err error) {
	for _, n := range c.Nodes {
		d, err := cpuTime(n.PID())
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// pacedWindow is how many messages are under way at most: half of what a bus lets wait for one subject before it refuses
// more. A generator that was held up by other work would send all that is due at once.
const pacedWindow = 512

// paced publishes at a steady rate, the talkers in turn, and waits for the last message. A message that is sent late,
// for whatever reason, was due when it was due.
func (l *fanLoad) paced(ctx context.Context, d time.Duration, perSecond int, lat latencies) (fanCounts, error) {
	l.begin(lat)
	gap := time.Second / time.Duration(perSecond)
	if err := l.p.tick(gap); err != nil {
		return fanCounts{}, err
	}
	defer func() { _ = l.p.tick(0) }()
	start := time.Now()
	for total := uint64(d / gap); l.sent < total && ctx.Err() == nil; {
		due := start.Add(time.Duration(l.sent) * gap)
		if time.Now().Before(due) || l.sent-l.delivered()/l.total >= pacedWindow {
			if err := l.turn(20 * time.Millisecond); err != nil {
				return l.counts(), err
			}
			continue
		}
		if err := l.publishDue(int(l.sent)%len(l.pubs), 1, due); err != nil {
			return l.counts(), err
		}
	}
	err := l.await(l.sent)
	return l.counts(), err
}
