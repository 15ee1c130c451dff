package main

// Offsets of the fields of packJob, in bytes.
const (
	packA   = 0
	packB   = 8
	packDst = 16
	packN   = 24
)

// pack512 writes the kernel that writes a tile's content in masks. The test of
// 64 bytes for zero gives the byte masks of eight rows at once.
func (a *asm) pack512() {
	a.text("packAVX512(j *packJob)", "the content of a tile as masks and bytes that are not 0.", 64)
	a.op("MOVQ %d(DI), SI", packA)
	a.op("MOVQ %d(DI), DX", packB)
	a.op("MOVQ %d(DI), R8", packDst)
	for k := range 8 {
		a.op("VMOVDQU64 %d(SI), Z%d", 64*k, k)
		a.op("VPXORQ %d(DX), Z%d, Z%d", 64*k, k, k)
		a.op("VPTESTMB Z%d, Z%d, K1", k, k)
		a.op("KMOVQ K1, %d(SP)", 8*k)
	}
	a.op("VMOVDQU64 (SP), Z8") // byte masks of all rows
	a.op("VPTESTMB Z8, Z8, K1")
	a.op("KMOVQ K1, AX")
	a.op("MOVQ AX, (R8)") // rows that are not 0
	a.op("VPCOMPRESSB.Z Z8, K1, Z8")
	a.op("VMOVDQU64 Z8, 8(R8)")
	a.op("POPCNTQ AX, AX")
	a.op("LEAQ 8(R8)(AX*1), R9")
	for k := range 8 {
		a.op("KMOVQ %d(SP), K1", 8*k)
		a.op("POPCNTQ %d(SP), AX", 8*k)
		a.op("VPCOMPRESSB.Z Z%d, K1, Z%d", k, k)
		a.op("VMOVDQU64 Z%d, (R9)", k)
		a.op("ADDQ AX, R9")
	}
	a.op("SUBQ R8, R9")
	a.op("MOVQ R9, %d(DI)", packN)
	a.op("VZEROUPPER")
	a.op("RET")
}
