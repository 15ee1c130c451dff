package bench

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	Register(Scenario{
		Name:    "machine",
		Summary: "what this machine allows at most: system calls, loopback, fsync, memory",
		Run:     runMachine,
	})
}

const (
	machineSockets = 1000
	machineBytes   = 100      // of a message
	machineCopy    = 64 << 20 // bytes that are copied at once: more than caches hold
	machineCalls   = 100_000
	machineTakes   = 5 // medians are of so many
)

// runMachine measures the floors that no server can go below, so that a reader can tell what is the server's part of a
// figure and what is the machine's.
func runMachine(ctx context.Context, r *Run) error {
	r.Setting("sockets", machineSockets)
	r.Setting("message_bytes", machineBytes)
	r.Setting("copy_bytes", machineCopy)
	dir, err := os.MkdirTemp("", "gosper-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	series := map[string][]float64{}
	from, to := make([]byte, machineCopy), make([]byte, machineCopy)
	for i := range from { // a page is there only after a write
		from[i], to[i] = byte(i), 1
	}
	for take := range machineTakes {
		if err := ctx.Err(); err != nil {
			return err
		}
		r.Step(float64(take)/machineTakes, "take %d of %d", take+1, machineTakes)
		start := time.Now()
		copy(to, from)
		series["memory_copy_bytes_per_s"] = append(series["memory_copy_bytes_per_s"], machineCopy/time.Since(start).Seconds())
		series["syscall_ns"] = append(series["syscall_ns"], syscallTime())
		write, read, err := loopbackCost(min(machineSockets, descriptorsLeft()/2), machineBytes, 20)
		if err != nil {
			return err
		}
		series["loopback_write_us"] = append(series["loopback_write_us"], write)
		series["loopback_read_us"] = append(series["loopback_read_us"], read)
		fsync, err := measureSync(dir, r.Slice()/10)
		if err != nil {
			return err
		}
		series["fsync_us"] = append(series["fsync_us"], fsync)
	}
	for name, values := range series {
		r.Series(name, values)
	}
	return nil
}

// syscallTime is what the shortest system call costs, in nanoseconds.
func syscallTime() float64 {
	start := time.Now()
	for range machineCalls {
		unix.Getppid()
	}
	return float64(time.Since(start).Nanoseconds()) / machineCalls
}
