package bench

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// pinFrom is how many cores a machine must have for servers and load generator to get halves of their own. With fewer
// they share all of them: a half of one core would serialise what runs side by side in real life.
const pinFrom = 4

// pinning is which cores servers (ours and the peers, the same ones) and the load generator run on.
type pinning struct{ servers, load *unix.CPUSet } // nil: any

// pinned is that of this process, decided once.
var pinned = decidePinning()

func decidePinning() pinning {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return pinning{}
	}
	return halves(all)
}

// halves gives the first half of the cores to the servers and the others to the load generator, if there are enough.
func halves(all unix.CPUSet) pinning {
	n := all.Count()
	if n < pinFrom {
		return pinning{}
	}
	p := pinning{&unix.CPUSet{}, &unix.CPUSet{}}
	for cpu, seen := 0, 0; seen < n; cpu++ {
		if !all.IsSet(cpu) {
			continue
		}
		if seen < n/2 {
			p.servers.Set(cpu)
		} else {
			p.load.Set(cpu)
		}
		seen++
	}
	return p
}

func (p pinning) String() string {
	if p.servers == nil {
		return "servers and load generator share all cores"
	}
	return fmt.Sprintf("servers on %d cores of their own, the load generator on %d others", p.servers.Count(), p.load.Count())
}

// pinThread lets the calling thread, which the caller has locked, and what it starts run on these cores only. undo gives
// it back the cores it had.
func pinThread(cores *unix.CPUSet) (undo func()) {
	var before unix.CPUSet
	if cores == nil || unix.SchedGetaffinity(0, &before) != nil || unix.SchedSetaffinity(0, cores) != nil {
		return func() {}
	}
	return func() { _ = unix.SchedSetaffinity(0, &before) }
}
