package bench

import (
	"context"
	"fmt"
	"time"

	"gosper/protocol"
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
	pipelined, single echoSeries
}

// echoSeries holds what the turns of one mode found out.
type echoSeries struct {
	perSecond, perCPU, allocs, p50, p99, p999 []float64
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

// echoTurns measures all sides in turns, each in the pipelined, the one-by-one and the paced mode. The paced mode, at
// a rate far below what the server can do, gives the latencies.
func echoTurns(ctx context.Context, r *Run, sides []*echoSide) error {
	slice := r.Slice() / 2
	total := float64(r.Repeat * len(sides))
	for turn := range r.Repeat {
		for i, s := range sides {
			part := float64(turn*len(sides)+i) / total
			r.Step(part, "turn %d of %d: %s", turn+1, r.Repeat, s.name)
			if err := s.measure(ctx, r, &s.pipelined, echoDepth, slice); err != nil {
				return err
			}
			if err := s.measure(ctx, r, &s.single, 1, slice); err != nil {
				return err
			}
			if err := s.pace(ctx, r, slice); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

// measure runs one mode once.
func (s *echoSide) measure(ctx context.Context, r *Run, into *echoSeries, depth int, d time.Duration) error {
	// A short run first, so that buffers and caches are those of the mode.
	if _, err := s.load.saturate(ctx, depth, d/10); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	before, cpu := s.allocated(), s.cpu()
	start := time.Now()
	n, err := s.load.saturate(ctx, depth, d)
	wall := time.Since(start)
	r.balanceOf(n)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	into.perSecond = append(into.perSecond, float64(n.received)/wall.Seconds())
	if used := s.cpu() - cpu; used > 0 {
		into.perCPU = append(into.perCPU, float64(n.received)/used.Seconds())
	}
	if after := s.allocated(); after > 0 && before > 0 {
		into.allocs = append(into.allocs, (after-before)/float64(n.received))
	}
	return nil
}

func (s *echoSide) pace(ctx context.Context, r *Run, d time.Duration) error {
	lat := newLatencies()
	n, err := s.load.pace(ctx, echoPaceRate, d, lat)
	r.balanceOf(n)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	into := &s.pipelined
	into.p50 = append(into.p50, lat.quantile(0.5))
	into.p99 = append(into.p99, lat.quantile(0.99))
	into.p999 = append(into.p999, lat.quantile(0.999))
	return nil
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
		series("_p50_us", s.pipelined.p50)
		series("_p99_us", s.pipelined.p99)
		series("_p999_us", s.pipelined.p999)
	}
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

// echoScript is the cyclic conversation of a connection: what is sent, and byte for byte what must come back. Every
// frame has its own number, so a lost, doubled or swapped frame shows as a difference.
type echoScript struct {
	send, want           []byte
	sendFrame, wantFrame int // bytes of one frame
}

// echoCycle is how many frames a script has before it starts again; more than are ever under way.
const echoCycle = 4096

func newEchoScript(frame func(i int) (send, want []byte)) echoScript {
	var s echoScript
	for i := range echoCycle {
		send, want := frame(i)
		s.send, s.want = append(s.send, send...), append(s.want, want...)
		s.sendFrame, s.wantFrame = len(send), len(want)
	}
	return s
}

// echoNumber is the payload of a PING that makes its line frame echoFrame bytes long.
func echoNumber(i int) []byte {
	return fmt.Appendf(nil, "%0*d", echoFrame-protocol.CommandSize-2, i)
}

func lineEcho() echoScript {
	return newEchoScript(func(i int) (send, want []byte) {
		return protocol.AppendLine(nil, protocol.CmdPing, echoNumber(i)), protocol.AppendLine(nil, protocol.CmdPong, echoNumber(i))
	})
}

func bareEcho() echoScript {
	return newEchoScript(func(i int) (send, want []byte) {
		f := protocol.AppendLine(nil, protocol.CmdPing, echoNumber(i))
		return f, f
	})
}

// webEcho holds the same frames as lineEcho without CR LF, each in a masked websocket frame.
func webEcho() echoScript {
	return newEchoScript(func(i int) (send, want []byte) {
		ping := append([]byte(protocol.CmdPing.String()), echoNumber(i)...)
		pong := append([]byte(protocol.CmdPong.String()), echoNumber(i)...)
		mask := [4]byte{byte(i), byte(i >> 8), 0xa5, 0x3c}
		return protocol.AppendMaskedFrame(nil, protocol.OpText, mask, ping), protocol.AppendFrame(nil, protocol.OpText, pong)
	})
}
