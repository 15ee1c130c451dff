package grid

import (
	"math/rand/v2"
	"testing"
)

// jsHash is the hash as a client computes it from cells, with nothing but
// 32-bit steps, written from the description alone.
func jsHash(g *Grid) uint64 {
	var high, low uint32
	for y := range g.opts.Height {
		for i := 0; i*32 < g.opts.Width; i++ {
			var w uint32
			for c := range 32 {
				if g.Alive(32*i+c, y) {
					w |= 1 << c
				}
			}
			if w == 0 {
				continue
			}
			k := uint32(y)*0x9E3779B1 + uint32(i)*0x85EBCA77
			x := w*0xC2B2AE3D ^ k
			x = (x ^ x>>15) * 0x2C1B3C6D
			x = (x ^ x>>13) * 0x297A2D39
			high += x ^ x>>16
			b := (x ^ k) * 0x94D049BB
			low += b ^ b>>15
		}
	}
	return uint64(high)<<32 | uint64(low)
}

// Goal: the hash is the described one after steps and edits, and never a stale
// one. Method: the description again, over random grids.
func TestHash(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, size := range [][2]int{{1, 1}, {31, 2}, {33, 70}, {100, 130}, {128, 64}} {
		p := newPair(t, Options{Width: size[0], Height: size[1]}, "hash")
		p.soup(rng, 0.2, 10)
		for range 80 {
			p.g.Step()
			if rng.IntN(3) == 0 {
				someEdits(p, rng)
			}
			if got, want := p.g.Hash(), jsHash(p.g); rng.IntN(2) == 0 && got != want {
				t.Fatalf("%v, generation %d: hash %016x, want %016x", size, p.g.Generation(), got, want)
			}
		}
	}
}

// Goal: the figure clients are tested against does not change.
func TestHashOfGlider(t *testing.T) {
	g := mustGrid(t, Options{Width: 64, Height: 64})
	if err := g.Stamp(gliderPattern(), 30, 5, StampOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := g.Hash(); got != jsHash(g) || got != gliderHash {
		t.Fatalf("hash %#016x, want %#016x", got, uint64(gliderHash))
	}
}

// gliderHash is the hash of a glider with its corner at (30, 5).
const gliderHash = 0x89063672a80d6a55

// Goal: boards that differ in a cell, or by a move, have different hashes.
func TestHashTellsBoardsApart(t *testing.T) {
	seen := map[uint64]bool{}
	g := mustGrid(t, Options{Width: 128, Height: 128})
	for y := range 128 {
		for x := range 128 {
			if err := g.Place(x, y, 0); err != nil {
				t.Fatal(err)
			}
			one := g.Hash()
			if seen[one] {
				t.Fatalf("(%d,%d) has the hash of another cell", x, y)
			}
			seen[one] = true
			if err := g.Kill(x, y); err != nil {
				t.Fatal(err)
			}
		}
	}
}
