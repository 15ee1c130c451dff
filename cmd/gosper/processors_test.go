package main

import (
	"runtime"
	"testing"

	"gosper/edge"
	"gosper/edge/node"
)

// Goal: where there are as many event loops as processors or more, the runtime has one more, unless an operator says so. Method: options, and what the
// runtime has afterwards.
func TestSpareProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	defer func(n int) { processors = n }(processors)
	for _, c := range []struct {
		name                   string
		processors, loops      int
		env                    string
		wantLoops, wantWorkers int
		want                   int // of the runtime
	}{
		{"as many loops as processors", 4, 0, "", 4, 4, 5},
		{"one processor", 1, 0, "", 1, 1, 2},
		{"fewer loops", 4, 2, "", 2, 4, 4},
		{"more loops", 4, 6, "", 6, 4, 5},
		{"more processors than there may be loops", edge.MaxLoops + 8, 0, "", edge.MaxLoops, edge.MaxLoops + 8, edge.MaxLoops + 8},
		{"an operator has chosen", 4, 0, "4", 0, 0, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("GOMAXPROCS", c.env)
			processors = c.processors
			runtime.GOMAXPROCS(processors)
			for range 2 { // a process that runs several nodes has one to spare, too
				o := node.Options{Loops: c.loops}
				spareProcessor(&o)
				if got := runtime.GOMAXPROCS(0); o.Loops != c.wantLoops || o.GameWorkers != c.wantWorkers || got != c.want {
					t.Errorf("%d loops, %d workers of games, %d processors; want %d, %d, %d", o.Loops, o.GameWorkers, got, c.wantLoops, c.wantWorkers, c.want)
				}
			}
		})
	}
}
