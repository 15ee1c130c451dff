// Package grid computes Conway's Life and its relatives on bounded grids: any
// size from 1 by 1, torus or plane, exact, with owners or blended colours, and
// with deltas that followers apply. It does no input or output and starts no
// goroutine; a [Grid] is used by one goroutine at a time, and thousands of them
// share a process.
//
// # How it is fast
//
// A grid is cut into tiles of 64 by 64 cells, 512 bytes each, in two buffers:
//
//	+--------+--------+--------+--
//	| tile 0 | tile 1 | tile 2 |    tile = 64 rows of one uint64,
//	+--------+--------+--------+--  bit x is column x
//	| tile tw| tile tw+1 …
//
// A kernel computes one tile: hundreds of cells with each instruction, in
// AVX-512, AVX2 or plain Go ([Kernel]). It writes over the generation before
// the current one and notes whether that makes a difference; where nothing
// differs from two generations ago, neither in a tile nor around it, the tile
// is not touched in the next step ([Grid.Step]). Still lifes and blinkers cost
// nothing, and a quiet grid of 16384 by 16384 takes well under a microsecond.
//
// # Memory
//
// Two bits a cell, k bits more for up to 2^k owners, and about 28 bytes a tile
// of figures: [Size] says it exactly before a grid is made, and a [Budget]
// refuses what does not fit. Tile counts are rounded up: 65 by 65 cells take
// four tiles. The layout of the allocation is described at shape.words.
//
// # Owners and colours
//
// A newborn cell gets the owner in the middle of its parents' sorted owners:
// the majority's where two of three agree. Or cells carry 24-bit colours, and a
// newborn gets the mean of its parents' ([ColourMode]).
//
// # Following a grid
//
// [Grid.AppendSnapshot] writes all of a grid, [Grid.StepDelta] one step and
// [Grid.AppendEdits] the edits since; a follower takes them with
// [Grid.ApplySnapshot] and [Grid.ApplyDelta], and checks itself with
// [Grid.Hash]. The formats stand with those functions; all of them, and the
// hash, are made for a JavaScript client too.
//
// # Patterns
//
// [Parse] reads RLE, plaintext, Life 1.05, Life 1.06 and macrocell files into a
// [Pattern], [Grid.Stamp] lays one on a grid, and [Grid.Extract] takes one off.
package grid
