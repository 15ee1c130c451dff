package bench

import (
	"bufio"
	"errors"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Result is what one run found out. Its JSON names are kept from version to version, so that runs can be compared.
type Result struct {
	Scenario string                `json:"scenario"`
	Against  string                `json:"against,omitempty"` // the peer of the run
	Started  time.Time             `json:"started"`
	Machine  Machine               `json:"machine"`
	Settings map[string]any        `json:"settings"`
	Figures  map[string]float64    `json:"figures"`
	Peers    map[string]*Peer      `json:"peers"`
	Ratios   map[string]float64    `json:"ratios"`
	Spread   map[string][2]float64 `json:"spread"` // least and greatest of the repeats, for figures and ratios that have any
	Curves   []Curve               `json:"curves,omitempty"`
	Plots    []Plot                `json:"plots,omitempty"`
	Profiles []Profile             `json:"profiles,omitempty"`
	Notes    []string              `json:"notes"`
	Seconds  float64               `json:"seconds"` // the whole run took
	Sent     uint64                `json:"sent"`
	Received uint64                `json:"received"`
	Missing  uint64                `json:"missing"`
	Doubled  uint64                `json:"doubled"`
	OK       bool                  `json:"ok"` // all was measured, nothing is missing and nothing doubled
}

// Peer is another system that did the same work.
type Peer struct {
	Version string             `json:"version"`
	Figures map[string]float64 `json:"figures"`
}

// Machine is where the run took place.
type Machine struct {
	CPU         string `json:"cpu"`
	Cores       int    `json:"cores"`
	MemoryBytes uint64 `json:"memory_bytes"`
	Kernel      string `json:"kernel"`
	Go          string `json:"go"`
}

// ErrUnbalanced is the reason of a run that lost or doubled a message.
var ErrUnbalanced = errors.New("messages are missing or doubled")

func newResult(scenario string) *Result {
	return &Result{
		Scenario: scenario, Started: time.Now().UTC(), Machine: thisMachine(),
		Settings: map[string]any{}, Figures: map[string]float64{}, Peers: map[string]*Peer{},
		Ratios: map[string]float64{}, Spread: map[string][2]float64{}, Notes: []string{},
	}
}

func (r *Result) finish(err error) {
	r.OK = err == nil && r.Balanced()
	r.Seconds = math.Round(10*time.Since(r.Started).Seconds()) / 10
}

// Title names the run: the scenario, and its peer if it had one.
func (r *Result) Title() string {
	if r.Against == "" {
		return r.Scenario
	}
	return r.Scenario + " against " + r.Against
}

// Balanced says whether no message is missing and none came twice.
func (r *Result) Balanced() bool { return r.Missing == 0 && r.Doubled == 0 }

func thisMachine() Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version()}
	m.CPU = procField("/proc/cpuinfo", "model name")
	if kb, _, ok := strings.Cut(procField("/proc/meminfo", "MemTotal"), " "); ok {
		n, _ := strconv.ParseUint(kb, 10, 64)
		m.MemoryBytes = n * 1024
	}
	var u syscall.Utsname
	if syscall.Uname(&u) == nil {
		m.Kernel = charsToString(u.Sysname[:]) + " " + charsToString(u.Release[:])
	}
	return m
}

// procField returns the value of the first "name: value" line of a file, or "".
func procField(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func charsToString[T int8 | uint8](chars []T) string {
	var b strings.Builder
	for _, c := range chars {
		if c == 0 {
			break
		}
		b.WriteByte(byte(c))
	}
	return b.String()
}

// median returns the middle of values (the mean of the two middle ones when their number is even).
func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func spread(values []float64) [2]float64 {
	return [2]float64{slices.Min(values), slices.Max(values)}
}
