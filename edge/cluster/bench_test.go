package cluster

import (
	"testing"
	"time"

	"gosper/grid/game"
)

// BenchmarkAsk is a question to another node and its answer, one at a time, without what the node does for it.
func BenchmarkAsk(b *testing.B) {
	s := newShore(b)
	nodes := s.nodes("a", "b")
	answered := make(chan error, 1)
	data := []byte("who")
	for b.Loop() {
		nodes[0].cluster.AskNode("b", data, func(_ []byte, err error) { answered <- err })
		if err := <-answered; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEdit is one edit after the other on a game of another node, until it is on the grid, with engines in memory.
func BenchmarkEdit(b *testing.B) {
	s := newShore(b)
	nodes := s.nodes("a", "b")
	id := nodes[0].create(true)
	for b.Loop() {
		if _, err := nodes[1].draw(id, 1, 1); err != nil && err.Error() != game.ErrRate.Error() {
			b.Fatal(err)
		}
	}
}

// BenchmarkHand passes a game to and fro: from the last moment at one node until it ticks at the other.
func BenchmarkHand(b *testing.B) {
	s := newShore(b)
	nodes := s.nodes("a", "b")
	id := nodes[0].create(false)
	if err := nodes[0].game(id).Start(b.Context(), "anna"); err != nil {
		b.Fatal(err)
	}
	at := 0
	begin := time.Now()
	for b.Loop() {
		if err := nodes[at].cluster.steward.hand(b.Context(), id); err != nil {
			b.Fatal(err)
		}
		at = 1 - at
	}
	b.ReportMetric(float64(handsLate.Get()), "late")
	b.ReportMetric(float64(time.Since(begin).Microseconds())/float64(b.N), "µs/hand")
}
