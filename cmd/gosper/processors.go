package main

import (
	"os"
	"runtime"

	"gosper/edge"
	"gosper/edge/node"
)

// processors is how many goroutines Go runs at once by itself: one a CPU, or as many as the limit of a container.
var processors = runtime.GOMAXPROCS(0)

// spareProcessor makes Go run one goroutine more at once when event loops could take all its places. A loop that waits for its sockets keeps its place until
// the runtime takes it back, up to 10 ms later; with a loop on each place and none to spare, the answers of Redis, NATS and the
// disk, and the ticks of games, would wait as long. Who sets GOMAXPROCS decides for himself.
func spareProcessor(o *node.Options) {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	if o.Loops == 0 {
		o.Loops = min(processors, edge.MaxLoops)
	}
	if o.GameWorkers == 0 {
		o.GameWorkers = processors
	}
	if o.Loops >= processors {
		runtime.GOMAXPROCS(processors + 1)
	}
}
