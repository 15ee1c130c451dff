package main

import "fmt"

// Registers of the 512-bit kernels. A vector is eight rows of a tile.
//
//	Z0-Z2    sum bit 0 ("ones") of the vector above, here and below, rotating
//	Z3-Z5    sum bit 1 ("twos") of the same
//	Z6, Z7   centre cells, rotating
//	Z8-Z10   collected: differences, live cells, births
//	Z11-Z19  temporary
//	Z20      columns in use
//	Z22-Z31  the table's flip masks
//	K2, K1   rows in use: of the tile, of the vector
func avx512() *asm {
	a := newAsm()
	for _, v := range variants("AVX512") {
		a.life512(v)
	}
	a.owners512()
	a.pack512()
	a.hash512()
	return a
}

func ones(k int) string   { return fmt.Sprintf("Z%d", (k+3)%3) }
func twos(k int) string   { return fmt.Sprintf("Z%d", 3+(k+3)%3) }
func centre(k int) string { return fmt.Sprintf("Z%d", 6+k%2) }

func (a *asm) life512(v variant) {
	a.text(v.name+"(j *lifeJob)", "one generation of a tile, eight rows at a time.", 0)
	a.op("MOVQ %d(DI), R8", jobDst)
	a.op("MOVQ %d(DI), SI", jobCur)
	a.op("MOVQ %d(DI), DX", jobLeft)
	a.op("MOVQ %d(DI), CX", jobRight)
	if v.masked {
		a.op("VPBROADCASTQ %d(DI), Z20", jobCols)
		a.op("KMOVQ %d(DI), K2", jobRows)
	}
	if v.general {
		a.op("MOVQ %d(DI), R9", jobTable)
		for n := range 10 {
			a.op("VPBROADCASTQ %d(R9), Z%d", tableFlip+8*n, 22+n)
		}
	}
	for _, z := range []string{"Z8", "Z9", "Z10"} {
		a.op("VPXORQ %s, %s, %s", z, z, z)
	}
	a.haloSums512(jobUp, -1)
	a.rowSums512(0)
	for k := range 8 {
		if k < 7 {
			a.rowSums512(k + 1)
		} else {
			a.haloSums512(jobDown, 8)
		}
		a.generation512(v, k)
	}
	a.totals512()
}

// rowSums512 adds each cell of vector k and its neighbours in the row.
func (a *asm) rowSums512(k int) {
	a.line("")
	a.line("\t// rows %d to %d", 8*k, 8*k+7)
	c := centre(k)
	a.op("VMOVDQU64 %d(SI), %s", 64*k, c)
	a.op("VPSHLDQ $1, %d(DX), %s, %s", 64*k, c, twos(k))
	a.op("VPSHRDQ $1, %d(CX), %s, Z11", 64*k, c)
	a.sums512(c, k)
}

// haloSums512 does the same for the row above or below, in every lane.
func (a *asm) haloSums512(offset, k int) {
	a.op("VPBROADCASTQ %d(DI), Z11", offset)
	a.op("VPBROADCASTQ %d(DI), Z12", offset+8)
	a.op("VPBROADCASTQ %d(DI), Z13", offset+16)
	a.op("VPSHLDQ $1, Z11, Z12, %s", twos(k))
	a.op("VPSHRDQ $1, Z13, Z12, Z11")
	a.sums512("Z12", k)
}

// sums512 adds the left neighbours in twos(k), the cells in c and the right
// neighbours in Z11.
func (a *asm) sums512(c string, k int) {
	a.op("VMOVDQA64 %s, %s", twos(k), ones(k))
	a.op("VPTERNLOGQ %s, Z11, %s, %s", xor3, c, ones(k))
	a.op("VPTERNLOGQ %s, Z11, %s, %s", majority, c, twos(k))
}

// generation512 computes vector k from the sums above, here and below.
func (a *asm) generation512(v variant, k int) {
	c := centre(k)
	a.op("VALIGNQ $7, %s, %s, Z11", ones(k-1), ones(k)) // ones of the row above
	a.op("VALIGNQ $1, %s, %s, Z12", ones(k), ones(k+1)) // ones of the row below
	a.op("VALIGNQ $7, %s, %s, Z13", twos(k-1), twos(k))
	a.op("VALIGNQ $1, %s, %s, Z14", twos(k), twos(k+1))
	a.op("VMOVDQA64 Z11, Z15")
	a.op("VPTERNLOGQ %s, Z12, %s, Z11", xor3, ones(k))     // b0
	a.op("VPTERNLOGQ %s, Z12, %s, Z15", majority, ones(k)) // p
	a.op("VMOVDQA64 Z13, Z16")
	a.op("VPTERNLOGQ %s, Z14, %s, Z13", xor3, twos(k))     // q
	a.op("VPTERNLOGQ %s, Z14, %s, Z16", majority, twos(k)) // m
	if v.general {
		a.lookUp512(c)
	} else {
		a.op("VMOVDQA64 Z11, Z17")
		a.op("VPTERNLOGQ %s, Z16, Z15, Z17", tail1)
		a.op("VPTERNLOGQ %s, Z17, Z16, Z13", tail2)
		a.op("VPTERNLOGQ %s, Z13, %s, Z11", tail3, c)
	}
	if v.masked {
		a.op("KSHIFTRQ $%d, K2, K1", 8*k)
		a.op("VPANDQ.Z Z20, Z11, K1, Z11")
	}
	a.op("VPTERNLOGQ %s, %d(R8), Z11, Z8", orXor, 64*k)
	a.op("VMOVDQU64 Z11, %d(R8)", 64*k)
	a.op("VPANDNQ Z11, %s, Z12", c)
	a.op("VPOPCNTQ Z11, Z13")
	a.op("VPADDQ Z13, Z9, Z9")
	a.op("VPOPCNTQ Z12, Z12")
	a.op("VPADDQ Z12, Z10, Z10")
}

// lookUp512 looks the sum Z11 + 2(Z15+Z13) + 4·Z16 up in the table, for the
// centre c, into Z11.
func (a *asm) lookUp512(c string) {
	a.op("VPANDQ Z15, Z13, Z14")     // carry of p + q
	a.op("VPXORQ Z15, Z13, Z13")     // b1
	a.op("VPANDQ Z16, Z14, Z15")     // b3
	a.op("VPXORQ Z16, Z14, Z14")     // b2
	pair := func(n int, to string) { // to = b0 ? at(n+1) : at(n)
		for i, z := range []string{"Z21", to} {
			a.op("VMOVDQA64 %s, %s", c, z)
			a.op("VPTERNLOGQ.BCST %s, %d(R9), Z%d, %s", flipIf, tableBorn+8*(n+i), 22+n+i, z)
		}
		a.op("VPTERNLOGQ %s, Z21, Z11, %s", choose, to)
	}
	pair(0, "Z12")
	pair(2, "Z16")
	a.op("VPTERNLOGQ %s, Z12, Z13, Z16", choose) // b1 ? 2,3 : 0,1
	pair(4, "Z12")
	pair(6, "Z17")
	a.op("VPTERNLOGQ %s, Z12, Z13, Z17", choose) // b1 ? 6,7 : 4,5
	a.op("VPTERNLOGQ %s, Z16, Z14, Z17", choose) // b2 ? 4…7 : 0…3
	pair(8, "Z12")
	a.op("VPTERNLOGQ %s, Z17, Z15, Z12", choose) // b3 ? 8,9 : the rest
	a.op("VMOVDQA64 Z12, Z11")
}

// totals512 stores what was collected: the differences as an or, live cells
// and births as sums, which share one vector.
func (a *asm) totals512() {
	a.line("")
	a.op("VPSLLQ $32, Z10, Z10")
	a.op("VPADDQ Z10, Z9, Z9")
	a.op("VEXTRACTI64X4 $1, Z8, Y11")
	a.op("VEXTRACTI64X4 $1, Z9, Y12")
	a.op("VPOR Y11, Y8, Y8")
	a.op("VPADDQ Y12, Y9, Y9")
	a.op("VEXTRACTI128 $1, Y8, X11")
	a.op("VEXTRACTI128 $1, Y9, X12")
	a.op("VPOR X11, X8, X8")
	a.op("VPADDQ X12, X9, X9")
	a.op("VPSHUFD $0x4E, X8, X11")
	a.op("VPSHUFD $0x4E, X9, X12")
	a.op("VPOR X11, X8, X8")
	a.op("VPADDQ X12, X9, X9")
	a.op("VMOVQ X8, AX")
	a.op("VMOVQ X9, BX")
	a.op("MOVQ AX, %d(DI)", jobDiff)
	a.op("MOVL BX, CX")
	a.op("SHRQ $32, BX")
	a.op("MOVQ CX, %d(DI)", jobLive)
	a.op("MOVQ BX, %d(DI)", jobBirths)
	a.op("VZEROUPPER")
	a.op("RET")
}
