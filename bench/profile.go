package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

func init() {
	Register(Scenario{
		Name:    "profile",
		Summary: "where the server's time goes on each hot path, and its system calls beside the fewest there can be; nothing is timed",
		Run:     runProfile,
	})
}

const (
	profileTop   = 8                      // functions of a path that are shown
	profileSlack = 200 * time.Millisecond // by which the load outlasts its profile
	profileCalls = time.Second            // of load whose system calls are counted
	callsShown   = 0.01                   // calls a unit below which a system call is left out
)

// Profile is what one way through the server costs.
type Profile struct {
	hotPath
	Units     uint64             `json:"units"`    // while the profile was taken
	User      float64            `json:"user"`     // share of the server's CPU time in user space
	Kernel    float64            `json:"kernel"`   // and in the kernel
	CPU       float64            `json:"cpu_us"`   // of the server for one unit
	Floor     float64            `json:"floor_us"` // what Reads and Writes alone cost on this machine
	Functions []HotFunction      `json:"functions"`
	Calls     map[string]float64 `json:"calls,omitempty"` // system calls for one unit, by name; none without strace
}

// profiler takes the profiles of one run.
type profiler struct {
	r           *Run
	write, read float64 // µs of one on a loopback socket
	calls       bool    // strace is there
}

// profileWork loads a server for about d and says how many units it did.
type profileWork func(d time.Duration) (units uint64, err error)

func runProfile(ctx context.Context, r *Run) error {
	if r.Target != "self" {
		return errors.New("target: the profile scenario starts its own servers")
	}
	p := &profiler{r: r, calls: true}
	return onThread(func() (err error) {
		r.Step(0, "what reads and writes cost without a server")
		if p.write, p.read, err = loopbackCost(min(machineSockets, descriptorsLeft()/2), fanBytes, 20); err != nil {
			return err
		}
		r.Figure("loopback_write_us", p.write)
		r.Figure("loopback_read_us", p.read)
		for i, h := range hotPaths {
			r.Step(float64(i)/float64(len(hotPaths)), "%s", h.Path)
			err := h.load(ctx, r, func(s *node, work profileWork) error { return p.path(ctx, h, s, work) })
			if err != nil {
				return fmt.Errorf("%s: %w", h.Path, err)
			}
		}
		return nil
	})
}

// path profiles one path: a warm-up, the profile, and then the system calls.
func (p *profiler) path(ctx context.Context, h hotPath, s *node, work profileWork) error {
	seconds := max(1, int(p.r.Duration/2/time.Second))
	profile := Profile{hotPath: h, Floor: h.Reads*p.read + h.Writes*p.write}
	if _, err := work(profileSlack); err != nil {
		return err
	}
	if err := p.cpu(ctx, &profile, s, work, seconds); err != nil {
		return err
	}
	if p.calls {
		if err := p.count(ctx, &profile, s, work); err != nil {
			p.calls = false
			p.r.Note("system calls are not counted: %v", err)
		}
	}
	p.r.Result.Profiles = append(p.r.Result.Profiles, profile)
	return ctx.Err()
}

// cpu takes the CPU profile of the server while work runs.
func (p *profiler) cpu(ctx context.Context, profile *Profile, s *node, work profileWork, seconds int) error {
	type answer struct {
		raw []byte
		err error
	}
	answers := make(chan answer, 1)
	user, kernel, err := splitTime(s.pid())
	if err != nil {
		return err
	}
	go func() {
		raw, err := s.get(ctx, fmt.Sprint("/debug/pprof/profile?seconds=", seconds))
		answers <- answer{raw, err}
	}()
	cpu, err := cpuTime(s.pid())
	if err != nil {
		return err
	}
	units, err := work(time.Duration(seconds)*time.Second + profileSlack)
	if err != nil {
		return err
	}
	after, err1 := cpuTime(s.pid())
	userAfter, kernelAfter, err2 := splitTime(s.pid())
	a := <-answers
	if err := errors.Join(err1, err2, a.err); err != nil {
		return err
	}
	stacks, err := parseProfile(a.raw)
	if err != nil {
		return err
	}
	all := max(1, float64(userAfter+kernelAfter-user-kernel))
	profile.Units = units
	profile.User, profile.Kernel = float64(userAfter-user)/all, float64(kernelAfter-kernel)/all
	profile.CPU = float64((after - cpu).Microseconds()) / float64(max(1, units))
	profile.Functions = hotFunctions(stacks, profileTop)
	return p.keep(profile.Path, a.raw)
}

// keep writes the profile itself to the folder that the user named.
func (p *profiler) keep(path string, raw []byte) error {
	if p.r.Profile == "" {
		return nil
	}
	if err := os.MkdirAll(p.r.Profile, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.r.Profile, strings.ReplaceAll(path, " ", "-")+".pprof"), raw, 0o644)
}

// count counts the system calls of the server while work runs.
func (p *profiler) count(ctx context.Context, profile *Profile, s *node, work profileWork) error {
	var units uint64
	calls, err := countCalls(ctx, s.pid(), func() (err error) {
		units, err = work(profileCalls)
		return err
	})
	if err != nil {
		return err
	}
	profile.Calls = map[string]float64{}
	for name, n := range calls {
		if each := float64(n) / float64(max(1, units)); each >= callsShown {
			profile.Calls[name] = each
		}
	}
	return nil
}
