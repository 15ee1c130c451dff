package node

import (
	"fmt"
	"time"

	"gosper/broker/redis"
)

// openBus chooses what carries talk, pushes, presence and short-lived keys: the node's own store, or the Redis that
// several nodes share. What lasts is in the store either way.
func (n *Node) openBus() error {
	if n.options.Bus == "" {
		n.bus, n.registry = n.db.Bus(), n.db.Registry()
		return nil
	}
	begin := time.Now()
	shared, err := redis.Open(redis.Options{URL: n.options.Bus, Password: string(n.options.BusPassword), Log: n.log})
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	n.shared = shared
	n.bus, n.registry = shared.Bus(), shared.Registry()
	n.log.Info("the bus is in Redis", "took", time.Since(begin))
	return nil
}

// busHealth says why the shared bus cannot be used.
func (n *Node) busHealth() error {
	if n.shared == nil {
		return nil
	}
	if err := n.shared.Health(); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	return nil
}

// bindBus describes the options of the bus.
func (o *Options) bindBus(b *binder) {
	b.group = "Many nodes"
	b.text(&o.Bus, "bus", "what nodes share for chat, pushes, presence, nonces and counters: redis://[user@]host:port, rediss://… (a cluster: more nodes as ?addr=host:port&addr=…; sentinels: &master_set=name); empty: this node is alone. Nodes that share it need the same secret")
	b.secret(&o.BusPassword, "bus-password", "password of the bus, when its address has none")
}

func (o *Options) checkBus() error {
	if o.Bus == "" {
		return nil
	}
	if err := redis.Check(o.Bus); err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	return nil
}
