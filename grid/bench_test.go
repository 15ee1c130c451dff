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

// patches gives the live cells of g owners in squares of side cells.
func patches(b testing.TB, g *Grid, side int) {
	b.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	across := ceilDiv(g.opts.Width, side)
	owners := make([]Mark, across*ceilDiv(g.opts.Height, side))
	for i := range owners {
		owners[i] = Mark(rng.IntN(g.opts.Owners))
	}
	for y := range g.opts.Height {
		for x := range g.opts.Width {
			if g.Alive(x, y) {
				if err := g.Paint(x, y, owners[y/side*across+x/side]); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

// BenchmarkOwners is one generation of a 512 by 512 soup with 16 owners at
// about generation 100, every tile computed.
func BenchmarkOwners(b *testing.B) {
	for _, k := range Kernels() {
		for _, side := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%v/patch%d", k, side), func(b *testing.B) {
				g := soupGrid(b, Options{Width: 512, Height: 512, Owners: 16, Kernel: k})
				patches(b, g, side)
				g.Run(100, nil)
				start := g.AppendSnapshot(nil)
				b.ResetTimer()
				for i := range b.N {
					if i%50 == 0 {
						b.StopTimer()
						if err := g.ApplySnapshot(start); err != nil {
							b.Fatal(err)
						}
						b.StartTimer()
					}
					g.wakeAll()
					g.Step()
				}
			})
		}
	}
}

// BenchmarkSettled is one generation of a grid where nothing changes over two.
func BenchmarkSettled(b *testing.B) {
	for _, side := range []int{512, 16384} {
		b.Run(fmt.Sprint(side), func(b *testing.B) {
			g, err := New(Options{Width: side, Height: side}, nil)
			if err != nil {
				b.Fatal(err)
			}
			for i := 0; i < side; i += 40 {
				for d := range 3 {
					if err := g.Place(i+d, i, 0); err != nil {
						b.Fatal(err)
					}
				}
			}
			g.Run(4, nil)
			b.ResetTimer()
			for range b.N {
				g.Step()
			}
		})
	}
}

// BenchmarkDelta is one generation of a 512 by 512 soup with its delta, at
// about the generation named, and without it.
func BenchmarkDelta(b *testing.B) {
	for _, gen := range []uint64{2, 100, 1000} {
		for _, with := range []bool{true, false} {
			b.Run(fmt.Sprintf("generation%d/delta=%v", gen, with), func(b *testing.B) {
				g := soupGrid(b, Options{Width: 512, Height: 512})
				g.Run(gen, nil)
				start := g.AppendSnapshot(nil)
				var buf []byte
				total := 0
				b.ResetTimer()
				for i := range b.N {
					if i%20 == 0 {
						b.StopTimer()
						if err := g.ApplySnapshot(start); err != nil {
							b.Fatal(err)
						}
						g.Step()
						g.Step()
						b.StartTimer()
					}
					if with {
						buf = g.StepDelta(buf[:0])
						total += len(buf)
					} else {
						g.Step()
					}
				}
				b.ReportMetric(float64(total)/float64(b.N), "B/delta")
			})
		}
	}
}

// BenchmarkHash is the hash of a 512 by 512 soup of which every tile changed.
func BenchmarkHash(b *testing.B) {
	g := soupGrid(b, Options{Width: 512, Height: 512})
	for range b.N {
		for t := range g.tiles[0] {
			setBit(g.stale[g.now], t)
		}
		g.Hash()
	}
}

// BenchmarkRun is generations of a large dense soup, many at a time.
func BenchmarkRun(b *testing.B) {
	for _, side := range []int{4096, 16384} {
		b.Run(fmt.Sprint(side), func(b *testing.B) {
			g := soupGrid(b, Options{Width: side, Height: side})
			b.ResetTimer()
			g.Run(uint64(b.N), nil)
			b.ReportMetric(float64(side*side)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "Gcell/s")
		})
	}
}
