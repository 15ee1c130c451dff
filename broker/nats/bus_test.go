package nats

import (
	"testing"

	"gosper/broker"
	"gosper/broker/brokertest"
)

// Goal: the bus keeps every promise of the seam. Method: the conformance suite at one server, with one node and with two.
func TestBus(t *testing.T) {
	s := start(t, t.TempDir(), -1)
	b, other := node(t, s.ClientURL()), node(t, s.ClientURL())
	t.Run("one node", func(t *testing.T) {
		brokertest.RunBus(t, func(*testing.T) broker.Bus { return b })
	})
	t.Run("two nodes", func(t *testing.T) {
		brokertest.RunBusAcross(t, func(*testing.T) broker.Bus { return pair{b, other} })
	})
}

// Goal: the same with three servers and three replicas. Method: the suite, publishing at one server and listening at
// another; there the order of messages with and without history is not promised, as the package says.
func TestBusCluster(t *testing.T) {
	s := cluster(t)
	b, other := node(t, s[0].ClientURL()+"?replicas=3"), node(t, s[1].ClientURL()+"?replicas=3")
	t.Run("one node", func(t *testing.T) {
		brokertest.RunBus(t, func(*testing.T) broker.Bus { return b })
	})
	t.Run("two nodes", func(t *testing.T) {
		brokertest.RunBusAcross(t, func(*testing.T) broker.Bus { return pair{b, other} }, "MixedKeep")
	})
}
