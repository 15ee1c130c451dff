package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

func init() {
	Register(Scenario{
		Name:    "chain",
		Summary: "durable work chains of two HTTP steps, paced and flat out; an event to 5,000 browsers",
		Run:     runChain,
	})
}

const (
	chainRate        = 300 // chains a second, paced
	chainWorkers     = 128 // chains under way, flat out
	chainConnections = 200 // at most; the internal port takes 256
	eventListeners   = 5000
	listenersQuick   = 500
	eventMessages    = 100
	eventsQuick      = 20
	eventsType       = "bench"
	chainStepsEach   = 2
	chainAnswerData  = `{"id":4711}`
)

func runChain(ctx context.Context, r *Run) error {
	if r.Target != "self" {
		return errors.New("target: the chain scenario starts its own server, whose services it names")
	}
	listeners := eventListeners
	if r.Quick {
		listeners = listenersQuick
	}
	r.Setting("rate_per_s", chainRate)
	r.Setting("workers", chainWorkers)
	r.Setting("steps", chainStepsEach)
	r.Setting("listeners", listeners)
	r.Setting("service", "HTTP on loopback, in the process of the load")
	if err := chainTurns(ctx, r); err != nil {
		return err
	}
	return onThread(func() error { return runEvents(ctx, r, listeners) })
}

// openChains starts a server and the service of its chains.
func openChains(ctx context.Context, r *Run, cl *closers) (*node, *chainLoad, error) {
	service, err := newChainService()
	if err != nil {
		return nil, nil, err
	}
	cl.add(service.close)
	dir, err := os.MkdirTemp("", "gosper-bench-")
	if err != nil {
		return nil, nil, err
	}
	cl.add(func() { os.RemoveAll(dir) })
	table := fmt.Sprintf(`{"services":{%q:{"private":true,"concurrency":%d}}}`, service.url, chainWorkers)
	if err := os.WriteFile(filepath.Join(dir, "services.json"), []byte(table), 0o600); err != nil {
		return nil, nil, err
	}
	s, err := startServer(ctx, r, "--config-dir", dir)
	if err != nil {
		return nil, nil, err
	}
	cl.add(s.stop)
	load := newChainLoad(s.internal, service)
	cl.add(load.close)
	return s, load, nil
}

// chainTurns measures chains, paced and flat out in turns.
func chainTurns(ctx context.Context, r *Run) error {
	var cl closers
	defer cl.close()
	s, load, err := openChains(ctx, r, &cl)
	if err != nil {
		return err
	}
	r.Setting("chain_durability", "fsync with group commit: at submission, after each step, and for the completion message")
	series := map[string][]float64{}
	note := func(mode string, m chainMeasure) {
		series[mode+"_per_s"] = append(series[mode+"_per_s"], float64(m.completed)/m.seconds)
		series[mode+"_p50_ms"] = append(series[mode+"_p50_ms"], m.lat.quantile(0.5)/1000)
		series[mode+"_p99_ms"] = append(series[mode+"_p99_ms"], m.lat.quantile(0.99)/1000)
		series[mode+"_cpu_us_per_chain"] = append(series[mode+"_cpu_us_per_chain"], m.cpu.Seconds()*1e6/float64(max(m.completed, 1)))
	}
	for turn := range r.Repeat {
		for i, mode := range []struct {
			name string
			run  func() (chainMeasure, error)
		}{
			{"paced", func() (chainMeasure, error) { return load.paced(ctx, r.Slice()/2, chainRate, s.pid()) }},
			{"flat", func() (chainMeasure, error) { return load.flat(ctx, r.Slice()/2, s.pid()) }},
		} {
			r.Step((float64(turn)+float64(i)/2)/float64(r.Repeat), "turn %d of %d, %s", turn+1, r.Repeat, mode.name)
			m, err := mode.run()
			r.Balance(m.sent, m.completed, m.sent-min(m.sent, m.completed), load.service.doubled())
			if err != nil {
				return fmt.Errorf("%s: %w", mode.name, err)
			}
			note(mode.name, m)
		}
	}
	for name, values := range series {
		r.Series(name, values)
	}
	return nil
}
