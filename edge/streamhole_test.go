package edge_test

import (
	"testing"
	"time"

	"gosper/edge"
	follow "gosper/edge/client"
	"gosper/grid"
	"gosper/grid/game"
	"gosper/protocol"
)

// Goal: behind a hole every watcher gets a snapshot, also of the epoch it is in, and nothing before it; watchers of other streams go
// on. Method: watchers of each kind on a game at rest, whose stream is told to have a hole; then it goes on.
func TestStreamHole(t *testing.T) {
	var streams *edge.Streams
	s := startGames(t, func(c *edge.Config, _ *game.Limits) { streams = c.Streams })
	g := s.game(t, 20*time.Millisecond, game.GridSpec{Width: 64, Height: 64})
	var all []*watcher
	for _, kind := range watcherKinds {
		w := s.watcher(t, kind)
		w.watch(g, 0, protocol.WatchCells, grid.Rect{})
		w.until("snapshot", w.f.Begun)
		all = append(all, w)
	}
	for _, text := range []bool{false, true} {
		streams.Hole(g.ID(), game.Stream{Text: text})
	}
	spec := g.Info().Grids[0]
	options := grid.Options{Width: spec.Width, Height: spec.Height, Rule: spec.Rule, Topology: spec.Topology, Owners: spec.Owners}
	for _, w := range all { // who knows nothing begins with a snapshot
		if w.kind == "ws" {
			w.f = follow.NewFollower(protocol.WatchCells, 0)
		} else {
			w.f = follow.NewTextFollower(protocol.WatchCells, options, 0)
		}
		w.until("another snapshot", w.f.Begun)
	}
	must(t, g.Start(t.Context(), player))
	for _, w := range all {
		w.until("generations", func() bool { return w.f.Generation() > 5 })
	}
}
