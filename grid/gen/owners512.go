package main

// Offsets of the fields of planeJob, in bytes.
const (
	planeOwn    = 0 // own, left, right
	planeLife   = 24
	planeAfter  = 48
	planeBefore = 56
	planeSeen   = 64 // one, two
	planeSplit  = 72
	planeOut    = 80
	planeUp     = 88
	planeDown   = 112
	planeTo     = 136
	planeDiff   = 144
	planeRows   = 152

	splitTwo = 512 // behind one
)

// owners512 writes the kernels of the owner planes. Registers as in life512.
func (a *asm) owners512() {
	a.text("majorityAVX512(j *planeJob)", "the majority of the parents' owner bits, eight rows at a time.", 0)
	for i, r := range []string{"SI", "DX", "CX"} {
		a.op("MOVQ %d(DI), %s", planeOwn+8*i, r)
		a.op("MOVQ %d(DI), R%d", planeLife+8*i, 8+i)
	}
	a.op("MOVQ %d(DI), R11", planeAfter)
	a.op("MOVQ %d(DI), BX", planeBefore)
	a.op("MOVQ %d(DI), R12", planeSplit)
	a.op("MOVQ %d(DI), R13", planeSeen)
	a.op("MOVQ %d(DI), AX", planeOut)
	a.haloSums512(planeUp, -1)
	a.planeSums512(0)
	for k := range 8 {
		if k < 7 {
			a.planeSums512(k + 1)
		} else {
			a.haloSums512(planeDown, 8)
		}
		a.majority512(k)
	}
	a.op("VZEROUPPER")
	a.op("RET")
	a.commit512()
}

// planeSums512 adds the masked owner bits of each cell of vector k and its
// neighbours in the row.
func (a *asm) planeSums512(k int) {
	a.line("")
	a.line("\t// rows %d to %d", 8*k, 8*k+7)
	c := centre(k)
	a.op("VMOVDQU64 %d(SI), %s", 64*k, c)
	a.op("VMOVDQU64 %d(DX), Z12", 64*k)
	a.op("VMOVDQU64 %d(CX), Z13", 64*k)
	a.op("VPANDQ %d(R8), %s, %s", 64*k, c, c)
	a.op("VPANDQ %d(R9), Z12, Z12", 64*k)
	a.op("VPANDQ %d(R10), Z13, Z13", 64*k)
	a.op("VPSHLDQ $1, Z12, %s, %s", c, twos(k))
	a.op("VPSHRDQ $1, Z13, %s, Z11", c)
	a.sums512(c, k)
}

// majority512 computes vector k: bit 1 of the sum of nine is the majority, and
// a sum of 1 or 2 a split.
func (a *asm) majority512(k int) {
	a.op("VALIGNQ $7, %s, %s, Z11", ones(k-1), ones(k))
	a.op("VALIGNQ $1, %s, %s, Z12", ones(k), ones(k+1))
	a.op("VALIGNQ $7, %s, %s, Z13", twos(k-1), twos(k))
	a.op("VALIGNQ $1, %s, %s, Z14", twos(k), twos(k+1))
	a.op("VMOVDQU64 %d(BX), Z16", 64*k)
	a.op("VPANDNQ %d(R11), Z16, Z16", 64*k) // newborn
	a.op("VMOVDQA64 Z11, Z15")
	a.op("VPTERNLOGQ %s, Z12, %s, Z11", xor3, ones(k))     // b0
	a.op("VPTERNLOGQ %s, Z12, %s, Z15", majority, ones(k)) // carry of b0
	a.op("VPTERNLOGQ %s, Z14, %s, Z13", xor3, twos(k))
	a.op("VPXORQ Z15, Z13, Z13") // b1
	a.op("VPTERNLOGQ %s, Z16, Z13, Z11", xorAnd)
	a.op("VPANDQ Z16, Z13, Z13")
	a.op("VMOVDQU64 Z13, %d(AX)", 64*k)
	a.op("VMOVDQU64 %d(R13), Z12", 64*k)
	a.op("VMOVDQU64 %d(R13), Z14", splitTwo+64*k)
	a.op("VPTERNLOGQ %s, Z11, Z12, Z14", orAnd)
	a.op("VPORQ Z11, Z12, Z12")
	a.op("VMOVDQU64 Z14, %d(R12)", splitTwo+64*k)
	a.op("VMOVDQU64 Z12, %d(R12)", 64*k)
	a.op("VPTESTMQ Z14, Z14, K1")
	a.op("KMOVB K1, %d(DI)", planeRows+k)
}

// commit512 writes the newborn's bits to their plane and collects what changed.
func (a *asm) commit512() {
	a.text("commitAVX512(j *planeJob)", "writes the newborn's owner bits to a plane.", 0)
	a.op("MOVQ %d(DI), SI", planeTo)
	a.op("MOVQ %d(DI), DX", planeOut)
	a.op("MOVQ %d(DI), CX", planeAfter)
	a.op("MOVQ %d(DI), BX", planeBefore)
	a.op("VPXORQ Z8, Z8, Z8")
	for k := range 8 {
		a.op("VMOVDQU64 %d(SI), Z0", 64*k)
		a.op("VPXORQ %d(DX), Z0, Z1", 64*k)
		a.op("VMOVDQU64 %d(BX), Z2", 64*k)
		a.op("VPANDNQ %d(CX), Z2, Z2", 64*k)
		a.op("VPANDQ Z2, Z1, Z1")
		a.op("VPXORQ Z1, Z0, Z0")
		a.op("VPORQ Z1, Z8, Z8")
		a.op("VMOVDQU64 Z0, %d(SI)", 64*k)
	}
	a.op("VEXTRACTI64X4 $1, Z8, Y11")
	a.op("VPOR Y11, Y8, Y8")
	a.op("VEXTRACTI128 $1, Y8, X11")
	a.op("VPOR X11, X8, X8")
	a.op("VPSHUFD $0x4E, X8, X11")
	a.op("VPOR X11, X8, X8")
	a.op("VMOVQ X8, AX")
	a.op("MOVQ AX, %d(DI)", planeDiff)
	a.op("VZEROUPPER")
	a.op("RET")
}
