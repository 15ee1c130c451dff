package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
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
	watch time.Duration // how long CPU is measured; 0: it is not
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
	r.Note("each turn has a fresh server; CPU is measured in the first turn only")
	if r.Target != "self" {
		return fmt.Errorf("target: the memory of a server can be read only when it is self")
	}
	return onThread(func() error {
		b := &idleBench{r: r, conns: conns, series: map[string][]float64{}, peer: map[string][]float64{}}
		err := b.turns(ctx)
		for name, v := range b.series {
			r.Series(name, v)
		}
		if cpu := slices.Concat(b.series["line_cpu_us_per_conn_s"], b.series["ws_cpu_us_per_conn_s"]); len(cpu) > 0 {
			r.Figure("cpu_us_per_conn_s", slices.Max(cpu))
		}
		for name, v := range b.peer {
			r.PeerSeries("gnet", b.version, name, v)
		}
		return err
	})
}

// idleBench measures the kinds in turns.
type idleBench struct {
	r       *Run
	conns   int
	series  map[string][]float64 // figures of gosper by their names
	peer    map[string][]float64 // of the peer
	version string               // of the peer
}

func (b *idleBench) turns(ctx context.Context) error {
	for turn := range b.r.Repeat {
		part := func(i int) float64 { return (float64(turn) + float64(i)/3) / float64(b.r.Repeat) }
		for i, kind := range []idleKind{idleLine, idleWeb} {
			if err := b.gosper(ctx, b.side(turn, kind), part(i)); err != nil || ctx.Err() != nil {
				return err
			}
		}
		if b.r.Against == "gnet" {
			if err := b.gnet(ctx, b.side(turn, idleEcho), part(2)); err != nil || ctx.Err() != nil {
				return err
			}
		}
	}
	return nil
}

func calm(r *Run) time.Duration {
	if r.Quick {
		return settledFor / 6
	}
	return settledFor
}

// side begins what is measured of a kind in a turn.
func (b *idleBench) side(turn int, kind idleKind) idleSide {
	s := idleSide{kind: kind, calm: calm(b.r)}
	if turn == 0 {
		s.watch = idleWindow
		if b.r.Quick {
			s.watch = min(idleWindow, b.r.Duration)
		}
	}
	return s
}

func (b *idleBench) gosper(ctx context.Context, side idleSide, part float64) error {
	s, err := startServer(ctx, b.r)
	if err != nil {
		return err
	}
	defer s.stop()
	b.series["start_ms"] = append(b.series["start_ms"], float64(s.ready)/float64(time.Millisecond))
	var nonces []string
	side.name, side.pid, side.addr = "line", s.pid(), s.line
	side.admit = func(ctx context.Context) (err error) {
		nonces, err = s.nonces(ctx, b.conns, idleWorld)
		return err
	}
	side.greet = func(i int) greeter { return &lineGreeting{nonce: nonces[i]} }
	if side.kind == idleWeb {
		side.name, side.addr = "ws", s.web
		side.greet = func(i int) greeter { return &webGreeting{host: s.web, sub: subEnvelopes, nonce: nonces[i]} }
	}
	// Reading the heap profile with gc=1 runs a collection first.
	side.live = func(context.Context) (float64, error) { return s.metric("go_memstats_heap_alloc_bytes") }
	side.rest = func(ctx context.Context) { _, _ = s.get(ctx, "/debug/pprof/heap?gc=1") }
	figures, err := side.measure(ctx, b.r, b.conns, part)
	for name, v := range figures {
		b.series[side.name+"_"+name] = append(b.series[side.name+"_"+name], v)
	}
	return err
}

func (b *idleBench) gnet(ctx context.Context, side idleSide, part float64) error {
	c, addr, version, err := startPeer(ctx, b.r.Options, "gnet")
	if err != nil {
		return err
	}
	defer c.stop()
	b.version = version
	side.name, side.pid, side.addr, side.greet = "gnet", c.pid, addr, func(int) greeter { return noGreeting{} }
	figures, err := side.measure(ctx, b.r, b.conns, part)
	for name, v := range figures {
		b.peer[name] = append(b.peer[name], v)
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
		r.Step(part, "%s: connecting %d of %d", s.name, n, conns)
	}})
	if err != nil {
		return figures, fmt.Errorf("%s: %w", s.name, err)
	}
	defer closeAll(links)
	figures["connects_per_s"] = float64(conns) / time.Since(start).Seconds()
	load := newIdleLoad(p, links, s.kind)
	r.Step(part, "%s: waiting until memory has settled", s.name)
	after, err := s.settle(ctx, load.serve)
	if err != nil {
		return figures, err
	}
	figures["bytes"] = (after - before) / float64(conns)
	if s.watch > 0 {
		cpu, err := s.window(ctx, r, load, part)
		if err != nil || ctx.Err() != nil {
			return figures, err
		}
		figures["cpu_us_per_conn_s"] = cpu
	}
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
	cpu, err := cpuTime(s.pid)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	for time.Since(start) < s.watch && ctx.Err() == nil {
		r.Step(part, "%s: resting, %.0f s of %.0f", s.name, time.Since(start).Seconds(), s.watch.Seconds())
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
