package bench

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// cpuStack is one entry of a CPU profile: functions, the innermost first, and how often they were found at work.
type cpuStack struct {
	functions []string
	samples   int64
}

// profileMost is how many bytes a profile may have after decompression.
const profileMost = 64 << 20

// errProfile says that bytes are no CPU profile.
var errProfile = errors.New("no CPU profile in the format of pprof")

// parseProfile reads a CPU profile as a Go program makes it: gzip around a message of pprof's profile.proto.
func parseProfile(raw []byte) ([]cpuStack, error) {
	zip, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProfile, err)
	}
	b, err := io.ReadAll(io.LimitReader(zip, profileMost+1))
	if err != nil || len(b) > profileMost {
		return nil, fmt.Errorf("%w: %d bytes, %v", errProfile, len(b), err)
	}
	top, err := parseFields(b)
	if err != nil {
		return nil, err
	}
	names, err := functionsOf(top)
	if err != nil {
		return nil, err
	}
	return stacksOf(top, names)
}

// Fields of the messages of profile.proto.
const (
	profileSample, profileLocation, profileFunction, profileString = 2, 4, 5, 6

	sampleLocation, sampleValue = 1, 2
	locationID, locationLine    = 1, 4
	lineFunction                = 1
	functionID, functionName    = 1, 2
)

// functionsOf returns the functions of each location, the innermost of those that were inlined first.
func functionsOf(top fields) (map[uint64][]string, error) {
	functions, locations := map[uint64]string{}, map[uint64][]string{}
	for _, b := range top[profileFunction].raw {
		f, err := parseFields(b)
		if err != nil {
			return nil, err
		}
		if at := f[functionName].one(); at < uint64(len(top[profileString].raw)) {
			functions[f[functionID].one()] = string(top[profileString].raw[at])
		}
	}
	for _, b := range top[profileLocation].raw {
		l, err := parseFields(b)
		if err != nil {
			return nil, err
		}
		id := l[locationID].one()
		for _, b := range l[locationLine].raw {
			line, err := parseFields(b)
			if err != nil {
				return nil, err
			}
			locations[id] = append(locations[id], functions[line[lineFunction].one()])
		}
	}
	return locations, nil
}

// stacksOf returns the samples.
func stacksOf(top fields, names map[uint64][]string) (all []cpuStack, err error) {
	for _, b := range top[profileSample].raw {
		s, err := parseFields(b)
		if err != nil {
			return nil, err
		}
		values, err1 := s[sampleValue].list()
		locations, err2 := s[sampleLocation].list()
		if err1 != nil || err2 != nil || len(values) == 0 || values[0] > math.MaxInt32 {
			return nil, fmt.Errorf("%w: a sample without a count", errProfile)
		}
		stack := cpuStack{samples: int64(values[0])}
		for _, location := range locations {
			stack.functions = append(stack.functions, names[location]...)
		}
		all = append(all, stack)
	}
	return all, nil
}

// fields are those of one message, by number.
type fields map[protowire.Number]field

// field is all that a message has under one number.
type field struct {
	numbers []uint64
	raw     [][]byte // messages, strings, or packed numbers
}

func parseFields(b []byte) (fields, error) {
	all := fields{}
	for len(b) > 0 {
		number, kind, used := protowire.ConsumeTag(b)
		if used < 0 {
			return nil, errProfile
		}
		b = b[used:]
		f := all[number]
		switch kind {
		case protowire.VarintType:
			var n uint64
			n, used = protowire.ConsumeVarint(b)
			f.numbers = append(f.numbers, n)
		case protowire.BytesType:
			var raw []byte
			raw, used = protowire.ConsumeBytes(b)
			f.raw = append(f.raw, raw)
		default:
			used = protowire.ConsumeFieldValue(number, kind, b)
		}
		if used < 0 {
			return nil, errProfile
		}
		all[number], b = f, b[used:]
	}
	return all, nil
}

// one returns the only number of a field, 0 when there is none.
func (f field) one() uint64 {
	if len(f.numbers) != 1 {
		return 0
	}
	return f.numbers[0]
}

// list returns the numbers of a repeated field, packed or not.
func (f field) list() ([]uint64, error) {
	all := f.numbers
	for _, b := range f.raw {
		for len(b) > 0 {
			n, used := protowire.ConsumeVarint(b)
			if used < 0 {
				return nil, errProfile
			}
			all, b = append(all, n), b[used:]
		}
	}
	return all, nil
}

// HotFunction is one row of a profile.
type HotFunction struct {
	Name   string  `json:"name"`
	Self   float64 `json:"self"`   // share of the CPU time in the function itself
	Total  float64 `json:"total"`  // share with what it called
	Kernel bool    `json:"kernel"` // Self is the time of system calls that the function made
}

// hotFunctions returns the n functions in which most of the time was spent. The time of a system call stands at the function
// that made it, since a profile of a Go program does not look into the kernel.
func hotFunctions(stacks []cpuStack, n int) []HotFunction {
	type key struct {
		name   string
		kernel bool
	}
	var all int64
	self, total := map[key]int64{}, map[string]int64{}
	for _, s := range stacks {
		all += s.samples
		if len(s.functions) > 0 {
			name, kernel := worker(s.functions)
			self[key{name, kernel}] += s.samples
		}
		for i, name := range s.functions {
			if !slices.Contains(s.functions[:i], name) { // a recursion counts once
				total[name] += s.samples
			}
		}
	}
	all = max(all, 1)
	rows := make([]HotFunction, 0, len(self))
	for k, count := range self {
		rows = append(rows, HotFunction{Name: shortName(k.name), Self: float64(count) / float64(all), Total: float64(total[k.name]) / float64(all), Kernel: k.kernel})
	}
	slices.SortFunc(rows, func(a, b HotFunction) int {
		if a.Self != b.Self {
			return map[bool]int{true: -1, false: 1}[a.Self > b.Self]
		}
		return strings.Compare(a.Name, b.Name)
	})
	return rows[:min(n, len(rows))]
}

// callers are packages whose functions only pass a system call on.
var callers = []string{"internal/runtime/syscall", "syscall.", "golang.org/x/sys/unix.", "internal/poll.", "os.ignoringEINTR"}

// worker returns the function at which the time of a stack stands, and whether it was a system call.
func worker(functions []string) (name string, kernel bool) {
	for i, name := range functions {
		if !slices.ContainsFunc(callers, func(p string) bool { return strings.HasPrefix(name, p) }) {
			return name, i > 0 || kernelEntries[name]
		}
	}
	return functions[len(functions)-1], true
}

// kernelEntries are functions of Go's runtime that are system calls themselves.
var kernelEntries = map[string]bool{"runtime.futex": true, "runtime.usleep": true, "runtime.madvise": true, "runtime.write1": true, "runtime.epollwait": true, "runtime.tgkill": true}

// shortName cuts what comes before the last two elements of a foreign import path.
func shortName(name string) string {
	if strings.HasPrefix(name, "gosper/") {
		return name
	}
	path := name
	if i := strings.IndexAny(name, "([{"); i >= 0 {
		path = name[:i]
	}
	last := strings.LastIndexByte(path, '/')
	if last < 0 {
		return name
	}
	return name[strings.LastIndexByte(path[:last], '/')+1:]
}
