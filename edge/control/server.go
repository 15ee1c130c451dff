// Package control is the HTTP side of a node. The public site serves the page, the function table as an HTTP API, and
// the websocket handshake, after which a socket belongs to an event loop. The internal server is for services and
// operators: tokens, nonces, metrics, readiness, profiling, and control of the node.
//
// Both are fasthttp servers with every time limit and size set, so that a slow or endless client holds one goroutine
// and a few KiB for a bounded time. No handler can end the process by a panic.
package control

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	vm "github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"gosper/broker"
	"gosper/broker/chain"
	"gosper/broker/event"
	"gosper/broker/post"
	"gosper/edge"
	"gosper/edge/config"
	"gosper/edge/module"
	"gosper/protocol"
)

// Limits bound what HTTP clients may take. The zero value of a field is an error of Start.
type Limits struct {
	Header       int           // bytes of a request's line and headers
	Body         int           // bytes of a body at the public site
	InternalBody int           // bytes of a body at the internal server
	ReadTimeout  time.Duration // for a whole request, from its first byte
	WriteTimeout time.Duration // for a whole answer; for each part of a stream
	IdleTimeout  time.Duration // between two requests of a connection
	Connections  int           // HTTP connections of the public site at a time
	Internal     int           // connections of the internal server at a time
	Tails        int           // streams of /admin/tail at a time
}

// DefaultLimits returns the defaults.
func DefaultLimits() Limits {
	return Limits{
		Header:       8 << 10,
		Body:         64 << 10,
		InternalBody: 1 << 20,
		ReadTimeout:  5 * time.Second,
		WriteTimeout: 30 * time.Second,
		IdleTimeout:  60 * time.Second,
		Connections:  16384,
		Internal:     256,
		Tails:        64,
	}
}

// Config is what a Server needs.
type Config struct {
	HTTPAddr     string      // public site; "" for none
	HTTPSAddr    string      // its TLS twin; "" for none
	TLS          *tls.Config // needed by HTTPSAddr
	InternalAddr string      // internal server; "" for none
	ReusePort    bool        // other processes of this machine may open the public site's ports too
	Closed       []string    // parts of the internal server that are other nodes': auth, config, mail
	Token        string      // bearer token of the internal server; "" asks for none
	Origins      []string    // origins that may use the site from a browser; empty: the same host only
	ProxyFrom    []netip.Prefix
	Limits       Limits
	Page         fs.FS // files of the page, index.html at its root; nil for none
	Table        *module.Table
	Bus          broker.Bus
	Queue        broker.Queue    // for operators
	Schedule     broker.Schedule // for operators
	ChatLog      *module.ChatLog // nil: none is kept
	Chains       *chain.Engine   // nil: a node without work chains
	Post         *post.Office    // nil: a node without mailboxes
	Settings     *config.Folder  // files that services ask for; nil is a folder without files
	// PublicSettings are the names of them that everybody may read; "*" is all.
	PublicSettings []string
	Room           Room                                 // counts public connections
	Adopt          func(net.Conn, edge.AdoptInfo) error // takes a websocket and its place in Room over; not when it fails
	// Listen takes a connection of the events door over, with its Listening, as Adopt does.
	Listen     func(net.Conn, edge.AdoptInfo) error
	Events     *event.Broadcaster    // tells what the endpoints of the engine change
	EventsOpen bool                  // anybody may listen to events, without a token
	Recent     *Recent               // chains that moved last, for operators; nil: they see some of all
	Games      func(most int) []Game // some games, for operators; nil: there are none
	Ready      func() error          // why the node cannot take clients; nil when it can
	Drain      func()                // asks the node to drain; returns at once
	Metrics    []Metric              // descriptions for /metrics
	Version    string
	Log        *slog.Logger
}

// Server is the running HTTP side of a node. All methods may be called from any goroutine.
type Server struct {
	config  Config
	log     *slog.Logger
	page    *page
	inner   documents
	admin   *page
	public  *fasthttp.Server
	inside  *fasthttp.Server
	ports   []net.Listener
	addrs   map[string]net.Addr
	tails   chan struct{} // one token a stream
	started time.Time
	closed  chan struct{} // ends streams
	failed  chan error
	once    sync.Once
	serve   sync.WaitGroup

	draining atomic.Bool
}

var (
	upgradesRefused = vm.NewCounter("gosper_upgrades_refused_total")
	handlerPanics   = vm.NewCounter("gosper_http_panics_total")
	httpRequests    = vm.NewCounter("gosper_http_requests_total")
)

// metricTable lists the metrics of this package.
var metricTable = []Metric{
	{"gosper_upgrades_refused_total", "counter", "Websocket handshakes that were refused."},
	{"gosper_http_panics_total", "counter", "HTTP handlers that panicked."},
	{"gosper_http_requests_total", "counter", "HTTP requests, public and internal."},
}

// Start opens the ports and serves them. After an error nothing stays open.
func Start(c Config) (*Server, error) {
	p, err := newPage(c.Page)
	if err != nil {
		return nil, err
	}
	inner, err := p.addDocuments(c.Version)
	if err != nil {
		return nil, err
	}
	admin, err := newAdminPage()
	if err != nil {
		return nil, err
	}
	if c.Limits.Header <= 0 || c.Limits.Body <= 0 || c.Limits.InternalBody <= 0 || c.Limits.ReadTimeout <= 0 ||
		c.Limits.WriteTimeout <= 0 || c.Limits.IdleTimeout <= 0 || c.Limits.Connections <= 0 || c.Limits.Internal <= 0 || c.Limits.Tails <= 0 {
		return nil, errors.New("every HTTP limit must be positive")
	}
	s := &Server{config: c, log: c.Log, page: p, inner: inner, admin: admin, started: time.Now(), addrs: make(map[string]net.Addr), tails: make(chan struct{}, c.Limits.Tails),
		closed: make(chan struct{}), failed: make(chan error, 3)}
	s.public = s.newHTTP(s.servePublic, c.Limits.Body, c.Limits.Connections)
	s.inside = s.newHTTP(s.serveInternal, c.Limits.InternalBody, c.Limits.Internal)
	for _, l := range []struct {
		name, addr string
		server     *fasthttp.Server
		tls        *tls.Config
		room       Room
		proxyFrom  []netip.Prefix
	}{
		{"http", c.HTTPAddr, s.public, nil, c.Room, c.ProxyFrom},
		{"https", c.HTTPSAddr, s.public, c.TLS, c.Room, c.ProxyFrom},
		{"internal", c.InternalAddr, s.inside, nil, nil, nil},
	} {
		if l.addr == "" {
			continue
		}
		listen := func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
		if c.ReusePort && l.server == s.public {
			listen = edge.ListenShared
		}
		ln, err := listen(l.addr)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s-addr: %w", l.name, err), s.Close())
		}
		s.addrs[l.name] = ln.Addr()
		s.ports = append(s.ports, ln)
		below := newListener(ln, l.room, l.proxyFrom)
		var top net.Listener = below
		if l.tls != nil {
			top = newTLSListener(below, l.tls)
		}
		s.serve.Go(func() {
			if err := l.server.Serve(top); err != nil {
				s.failed <- fmt.Errorf("%s server: %w", l.name, err)
			}
		})
	}
	return s, nil
}

// newHTTP returns a server with every bound set.
func (s *Server) newHTTP(handler fasthttp.RequestHandler, body, connections int) *fasthttp.Server {
	l := s.config.Limits
	return &fasthttp.Server{
		Handler:               s.guarded(handler),
		ErrorHandler:          badRequest,
		ReadBufferSize:        l.Header,
		MaxRequestBodySize:    body,
		ReadTimeout:           l.ReadTimeout,
		WriteTimeout:          l.WriteTimeout,
		IdleTimeout:           l.IdleTimeout,
		Concurrency:           connections,
		KeepHijackedConns:     true, // they go to the event loops
		NoDefaultServerHeader: true,
		NoDefaultContentType:  true,
		ReduceMemoryUsage:     true,
		SecureErrorLogMessage: true,
		CloseOnShutdown:       true,
		Logger:                quiet{s.log},
	}
}

// guarded keeps a panic of a handler inside its request.
func (s *Server) guarded(handler fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		httpRequests.Inc()
		defer func() {
			if p := recover(); p != nil {
				handlerPanics.Inc()
				s.log.Error("HTTP handler panicked", "path", string(ctx.Path()), "panic", p, "stack", string(debug.Stack()))
				ctx.Response.Reset()
				ctx.SetConnectionClose()
				fail(ctx, fasthttp.StatusInternalServerError, protocol.StatusInternal, "internal error")
			}
		}()
		handler(ctx)
	}
}

// badRequest answers what is no HTTP request. A client that was too slow gets no answer worth the name.
func badRequest(ctx *fasthttp.RequestCtx, err error) {
	ctx.SetConnectionClose()
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	late := errors.As(err, &timeout) && timeout.Timeout()
	if place := placeOf(ctx.Conn()); place != nil && !late {
		place.refused.Store(true)
	}
	switch {
	case errors.As(err, &small):
		fail(ctx, fasthttp.StatusRequestHeaderFieldsTooLarge, protocol.StatusTooMuch, "headers are too large")
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		fail(ctx, fasthttp.StatusRequestEntityTooLarge, protocol.StatusTooMuch, "body is too large")
	case late:
		fail(ctx, fasthttp.StatusRequestTimeout, protocol.StatusUnknown, "request was too slow")
	default:
		fail(ctx, fasthttp.StatusBadRequest, protocol.StatusUnknown, "malformed request")
	}
}

// quiet keeps the HTTP server's remarks about odd clients at debug level: anybody can cause them at any rate.
type quiet struct{ log *slog.Logger }

// Printf implements fasthttp.Logger.
func (q quiet) Printf(format string, args ...any) {
	q.log.Debug("http: " + fmt.Sprintf(format, args...))
}

// Addr returns the address of a port: "http", "https" or "internal"; nil when it is not open.
func (s *Server) Addr(name string) net.Addr { return s.addrs[name] }

// Failed gives the error of a server that stopped unasked.
func (s *Server) Failed() <-chan error { return s.failed }

// Drain refuses new websockets and reports not ready; everything else goes on until Close.
func (s *Server) Drain() { s.draining.Store(true) }

// shutdownTime bounds the wait for answers under way.
const shutdownTime = 2 * time.Second

// Close closes the ports, ends streams and waits a short time for answers under way.
func (s *Server) Close() error {
	var err error
	s.once.Do(func() {
		s.draining.Store(true)
		close(s.closed)
		ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
		err = errors.Join(ignoreTimeout(s.public.ShutdownWithContext(ctx)), ignoreTimeout(s.inside.ShutdownWithContext(ctx)))
		for _, port := range s.ports {
			port.Close() // closed already, unless its server had not begun
		}
		s.serve.Wait()
	})
	return err
}

// ignoreTimeout drops the error of a client that did not let go in time.
func ignoreTimeout(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}
