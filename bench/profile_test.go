package bench

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// packProfile makes a profile of stacks, innermost function first, in which one location holds all that was inlined.
func packProfile(t testing.TB, stacks []cpuStack) []byte {
	t.Helper()
	texts := []string{""}
	var b []byte
	put := func(dst []byte, field protowire.Number, n uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), n)
	}
	pack := func(dst []byte, field protowire.Number, inner []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), inner)
	}
	for i, s := range stacks {
		id := uint64(i + 1)
		location := put(nil, locationID, id)
		for _, name := range s.functions {
			texts = append(texts, name)
			function := uint64(len(texts) - 1)
			b = pack(b, profileFunction, put(put(nil, functionID, function), functionName, function))
			location = pack(location, locationLine, put(nil, lineFunction, function))
		}
		b = pack(b, profileLocation, location)
		values := protowire.AppendVarint(protowire.AppendVarint(nil, uint64(s.samples)), 10)
		b = pack(b, profileSample, pack(put(nil, sampleLocation, id), sampleValue, values))
	}
	for _, text := range texts {
		b = pack(b, profileString, []byte(text))
	}
	return zipped(t, b)
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Goal: a profile comes out as it went in, and system calls stand at who made them. Method: a profile made here.
func TestHotFunctions(t *testing.T) {
	const call, write, loop = "internal/runtime/syscall/linux.Syscall6", "gosper/edge.(*Session).take", "github.com/panjf2000/gnet/v2.(*eventloop).read"
	want := []cpuStack{
		{[]string{call, "golang.org/x/sys/unix.Write", write, loop}, 60},
		{[]string{"runtime.futex", "runtime.notesleep"}, 10},
		{[]string{write, loop}, 5},
		{[]string{"a.f", "a.g", "a.f"}, 20},
		{[]string{call}, 5},
	}
	got, err := parseProfile(packProfile(t, want))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got, want, func(a, b cpuStack) bool { return a.samples == b.samples && slices.Equal(a.functions, b.functions) }) {
		t.Fatalf("%v", got)
	}
	rows := hotFunctions(got, 5)
	if want := []HotFunction{{write, 0.6, 0.65, true}, {"a.f", 0.2, 0.2, false}, {"runtime.futex", 0.1, 0.1, true}, {write, 0.05, 0.65, false}, {"runtime/syscall/linux.Syscall6", 0.05, 0.65, true}}; !slices.Equal(rows[:4], want[:4]) {
		t.Errorf("%v, want %v", rows, want)
	}
	if got := hotFunctions([]cpuStack{{[]string{"a"}, 0}}, 5); len(got) != 1 || got[0].Self != 0 {
		t.Errorf("%v", got)
	}
	if got := hotFunctions(nil, 5); len(got) != 0 {
		t.Errorf("%v", got)
	}
	for name, want := range map[string]string{loop: "gnet/v2.(*eventloop).read", write: write, "runtime.futex": "runtime.futex",
		"github.com/cockroachdb/pebble/v2.f[go.shape.int/x]": "pebble/v2.f[go.shape.int/x]"} {
		if got := shortName(name); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// Goal: profiles of Go's own making are read. Method: one of this process, which may have no sample.
func TestParseProfile(t *testing.T) {
	var raw bytes.Buffer
	if err := pprof.StartCPUProfile(&raw); err != nil {
		t.Skip(err) // the test itself is being profiled
	}
	pprof.StopCPUProfile()
	if _, err := parseProfile(raw.Bytes()); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string][]byte{"no gzip": []byte("x"), "cut": raw.Bytes()[:raw.Len()/2], "no message": zipped(t, []byte{0xff}),
		"bad sample": zipped(t, []byte{profileSample<<3 | 2, 1, 0xff}), "no count": zipped(t, []byte{profileSample<<3 | 2, 0}), "too long": zipped(t, make([]byte, profileMost+1))} {
		if stacks, err := parseProfile(bad); !errors.Is(err, errProfile) {
			t.Errorf("%s: %v, %v", name, stacks, err)
		}
	}
}

// Any bytes give stacks or an error.
func FuzzParseProfile(f *testing.F) {
	f.Add(packProfile(f, []cpuStack{{[]string{"a", "b"}, 3}}))
	f.Add(zipped(f, []byte{profileSample<<3 | 2, 4, 1<<3 | 2, 2, 1, 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, raw := range [][]byte{b, zipped(t, b)} {
			if stacks, err := parseProfile(raw); err == nil {
				for _, h := range hotFunctions(stacks, 3) {
					if !(h.Self <= h.Total+1e-9 && h.Total <= 1+1e-9) {
						t.Errorf("%+v", h)
					}
				}
			}
		}
	})
}

const straceTable = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 98.61    0.000495          49        10         2 futex
  1.39    0.000007           7         1           write
------ ----------- ----------- --------- --------- ----------------
100.00    0.000502          45        11         2 total
`

// Goal: the table of strace is read, with and without errors in a line. Method: a table as it prints it.
func TestParseCalls(t *testing.T) {
	calls, err := parseCalls(straceTable)
	if want := map[string]uint64{"futex": 10, "write": 1}; err != nil || !maps.Equal(calls, want) {
		t.Errorf("%v, %v", calls, err)
	}
	if calls, err := parseCalls("strace: exiting\n"); err == nil {
		t.Errorf("%v", calls)
	}
}

// Any text gives counts or an error.
func FuzzParseCalls(f *testing.F) {
	f.Add(straceTable)
	f.Fuzz(func(t *testing.T, text string) {
		if calls, err := parseCalls(text); (err == nil) != (len(calls) > 0) {
			t.Error(calls, err)
		}
	})
}

// Goal: system calls of another process are counted, and a fault of strace or of the work is told. Method: a shell that
// writes a thousand times.
func TestCountCalls(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Setenv("PATH", "")
		if _, err := countCalls(t.Context(), os.Getpid(), nil); !errors.Is(err, errNoStrace) {
			t.Error(err)
		}
		return
	}
	const writes = 1000
	sh := exec.Command("sh", "-c", `read go; i=0; while [ $i -lt 1000 ]; do echo $i; i=$((i+1)); done; exec >&-; read end`)
	in, err1 := sh.StdinPipe()
	out, err2 := sh.StdoutPipe()
	if err := errors.Join(err1, err2, sh.Start()); err != nil {
		t.Fatal(err)
	}
	defer sh.Wait()
	defer in.Close()
	calls, err := countCalls(t.Context(), sh.Process.Pid, func() error {
		if _, err := in.Write([]byte("go\n")); err != nil {
			return err
		}
		text, err := io.ReadAll(out) // to the end: then the last write has returned, so that it counts
		if err == nil && bytes.Count(text, []byte("\n")) != writes {
			err = fmt.Errorf("the shell wrote %q", text)
		}
		return err
	})
	if err != nil && strings.Contains(err.Error(), "ptrace") {
		t.Logf("processes may not be traced here: %v", err)
		return
	}
	if err != nil || calls["write"] != writes {
		t.Errorf("%v, %v", calls, err)
	}
	fault := errors.New("broken")
	if _, err := countCalls(t.Context(), sh.Process.Pid, func() error { return fault }); !errors.Is(err, fault) {
		t.Error(err)
	}
	if _, err := countCalls(context.Background(), 4_000_000, func() error { return nil }); err == nil {
		t.Error("a process that is not there was traced")
	}
}
