package bench

import (
	"testing"
	"time"

	"gosper/protocol"
)

// Goal: a hole that a snapshot announces is skipped, any other is missing, and what comes twice is doubled. Method: table of
// frames as one watcher gets them.
func TestCrowdCounts(t *testing.T) {
	type frame struct {
		kind       protocol.GridKind
		generation uint64
	}
	const snapshot, delta = protocol.GridSnapshot, protocol.GridDelta
	for _, c := range []struct {
		name                                     string
		frames                                   []frame
		got, snapshots, skipped, missed, doubled uint64
	}{
		{"in step", []frame{{snapshot, 7}, {delta, 8}, {delta, 9}}, 2, 0, 0, 0, 0},
		{"before the first snapshot nothing counts", []frame{{delta, 5}, {snapshot, 7}, {delta, 8}}, 1, 0, 0, 0, 0},
		{"a hole with a snapshot", []frame{{snapshot, 7}, {delta, 8}, {snapshot, 13}, {delta, 14}}, 3, 1, 4, 0, 0},
		{"a snapshot without a hole", []frame{{snapshot, 7}, {delta, 8}, {snapshot, 9}, {delta, 10}}, 3, 1, 0, 0, 0},
		{"a snapshot of what is there", []frame{{snapshot, 7}, {delta, 8}, {snapshot, 8}, {delta, 9}}, 3, 1, 0, 0, 0},
		{"a hole", []frame{{snapshot, 7}, {delta, 8}, {delta, 11}}, 2, 0, 0, 2, 0},
		{"twice", []frame{{snapshot, 7}, {delta, 8}, {delta, 8}}, 2, 0, 0, 0, 1},
		{"backwards", []frame{{snapshot, 7}, {delta, 8}, {delta, 9}, {delta, 8}}, 3, 0, 0, 0, 1},
	} {
		r := &gameReader{counting: true, crowdCounts: crowdCounts{seen: map[gameTick]*arrivals{}}}
		l := &gameLink{cells: true}
		for _, f := range c.frames {
			payload := protocol.AppendGridHeader(nil, protocol.GridHeader{Kind: f.kind, Game: 1, Generation: f.generation})
			if err := r.grid(l, payload, time.Now()); err != nil {
				t.Fatal(c.name, err)
			}
		}
		if r.frames != c.got || r.snapshots != c.snapshots || r.skipped != c.skipped || r.missed != c.missed || r.doubled != c.doubled || r.begun != 1 {
			t.Errorf("%s: %d frames, %d of them snapshots, %d skipped, %d missed, %d doubled", c.name, r.frames, r.snapshots, r.skipped, r.missed, r.doubled)
		}
	}
}
