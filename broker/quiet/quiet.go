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
// elsewhere): a server that is about to start, or away for a while, must find its own.
const (
	firstPort = 12_000
	ports     = 20_000
)

// given are the ports that this process has handed out.
var given struct {
	mu  sync.Mutex
	all map[int]bool
}

// Addrs finds n different addresses of the loopback, host:port, where nobody listens now and nobody will who does not
// ask for that very port. It gives none twice in a process. It may be called from any goroutine.
func Addrs(n int) (addrs []string, err error) {
	given.mu.Lock()
	defer given.mu.Unlock()
	if given.all == nil {
		given.all = make(map[int]bool)
	}
	for range 100 * n {
		if len(addrs) == n {
			return addrs, nil
		}
		port := firstPort + rand.IntN(ports)
		if given.all[port] {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		addrs = append(addrs, l.Addr().String())
		given.all[port] = true
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	if len(addrs) < n {
		return nil, errors.New("hardly any port of this machine is free")
	}
	return addrs, nil
}
