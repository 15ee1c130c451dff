package bench

import quietports "gosper/broker/quiet"

// QuietAddrs finds n different addresses of the loopback, host:port, where nobody listens now and nobody will who does not
// ask for that very port.
func QuietAddrs(n int) (addrs []string, err error) { return quietports.Addrs(n) }

// quietAddr is QuietAddrs for one.
func quietAddr() (string, error) {
	addrs, err := QuietAddrs(1)
	if err != nil {
		return "", err
	}
	return addrs[0], nil
}
