package main

// Offsets of the fields of hashJob, in bytes.
const (
	hashTile = 0
	hashKey  = 8
	hashHigh = 12
	hashLow  = 16
)

// The constants of the hash, as in package grid.
const (
	hashRow    = 0x9E3779B1
	hashColumn = 0x85EBCA77
	hashWord   = 0xC2B2AE3D
	hashMix1   = 0x2C1B3C6D
	hashMix2   = 0x297A2D39
	hashMix3   = 0x94D049BB
)

// hash512 writes the kernel of the hash: sixteen words of 32 cells at a time.
func (a *asm) hash512() {
	a.line("")
	a.line("// Keys of the words of eight rows, from that of the first.")
	for i := range 16 {
		a.line("DATA hashKeys<>+%d(SB)/4, $0x%08X", 4*i, uint32(i/2*hashRow+i%2*hashColumn))
	}
	a.line("GLOBL hashKeys<>(SB), RODATA|NOPTR, $64")
	a.text("hashAVX512(j *hashJob)", "the sums of the hash over a tile.", 0)
	a.op("MOVQ %d(DI), SI", hashTile)
	a.op("VPBROADCASTD %d(DI), Z0", hashKey)
	a.op("VPADDD hashKeys<>(SB), Z0, Z0")
	for i, c := range []uint64{hashWord, hashMix1, hashMix2, hashMix3, 8 * hashRow & 0xFFFFFFFF} {
		a.op("MOVL $0x%08X, AX", c)
		a.op("VPBROADCASTD AX, Z%d", 10+i)
	}
	a.op("VPXORD Z8, Z8, Z8") // high
	a.op("VPXORD Z9, Z9, Z9") // low
	for k := range 8 {
		a.hashVector512(k)
	}
	a.sumLanes512("8", hashHigh)
	a.sumLanes512("9", hashLow)
	a.op("VZEROUPPER")
	a.op("RET")
}

// hashVector512 adds the words of vector k, whose keys are in Z0.
func (a *asm) hashVector512(k int) {
	a.op("VMOVDQU32 %d(SI), Z1", 64*k)
	a.op("VPTESTMD Z1, Z1, K1")
	a.op("VPMULLD Z10, Z1, Z1")
	a.op("VPXORD Z0, Z1, Z1")
	a.shiftXor512(15)
	a.op("VPMULLD Z11, Z1, Z1")
	a.shiftXor512(13)
	a.op("VPMULLD Z12, Z1, Z1")
	a.op("VPXORD Z0, Z1, Z3")
	a.op("VPMULLD Z13, Z3, Z3")
	a.shiftXor512(16)
	a.op("VPADDD Z1, Z8, K1, Z8")
	a.op("VPSRLD $15, Z3, Z2")
	a.op("VPXORD Z2, Z3, Z3")
	a.op("VPADDD Z3, Z9, K1, Z9")
	if k < 7 {
		a.op("VPADDD Z14, Z0, Z0")
	}
}

// shiftXor512 folds Z1 into itself.
func (a *asm) shiftXor512(n int) {
	a.op("VPSRLD $%d, Z1, Z2", n)
	a.op("VPXORD Z2, Z1, Z1")
}

// sumLanes512 stores the sum of the sixteen lanes of a register.
func (a *asm) sumLanes512(r string, offset int) {
	a.op("VEXTRACTI64X4 $1, Z%s, Y1", r)
	a.op("VPADDD Y1, Y%s, Y1", r)
	a.op("VEXTRACTI128 $1, Y1, X2")
	a.op("VPADDD X2, X1, X1")
	a.op("VPSHUFD $0x4E, X1, X2")
	a.op("VPADDD X2, X1, X1")
	a.op("VPSHUFD $0xB1, X1, X2")
	a.op("VPADDD X2, X1, X1")
	a.op("VMOVD X1, %d(DI)", offset)
}
