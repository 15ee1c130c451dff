package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	edge "gosper/edge/node"
)

// Report is what `gosper bench all` found out: every scenario, once beside each of its peers.
type Report struct {
	Made    time.Time         `json:"made"`
	Command string            `json:"command"` // what made it, for who wants to make it again
	Version string            `json:"version"` // of gosper
	Quick   bool              `json:"quick"`   // a check and no measurement
	Machine Machine           `json:"machine"`
	Peers   map[string]string `json:"peers"` // versions
	Absent  []Absence         `json:"absent"`
	Runs    []*Result         `json:"runs"`
	Seconds float64           `json:"seconds"`
	OK      bool              `json:"ok"` // every run was
}

// Absence is a peer that could not be had.
type Absence struct {
	Scenario string `json:"scenario"`
	Peer     string `json:"peer"`
	Why      string `json:"why"`
}

// NewReport makes a report of runs that have ended.
func NewReport(command string, runs ...*Result) *Report {
	p := &Report{Made: time.Now().UTC().Truncate(time.Second), Command: command, Version: edge.Version(), Machine: thisMachine(), Peers: map[string]string{}, Absent: []Absence{}, Runs: []*Result{}, OK: true}
	for _, r := range runs {
		p.add(r)
	}
	return p
}

func (p *Report) add(r *Result) {
	p.Runs = append(p.Runs, r)
	p.OK = p.OK && r.OK
	p.Seconds += r.Seconds
	if quick, _ := r.Settings["quick"].(bool); quick {
		p.Quick = true
	}
	for name, peer := range r.Peers {
		p.Peers[name] = peer.Version
	}
}

// Run returns the run of a scenario beside a peer, nil when there is none. With against "" it is the first run of the
// scenario, whatever stood beside it.
func (p *Report) Run(scenario, against string) *Result {
	for _, r := range p.Runs {
		if r.Scenario == scenario && (against == "" || r.Against == against) {
			return r
		}
	}
	return nil
}

// inModule are the peers that are part of this binary.
var inModule = []string{"gnet", "nats", "jetstream"}

// peerBinary is the program of a peer where its name is another.
var peerBinary = map[string]string{"redis": "redis-server"}

// debianPackage is the package that has the program of a peer where its name is another.
var debianPackage = map[string]string{"redis": "redis-server", "bgolly": "golly"}

// findPeer returns the path of a peer's program, "" for one that is part of this binary. An error says how to get it.
func findPeer(name string) (string, error) {
	if slices.Contains(inModule, name) {
		return "", nil
	}
	binary := name
	if b, ok := peerBinary[name]; ok {
		binary = b
	}
	path, err := exec.LookPath(binary)
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} { // daemons that are not on the PATH of everybody
		if err != nil {
			path, err = exec.LookPath(filepath.Join(dir, binary))
		}
	}
	if err != nil {
		pkg := name
		if other, ok := debianPackage[name]; ok {
			pkg = other
		}
		return "", fmt.Errorf("%s is not on the PATH (Debian package %s)", binary, pkg)
	}
	return path, nil
}

// notCompared are systems that people would choose instead and that no scenario has a driver for: one that was never tried
// against the real server would measure nothing.
var notCompared = []Absence{{"fanout", "centrifugo", "there is no driver: no server could be had to try one against"}}

// errand is one run of a report.
type errand struct{ scenario, against string }

// order is that of a report: what the machine can do, what it costs, how it grows, and whether it lasts. Scenarios that
// are not named come before the last two.
var order = []string{"machine", "grid", "echo", "idle", "fanout", "games", "gate", "queue", "schedule", "mail"}

// errands plans a report, and says which peers are absent.
func errands(list []Scenario) (plan []errand, absent []Absence) {
	absent = slices.Clone(notCompared)
	rank := func(s Scenario) int {
		switch i := slices.Index(order, s.Name); {
		case s.Name == "curves":
			return len(order) + 1
		case s.Name == "soak":
			return len(order) + 2
		case i >= 0:
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(list, func(a, b Scenario) int { return rank(a) - rank(b) })
	for _, s := range list {
		alone := true
		for _, peer := range s.Peers {
			if _, err := findPeer(peer); err != nil {
				absent = append(absent, Absence{s.Name, peer, err.Error()})
				continue
			}
			plan, alone = append(plan, errand{s.Name, peer}), false
		}
		if alone {
			plan = append(plan, errand{s.Name, ""})
		}
	}
	return plan, absent
}

// ExecuteAll runs every scenario, each beside every peer of it that this machine has. done is called after each run; nil
// means nobody is told. A run that fails is part of the report, and the others go on; the report is returned even when err
// is not nil.
func ExecuteAll(ctx context.Context, command string, o Options, done func(*Result)) (*Report, error) {
	return execute(ctx, command, Scenarios(), o, done)
}

func execute(ctx context.Context, command string, list []Scenario, o Options, done func(*Result)) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Against != "" {
		return nil, errors.New("against: all runs beside every peer that it finds")
	}
	report := NewReport(command)
	report.Quick = o.Quick
	var plan []errand
	plan, report.Absent = errands(list)
	if err := fits(o.Have, plan); err != nil {
		return nil, err
	}
	var faults error
	for i, e := range plan {
		r, err := e.taken(o.Have), error(nil)
		if r == nil {
			each := o
			each.Against = e.against
			each.part = part{float64(i) / float64(len(plan)), float64(i+1) / float64(len(plan)), fmt.Sprintf("%d/%d %s", i+1, len(plan), e.scenario)}
			r, err = Execute(ctx, e.scenario, each)
		}
		if r != nil {
			report.add(r)
			if done != nil {
				done(r)
			}
		}
		if err == nil && !r.OK {
			err = ErrUnbalanced
		}
		if err != nil {
			faults = errors.Join(faults, fmt.Errorf("%s: %w", e.scenario, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	report.OK = report.OK && faults == nil
	return report, faults
}

// ReadRuns reads what a run or a report left as JSON.
func ReadRuns(raw []byte) ([]*Result, error) {
	var report Report
	if err := json.Unmarshal(raw, &report); err != nil {
		return nil, err
	}
	if len(report.Runs) > 0 {
		return report.Runs, nil
	}
	run := newResult("")
	if err := json.Unmarshal(raw, run); err != nil {
		return nil, err
	}
	if run.Scenario == "" {
		return nil, errors.New("there is no run in it")
	}
	return []*Result{run}, nil
}

// fits says whether runs that were made before can be part of a report on this machine.
func fits(have []*Result, plan []errand) error {
	for _, r := range have {
		if !slices.Contains(plan, errand{r.Scenario, r.Against}) {
			return fmt.Errorf("with: %s is no part of this report", r.Title())
		}
		if here := thisMachine(); r.Machine.CPU != here.CPU || r.Machine.Cores != here.Cores || r.Machine.Kernel != here.Kernel {
			return fmt.Errorf("with: %s was measured on another machine: %s, %d cores, %s", r.Title(), r.Machine.CPU, r.Machine.Cores, r.Machine.Kernel)
		}
	}
	return nil
}

// taken returns the run of an errand that was made before, and says so in its notes; nil when there is none.
func (e errand) taken(have []*Result) *Result {
	i := slices.IndexFunc(have, func(r *Result) bool { return e == errand{r.Scenario, r.Against} })
	if i < 0 {
		return nil
	}
	r := *have[i]
	r.Notes = append(slices.Clone(r.Notes), "Measured in a run of its own, which began at "+r.Started.UTC().Format(time.RFC3339)+", and taken into this report.")
	return &r
}
