package edge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
)

var errProxy = errors.New("not a PROXY protocol header")

const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyV1Max     = 107 // longest line of version 1, CR LF included
	proxyV2Max     = 16 + 536
)

// parseProxy reads a PROXY protocol header, version 1 or 2, at the start of b. n is its length, 0 while it is
// incomplete. from is the client's address, and zero when the balancer speaks for itself (UNKNOWN, LOCAL).
func parseProxy(b []byte) (from netip.Addr, n int, err error) {
	switch {
	case prefixOf(b, proxySignature):
		return parseProxyV2(b)
	case prefixOf(b, "PROXY "):
		return parseProxyV1(b)
	}
	return from, 0, errProxy
}

// prefixOf reports whether b begins with p, as far as b goes.
func prefixOf(b []byte, p string) bool {
	n := min(len(b), len(p))
	return string(b[:n]) == p[:n]
}

func parseProxyV1(b []byte) (from netip.Addr, n int, err error) {
	end := bytes.Index(b[:min(len(b), proxyV1Max)], []byte("\r\n"))
	if end < 0 {
		if len(b) >= proxyV1Max {
			return from, 0, errProxy
		}
		return from, 0, nil
	}
	f := strings.Split(string(b[:end]), " ")
	if len(f) >= 2 && f[1] == "UNKNOWN" {
		return from, end + 2, nil
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return from, 0, errProxy
	}
	from, err = netip.ParseAddr(f[2])
	if err != nil || from.Is4() != (f[1] == "TCP4") || from.Zone() != "" {
		return netip.Addr{}, 0, errProxy
	}
	return from, end + 2, nil
}

// 0  signature, 12 bytes
// 12 version 2 in the high half, command in the low: 0 local, 1 proxied
// 13 address family in the high half (1 IPv4, 2 IPv6), transport in the low
// 14 u16 big-endian length of the rest: source, destination, ports, then extensions
func parseProxyV2(b []byte) (from netip.Addr, n int, err error) {
	if len(b) < 16 {
		return from, 0, nil
	}
	n = 16 + int(binary.BigEndian.Uint16(b[14:]))
	if b[12]>>4 != 2 || b[12]&15 > 1 || n > proxyV2Max {
		return from, 0, errProxy
	}
	if len(b) < n {
		return from, 0, nil
	}
	if b[12]&15 == 0 {
		return from, n, nil
	}
	switch body := b[16:n]; {
	case b[13]>>4 == 1 && len(body) >= 12:
		return netip.AddrFrom4([4]byte(body[:4])), n, nil
	case b[13]>>4 == 2 && len(body) >= 36:
		return netip.AddrFrom16([16]byte(body[:16])).Unmap(), n, nil
	case b[13]>>4 == 0:
		return from, n, nil
	}
	return from, 0, errProxy
}
