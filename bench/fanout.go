package bench

import (
	"context"
	"fmt"
	"time"
)

func init() {
	Register(Scenario{
		Name:    "fanout",
		Summary: "publishers and websocket subscribers of one subject; a burst to 10,000; peers: nats-server, redis, mosquitto",
		Peers:   []string{"nats", "redis", "mosquitto"},
		Run:     runFanout,
	})
}

const (
	fanSubscribers      = 1000
	fanSubscribersQuick = 100
	fanPublishers       = 8
	fanWindow           = 64  // messages a publisher may have under way in the joined mode
	fanBytes            = 100 // of one message's text
	fanWorld            = "bench"
	burstSubscribers    = 10_000
	burstQuick          = 1000
	burstMessages       = 50
	burstPause          = 20 * time.Millisecond
)

// fanSide is one kind of subscriber on one server.
type fanSide struct {
	name, peer string // peer: "" for gosper
	pid        int
	load       *fanLoad
	single     fanSeries
	joined     fanSeries
}

// fanSeries is one way of publishing: what the passes of the turn under way came to, and the values of all turns.
type fanSeries struct {
	deliveries, seconds, cpuSeconds float64
	arrival                         latencies // of the turn under way, and of all
	all                             latencies

	perSecond, perCPU, p50, p99 []float64
}

func runFanout(ctx context.Context, r *Run) error {
	subscribers, burst := fanSubscribers, burstSubscribers
	if r.Quick {
		subscribers, burst = fanSubscribersQuick, burstQuick
	}
	r.Setting("subscribers", subscribers)
	r.Setting("publishers", fanPublishers)
	r.Setting("window", fanWindow)
	r.Setting("message_bytes", fanBytes)
	r.Setting("burst_subscribers", burst)
	r.Setting("publish", "lines (0000PUBLIC) of other connections; nats: PUB, redis: PUBLISH, mosquitto: PUBLISH of QoS 0, of other connections")
	r.Setting("generator_threads", fanReaders+1)
	r.Step(0, "what the loopback costs without a server")
	if err := reportLoopback(r, subscribers, burst); err != nil {
		return err
	}
	return onThread(func() error {
		var cl closers
		defer cl.close()
		sides, s, err := fanSides(ctx, r, &cl, subscribers)
		if err != nil {
			return err
		}
		err = fanTurns(ctx, r, sides)
		fanReport(r, sides)
		cl.close()
		if err != nil || ctx.Err() != nil || s == nil {
			return err
		}
		return runBurst(ctx, r, burst)
	})
}

// closers are undone in the reverse of their order, once.
type closers []func()

func (c *closers) add(f func()) { *c = append(*c, f) }

func (c *closers) close() {
	for i := len(*c) - 1; i >= 0; i-- {
		(*c)[i]()
	}
	*c = nil
}

func fanSides(ctx context.Context, r *Run, cl *closers, subscribers int) ([]*fanSide, *node, error) {
	r.Step(0, "starting the server")
	s, err := startServer(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	cl.add(s.stop)
	// The two kinds of subscriber live in two worlds, so each gets the messages of its own side only.
	envelopes, err := fanPlayers(ctx, s, subscribers, fanPublishers, fanWorld)
	if err != nil {
		return nil, nil, err
	}
	lines, err := fanPlayers(ctx, s, subscribers, fanPublishers, fanWorld+"-lines")
	if err != nil {
		return nil, nil, err
	}
	var sides []*fanSide
	connect := func(side *fanSide, addr string, proto fanProtocol) error {
		side.load, err = newFanLoad(ctx, addr, subscribers, fanPublishers, fanBytes, proto, func(n int) {
			r.Step(0, "connecting %s %d", proto.name, n)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", proto.name, err)
		}
		cl.add(side.load.close)
		sides = append(sides, side)
		return nil
	}
	if err := connect(&fanSide{name: "", pid: s.pid()}, s.web, envelopeFan(s, envelopes)); err != nil {
		return nil, nil, err
	}
	if err := connect(&fanSide{name: "lines_", pid: s.pid()}, s.web, lineFan(s, lines)); err != nil {
		return nil, nil, err
	}
	if r.Against != "" {
		c, addr, version, proto, err := startFanPeer(ctx, r, "chat."+fanWorld+".public")
		if err != nil {
			return nil, nil, err
		}
		cl.add(c.stop)
		r.PeerSeries(r.Against, version, "", nil)
		r.Setting("durability_"+r.Against, "none: messages are in memory only")
		if err := connect(&fanSide{peer: r.Against, pid: c.pid}, addr, proto); err != nil {
			return nil, nil, err
		}
	}
	return sides, s, nil
}

// fanPlayers registers nonces for the subscribers and publishers of one world.
func fanPlayers(ctx context.Context, s *node, subscribers, publishers int, world string) (fanNonces, error) {
	list, err := s.nonces(ctx, subscribers+publishers, world)
	return fanNonces{subscribers: list[:subscribers], publishers: list[subscribers:]}, err
}

func fanTurns(ctx context.Context, r *Run, sides []*fanSide) error {
	slice := r.Slice() / 2 / passes
	for turn := range r.Repeat {
		for pass := range passes {
			r.Step((float64(turn)+float64(pass)/passes)/float64(r.Repeat), "turn %d of %d", turn+1, r.Repeat)
			for _, s := range sides {
				if err := s.pass(ctx, r, slice); err != nil {
					return fmt.Errorf("%s: %w", s.load.proto.name, err)
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
		}
		for _, s := range sides {
			s.single.endTurn()
			s.joined.endTurn()
		}
	}
	return nil
}

func (s *fanSide) pass(ctx context.Context, r *Run, d time.Duration) error {
	err := s.measure(r, &s.single, func(lat latencies) (fanCounts, error) { return s.load.single(ctx, d, lat) })
	if err != nil {
		return err
	}
	return s.measure(r, &s.joined, func(lat latencies) (fanCounts, error) { return s.load.joined(ctx, d, fanWindow, lat) })
}

func (s *fanSide) measure(r *Run, into *fanSeries, work func(latencies) (fanCounts, error)) error {
	if into.arrival.h == nil {
		into.arrival = newLatencies()
	}
	cpu, start := s.cpu(), time.Now()
	n, err := work(into.arrival)
	into.seconds += time.Since(start).Seconds()
	into.cpuSeconds += (s.cpu() - cpu).Seconds()
	into.deliveries += float64(n.received)
	r.Balance(n.sent, n.received, n.sent-min(n.sent, n.received), n.doubled)
	return err
}

// cpu returns the CPU time of the side's server, 0 when it is not known.
func (s *fanSide) cpu() time.Duration {
	d, err := cpuTime(s.pid)
	if s.pid == 0 || err != nil {
		return 0
	}
	return d
}

// endTurn makes one value of each figure out of the passes.
func (m *fanSeries) endTurn() {
	m.perSecond = append(m.perSecond, m.deliveries/m.seconds)
	if m.cpuSeconds > 0 {
		m.perCPU = append(m.perCPU, m.deliveries/m.cpuSeconds)
	}
	m.p50 = append(m.p50, m.arrival.quantile(0.5)/1000)
	m.p99 = append(m.p99, m.arrival.quantile(0.99)/1000)
	if m.all.h == nil {
		m.all = newLatencies()
	}
	m.all.h.Merge(m.arrival.h)
	m.deliveries, m.seconds, m.cpuSeconds, m.arrival = 0, 0, 0, newLatencies()
}

// fanArrivals draws how long a message took to its subscribers when one was under way at a time.
func fanArrivals(r *Run, sides []*fanSide) {
	var lines []Line
	for _, s := range sides {
		if s.single.all.h != nil {
			lines = append(lines, latencyLine(s.load.proto.name, s.single.all))
		}
	}
	title := fmt.Sprintf("Arrival of one message at %v subscribers", r.Result.Settings["subscribers"])
	if r.Against != "" {
		title += ", beside " + r.Against
	}
	r.LatencyPlot("fanout_arrival", title, lines...)
}

func fanReport(r *Run, sides []*fanSide) {
	for _, s := range sides {
		for mode, m := range map[string]*fanSeries{"single": &s.single, "joined": &s.joined} {
			record := func(name string, v []float64) {
				if s.peer != "" {
					r.PeerSeries(s.peer, "", mode+name, v)
				} else {
					r.Series(s.name+mode+name, v)
				}
			}
			record("_deliveries_per_s", m.perSecond)
			record("_deliveries_per_cpu_s", m.perCPU)
			record("_p50_ms", m.p50)
			record("_p99_ms", m.p99)
		}
	}
	fanArrivals(r, sides)
	own, other := sides[0], sides[len(sides)-1]
	if other.peer == "" {
		return
	}
	vs := "vs_" + other.peer
	single, joined := quotients(own.single.perCPU, other.single.perCPU), quotients(own.joined.perCPU, other.joined.perCPU)
	r.RatioSeries(vs+"_single", single)
	r.RatioSeries(vs+"_joined", joined)
	// The one ratio that is kept is the smaller, so that it holds for both kinds of work.
	if len(joined) > 0 && median(joined) < median(single) {
		single = joined
	}
	r.RatioSeries(vs, single)
}

// runBurst measures how long one message takes to reach many subscribers, on a server of its own.
func runBurst(ctx context.Context, r *Run, subscribers int) error {
	s, err := startServer(ctx, r)
	if err != nil {
		return err
	}
	defer s.stop()
	nonces, err := fanPlayers(ctx, s, subscribers, 1, fanWorld)
	if err != nil {
		return err
	}
	load, err := newFanLoad(ctx, s.web, subscribers, 1, fanBytes, envelopeFan(s, nonces), func(n int) {
		r.Step(float64(n)/float64(subscribers), "burst: connecting %d of %d", n, subscribers)
	})
	if err != nil {
		return fmt.Errorf("burst: %w", err)
	}
	defer load.close()
	lat := newLatencies()
	var total fanCounts
	for i := range burstMessages {
		if ctx.Err() != nil {
			break
		}
		r.Step(float64(i)/burstMessages, "burst: message %d of %d", i+1, burstMessages)
		n, err := load.one(burstPause, lat)
		total.sent, total.received = total.sent+n.sent, total.received+n.received
		if err != nil {
			r.Balance(total.sent, total.received, total.sent-min(total.sent, total.received), n.doubled)
			return fmt.Errorf("burst: %w", err)
		}
	}
	r.Balance(total.sent, total.received, total.sent-min(total.sent, total.received), 0)
	r.Figure("burst10k_p50_ms", lat.quantile(0.5)/1000)
	r.Figure("burst10k_p99_ms", lat.quantile(0.99)/1000)
	return nil
}
