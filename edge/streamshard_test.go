package edge

import (
	"fmt"
	"testing"

	"gosper/grid/game"
)

// Goal: a loop that was held up keeps small frames for all its watchers, a snapshot for one is no load for the others, and
// beyond the bounds all frames but the first are dropped. Method: table of frames that come while the loop does not write.
func TestStreamWaiting(t *testing.T) {
	const watchBytes, small, large = 64 << 10, 100, 128 << 10
	deltas := func(n, size int) (list []*game.Frame) {
		for range n {
			list = append(list, &game.Frame{Kind: game.FrameDelta, Data: make([]byte, size)})
		}
		return list
	}
	snapshot := func(epoch uint32, size int) *game.Frame {
		return &game.Frame{Kind: game.FrameSnapshot, Epoch: epoch, Data: make([]byte, size)}
	}
	repeat := func(n int, frames ...*game.Frame) (list []*game.Frame) {
		for range n {
			list = append(list, frames...)
		}
		return list
	}
	small64 := watchBytes / 64 // so large that 64 of them just fit into watch_bytes
	for _, c := range []struct {
		name     string
		watchers int
		frames   []*game.Frame
		queued   int
		dropped  uint64
	}{
		{"as many small frames as may wait for many", 100_000, deltas(maxWaiting+2, small), maxWaiting + 2, 0},
		{"one more", 100_000, deltas(maxWaiting+3, small), 1, 1},
		{"as many bytes as may wait for many", 100_000, deltas(64+1, small64), 65, 0},
		{"more bytes", 100_000, deltas(64+2, small64), 1, 1},
		{"many small frames for few", 4, deltas(1000, small), 1000, 0},
		{"large frames for few", 4, deltas(100, large), 100, 0},
		{"large frames for many", 5000, deltas(3, large), 1, 1},
		{"snapshots for one of many", 100_000, repeat(50, snapshot(0, large), deltas(1, small)[0]), 51, 0},
		{"snapshots of other epochs", 100_000, []*game.Frame{snapshot(1, large), snapshot(1, large), snapshot(2, large), snapshot(2, large)}, 2, 0},
		{"bytes of all", 1, []*game.Frame{snapshot(1, 1), snapshot(2, maxBacklog-1), snapshot(3, 1)}, 3, 0},
		{"more bytes of all", 1, []*game.Frame{snapshot(1, 1), snapshot(2, maxBacklog-1), snapshot(3, 1), snapshot(4, 1)}, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &loop{engine: &Engine{limits: Limits{WatchBytes: watchBytes}}}
			str := &stream{shards: []streamShard{{at: notBegun, list: make([]watcher, c.watchers)}}}
			for _, f := range c.frames {
				l.takeFrames([]*streamFrame{{Frame: f, stream: str}})
			}
			sh := &str.shards[0]
			if len(sh.queue) != c.queued || l.stats.frameDrops != c.dropped || sh.hole != (c.dropped > 0) {
				t.Errorf("%d wait and %d were dropped, want %d and %d; a hole: %t", len(sh.queue), l.stats.frameDrops, c.queued, c.dropped, sh.hole)
			}
			if err := sh.balanced(); err != nil {
				t.Error(err)
			}
		})
	}
}

// balanced compares the counts of a shard with the frames that wait.
func (sh *streamShard) balanced() error {
	bytes, load := 0, 0
	for _, f := range sh.queue {
		bytes += len(f.Data)
		if f.Kind != game.FrameSnapshot {
			load += len(f.Data)
		}
	}
	if bytes != sh.bytes || load != sh.load {
		return fmt.Errorf("%d bytes and a load of %d are counted, %d and %d wait", sh.bytes, sh.load, bytes, load)
	}
	return nil
}
