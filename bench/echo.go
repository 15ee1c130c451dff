package bench

import (
	"context"
	"fmt"
	"time"
)

func init() {
	Register(Scenario{
		Name:    "echo",
		Summary: "PING on lines and on websockets, in a pipeline and one by one; peer: a bare gnet echo",
		Peers:   []string{"gnet"},
		Run:     runEcho,
	})
}

// What the echo scenario sends. The frame is as long for a bare echo as for a line.
const (
	echoConns      = 64
	echoConnsQuick = 8
	echoDepth      = 16 // frames under way on a connection in the pipelined mode
	echoFrame      = 32 // bytes of a line frame, CR LF included
	echoPaceRate   = 20_000
)

// echoSide is one server in one protocol.
type echoSide struct {
	name              string
	peer              bool
	pid               int // 0: its CPU time is not known
	load              *echoLoad
	allocs            func() (float64, error) // objects the server has allocated so far; nil: not known
	pipelined, single echoMode
	paced, all        latencies // of the turn under way, and of all turns
	p50, p99, p999    []float64 // µs, one a turn
}

// echoMode is one way of sending: what the passes of the turn under way came to, and the values of all turns.
type echoMode struct {
	frames, seconds, cpuSeconds, objects float64

	perSecond, perCPU, allocs []float64
}

func runEcho(ctx context.Context, r *Run) error {
	conns := echoConns
	if r.Quick {
		conns = echoConnsQuick
	}
	r.Setting("connections", conns)
	r.Setting("pipeline_depth", echoDepth)
	r.Setting("line_frame_bytes", echoFrame)
	r.Setting("paced_per_s", echoPaceRate)
	r.Setting("generator_threads", 1)
	return onThread(func() error {
		var cl closers
		defer cl.close()
		sides, err := echoSides(ctx, r, &cl, conns)
		if err != nil {
			return err
		}
		err = echoTurns(ctx, r, sides)
		echoReport(r, sides)
		return err
	})
}

// echoSides starts the servers and connects to them.
func echoSides(ctx context.Context, r *Run, cl *closers, conns int) (sides []*echoSide, err error) {
	r.Step(0, "starting the server")
	s, err := startServer(ctx, r)
	if err != nil {
		return nil, err
	}
	cl.add(s.stop)
	nonces, err := s.nonces(ctx, 2*conns, "bench")
	if err != nil {
		return nil, err
	}
	connect := func(side *echoSide, addr string, script echoScript, greet func(int) greeter) error {
		side.load, err = newEchoLoad(ctx, addr, conns, script, greet)
		if err != nil {
			return fmt.Errorf("%s: %w", side.name, err)
		}
		cl.add(side.load.close)
		sides = append(sides, side)
		return nil
	}
	err = connect(&echoSide{name: "line", pid: s.pid(), allocs: s.mallocs}, s.line, lineEcho(), func(i int) greeter {
		return &lineGreeting{nonce: nonces[i]}
	})
	if err != nil {
		return nil, err
	}
	err = connect(&echoSide{name: "ws", pid: s.pid(), allocs: s.mallocs}, s.web, webEcho(), func(i int) greeter {
		return &webGreeting{host: s.web, sub: subLine, nonce: nonces[conns+i]}
	})
	if err != nil || r.Against == "" {
		return sides, err
	}
	c, addr, version, err := startPeer(ctx, r.Options, "gnet", loopsArg(s.loops)...)
	if err != nil {
		return nil, err
	}
	cl.add(c.stop)
	r.PeerSeries("gnet", version, "", nil)
	err = connect(&echoSide{name: "gnet", peer: true, pid: c.pid}, addr, bareEcho(), func(int) greeter { return noGreeting{} })
	return sides, err
}

// passes is how often the sides take turns within one turn: a disturbance of the machine that lasts longer than one
// pass meets all sides, and so leaves their ratio alone.
const passes = 4

// echoTurns measures all sides in turns, each in the pipelined, the one-by-one and the paced mode. The paced mode, at
// a rate far below what the server can do, gives the latencies.
func echoTurns(ctx context.Context, r *Run, sides []*echoSide) error {
	slice := r.Slice() / 2 / passes
	for turn := range r.Repeat {
		for pass := range passes {
			r.Step((float64(turn)+float64(pass)/passes)/float64(r.Repeat), "turn %d of %d", turn+1, r.Repeat)
			for _, s := range sides {
				if err := s.pass(ctx, r, slice); err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
		}
		for _, s := range sides {
			s.endTurn()
		}
	}
	return nil
}

// pass measures each mode once.
func (s *echoSide) pass(ctx context.Context, r *Run, d time.Duration) error {
	if err := s.measure(ctx, r, &s.pipelined, echoDepth, d); err != nil {
		return err
	}
	if err := s.measure(ctx, r, &s.single, 1, d); err != nil {
		return err
	}
	if s.paced.h == nil {
		s.paced = newLatencies()
	}
	n, err := s.load.pace(ctx, echoPaceRate, d, s.paced)
	r.balanceOf(n)
	return err
}

func (s *echoSide) measure(ctx context.Context, r *Run, into *echoMode, depth int, d time.Duration) error {
	// A short run first, so that buffers and caches are those of the mode.
	n, err := s.load.saturate(ctx, depth, d/10)
	r.balanceOf(n)
	if err != nil {
		return err
	}
	// Asking for the number of objects makes some too: two questions in a row say how many.
	first := s.allocated()
	objects, cpu, start := s.allocated(), s.cpu(), time.Now()
	asking := objects - first
	n, err = s.load.saturate(ctx, depth, d)
	into.seconds += time.Since(start).Seconds()
	into.cpuSeconds += (s.cpu() - cpu).Seconds()
	into.objects += max(0, s.allocated()-objects-asking)
	into.frames += float64(n.received)
	r.balanceOf(n)
	return err
}

// endTurn makes one value of each figure out of the passes.
func (s *echoSide) endTurn() {
	for _, m := range []*echoMode{&s.pipelined, &s.single} {
		m.perSecond = append(m.perSecond, m.frames/m.seconds)
		if m.cpuSeconds > 0 {
			m.perCPU = append(m.perCPU, m.frames/m.cpuSeconds)
		}
		if s.allocs != nil {
			m.allocs = append(m.allocs, m.objects/m.frames)
		}
		m.frames, m.seconds, m.cpuSeconds, m.objects = 0, 0, 0, 0
	}
	s.p50 = append(s.p50, s.paced.quantile(0.5))
	s.p99 = append(s.p99, s.paced.quantile(0.99))
	s.p999 = append(s.p999, s.paced.quantile(0.999))
	if s.all.h == nil {
		s.all = newLatencies()
	}
	s.all.h.Merge(s.paced.h)
	s.paced = newLatencies()
}

func (s *echoSide) cpu() time.Duration {
	if s.pid == 0 {
		return 0
	}
	d, err := cpuTime(s.pid)
	if err != nil {
		return 0
	}
	return d
}

func (s *echoSide) allocated() float64 {
	if s.allocs == nil {
		return 0
	}
	n, err := s.allocs()
	if err != nil {
		return 0
	}
	return n
}

func echoReport(r *Run, sides []*echoSide) {
	var gnet *echoSide
	for _, s := range sides {
		series := func(name string, v []float64) { r.Series(s.name+name, v) }
		if s.peer {
			gnet = s
			series = func(name string, v []float64) { r.PeerSeries(s.name, "", name[1:], v) }
		}
		series("_per_s", s.pipelined.perSecond)
		series("_per_cpu_s", s.pipelined.perCPU)
		series("_allocs", s.pipelined.allocs)
		series("_single_per_s", s.single.perSecond)
		series("_single_per_cpu_s", s.single.perCPU)
		series("_p50_us", s.p50)
		series("_p99_us", s.p99)
		series("_p999_us", s.p999)
	}
	var lines []Line
	for _, s := range sides {
		if s.all.h != nil {
			lines = append(lines, latencyLine(s.name, s.all))
		}
	}
	r.LatencyPlot("echo_latency", fmt.Sprintf("Echo at %d frames a second", echoPaceRate), lines...)
	if gnet == nil {
		return
	}
	for _, s := range sides {
		if s != gnet {
			r.RatioSeries(s.name+"_vs_gnet", quotients(s.pipelined.perCPU, gnet.pipelined.perCPU))
			r.RatioSeries(s.name+"_single_vs_gnet", quotients(s.single.perCPU, gnet.single.perCPU))
		}
	}
}

// quotients divides the sides of the same turn.
func quotients(a, b []float64) []float64 {
	q := make([]float64, 0, len(a))
	for i := range min(len(a), len(b)) {
		q = append(q, a[i]/b[i])
	}
	return q
}
