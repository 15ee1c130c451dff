package edge

import (
	"net/netip"
	"testing"
)

// Each address gets its places and no more, an IPv6 one shares them with its /64, and what is given back can be taken
// again. Without a number private networks are not counted.
func TestAddresses(t *testing.T) {
	l := DefaultLimits()
	l.AddressConnections = 2
	a := newAddresses(&l, 1000)
	take := func(from string, want bool) {
		t.Helper()
		if got := a.take(netip.MustParseAddr(from)); got != want {
			t.Errorf("%s: %t, want %t", from, got, want)
		}
	}
	for _, pair := range [][2]string{{"203.0.113.9", "::ffff:203.0.113.9"}, {"2001:db8::1", "2001:db8::ffff:1"}, {"127.0.0.1", "127.0.0.1"}} {
		take(pair[0], true)
		take(pair[1], true)
		take(pair[0], false)
		a.give(netip.MustParseAddr(pair[1]))
		take(pair[0], true)
		take(pair[1], false)
	}
	take("203.0.113.10", true)
	take("2001:db8:0:1::1", true)
	for range 2 {
		for _, from := range []string{"203.0.113.9", "2001:db8::1", "127.0.0.1", "203.0.113.10", "2001:db8:0:1::1"} {
			a.give(netip.MustParseAddr(from))
		}
	}
	if len(a.held) != 0 {
		t.Errorf("kept %v", a.held)
	}
	a = newAddresses(&Limits{}, 8)
	for range 3 {
		for _, from := range []string{"127.0.0.1", "::1", "10.1.2.3", "192.168.0.4", "fd00::1", "fe80::1"} {
			take(from, true)
		}
	}
	take("203.0.113.9", true)
	take("203.0.113.9", true)
	take("203.0.113.9", false)
	if !a.take(netip.Addr{}) || len(a.held) != 1 {
		t.Error("an unknown address was counted")
	}
}
