package control

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"gosper/broker"
	"gosper/broker/chain"
)

// What the operator's page shows beside metrics.

// Game is a game as operators see it.
type Game struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Owner      string `json:"owner"`
	Users      int    `json:"users"` // who have not left
	Grids      int    `json:"grids"`
	State      string `json:"state"`
	Interval   int64  `json:"interval_ms"`
	Generation uint64 `json:"generation"`
	Fault      string `json:"fault,omitempty"`
}

// Recent remembers which chains moved last. Its methods may be called from any goroutine and do not block. The zero value
// remembers none.
type Recent struct {
	mu     sync.Mutex
	hashes []string // latest last
}

// recentMost bounds the chains that are remembered.
const recentMost = 50

// Note remembers a chain that has moved.
func (r *Recent) Note(hash string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.hashes); n > 0 && r.hashes[n-1] == hash {
		return
	}
	if i := slices.Index(r.hashes, hash); i >= 0 {
		r.hashes = slices.Delete(r.hashes, i, i+1)
	}
	if r.hashes = append(r.hashes, hash); len(r.hashes) > recentMost {
		r.hashes = slices.Delete(r.hashes, 0, 1)
	}
}

// List returns the chains, latest first. A nil Recent has none.
func (r *Recent) List() []string {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	list := slices.Clone(r.hashes)
	slices.Reverse(list)
	return list
}

// nodeOut is the node itself.
type nodeOut struct {
	Version    string    `json:"version"`
	Started    time.Time `json:"started"`
	Time       time.Time `json:"time"`
	Goroutines int       `json:"goroutines"`
	Draining   bool      `json:"draining"`
	Reason     string    `json:"reason,omitempty"` // why it takes no clients
}

// stateOut is the answer of /admin/state. Engine, Workers and Counts are missing on a node without work chains.
type stateOut struct {
	Node    nodeOut             `json:"node"`
	Engine  *chain.Settings     `json:"engine,omitempty"`
	Workers *workersOut         `json:"workers,omitempty"`
	Counts  map[chain.State]int `json:"counts,omitempty"`
	Chains  []chain.Summary     `json:"chains"`
	Tubes   []Tube              `json:"tubes"`
	Timers  []Timer             `json:"timers"`
	Pending int                 `json:"pending"`
	Games   []Game              `json:"games"`
}

// Bounds of /admin/state.
const (
	stateGames  = 100
	stateTimers = 20
	stateTubes  = 200
)

// adminState answers GET /admin/state: the node, the chains that moved last, tubes, the next timers, games.
func (s *Server) adminState(ctx *fasthttp.RequestCtx) {
	out := stateOut{Chains: []chain.Summary{}, Tubes: []Tube{}, Timers: []Timer{}, Games: []Game{}, Node: nodeOut{Version: s.config.Version,
		Started: s.started, Time: time.Now(), Goroutines: runtime.NumGoroutine(), Draining: s.draining.Load()}}
	if err := s.notReady(); err != nil {
		out.Node.Reason = err.Error()
	}
	for _, part := range []func(*stateOut) error{s.stateOfChains, s.stateOfQueue, s.stateOfTimers} {
		if err := part(&out); err != nil {
			s.failed500(ctx, "state", err)
			return
		}
	}
	if s.config.Games != nil {
		out.Games = s.config.Games(stateGames)
	}
	answer(ctx, out)
}

func (s *Server) stateOfChains(out *stateOut) error {
	e := s.config.Chains
	if e == nil {
		return nil
	}
	settings, workers := e.Settings(), workersOf(e)
	out.Engine, out.Workers, out.Counts = &settings, &workers, countsOf(e)
	work, cancel := serviceContext()
	defer cancel()
	for _, hash := range s.config.Recent.List() {
		summary, err := e.Summary(work, hash)
		if errors.Is(err, broker.ErrNotFound) {
			continue // deleted
		}
		if err != nil {
			return err
		}
		out.Chains = append(out.Chains, summary)
	}
	if len(out.Chains) > 0 {
		return nil
	}
	list, err := e.List(work, "", "", recentMost) // nothing has moved since the start
	out.Chains = append(out.Chains, list...)
	return err
}

func (s *Server) stateOfQueue(out *stateOut) error {
	if s.config.Queue == nil {
		return nil
	}
	names := s.config.Queue.Tubes()
	slices.Sort(names)
	for _, name := range names[:min(len(names), stateTubes)] {
		t, err := s.config.Queue.Stats(name)
		if errors.Is(err, broker.ErrNotFound) {
			continue // its last job went meanwhile
		}
		if err != nil {
			return err
		}
		out.Tubes = append(out.Tubes, tubeOut(&t))
	}
	return nil
}

func (s *Server) stateOfTimers(out *stateOut) error {
	if s.config.Schedule == nil {
		return nil
	}
	work, cancel := serviceContext()
	defer cancel()
	timers, err := s.config.Schedule.List(work, "", time.Time{}, stateTimers)
	for i := range timers {
		out.Timers = append(out.Timers, timerOut(&timers[i]))
	}
	out.Pending = s.config.Schedule.Pending()
	return err
}
