package grid

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// soupGrid is a grid filled with live cells at random, a third of them.
func soupGrid(b testing.TB, o Options) *Grid {
	b.Helper()
	g, err := New(o, nil)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	var e edit
	for y := range o.Height {
		for x := range o.Width {
			if rng.IntN(8) < 3 {
				e.set(g, x, y, Mark(0))
			}
		}
	}
	return g
}

// BenchmarkDense is one generation with every tile computed.
func BenchmarkDense(b *testing.B) {
	for _, side := range []int{100, 128, 512, 1000, 1024, 4096} {
		for _, k := range Kernels() {
			b.Run(fmt.Sprintf("%d/%v", side, k), func(b *testing.B) {
				g := soupGrid(b, Options{Width: side, Height: side, Kernel: k})
				b.ResetTimer()
				for range b.N {
					g.wakeAll()
					g.Step()
				}
				b.ReportMetric(float64(side*side)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "Gcell/s")
			})
		}
	}
}
