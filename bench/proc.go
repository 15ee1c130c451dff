package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clockTick is the unit of CPU times in /proc/PID/stat. Linux gives user space 100 a second on every architecture
// Go runs on.
const clockTick = 10 * time.Millisecond

// cpuTime returns the CPU time a process has used, user and system, all threads. It is the sum that
// /proc/PID/stat shows, taken from the process's CPU clock because the file's 10 ms ticks are coarse for short runs.
func cpuTime(pid int) (time.Duration, error) {
	if d, ok := processClock(pid); ok {
		return d, nil
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	user, kernel, err := parseStat(string(b))
	return user + kernel, err
}

// parseStat returns utime and stime of a /proc/PID/stat line. The second field is the program's name in parentheses and
// may hold blanks and parentheses itself, so fields are counted from the last one.
func parseStat(stat string) (user, kernel time.Duration, err error) {
	i := strings.LastIndexByte(stat, ')')
	fields := strings.Fields(stat[i+1:])
	const utime, stime = 11, 12 // fields 14 and 15 of the line, counted from the third
	if i < 0 || len(fields) <= stime {
		return 0, 0, fmt.Errorf("unexpected stat line %q", stat)
	}
	u, err1 := strconv.ParseInt(fields[utime], 10, 64)
	s, err2 := strconv.ParseInt(fields[stime], 10, 64)
	if err1 != nil || err2 != nil {
		return 0, 0, fmt.Errorf("unexpected stat line %q", stat)
	}
	return time.Duration(u) * clockTick, time.Duration(s) * clockTick, nil
}

// processClock reads the kernel's CPU clock of another process (what clock_getcpuclockid(3) names): all its threads,
// those that ended too, in nanoseconds.
func processClock(pid int) (time.Duration, bool) {
	const schedulerClock = 2 // CPUCLOCK_SCHED: user and system time as the scheduler counts it
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedulerClock), &ts); err != nil {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}

// residentBytes returns what a process holds in memory now.
func residentBytes(pid int) (float64, error) {
	f := procField(fmt.Sprintf("/proc/%d/status", pid), "VmRSS")
	kb, _, _ := strings.Cut(f, " ")
	n, err := strconv.ParseFloat(kb, 64)
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	return n * 1024, nil
}
