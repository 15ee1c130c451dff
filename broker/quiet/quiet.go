// Package quiet finds addresses of the loopback for servers that are started later, or again: in tests and in bench.
package quiet

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Such ports lie below those that systems give to clients, and to servers that ask for any (32,768 on Linux, 49,152
// elsewhere): a server that is about to start, or away for a while, must find its own. They are given by the block, of
// which a process listens to the first port until it ends: so no other takes from the block what nobody listens to now.
const (
	firstPort = 12_000
	blocks    = 400
	blockSize = 50
)

// left are the ports of this process that it has not handed out.
var left struct {
	mu     sync.Mutex
	ports  []int
	guards []net.Listener // of its blocks, until the process ends
}

// Addrs finds n different addresses of the loopback, host:port, where nobody listens now and nobody will who does not
// ask for that very port. It gives none twice in a process, nor to two processes at a time. It may be called from any goroutine.
func Addrs(n int) ([]string, error) {
	left.mu.Lock()
	defer left.mu.Unlock()
	addrs := make([]string, 0, n)
	for len(addrs) < n {
		if len(left.ports) == 0 {
			if err := claim(); err != nil {
				return nil, err
			}
		}
		port := left.ports[0]
		left.ports = left.ports[1:]
		l, err := listen(port)
		if err != nil {
			continue // somebody else's, who knows nothing of blocks
		}
		addrs = append(addrs, l.Addr().String())
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	return addrs, nil
}

// claim takes a block that no process has. Caller holds left.mu.
func claim() error {
	for _, block := range rand.Perm(blocks) {
		first := firstPort + block*blockSize
		guard, err := listen(first)
		if err != nil {
			continue
		}
		left.guards = append(left.guards, guard)
		for port := first + 1; port < first+blockSize; port++ {
			left.ports = append(left.ports, port)
		}
		return nil
	}
	return errors.New("no block of ports of this machine is free")
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}
