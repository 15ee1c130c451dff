package bench

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Goal: servers and load generator get halves of the cores where there are enough, and the same cores else. Method: sets of
// cores, one with a gap.
func TestHalves(t *testing.T) {
	for _, c := range []struct {
		cores, servers, load []int
	}{
		{[]int{0, 1}, nil, nil},
		{[]int{0, 1, 2}, nil, nil},
		{[]int{0, 1, 2, 3}, []int{0, 1}, []int{2, 3}},
		{[]int{1, 2, 5, 8, 9}, []int{1, 2}, []int{5, 8, 9}},
	} {
		p := halves(cpuSet(c.cores))
		if c.servers == nil {
			if p.servers != nil || p.load != nil {
				t.Errorf("%v was split", c.cores)
			}
			continue
		}
		if *p.servers != cpuSet(c.servers) || *p.load != cpuSet(c.load) {
			t.Errorf("%v: %v", c.cores, p)
		}
	}
}

func cpuSet(cores []int) (set unix.CPUSet) {
	for _, c := range cores {
		set.Set(c)
	}
	return set
}

// Goal: a pinned thread runs where it should, and everywhere again afterwards. Method: the kernel's own answer.
func TestPinThread(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, now unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Skip("the kernel does not say:", err)
	}
	one := unix.CPUSet{}
	for cpu := 0; one.Count() == 0; cpu++ {
		if before.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	undo := pinThread(&one)
	if err := unix.SchedGetaffinity(0, &now); err != nil || now != one {
		t.Errorf("runs on %d cores: %v", now.Count(), err)
	}
	undo()
	if err := unix.SchedGetaffinity(0, &now); err != nil || now != before {
		t.Errorf("has %d cores of %d again: %v", now.Count(), before.Count(), err)
	}
	pinThread(nil)()
}
