package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gosper/broker"
	"gosper/broker/nats"
	"gosper/broker/redis"
	"gosper/protocol"
)

// shared is an engine that nodes share.
type shared interface {
	Health() error // why it cannot be used now
	Close() error
}

// onNATS reports whether the URL of a bus is one of NATS servers.
func onNATS(url string) bool {
	return strings.HasPrefix(url, "nats://") || strings.HasPrefix(url, "tls://")
}

// openBus chooses what carries talk and pushes, and where short-lived keys are: the node's own store, or the servers that
// several nodes share. Presence subjects stay on the node. What lasts is openState's.
func (n *Node) openBus(ctx context.Context) error {
	n.bus, n.registry = n.db.Bus(), n.db.Registry()
	begin := time.Now()
	for _, open := range []func(context.Context) error{n.openNATS, n.openRedis} {
		if err := open(ctx); err != nil {
			return err
		}
	}
	if n.shared != nil {
		n.bus = broker.Split{Shared: n.bus, Own: n.db.Bus(), Token: protocol.PresenceToken}
		n.log.Info("the node is one of many", "took", time.Since(begin))
	}
	if n.state != nil && n.registry == n.db.Registry() {
		n.log.Warn("nonces, gate ids and counts of a day are this node's own: give the nodes a Redis by --registry")
	}
	return nil
}

// openNATS opens the bus when it is in NATS.
func (n *Node) openNATS(ctx context.Context) error {
	if !onNATS(n.options.Bus) {
		return nil
	}
	bus, err := nats.Open(ctx, nats.Options{URL: n.options.Bus, Password: string(n.options.BusPassword), Log: n.log})
	if err != nil {
		return fmt.Errorf("bus: %w", err)
	}
	n.shared, n.bus = append(n.shared, bus), bus
	return nil
}

// openRedis opens the registry when it is in Redis, and the bus when that is there too.
func (n *Node) openRedis(context.Context) error {
	name, options := n.options.redis()
	if options.URL == "" {
		return nil
	}
	options.Log = n.log
	r, err := redis.Open(options)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	n.shared, n.registry = append(n.shared, r), r.Registry()
	if !onNATS(n.options.Bus) {
		n.bus = r.Bus()
	}
	return nil
}

// redis returns where Redis is, without a URL when none is used, and the name of the option that says so.
func (o *Options) redis() (name string, _ redis.Options) {
	switch {
	case o.Registry != "":
		return "registry", redis.Options{URL: o.Registry, Password: string(o.RegistryPassword)}
	case onNATS(o.Bus):
		return "bus", redis.Options{}
	}
	return "bus", redis.Options{URL: o.Bus, Password: string(o.BusPassword)}
}

// busHealth says why shared engines cannot be used.
func (n *Node) busHealth() error {
	var errs []error
	for _, one := range n.shared {
		if err := one.Health(); err != nil {
			errs = append(errs, fmt.Errorf("bus: %w", err))
		}
	}
	return errors.Join(errs...)
}

// bindBus describes the options of the bus.
func (o *Options) bindBus(b *binder) {
	b.group = "Many nodes"
	b.text(&o.Bus, "bus", "what nodes share for chat, pushes and presence. redis://[user@]host:port, rediss://… (a cluster: more nodes as ?addr=host:port&addr=…; sentinels: &master_set=name) shares nonces and counters too; nats://[user@]host:port,host:port…?replicas=3, tls://… does not, see registry; &history=file keeps the history of talk on the servers' disks, slower, instead of in their memory. Empty: this node is alone. Nodes that share it need the same secret")
	b.secret(&o.BusPassword, "bus-password", "password of the bus, when its address has none")
	b.text(&o.Registry, "registry", "with a bus in NATS: the Redis that nodes share for nonces and counters, redis://…; empty: each node keeps its own, and a nonce is good at the node that made it")
	b.secret(&o.RegistryPassword, "registry-password", "password of the registry, when its address has none")
	o.bindStore(b)
	o.bindRoles(b)
}

func (o *Options) checkBus() error {
	if onNATS(o.Bus) {
		if err := nats.CheckURL(o.Bus); err != nil {
			return fmt.Errorf("bus: %w", err)
		}
	} else if o.Registry != "" {
		return errors.New("registry: it goes with a bus in NATS; a bus in Redis is the registry too")
	}
	name, options := o.redis()
	if options.URL == "" {
		return nil
	}
	if err := redis.Check(options.URL); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
