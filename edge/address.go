package edge

import (
	"net/netip"
	"sync"
)

// addresses counts client connections by address, an IPv6 one by its /64, which is what one customer of a provider has.
type addresses struct {
	// static after construction
	max    int32
	spared bool // private networks and this host are not counted: behind them may be a balancer with all the players

	mu   sync.Mutex
	held map[netip.Addr]int32 // guarded by mu
}

// newAddresses returns the counts for a node that takes capacity connections.
func newAddresses(l *Limits, capacity int64) *addresses {
	a := &addresses{max: int32(l.AddressConnections), held: map[netip.Addr]int32{}}
	if a.max == 0 {
		a.max, a.spared = int32(max(1, capacity/4)), true
	}
	return a
}

// key returns under what from is counted; ok is false when it is not.
func (a *addresses) key(from netip.Addr) (key netip.Addr, ok bool) {
	from = from.Unmap()
	if !from.IsValid() || a.spared && (from.IsLoopback() || from.IsPrivate() || from.IsLinkLocalUnicast()) {
		return from, false
	}
	if from.Is6() {
		network, err := from.Prefix(64)
		return network.Addr(), err == nil
	}
	return from, true
}

// take counts one connection more, if the address may have it.
func (a *addresses) take(from netip.Addr) bool {
	key, ok := a.key(from)
	if !ok {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held[key] >= a.max {
		return false
	}
	a.held[key]++
	return true
}

// give counts one connection less.
func (a *addresses) give(from netip.Addr) {
	key, ok := a.key(from)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.held[key]--; a.held[key] <= 0 {
		delete(a.held, key)
	}
}
