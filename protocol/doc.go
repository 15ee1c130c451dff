// Package protocol holds every wire format of gosper, pure: bytes in, values out, no sockets, no clocks. Servers and
// clients import it.
package protocol
