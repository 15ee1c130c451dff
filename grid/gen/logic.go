package main

import "fmt"

// ternary returns the immediate of VPTERNLOG for f, where a is the
// destination, b the second source of Intel's order and c the third; in Go's
// operand order: VPTERNLOGQ imm, c, b, a.
func ternary(f func(a, b, c bool) bool) string {
	imm := 0
	for i := range 8 {
		if f(i&4 != 0, i&2 != 0, i&1 != 0) {
			imm |= 1 << i
		}
	}
	return fmt.Sprintf("$0x%02X", imm)
}

// The functions of three bits that the kernels use.
var (
	xor3     = ternary(func(a, b, c bool) bool { return a != b != c })
	majority = ternary(func(a, b, c bool) bool { return a && b || a && c || b && c })
	// orXor collects differences: a or (b xor c).
	orXor = ternary(func(a, b, c bool) bool { return a || b != c })
	// flipIf looks a table up: (a and b) xor c.
	flipIf = ternary(func(a, b, c bool) bool { return (a && b) != c })
	// choose is a where b is set, and c elsewhere.
	choose = ternary(func(a, b, c bool) bool { return b && a || !b && c })
	// orAnd is a or (b and c).
	orAnd = ternary(func(a, b, c bool) bool { return a || b && c })
	// xorAnd is (a xor b) and c.
	xorAnd = ternary(func(a, b, c bool) bool { return a != b && c })
)

// The tail of B3/S23 in three operations, found by exhaustive search. With the
// sum of nine cells as b0 + 2(p+q) + 4m and the centre c:
//
//	u = tail1(b0, p, m)   v = tail2(q, m, u)   next = tail3(b0, c, v)
const (
	tail1 = "$0x16"
	tail2 = "$0x29"
	tail3 = "$0xA8"
)
