package node

import (
	"context"
	"crypto/tls"
	"time"

	"gosper/edge"
	"gosper/edge/door/gate"
)

// gateListeners returns the ports of the gate; none when the clients' are closed.
func (n *Node) gateListeners(cert *tls.Config) (list []edge.Listener) {
	o := &n.options
	if o.GateAddr == "" && o.TLSGateAddr == "" {
		return nil
	}
	config := gate.Config{Table: n.table, Open: o.GateOpenFunctions, Timeout: o.Limits.GateTimeout, Log: n.log}
	if o.GateWorkerAddr != "" {
		config.Queue, config.Registry, config.Consumers = n.queue, n.registry, n.staffed
		if n.state != nil {
			config.Bus = n.bus
			n.followStaff()
		}
	}
	n.gate = gate.New(config)
	if n.work.door != nil {
		n.work.door.KeepWhile(n.gate.Busy)
	}
	clients := n.gate.Client()
	if o.GateAddr != "" {
		list = append(list, edge.Listener{Name: "gate", Addr: o.GateAddr, Door: clients, ProxyFrom: o.ProxyFrom, ReusePort: o.ReusePort})
	}
	if o.TLSGateAddr != "" {
		list = append(list, edge.Listener{Name: "tls-gate", Addr: o.TLSGateAddr, Door: clients, TLS: cert, ProxyFrom: o.ProxyFrom, ReusePort: o.ReusePort})
	}
	if o.GateWorkerAddr != "" {
		list = append(list, edge.Listener{Name: "gate-worker", Addr: o.GateWorkerAddr, Door: n.gate.Worker()})
	}
	return list
}

// staffed says whether a worker elsewhere takes jobs of the gate: one that waits, or one that is at work, at the beanstalkd port of this
// node or of another that shares the queue. It does not block.
func (n *Node) staffed() bool {
	if n.work.door != nil && n.work.door.Watching(gate.Tube) > 0 {
		return true
	}
	if n.state == nil {
		return n.lookStaff()
	}
	return n.work.staff.Load()
}

// lookStaff asks the queue whether somebody takes jobs of the gate. When nodes share the queue it may block.
func (n *Node) lookStaff() bool {
	stats, err := n.queue.Stats(gate.Tube)
	return err == nil && (stats.Waiting > 0 || stats.Reserved > 0)
}

const (
	staffLook = 300 * time.Millisecond // how often a shared queue is asked for workers of the gate
	staffKept = 3 * time.Second        // workers that were there are believed in for so long
)

// followStaff keeps staffed true while nodes share the queue.
func (n *Node) followStaff() {
	seen := time.Time{}
	look := func() {
		if n.lookStaff() {
			seen = time.Now()
		}
		n.work.staff.Store(!seen.IsZero() && time.Since(seen) < staffKept)
	}
	look()
	n.work.looks.Go(func() {
		clock := time.NewTicker(staffLook)
		defer clock.Stop()
		for {
			select {
			case <-clock.C:
				look()
			case <-n.work.ctx.Done():
				return
			}
		}
	})
}

// enterTimeout bounds what a start waits for the gate's key in the registry.
const enterTimeout = 5 * time.Second

// enterGate tells workers where to answer.
func (n *Node) enterGate() error {
	if n.gate == nil || n.options.GateWorkerAddr == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), enterTimeout)
	defer cancel()
	return n.gate.Enter(ctx, gate.Reachable(n.engine.Addr("gate-worker")))
}
