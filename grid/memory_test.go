package grid

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// Goal: Size is exactly what a grid asks for. Method: the lengths of what New
// allocated, for sizes around a tile's border, with planes and colours filled
// to the last block.
func TestSizeIsExact(t *testing.T) {
	for _, o := range []Options{
		{Width: 1, Height: 1}, {Width: 64, Height: 64}, {Width: 65, Height: 64}, {Width: 1000, Height: 1},
		{Width: 100, Height: 200, Owners: 1}, {Width: 300, Height: 70, Owners: 16}, {Width: 64, Height: 64, Owners: 255},
		{Width: 130, Height: 130, Colours: ColourWhole},
	} {
		want, err := Size(o)
		if err != nil {
			t.Fatal(err)
		}
		g, err := New(o, nil)
		if err != nil {
			t.Fatal(err)
		}
		if g.colours != nil {
			for tile := range g.shape.tiles() {
				for i := range tileBlocks {
					g.colours.set(tile, i%4*blockSide, i/4*blockSide, 1)
				}
			}
		}
		got := int64(len(g.words))*8 + int64(unsafe.Sizeof(*g))
		if g.colours != nil {
			got += g.colours.bytes()
		}
		if got != want || g.Memory() != want {
			t.Errorf("%+v: Size %d, allocated %d, Memory %d", o, want, got, g.Memory())
		}
	}
}

// Goal: the heap agrees, so nothing is forgotten. Method: the growth of the
// heap over many grids, within the allocator's rounding.
func TestSizeAgreesWithHeap(t *testing.T) {
	o := Options{Width: 512, Height: 512, Owners: 16}
	want, _ := Size(o)
	const n = 64
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	grids := make([]*Grid, n)
	for i := range grids {
		grids[i], _ = New(o, nil)
	}
	runtime.ReadMemStats(&after)
	got := int64(after.TotalAlloc-before.TotalAlloc) / n
	if got < want || got > want+want/20 {
		t.Fatalf("a grid takes %d bytes of heap, Size says %d", got, want)
	}
	runtime.KeepAlive(grids)
}

// Goal: memory is two bits a cell plus planes, within four per cent.
func TestBitsPerCell(t *testing.T) {
	for _, c := range []struct {
		owners int
		bits   float64
	}{{0, 2}, {1, 2}, {2, 3}, {16, 6}, {255, 10}} {
		size, _ := Size(Options{Width: 4096, Height: 4096, Owners: c.owners})
		if got := float64(size) * 8 / (4096 * 4096); got < c.bits || got > c.bits*1.04 {
			t.Errorf("%d owners: %.3f bits a cell, want about %v", c.owners, got, c.bits)
		}
	}
}

// Goal: a budget refuses with both figures, takes exactly up to its limit and
// gets back what is released.
func TestBudget(t *testing.T) {
	o := Options{Width: 200, Height: 200}
	size, _ := Size(o)
	b := NewBudget(2*size - 1)
	g, err := New(o, b)
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(o, b)
	var refused *BudgetError
	if !errors.As(err, &refused) || refused.Needed != size || refused.Available != size-1 || !errors.Is(err, ErrBudget) {
		t.Fatalf("one byte short: %v", err)
	}
	g.Release()
	g.Release()
	if b.Used() != 0 {
		t.Fatalf("%d bytes in use after release", b.Used())
	}
	exact := NewBudget(size)
	if _, err := New(o, exact); err != nil || exact.Available() != 0 {
		t.Fatalf("exactly enough: %v, %d left", err, exact.Available())
	}
}

// Goal: every option out of range is refused by name.
func TestOptionsRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"Width":    {Width: 0, Height: 1},
		"Height":   {Width: 1, Height: MaxSide + 1},
		"tiles":    {Width: MaxSide, Height: MaxSide},
		"Topology": {Width: 1, Height: 1, Topology: 9},
		"Rule":     {Width: 1, Height: 1, Rule: Rule{Birth: 1}},
		"counts":   {Width: 1, Height: 1, Rule: Rule{Birth: 1 << 9}},
		"Owners":   {Width: 1, Height: 1, Owners: MaxOwners + 1},
		"Colours":  {Width: 1, Height: 1, Colours: 7},
		"exclude":  {Width: 1, Height: 1, Colours: ColourWhole, Owners: 1},
		"Kernel":   {Width: 1, Height: 1, Kernel: 77},
	} {
		_, err := New(o, nil)
		if !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err2 := Size(o); err2 == nil || err2.Error() != err.Error() {
			t.Errorf("%s: Size says %v", name, err2)
		}
	}
}

// Goal: a step of a small or settled grid takes no memory.
func TestStepAllocates(t *testing.T) {
	for _, o := range []Options{{Width: 128, Height: 128}, {Width: 100, Height: 100}, {Width: 100, Height: 100, Owners: 16}} {
		g := soupGrid(t, o)
		g.Step()
		if n := testing.AllocsPerRun(50, g.Step); n > 0 {
			t.Errorf("%+v: %v allocations a step", o, n)
		}
	}
}
