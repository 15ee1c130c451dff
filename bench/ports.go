package bench

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports of our own servers lie below those that systems give to clients, and to servers that ask for any (32,768 on Linux,
// 49,152 elsewhere): a server that is about to start, or away for a while, must find its own.
const (
	firstQuietPort = 12_000
	quietPorts     = 20_000
)

// QuietAddrs finds n different addresses of the loopback, host:port, where nobody listens now and nobody will who does not
// ask for that very port.
func QuietAddrs(n int) (addrs []string, err error) {
	for range 100 * n {
		if len(addrs) == n {
			break
		}
		port := firstQuietPort + rand.IntN(quietPorts)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		defer l.Close() // none is given back before all are found
		addrs = append(addrs, l.Addr().String())
	}
	if len(addrs) < n {
		return nil, errors.New("hardly any port of this machine is free")
	}
	return addrs, nil
}

// quietAddr is QuietAddrs for one.
func quietAddr() (string, error) {
	addrs, err := QuietAddrs(1)
	if err != nil {
		return "", err
	}
	return addrs[0], nil
}
