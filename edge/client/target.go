package client

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
)

// target is where and how to connect.
type target struct {
	line bool        // line door; else websocket
	addr string      // host:port
	host string      // Host header
	path string      // of the websocket
	tls  *tls.Config // nil: plain
}

func parseTarget(raw string, conf *tls.Config) (target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return target{}, fmt.Errorf("address %q: %w", raw, err)
	}
	t := target{host: u.Host, path: u.RequestURI()}
	port, secure := "", false
	switch u.Scheme {
	case "line":
		t.line, port = true, "9000"
	case "lines":
		t.line, secure = true, true
	case "ws":
		port = "80"
	case "wss":
		port, secure = "443", true
	default:
		return target{}, fmt.Errorf("address %q: want line://, lines://, ws:// or wss://", raw)
	}
	if u.Hostname() == "" {
		return target{}, fmt.Errorf("address %q: no host", raw)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	if port == "" {
		return target{}, fmt.Errorf("address %q: no port", raw)
	}
	t.addr = net.JoinHostPort(u.Hostname(), port)
	if secure {
		t.tls = &tls.Config{}
		if conf != nil {
			t.tls = conf.Clone()
		}
		if t.tls.ServerName == "" {
			t.tls.ServerName = u.Hostname()
		}
	}
	return t, nil
}
