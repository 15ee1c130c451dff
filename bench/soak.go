package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func init() {
	Register(Scenario{
		Name:    "soak",
		Summary: "everything mixed for --time, clients that come and go; memory, descriptors and goroutines must return",
		Run:     runSoak,
	})
}

// A soak is a number of phases of load with a rest after each. What the server holds at a rest must be what it held at
// the first: the work of one phase has warmed every pool and cache.
const (
	soakPhase      = 30 * time.Second // a phase is about as long
	soakPhasesMin  = 4
	soakPhasesMost = 40
	soakSettle     = 20 * time.Second // the longest wait for the server to come to rest
	soakLook       = time.Second      // between two looks at a server under load
)

// What a rest may hold more than the first one did.
const (
	soakMoreHeap       = 16 << 20 // bytes, beside half of what the first rest held: caches that fill
	soakMoreGoroutines = 8        // a compaction of the store that is under way
	soakMoreFiles      = 256      // tables of the store
)

// soakState is what a server holds.
type soakState struct {
	at                        time.Duration // since the start
	heap, resident            float64       // bytes; heap is what lives, and is known at a rest only
	sockets, files            float64       // descriptors
	goroutines, threads, open float64       // open: connections
}

// soak is one run of the scenario.
type soak struct {
	r     *Run
	node  *node
	start time.Time
	token string // of a player, for the gate

	lives, sent, received, doubled atomic.Uint64
	next                           atomic.Uint64 // numbers the players
	kinds                          map[string]*atomic.Uint64

	rests, loads []soakState
}

func runSoak(ctx context.Context, r *Run) error {
	if r.Target != "self" {
		return errors.New("target: the soak scenario starts its own server")
	}
	s := &soak{r: r, start: time.Now(), kinds: map[string]*atomic.Uint64{}}
	var err error
	if s.node, err = startServer(ctx, r); err != nil {
		return err
	}
	defer s.node.stop()
	phases := min(max(int(r.Time/soakPhase), soakPhasesMin), soakPhasesMost)
	each := r.Time / time.Duration(phases)
	r.Setting("time_s", r.Time.Seconds())
	r.Setting("phases", phases)
	r.Setting("at_once", len(soakLives)*soakEach)
	for i := range phases {
		if err = s.phase(ctx, i, phases, each); err != nil {
			break
		}
	}
	s.report()
	if err != nil {
		return err
	}
	return s.returned()
}

// phase loads the server for a while, lets it rest, and notes what it holds.
func (s *soak) phase(ctx context.Context, i, phases int, d time.Duration) error {
	var err error
	if s.token, err = gatePlayer(s.node.gate); err != nil { // a new one for each phase: tokens end
		return err
	}
	loaded, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var work sync.WaitGroup
	faults := make(chan error, len(soakLives)*soakEach)
	for _, life := range soakLives {
		count := s.kinds[life.name]
		if count == nil {
			count = &atomic.Uint64{}
			s.kinds[life.name] = count
		}
		for range soakEach {
			work.Go(func() {
				for loaded.Err() == nil { // a life that has begun is lived to its end
					if err := life.live(s, ctx); err != nil {
						faults <- fmt.Errorf("%s: %w", life.name, err)
						cancel()
						return
					}
					count.Add(1)
					s.lives.Add(1)
				}
			})
		}
	}
	err = s.watch(loaded, i, phases)
	work.Wait()
	select {
	case fault := <-faults:
		return fault
	default:
	}
	if err = errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	return s.rest(ctx)
}

// watch looks at the server while it is loaded.
func (s *soak) watch(loaded context.Context, i, phases int) error {
	look := time.NewTicker(soakLook)
	defer look.Stop()
	for {
		select {
		case <-loaded.Done():
			return nil
		case <-look.C:
		}
		s.r.Step((float64(i)+0.5)/float64(phases), "phase %d of %d, %d lives", i+1, phases, s.lives.Load())
		state, err := s.look()
		if err != nil {
			return err
		}
		s.loads = append(s.loads, state)
	}
}

// rest waits until the server holds no more than at the first rest, or does not get there, and notes what it holds.
func (s *soak) rest(ctx context.Context) error {
	limit := time.Now().Add(soakSettle)
	for {
		heap, err := s.node.live(ctx)
		if err != nil {
			return err
		}
		state, err := s.look()
		if err != nil {
			return err
		}
		state.heap = heap
		calm := state.open == 0 && (len(s.rests) == 0 || s.exceeds(state) == nil)
		if calm || time.Now().After(limit) {
			s.rests = append(s.rests, state)
			return nil
		}
		if err := pause(ctx, 250*time.Millisecond); err != nil {
			return err
		}
	}
}

// look reads what the server holds now.
func (s *soak) look() (state soakState, err error) {
	state.at = time.Since(s.start)
	text, err := s.node.get(context.Background(), "/metrics")
	if err != nil {
		return state, err
	}
	for line := range strings.Lines(string(text)) {
		var v float64
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := fmt.Sscan(value, &v); n != 1 || err != nil {
			continue
		}
		switch {
		case name == "go_goroutines":
			state.goroutines = v
		case strings.HasPrefix(name, "gosper_connections{"):
			state.open += v
		}
	}
	if state.resident, err = residentBytes(s.node.pid()); err != nil {
		return state, err
	}
	state.sockets, state.files, state.threads, err = processHolds(s.node.pid())
	return state, err
}

// processHolds counts descriptors and threads of a process.
func processHolds(pid int) (sockets, files, threads float64, err error) {
	proc := fmt.Sprintf("/proc/%d/", pid)
	links, err := os.ReadDir(proc + "fd")
	if err != nil {
		return 0, 0, 0, err
	}
	for _, l := range links {
		switch to, err := os.Readlink(filepath.Join(proc, "fd", l.Name())); {
		case err != nil: // closed meanwhile
		case strings.HasPrefix(to, "socket:"):
			sockets++
		default:
			files++
		}
	}
	tasks, err := os.ReadDir(proc + "task")
	return sockets, files, float64(len(tasks)), err
}

// exceeds says what a rest holds that the first did not.
func (s *soak) exceeds(now soakState) error {
	first := s.rests[0]
	var faults error
	for _, c := range []struct {
		what      string
		now, most float64
	}{
		{"live bytes", now.heap, 1.5*first.heap + soakMoreHeap},
		{"goroutines", now.goroutines, first.goroutines + soakMoreGoroutines},
		{"sockets", now.sockets, first.sockets},
		{"files", now.files, first.files + soakMoreFiles},
		{"connections", now.open, 0},
	} {
		if c.now > c.most {
			faults = errors.Join(faults, fmt.Errorf("%s %s at rest after %v, at most %s after what the first rest held", number(c.now), c.what, now.at.Round(time.Second), number(c.most)))
		}
	}
	return faults
}

// returned says whether the server holds at the end what it held at the first rest, and whether every message came.
func (s *soak) returned() error {
	if len(s.rests) < 2 {
		return nil
	}
	return s.exceeds(s.rests[len(s.rests)-1])
}

// report leaves the figures and the pictures.
func (s *soak) report() {
	sent, received, doubled := s.sent.Load(), s.received.Load(), s.doubled.Load()
	s.r.Balance(sent, received, sent-min(sent, received), doubled)
	s.r.Figure("lives", float64(s.lives.Load()))
	s.r.Figure("lives_per_s", float64(s.lives.Load())/time.Since(s.start).Seconds())
	for _, kind := range slices.Sorted(maps.Keys(s.kinds)) {
		s.r.Figure("lives_"+kind, float64(s.kinds[kind].Load()))
	}
	if n := len(s.rests); n > 0 {
		first, last := s.rests[0], s.rests[n-1]
		for name, get := range soakFigures {
			s.r.Figure(name+"_first", get(first))
			s.r.Figure(name+"_last", get(last))
		}
	}
	const mega = 1 << 20
	line := func(name string, states []soakState, get func(soakState) float64, scale float64) Line {
		l := Line{Name: name}
		for _, state := range states {
			l.Points = append(l.Points, Point{state.at.Seconds(), get(state) / scale})
		}
		return l
	}
	s.r.Plot(Plot{Name: "soak_memory", Title: "Soak: memory", X: "seconds", Y: "MiB", Lines: []Line{
		line("resident under load", s.loads, soakFigures["resident_bytes"], mega),
		line("resident at rest", s.rests, soakFigures["resident_bytes"], mega),
		line("live heap at rest", s.rests, soakFigures["heap_bytes"], mega)}})
	s.r.Plot(Plot{Name: "soak_held", Title: "Soak: what the server holds", X: "seconds", Y: "number", Lines: []Line{
		line("goroutines under load", s.loads, soakFigures["goroutines"], 1),
		line("goroutines at rest", s.rests, soakFigures["goroutines"], 1),
		line("sockets under load", s.loads, soakFigures["sockets"], 1),
		line("sockets at rest", s.rests, soakFigures["sockets"], 1),
		line("files at rest", s.rests, soakFigures["files"], 1)}})
}

// soakFigures are what is noted of the first and of the last rest.
var soakFigures = map[string]func(soakState) float64{
	"heap_bytes":     func(s soakState) float64 { return s.heap },
	"resident_bytes": func(s soakState) float64 { return s.resident },
	"sockets":        func(s soakState) float64 { return s.sockets },
	"files":          func(s soakState) float64 { return s.files },
	"goroutines":     func(s soakState) float64 { return s.goroutines },
	"threads":        func(s soakState) float64 { return s.threads },
}
