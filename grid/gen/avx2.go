package main

// Frame of the 256-bit kernels: the row sums of rows -1 to 64, so that the
// sums above and below are loads eight bytes away.
const (
	rowCount  = 66
	frameTwos = rowCount * 8
	frameSize = 2*rowCount*8 + 8
)

// avx2 writes the kernels for 256-bit vectors, four rows each.
func avx2() *asm {
	a := newAsm()
	a.rowMasks()
	for _, v := range variants("AVX2") {
		a.life256(v)
	}
	return a
}

// rowMasks writes a table: entry i has all ones in lane n when bit n of i is
// set.
func (a *asm) rowMasks() {
	a.line("")
	a.line("// Lane masks for four rows, by the four bits of the rows in use.")
	for i := range 16 {
		for lane := range 4 {
			word := "0"
			if i>>lane&1 == 1 {
				word = "0xFFFFFFFFFFFFFFFF"
			}
			a.line("DATA rowMasks<>+%d(SB)/8, $%s", i*32+lane*8, word)
		}
	}
	a.line("GLOBL rowMasks<>(SB), RODATA|NOPTR, $512")
}

func (a *asm) life256(v variant) {
	a.text(v.name+"(j *lifeJob)", "one generation of a tile, four rows at a time.", frameSize)
	a.op("MOVQ %d(DI), R8", jobDst)
	a.op("MOVQ %d(DI), SI", jobCur)
	a.op("MOVQ %d(DI), DX", jobLeft)
	a.op("MOVQ %d(DI), CX", jobRight)
	a.haloSums256(jobUp, 0)
	a.haloSums256(jobDown, rowCount-1)
	for k := range 16 {
		a.rowSums256(k)
	}
	if v.masked {
		a.op("VPBROADCASTQ %d(DI), Y14", jobCols)
		a.op("MOVQ %d(DI), R12", jobRows)
		a.op("LEAQ rowMasks<>(SB), R13")
	}
	if v.general {
		a.op("MOVQ %d(DI), R9", jobTable)
	}
	a.op("VPXOR Y15, Y15, Y15") // differences
	a.op("XORL R10, R10")       // live cells
	a.op("XORL R11, R11")       // births
	for k := range 16 {
		a.generation256(v, k)
	}
	a.totals256()
}

// haloSums256 adds the cells of the row above or below, into row i of the frame.
func (a *asm) haloSums256(offset, i int) {
	a.op("MOVQ %d(DI), BX", offset)
	a.op("MOVQ %d(DI), AX", offset+8)
	a.op("MOVQ %d(DI), R9", offset+16)
	a.op("SHRQ $63, BX")
	a.op("LEAQ (BX)(AX*2), BX") // left neighbours
	a.op("SHLQ $63, R9")
	a.op("MOVQ AX, R10")
	a.op("SHRQ $1, R10")
	a.op("ORQ R9, R10") // right neighbours
	a.op("MOVQ BX, R11")
	a.op("XORQ AX, R11")
	a.op("ANDQ AX, BX")
	a.op("MOVQ R11, AX")
	a.op("XORQ R10, R11")
	a.op("ANDQ R10, AX")
	a.op("ORQ AX, BX")
	a.op("MOVQ R11, %d(SP)", 8*i)
	a.op("MOVQ BX, %d(SP)", frameTwos+8*i)
}

// rowSums256 adds each cell of vector k and its neighbours in the row.
func (a *asm) rowSums256(k int) {
	a.line("")
	a.op("VMOVDQU %d(SI), Y0", 32*k)
	a.op("VMOVDQU %d(DX), Y1", 32*k)
	a.op("VMOVDQU %d(CX), Y2", 32*k)
	a.op("VPADDQ Y0, Y0, Y3")
	a.op("VPSRLQ $63, Y1, Y1")
	a.op("VPOR Y3, Y1, Y1") // left neighbours
	a.op("VPSRLQ $1, Y0, Y3")
	a.op("VPSLLQ $63, Y2, Y2")
	a.op("VPOR Y3, Y2, Y2") // right neighbours
	a.op("VPXOR Y0, Y1, Y3")
	a.op("VPXOR Y2, Y3, Y4")
	a.op("VPAND Y0, Y1, Y1")
	a.op("VPAND Y2, Y3, Y3")
	a.op("VPOR Y1, Y3, Y3")
	a.op("VMOVDQU Y4, %d(SP)", 8+32*k)
	a.op("VMOVDQU Y3, %d(SP)", frameTwos+8+32*k)
}

// threeRows256 adds three rows of the frame from offset on: the sum's bit 0
// into x0, its bit 1 into x1. It uses t as a third register.
func (a *asm) threeRows256(offset int, x0, x1, t string) {
	a.op("VMOVDQU %d(SP), %s", offset+8, x0)
	a.op("VMOVDQU %d(SP), %s", offset+16, t)
	a.op("VPAND %s, %s, %s", x0, t, x1)
	a.op("VPXOR %s, %s, %s", x0, t, t)
	a.op("VMOVDQU %d(SP), Y13", offset)
	a.op("VPXOR Y13, %s, %s", t, x0)
	a.op("VPAND Y13, %s, %s", t, t)
	a.op("VPOR %s, %s, %s", t, x1, x1)
}

// generation256 computes vector k.
func (a *asm) generation256(v variant, k int) {
	a.line("")
	a.line("\t// rows %d to %d", 4*k, 4*k+3)
	a.threeRows256(32*k, "Y0", "Y1", "Y2")           // b0, p
	a.threeRows256(frameTwos+32*k, "Y3", "Y4", "Y2") // q, m
	a.op("VMOVDQU %d(SI), Y5", 32*k)                 // centre
	if v.general {
		a.lookUp256()
	} else {
		a.op("VPXOR Y1, Y3, Y1")  // b1
		a.op("VPXOR Y4, Y3, Y3")  // m xor q
		a.op("VPOR Y0, Y1, Y6")   // b0 or b1
		a.op("VPAND Y0, Y1, Y0")  // b0 and b1
		a.op("VPANDN Y0, Y4, Y0") // and not m: the sum is 3
		a.op("VPAND Y5, Y3, Y3")
		a.op("VPANDN Y3, Y6, Y3") // the sum is 4 and the centre lives
		a.op("VPOR Y3, Y0, Y0")
	}
	if v.masked {
		a.op("VPAND Y14, Y0, Y0")
		a.op("MOVQ R12, AX")
		a.op("ANDQ $15, AX")
		a.op("SHRQ $4, R12")
		a.op("SHLQ $5, AX")
		a.op("VPAND (R13)(AX*1), Y0, Y0")
	}
	a.op("VPXOR %d(R8), Y0, Y1", 32*k)
	a.op("VPOR Y1, Y15, Y15")
	a.op("VMOVDQU Y0, %d(R8)", 32*k)
	for row := 4 * k; row < 4*k+4; row++ {
		a.op("MOVQ %d(R8), AX", 8*row)
		a.op("MOVQ %d(SI), BX", 8*row)
		a.op("ANDNQ AX, BX, BX")
		a.op("POPCNTQ AX, AX")
		a.op("POPCNTQ BX, BX")
		a.op("ADDQ AX, R10")
		a.op("ADDQ BX, R11")
	}
}

// lookUp256 looks the sum Y0 + 2(Y1+Y3) + 4·Y4 up in the table, for the
// centre Y5, into Y0.
func (a *asm) lookUp256() {
	a.op("VPAND Y1, Y3, Y2") // carry of p + q
	a.op("VPXOR Y1, Y3, Y1") // b1
	a.op("VPAND Y4, Y2, Y3") // b3
	a.op("VPXOR Y4, Y2, Y2") // b2
	at := func(n int, to string) {
		a.op("VPBROADCASTQ %d(R9), %s", tableFlip+8*n, to)
		a.op("VPBROADCASTQ %d(R9), Y11", tableBorn+8*n)
		a.op("VPAND Y5, %s, %s", to, to)
		a.op("VPXOR Y11, %s, %s", to, to)
	}
	pick := func(s, one, zero string) { // one = s ? one : zero
		a.op("VPXOR %s, %s, %s", zero, one, one)
		a.op("VPAND %s, %s, %s", s, one, one)
		a.op("VPXOR %s, %s, %s", zero, one, one)
	}
	pair := func(n int, to string) {
		at(n, "Y12")
		at(n+1, to)
		pick("Y0", to, "Y12")
	}
	pair(0, "Y6")
	pair(2, "Y7")
	pick("Y1", "Y7", "Y6")
	pair(4, "Y8")
	pair(6, "Y9")
	pick("Y1", "Y9", "Y8")
	pick("Y2", "Y9", "Y7")
	pair(8, "Y10")
	pick("Y3", "Y10", "Y9")
	a.op("VMOVDQA Y10, Y0")
}

// totals256 stores what was collected.
func (a *asm) totals256() {
	a.line("")
	a.op("VEXTRACTI128 $1, Y15, X1")
	a.op("VPOR X1, X15, X1")
	a.op("VPSHUFD $0x4E, X1, X2")
	a.op("VPOR X2, X1, X1")
	a.op("VMOVQ X1, AX")
	a.op("MOVQ AX, %d(DI)", jobDiff)
	a.op("MOVQ R10, %d(DI)", jobLive)
	a.op("MOVQ R11, %d(DI)", jobBirths)
	a.op("VZEROUPPER")
	a.op("RET")
}
