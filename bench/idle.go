package bench

import (
	"context"
	"fmt"
	"math"
	"time"
)

func init() {
	Register(Scenario{
		Name:    "idle",
		Summary: "many connections that do next to nothing: memory and CPU of each; peer: a bare gnet server",
		Peers:   []string{"gnet"},
		Run:     runIdle,
	})
}

const (
	idleConns      = 15_000
	idleConnsQuick = 500
	idleBeat       = 25 * time.Second // each line client sends a PING as often; websockets are pinged by the server
	idleWindow     = 30 * time.Second // measured time: every connection has at least one heartbeat in it
	idleWorld      = "bench"
)

// collections is how many garbage collections the server is asked for before its memory is read. Go collects an idle
// process every two minutes by itself, and pools let go of what they hold at the second collection only: so this is
// the memory after some minutes of rest, without the wait.
const collections = 3

// Memory counts as settled when it changed by less than settledShare over settledFor, or after settleTimeout.
const (
	settledShare  = 0.002
	settledFor    = 3 * time.Second
	settleTimeout = 40 * time.Second
)

// idleSide is one kind of connection, on a server of its own so that nothing is left over from another kind.
type idleSide struct {
	name  string // prefix of its figures
	pid   int
	addr  string
	kind  idleKind
	calm  time.Duration // how long memory must stay as it is
	greet func(i int) greeter
	// admit prepares the server for the connections; nil: nothing to do.
	admit func(ctx context.Context) error
	rest  func(ctx context.Context)                  // asks the server to collect its garbage; nil: cannot be asked
	live  func(ctx context.Context) (float64, error) // bytes of its live objects; nil: cannot be asked
}

func runIdle(ctx context.Context, r *Run) error {
	conns := idleConns
	if r.Quick {
		conns = idleConnsQuick
	}
	r.Setting("connections", conns)
	r.Setting("heartbeat_s", idleBeat.Seconds())
	r.Setting("memory", "VmRSS of the server, less what it had without the connections, a connection; after three forced collections (Go makes one every two idle minutes) and until it changed by less than 0.2 % in 3 s")
	r.Note("each kind is measured once, on a fresh server; --repeat does not count here")
	if r.Target != "self" {
		return fmt.Errorf("target: the memory of a server can be read only when it is self")
	}
	return onThread(func() error {
		worst := 0.0
		for i, kind := range []idleKind{idleLine, idleWeb} {
			cpu, err := idleGosper(ctx, r, kind, conns, float64(i)/3)
			if err != nil || ctx.Err() != nil {
				return err
			}
			worst = math.Max(worst, cpu)
		}
		r.Figure("cpu_us_per_conn_s", worst)
		if r.Against == "gnet" {
			return idleGnet(ctx, r, conns)
		}
		return nil
	})
}

func calm(r *Run) time.Duration {
	if r.Quick {
		return settledFor / 6
	}
	return settledFor
}

func idleGosper(ctx context.Context, r *Run, kind idleKind, conns int, part float64) (cpu float64, err error) {
	s, err := startServer(ctx, r)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	r.Figure("start_ms", float64(s.ready)/float64(time.Millisecond))
	var nonces []string
	side := idleSide{name: "line", pid: s.pid(), addr: s.line, kind: kind, calm: calm(r)}
	side.admit = func(ctx context.Context) (err error) {
		nonces, err = s.nonces(ctx, conns, idleWorld)
		return err
	}
	side.greet = func(i int) greeter { return &lineGreeting{nonce: nonces[i]} }
	if kind == idleWeb {
		side.name, side.addr = "ws", s.web
		side.greet = func(i int) greeter { return &webGreeting{host: s.web, sub: subEnvelopes, nonce: nonces[i]} }
	}
	// Reading the heap profile with gc=1 runs a collection first.
	side.live = func(context.Context) (float64, error) { return s.metric("go_memstats_heap_alloc_bytes") }
	side.rest = func(ctx context.Context) { _, _ = s.get(ctx, "/debug/pprof/heap?gc=1") }
	figures, err := side.measure(ctx, r, conns, part)
	for name, v := range figures {
		r.Figure(side.name+name, v)
	}
	return figures["_cpu_us_per_conn_s"], err
}

func idleGnet(ctx context.Context, r *Run, conns int) error {
	c, addr, version, err := startPeer(ctx, r.Options, "gnet")
	if err != nil {
		return err
	}
	defer c.stop()
	side := idleSide{name: "gnet", pid: c.pid, addr: addr, kind: idleEcho, calm: calm(r), greet: func(int) greeter { return noGreeting{} }}
	figures, err := side.measure(ctx, r, conns, 2.0/3)
	for name, v := range figures {
		r.PeerSeries("gnet", version, name[1:], []float64{v})
	}
	return err
}

// measure opens the connections, lets them rest, and asks each for a sign of life in the end. Figures that were had
// before an interrupt are returned.
func (s *idleSide) measure(ctx context.Context, r *Run, conns int, part float64) (map[string]float64, error) {
	figures := map[string]float64{}
	before, err := s.base(ctx)
	if err != nil {
		return figures, err
	}
	p, err := newPoller()
	if err != nil {
		return figures, err
	}
	defer p.close()
	start := time.Now()
	links, err := open(ctx, p, plan{addr: s.addr, n: conns, greet: s.greet, opened: func(n int) {
		r.Step(part+float64(n)/float64(conns)/9, "%s: connecting %d of %d", s.name, n, conns)
	}})
	if err != nil {
		return figures, fmt.Errorf("%s: %w", s.name, err)
	}
	defer closeAll(links)
	figures["_connects_per_s"] = float64(conns) / time.Since(start).Seconds()
	load := newIdleLoad(p, links, s.kind)
	r.Step(part+1.0/9, "%s: waiting until memory has settled", s.name)
	after, err := s.settle(ctx, load.serve)
	if err != nil {
		return figures, err
	}
	figures["_bytes"] = (after - before) / float64(conns)
	cpu, err := s.window(ctx, r, load, part)
	if err != nil || ctx.Err() != nil {
		return figures, err
	}
	figures["_cpu_us_per_conn_s"] = cpu
	err = load.roundTrip()
	r.balanceOf(load.total)
	return figures, err
}

// base returns the memory of the server without the connections. Nonces that wait for them lie in its store and in its
// memory; the connections use them up. So the base is measured with the nonces there, less the live objects they are.
func (s *idleSide) base(ctx context.Context) (float64, error) {
	still := func(d time.Duration) error { return pause(ctx, d) }
	if s.admit == nil {
		return s.settle(ctx, still)
	}
	s.collect(ctx)
	empty, err := s.live(ctx)
	if err != nil {
		return 0, err
	}
	if err := s.admit(ctx); err != nil {
		return 0, err
	}
	resident, err := s.settle(ctx, still)
	if err != nil {
		return 0, err
	}
	s.collect(ctx)
	admitted, err := s.live(ctx)
	return resident - (admitted - empty), err
}

// collect asks the server to collect its garbage, as often as pools need to let go of what they hold.
func (s *idleSide) collect(ctx context.Context) {
	for range collections {
		if s.rest != nil {
			s.rest(ctx)
		}
	}
}

// window measures the CPU of the server while only heartbeats pass, in µs a connection and second.
func (s *idleSide) window(ctx context.Context, r *Run, load *idleLoad, part float64) (float64, error) {
	d := idleWindow
	if r.Quick {
		d = min(d, r.Duration)
	}
	cpu, err := cpuTime(s.pid)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	for time.Since(start) < d && ctx.Err() == nil {
		r.Step(part+(1+time.Since(start).Seconds()/d.Seconds())/9, "%s: resting", s.name)
		if err := load.serve(250 * time.Millisecond); err != nil {
			return 0, err
		}
	}
	used, err := cpuTime(s.pid)
	wall := time.Since(start).Seconds()
	return float64(used-cpu) / float64(time.Microsecond) / float64(len(load.links)) / wall, err
}

// settle waits until the server's memory stays as it is, and returns it. serve is called meanwhile.
func (s *idleSide) settle(ctx context.Context, serve func(time.Duration) error) (float64, error) {
	s.collect(ctx)
	start := time.Now()
	mark, since := 0.0, start
	for {
		now, err := residentBytes(s.pid)
		if err != nil {
			return 0, err
		}
		if mark == 0 || math.Abs(now-mark) > settledShare*mark {
			mark, since = now, time.Now()
		}
		if time.Since(since) > s.calm || time.Since(start) > settleTimeout || ctx.Err() != nil {
			return now, nil
		}
		if err := serve(100 * time.Millisecond); err != nil {
			return 0, err
		}
	}
}
