package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errNoStrace says that system calls cannot be counted here.
var errNoStrace = errors.New("strace is not on the PATH (Debian package strace)")

// countCalls counts the system calls of a process while work runs, by name. The process is several times slower then, so
// only the counts mean anything.
func countCalls(ctx context.Context, pid int, work func() error) (calls map[string]uint64, err error) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return nil, errNoStrace
	}
	dir, err := os.MkdirTemp("", "gosper-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "calls")
	cmd := exec.CommandContext(ctx, strace, "-c", "-f", "-o", file, "-p", strconv.Itoa(pid))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = readyTimeout
	said, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("strace: %w", err)
	}
	lines := bufio.NewReader(said)
	first, attachErr := lines.ReadString('\n') // "strace: Process 1 attached with 9 threads"
	if attachErr == nil && !strings.Contains(first, " attached") {
		attachErr = errors.New(strings.TrimSpace(first))
	}
	rest := make(chan struct{})
	go func() {
		defer close(rest)
		_, _ = io.Copy(io.Discard, lines)
	}()
	if attachErr == nil {
		err = work()
	}
	_ = cmd.Process.Signal(syscall.SIGINT) // it has ended already if it could not attach
	<-rest
	_ = cmd.Wait() // it ends by the signal
	if err = errors.Join(err, attachErr); err != nil {
		return nil, fmt.Errorf("strace: %w", err)
	}
	table, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("strace: %w", err)
	}
	return parseCalls(string(table))
}

// parseCalls reads the table of strace -c:
//
//	% time     seconds  usecs/call     calls    errors syscall
//	------ ----------- ----------- --------- --------- ----------------
//	 98.61    0.000495          49        10         2 futex
//	------ ----------- ----------- --------- --------- ----------------
//	100.00    0.000502          45        11         2 total
func parseCalls(table string) (map[string]uint64, error) {
	const callsColumn = 3
	calls := map[string]uint64{}
	for line := range strings.Lines(table) {
		columns := strings.Fields(line)
		if len(columns) <= callsColumn+1 {
			continue
		}
		name := columns[len(columns)-1]
		n, err := strconv.ParseUint(columns[callsColumn], 10, 64)
		if err != nil || name == "total" {
			continue
		}
		calls[name] += n
	}
	if len(calls) == 0 {
		return nil, fmt.Errorf("strace counted no calls: %.200q", table)
	}
	return calls, nil
}

// splitTime returns the CPU time of a process in user space and in the kernel.
func splitTime(pid int) (user, kernel time.Duration, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	return parseStat(string(b))
}
