package target

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// errPrivate refuses an address that is not a public one.
var errPrivate = errors.New("the service has an address that is not public")

// special are networks that no public service has, beside those that package netip knows: shared addresses of providers,
// translated IPv4, benchmarks, documentation, reserved.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("::/96"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("fec0::/10"),
}

// public says whether an address may be that of a service anywhere in the world.
func public(a netip.Addr) bool {
	a = a.WithZone("").Unmap() // a prefix contains no address with a zone
	if !a.IsValid() || a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || a.IsInterfaceLocalMulticast() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// dialer dials what a name resolves to, and looks at the address that is really used.
func (o *Options) dialer(private bool) *net.Dialer {
	return &net.Dialer{Timeout: o.DialTimeout, Resolver: o.Resolver, ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if !private && !public(a.Addr()) {
			return errPrivate
		}
		return nil
	}}
}
