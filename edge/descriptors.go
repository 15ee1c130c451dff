package edge

import (
	"math"
	"net/netip"
	"syscall"
)

// connectionCap returns how many client connections the process can hold: the configured number, but never more than
// its file descriptors less the reserve. Handing a socket to a loop needs a second descriptor for a moment, so each
// acceptor keeps one more.
func connectionCap(l *Limits, acceptors int) int64 {
	room := int64(math.MaxInt32)
	var rl syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &rl); err == nil && rl.Cur < math.MaxInt32 {
		room = int64(rl.Cur)
	}
	reserve := int64(l.DescriptorReserve)
	if reserve == 0 {
		reserve = max(64, room/20)
	}
	room = max(1, room-reserve-2*int64(acceptors))
	if l.Connections > 0 {
		room = min(room, int64(l.Connections))
	}
	return room
}

// Acquire counts one client connection against the caps of the node and of the client's address, for a listener outside
// this package (HTTP), and reports whether there was room. from is zero when the address is not known yet: Claim comes
// later. Every true must be followed by one Release, or by Adopt, which takes the place over.
func (e *Engine) Acquire(from netip.Addr) bool {
	if e.held.Add(1) > e.cap {
		e.held.Add(-1)
		limitHit("connections")
		refusedFull.Inc()
		return false
	}
	if !e.Claim(from) {
		e.held.Add(-1)
		return false
	}
	return true
}

// Claim counts a connection, which was acquired without an address, against the cap of its address, and reports whether
// there was room. If not, the connection still holds its place without an address.
func (e *Engine) Claim(from netip.Addr) bool {
	if e.addresses.take(from) {
		return true
	}
	limitHit("address_connections")
	refusedAddress.Inc()
	return false
}

// Release gives back what Acquire took, and Claim, if from is not zero.
func (e *Engine) Release(from netip.Addr) {
	e.addresses.give(from)
	e.held.Add(-1)
}

// Cap returns how many client connections the node takes: the limit connections, or what descriptors allow.
func (e *Engine) Cap() int { return int(e.cap) }
