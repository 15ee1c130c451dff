package control

import (
	"bytes"
	"encoding/base64"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"gosper/edge"
	"gosper/protocol"
)

// Subprotocols of /ws, in the order in which they are documented. Without one a client speaks envelopes.
const (
	SubprotocolEnvelopes = "gosper.v1"
	SubprotocolLines     = "gosper.line.v1"
)

// refusal is why an upgrade is not done.
type refusal struct {
	status  int
	message string
}

// upgrade answers GET /ws.
func (s *Server) upgrade(ctx *fasthttp.RequestCtx) {
	s.shake(ctx, chooseSubprotocol(ctx.Request.Header.PeekAll("Sec-WebSocket-Protocol")), s.config.Origins, s.config.Adopt)
}

// shake checks a handshake strictly, answers 101 and hands the socket to an event loop by adopt. origins are those of pages
// that may come, none: those of the same host.
func (s *Server) shake(ctx *fasthttp.RequestCtx, subprotocol string, origins []string, adopt func(net.Conn, edge.AdoptInfo) error) {
	if s.draining.Load() {
		ctx.Response.Header.Set("Retry-After", "1")
		ctx.SetConnectionClose()
		fail(ctx, fasthttp.StatusServiceUnavailable, protocol.StatusBusy, "this node goes down, use another one")
		return
	}
	h := &ctx.Request.Header
	if r := checkUpgrade(h, origins); r != nil {
		if r.status == fasthttp.StatusUpgradeRequired {
			setExact(&ctx.Response.Header, "Sec-WebSocket-Version", "13")
		}
		ctx.SetConnectionClose()
		upgradesRefused.Inc()
		fail(ctx, r.status, protocol.StatusInvalid, r.message)
		return
	}
	ctx.SetStatusCode(fasthttp.StatusSwitchingProtocols)
	answer := &ctx.Response.Header
	answer.Set("Upgrade", "websocket")
	answer.Set("Connection", "Upgrade")
	setExact(answer, "Sec-WebSocket-Accept", protocol.AcceptKey(h.Peek("Sec-WebSocket-Key")))
	if subprotocol != "" {
		setExact(answer, "Sec-WebSocket-Protocol", subprotocol)
	}
	remote := remoteOf(ctx)
	ctx.Hijack(func(c net.Conn) { s.adopt(c, edge.AdoptInfo{Remote: remote, Subprotocol: subprotocol}, adopt) })
}

// setExact sets a header in the spelling of RFC 6455, which some simple clients compare byte by byte.
func setExact(h *fasthttp.ResponseHeader, name, value string) {
	h.SetCanonical([]byte(name), []byte(value))
}

// adopt hands a socket after its upgrade to the engine, with the bytes that came behind the request.
func (s *Server) adopt(c net.Conn, info edge.AdoptInfo, adopt func(net.Conn, edge.AdoptInfo) error) {
	place := placeOf(c)
	if place == nil {
		c.Close()
		return
	}
	info.Leftover = leftover(c)
	info.Acquired = place.room != nil
	if err := adopt(c, info); err != nil {
		s.log.Warn("websocket was not taken over", "remote", info.Remote.String(), "error", err)
		c.Close()
		return
	}
	place.handOver()
}

// placeOf finds our own connection below a hijacked one; nil when it is none of ours.
func placeOf(c net.Conn) *conn {
	for {
		switch v := c.(type) {
		case *conn:
			return v
		case *tlsConn:
			return v.place
		case interface{ UnsafeConn() net.Conn }:
			c = v.UnsafeConn()
		default:
			return nil
		}
	}
}

// leftover returns the bytes of the client that the HTTP server has read behind the request. A deadline in the past
// gives what is in memory and keeps the socket untouched.
func leftover(c net.Conn) []byte {
	if c.SetReadDeadline(time.Unix(1, 0)) != nil {
		return nil
	}
	var rest []byte
	for b := make([]byte, 4096); len(rest) < leftoverMax; {
		n, err := c.Read(b)
		rest = append(rest, b[:n]...)
		if err != nil {
			break
		}
	}
	_ = c.SetReadDeadline(time.Time{}) // fails only on a dead socket, which the loop notices
	return rest
}

// leftoverMax bounds leftover; the buffers it empties are smaller.
const leftoverMax = 64 << 10

// checkUpgrade checks a websocket handshake after RFC 6455, section 4.2.1; nil means it is good. What is ambiguous is
// refused: two hosts, two keys, a body, a foreign origin.
func checkUpgrade(h *fasthttp.RequestHeader, origins []string) *refusal {
	bad := func(message string) *refusal { return &refusal{fasthttp.StatusBadRequest, message} }
	switch {
	case !h.IsGet() || !h.IsHTTP11():
		return bad("websocket needs GET with HTTP/1.1")
	case countHeader(h, "Host") != 1 || len(h.Host()) == 0:
		return bad("exactly one Host is needed")
	case countHeader(h, "Content-Length") > 0 || countHeader(h, "Transfer-Encoding") > 0:
		return bad("an upgrade has no body")
	case !hasToken(h.PeekAll("Upgrade"), "websocket") || !hasToken(h.PeekAll("Connection"), "upgrade"):
		return &refusal{fasthttp.StatusUpgradeRequired, "this is a websocket endpoint"}
	}
	if v := h.PeekAll("Sec-WebSocket-Version"); len(v) != 1 || string(v[0]) != "13" {
		return &refusal{fasthttp.StatusUpgradeRequired, "Sec-WebSocket-Version must be 13"}
	}
	if k := h.PeekAll("Sec-WebSocket-Key"); len(k) != 1 || !validKey(k[0]) {
		return bad("Sec-WebSocket-Key must be 16 bytes in base64")
	}
	if !allowedOrigin(h, origins) {
		return &refusal{fasthttp.StatusForbidden, "this origin may not connect"}
	}
	return nil
}

// countHeader counts the lines of a header in the request as it was sent.
func countHeader(h *fasthttp.RequestHeader, name string) (n int) {
	for line := range bytes.SplitSeq(h.RawHeaders(), []byte("\n")) {
		key, _, ok := bytes.Cut(line, []byte(":"))
		if ok && strings.EqualFold(string(bytes.TrimSpace(key)), name) {
			n++
		}
	}
	return n
}

// hasToken looks for a word in the comma-separated lists of a header, without regard to case.
func hasToken(values [][]byte, word string) bool {
	for _, value := range values {
		for token := range strings.SplitSeq(string(value), ",") {
			if strings.EqualFold(strings.TrimSpace(token), word) {
				return true
			}
		}
	}
	return false
}

func validKey(key []byte) bool {
	raw, err := base64.StdEncoding.Strict().DecodeString(string(key))
	return err == nil && len(raw) == 16
}

// allowedOrigin says whether the Origin of a request may use this site. Programs that are no browsers send none. With
// a list only its members are allowed, compared byte by byte; without one, the host that was asked for.
func allowedOrigin(h *fasthttp.RequestHeader, origins []string) bool {
	values := h.PeekAll("Origin")
	if len(values) == 0 {
		return true
	}
	origin := string(values[0])
	if len(values) > 1 {
		return false
	}
	if len(origins) > 0 {
		return slices.Contains(origins, origin)
	}
	host, ok := strings.CutPrefix(origin, "https://")
	if !ok {
		if host, ok = strings.CutPrefix(origin, "http://"); !ok {
			return false
		}
	}
	return strings.EqualFold(host, string(h.Host()))
}

// chooseSubprotocol takes the first offer that this server knows; "" means none.
func chooseSubprotocol(values [][]byte) string {
	for _, value := range values {
		for token := range strings.SplitSeq(string(value), ",") {
			switch token = strings.TrimSpace(token); token {
			case SubprotocolEnvelopes, SubprotocolLines:
				return token
			}
		}
	}
	return ""
}

// remoteOf returns the address of the client.
func remoteOf(ctx *fasthttp.RequestCtx) netip.Addr {
	return addressOf(ctx.RemoteAddr())
}
