package grid

import "golang.org/x/sys/cpu"

//go:generate go run ./gen

// What this machine and its operating system can run.
var (
	hasAVX2   = cpu.X86.HasAVX2 && cpu.X86.HasBMI1 && cpu.X86.HasPOPCNT
	hasAVX512 = hasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ &&
		cpu.X86.HasAVX512VL && cpu.X86.HasAVX512VBMI2 && cpu.X86.HasAVX512VPOPCNTDQ
)

// The kernels in assembly: B3/S23 and any rule, each for full tiles and for
// tiles with columns or rows that are not in use. A call is one tile, so that
// the collector never waits for one.

//go:noescape
func lifeAVX512(j *lifeJob)

//go:noescape
func lifeMaskedAVX512(j *lifeJob)

//go:noescape
func ruleAVX512(j *lifeJob)

//go:noescape
func ruleMaskedAVX512(j *lifeJob)

//go:noescape
func lifeAVX2(j *lifeJob)

//go:noescape
func lifeMaskedAVX2(j *lifeJob)

//go:noescape
func ruleAVX2(j *lifeJob)

//go:noescape
func ruleMaskedAVX2(j *lifeJob)

//go:noescape
func majorityAVX512(j *planeJob)

//go:noescape
func commitAVX512(j *planeJob)

//go:noescape
func packAVX512(j *packJob)

//go:noescape
func hashAVX512(j *hashJob)
