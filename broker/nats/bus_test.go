package nats

import (
	"testing"

	"gosper/broker"
	"gosper/broker/brokertest"
)

// Goal: the bus keeps every promise of the seam, wherever the history is kept. Method: the conformance suite at one server,
// with one node and with two.
func TestBus(t *testing.T) {
	for _, history := range []string{HistoryMemory, HistoryFile} {
		t.Run(history, func(t *testing.T) {
			url := start(t, t.TempDir(), -1).ClientURL() + "?history=" + history
			conform(t, node(t, url), node(t, url))
		})
	}
}

// Goal: the same with three servers and three replicas. Method: the suite, publishing at one server and listening at
// another; there the order of messages with and without history is not promised, as the package says.
func TestBusCluster(t *testing.T) {
	for _, history := range []string{HistoryMemory, HistoryFile} {
		t.Run(history, func(t *testing.T) {
			s := cluster(t)
			query := "?replicas=3&history=" + history
			conform(t, node(t, s[0].ClientURL()+query), node(t, s[1].ClientURL()+query), "MixedKeep")
		})
	}
}

// conform runs the suite at one node, and between two, there but for some cases.
func conform(t *testing.T, b, other *Bus, without ...string) {
	t.Run("one node", func(t *testing.T) {
		brokertest.RunBus(t, func(*testing.T) broker.Bus { return b })
	})
	t.Run("two nodes", func(t *testing.T) {
		brokertest.RunBusAcross(t, func(*testing.T) broker.Bus { return pair{b, other} }, without...)
	})
}
