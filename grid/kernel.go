package grid

import "fmt"

// Kernel is one implementation of the generation of a tile. All of them give
// the same cells; they differ in speed and in the machines they run on.
type Kernel uint8

// The kernels.
const (
	// KernelAuto is the fastest one this machine has.
	KernelAuto Kernel = iota
	// KernelGo is plain Go, everywhere.
	KernelGo
	// KernelAVX2 is assembly for 256-bit vectors (amd64).
	KernelAVX2
	// KernelAVX512 is assembly for 512-bit vectors with F, BW, DQ, VL, VBMI2
	// and VPOPCNTDQ (amd64: Ice Lake, Zen 4 and later).
	KernelAVX512
)

// String returns "auto", "go", "avx2" or "avx512".
func (k Kernel) String() string {
	switch k {
	case KernelAuto:
		return "auto"
	case KernelGo:
		return "go"
	case KernelAVX2:
		return "avx2"
	case KernelAVX512:
		return "avx512"
	}
	return fmt.Sprintf("kernel(%d)", uint8(k))
}

// ParseKernel reads what [Kernel.String] writes.
func ParseKernel(name string) (Kernel, error) {
	for k := KernelAuto; k <= KernelAVX512; k++ {
		if name == k.String() {
			return k, nil
		}
	}
	return KernelAuto, fmt.Errorf("unknown kernel %q: use auto, go, avx2 or avx512", name)
}

// Kernels lists those that this machine has, the slowest first.
func Kernels() []Kernel {
	var list []Kernel
	for k := KernelGo; k <= KernelAVX512; k++ {
		if k.Available() {
			list = append(list, k)
		}
	}
	return list
}

// Available says whether k can be used on this machine.
func (k Kernel) Available() bool {
	switch k {
	case KernelAuto, KernelGo:
		return true
	case KernelAVX2:
		return hasAVX2
	case KernelAVX512:
		return hasAVX512
	}
	return false
}

// resolve replaces KernelAuto by the fastest available one.
func (k Kernel) resolve() Kernel {
	switch {
	case k != KernelAuto:
		return k
	case hasAVX512:
		return KernelAVX512
	case hasAVX2:
		return KernelAVX2
	}
	return KernelGo
}

// lifeJob is one call of a kernel: one generation of one tile. The assembly
// reads it by offset, so its layout is part of every kernel; the generator in
// gen has the same offsets, and a test compares them.
type lifeJob struct {
	dst   *tile // in: two generations ago; out: the new generation
	cur   *tile // the generation before
	left  *tile // its neighbours; only column 63 of left
	right *tile // and column 0 of the right one count

	up   [3]uint64 // the row above: in the left, own and right tile
	down [3]uint64 // the row below row 63

	cols  uint64     // columns in use, for the masked kernels
	rows  uint64     // rows in use, bit y is row y; always a run from bit 0
	table *ruleTable // for the general kernels

	diff   uint64 // out: the or over all rows of new xor two generations ago
	live   uint64 // out: live cells
	births uint64 // out: live cells that were dead
}

// run computes j with kernel k. masked says that cols or rows are not full.
// The calls are direct ones, so that j stays on the caller's stack.
func (j *lifeJob) run(k Kernel, general, masked bool) {
	switch {
	case k == KernelAVX512 && !general:
		if masked {
			lifeMaskedAVX512(j)
		} else {
			lifeAVX512(j)
		}
	case k == KernelAVX512:
		if masked {
			ruleMaskedAVX512(j)
		} else {
			ruleAVX512(j)
		}
	case k == KernelAVX2 && !general:
		if masked {
			lifeMaskedAVX2(j)
		} else {
			lifeAVX2(j)
		}
	case k == KernelAVX2:
		if masked {
			ruleMaskedAVX2(j)
		} else {
			ruleAVX2(j)
		}
	case general:
		ruleGo(j)
	default:
		lifeGo(j)
	}
}

// ruleTable holds a rule as masks, indexed by the sum n of the nine cells of a
// neighbourhood, 0 to 9, the centre included. With centre c the next state is
//
//	born[n] xor (c and flip[n])
//
// where born[n] is all ones when n neighbours make a birth, and flip[n] when
// the answer differs for a live centre, which has n-1 neighbours then.
type ruleTable struct{ born, flip [10]uint64 }

func newRuleTable(r Rule) ruleTable {
	var t ruleTable
	for n := range 10 {
		birth := r.Birth >> n & 1
		survive := uint16(0)
		if n > 0 {
			survive = r.Survive >> (n - 1) & 1
		}
		t.born[n] = -uint64(birth)
		t.flip[n] = -uint64(birth ^ survive)
	}
	return t
}
