// Package node wires one gosper node: the store, the games, the function table, the event loops and the HTTP servers. It owns
// what they share, the order in which they start and end, and the options by which all of them are set.
package node

import (
	"context"
	"errors"

	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"

	"gosper/broker"
	"gosper/broker/chain"
	"gosper/broker/chain/target"
	"gosper/broker/event"
	"gosper/broker/lead"
	"gosper/broker/mailer"
	"gosper/broker/nats"
	"gosper/broker/pebble"
	"gosper/broker/post"
	"gosper/broker/redis"
	"gosper/broker/worker"
	"gosper/edge"
	"gosper/edge/cluster"
	"gosper/edge/config"
	"gosper/edge/control"
	"gosper/edge/door/beanstalk"
	"gosper/edge/door/gate"
	"gosper/edge/door/line"
	"gosper/edge/door/websocket"
	"gosper/edge/module"
	"gosper/edge/web"
	"gosper/grid/game"
)

// Node is a running node. All methods may be called from any goroutine.
type Node struct {
	options Options
	log     *slog.Logger
	name    string     // of this node, which no other one has
	db      *pebble.DB // the node's own
	lasting
	seats    []*lead.Seat    // for which this node stands
	leading  sync.Map        // of them by name: *lead.Seat
	bus      broker.Bus      // of the store, or shared
	registry broker.Registry // likewise
	shared   []shared        // empty: this node is alone
	config   *config.Folder
	post     *post.Office
	streams  *edge.Streams
	games    *game.Host
	cluster  *cluster.Cluster // nil: no other node shares the games
	table    *module.Table
	engine   *edge.Engine
	gate     *gate.Gate // nil without its ports
	site     *control.Server
	gateway  *target.Gateway
	chains   *chain.Engine
	events   *event.Broadcaster
	// listeners is the door of those who hear events.
	listeners *websocket.Events
	recent    control.Recent // chains that moved last
	work      work
	chatLog   *module.ChatLog // nil: none is kept

	drainOnce sync.Once
	drainAsk  chan struct{}
	closeOnce sync.Once
	closeErr  error
}

// Start runs a node and returns when it takes clients. The context bounds the start only. After an error nothing
// stays open. A nil log means none.
func Start(ctx context.Context, o Options, log *slog.Logger) (*Node, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	n := &Node{options: o.OfRoles(), log: log, drainAsk: make(chan struct{})}
	n.work.ctx, n.work.end = context.WithCancel(context.Background())
	openState := func() error { return n.openState(ctx) }
	openBus := func() error { return n.openBus(ctx) }
	startGames := func() error { return n.startGames(ctx) }
	startCluster := func() error { return n.startCluster(ctx) }
	startTable := func() error { return n.startTable(ctx) }
	openChains := func() error { return n.openChains(ctx) }
	for _, step := range []func() error{n.openDB, openState, n.tellStore, openBus, n.openConfig, n.openPost, n.openEvents, n.newCluster, startGames, openChains, startTable, startCluster, n.startWork, n.openChatLog, n.startEngine, n.enterGate, n.startSite, ctx.Err} {
		if err := step(); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

// openConfig begins to follow the config folder, which need not exist.
func (n *Node) openConfig() (err error) {
	dir := n.options.ConfigDir
	if dir == "" {
		dir = filepath.Join(n.options.Data, "config")
	}
	n.config, err = config.Open(config.Options{Dir: dir, Reread: n.options.ConfigReread, Log: n.log})
	return err
}

func (n *Node) startTable(ctx context.Context) error {
	secret, err := loadSecret(&n.options)
	if err != nil {
		return err
	}
	if err := n.sameSecret(ctx, secret); err != nil {
		return err
	}
	kinds, err := n.options.buildings()
	if err != nil {
		return err
	}
	n.table, err = module.New(module.Config{Options: n.options.Functions, Store: n.store, Registry: n.registry,
		Bus: n.bus, Together: n.shared != nil, Games: n.games, Nodes: n.gameNodes(), GameMade: n.gameMade, Jobs: n.queue, Schedule: n.schedule, Buildings: kinds, Mailbox: n.options.mailbox(), Post: n.post, Settings: n.config, Chains: n.chains, OperatorToken: string(n.options.InternalToken), Secret: secret, Log: n.log})
	return err
}

func (n *Node) startEngine() error {
	o := &n.options
	cert, err := o.loadTLS()
	if err != nil {
		return err
	}
	door := line.New()
	var listeners []edge.Listener
	if o.LineAddr != "" {
		listeners = append(listeners, edge.Listener{Name: "line", Addr: o.LineAddr, Door: door, ProxyFrom: o.ProxyFrom, ReusePort: o.ReusePort})
	}
	if o.TLSLineAddr != "" {
		listeners = append(listeners, edge.Listener{Name: "tls-line", Addr: o.TLSLineAddr, Door: door, TLS: cert, ProxyFrom: o.ProxyFrom, ReusePort: o.ReusePort})
	}
	listeners = append(listeners, n.beanstalk()...)
	listeners = append(listeners, n.gateListeners(cert)...)
	n.engine, err = edge.Start(edge.Config{Loops: o.Loops, Listeners: listeners, Limits: o.Limits, Bus: n.bus,
		Dispatcher: n.table, Streams: n.streams, Log: n.log})
	return err
}

func (n *Node) startSite() error {
	o := &n.options
	cert, err := o.loadTLS()
	if err != nil {
		return err
	}
	door := websocket.New(line.New())
	n.site, err = control.Start(control.Config{
		HTTPAddr: o.HTTPAddr, HTTPSAddr: o.HTTPSAddr, TLS: cert, InternalAddr: o.InternalAddr, ReusePort: o.ReusePort, Closed: o.closedGroups(), Token: string(o.InternalToken),
		Origins: o.Origins, ProxyFrom: o.ProxyFrom, Limits: o.HTTP, Page: web.FS, Table: n.table, Bus: n.bus,
		Queue: n.queue, Schedule: n.schedule, Chains: n.chains, Events: n.events, EventsOpen: o.Chains.EventsOpen, Listen: n.listen, Recent: &n.recent, Games: n.listGames, ChatLog: n.chatLog, Post: n.post, Settings: n.config, PublicSettings: o.ConfigPublic, Room: n.engine,
		Adopt: func(c net.Conn, info edge.AdoptInfo) error { return n.engine.Adopt(c, door, info) },
		Ready: n.ready, Drain: n.askDrain, Metrics: metricTables(), Version: Version(), Log: n.log,
	})
	return err
}

// Metrics lists every metric family that a node may show at /metrics, for dashboards and documents. The slice is the caller's own.
func Metrics() []control.Metric { return append(metricTables(), control.Metrics()...) }

// metricTables gathers what the packages of a node say about their metrics.
func metricTables() []control.Metric {
	var all []control.Metric
	for _, table := range [][]broker.Metric{nodeMetrics, edge.Metrics(), pebble.Metrics, nats.Metrics(), redis.Metrics(), module.Metrics(), game.Metrics(), cluster.Metrics(),
		worker.Metrics(), mailer.Metrics(), post.Metrics(), beanstalk.Metrics(), gate.Metrics(), config.Metrics(), chain.Metrics(), event.Metrics(), target.Metrics()} {
		for _, m := range table {
			all = append(all, control.Metric{Name: m.Name, Type: metricType(m.Name), Help: m.Help})
		}
	}
	return all
}

// metricType tells the type of a metric from its name: counters end in _total, times and sizes of batches and passes are histograms.
func metricType(name string) string {
	switch {
	case strings.HasSuffix(name, "_total"):
		return "counter"
	case strings.HasSuffix(name, "_oldest_seconds"): // an age
		return "gauge"
	case strings.HasSuffix(name, "_seconds"), strings.HasSuffix(name, "_batch_writes"), strings.HasSuffix(name, "_pass_bytes"):
		return "histogram"
	}
	return "gauge"
}

// Addr returns the address of an open port: "line", "tls-line", "gate", "tls-gate", "gate-worker", "beanstalk", "http", "https"
// or "internal"; nil for a closed one.
func (n *Node) Addr(name string) net.Addr {
	if strings.HasSuffix(name, "line") || strings.Contains(name, "gate") || name == "beanstalk" {
		return n.engine.Addr(name)
	}
	return n.site.Addr(name)
}

// Done is closed when the event loops have ended, asked or unasked. Err then says why.
func (n *Node) Done() <-chan struct{} { return n.engine.Done() }

// Err returns why the event loops ended; nil while they run, and after an orderly end.
func (n *Node) Err() error { return n.engine.Err() }

// Failed gives the error of an HTTP server that stopped unasked.
func (n *Node) Failed() <-chan error { return n.site.Failed() }

// DrainAsked is closed when somebody has asked for a drain by HTTP.
func (n *Node) DrainAsked() <-chan struct{} { return n.drainAsk }

func (n *Node) askDrain() { n.drainOnce.Do(func() { close(n.drainAsk) }) }

// Drain reports the node as not ready, takes no new client, and lets every client go, with the advice to come back
// elsewhere, over the limit drain_spread; what is queued is sent. It returns nil when all have gone, or the error of
// ctx; Options.DrainTimeout bounds it too.
func (n *Node) Drain(ctx context.Context) error {
	n.site.Drain()
	if n.work.door != nil {
		n.work.door.Drain()
	}
	ctx, cancel := context.WithTimeout(ctx, n.options.DrainTimeout)
	defer cancel()
	n.drainGames(ctx)
	return n.engine.Drain(ctx)
}

// Close ends the node at once: connections are cut, what was acknowledged is on disk. It is idempotent.
func (n *Node) Close() error {
	n.closeOnce.Do(func() { n.closeErr = n.close() })
	return n.closeErr
}

// close ends parts in the opposite order of their start. Parts that were not started are nil.
func (n *Node) close() error {
	var errs []error
	if n.site != nil {
		errs = append(errs, n.site.Close())
	}
	if n.engine != nil {
		errs = append(errs, n.engine.Close())
	}
	if n.gate != nil {
		n.gate.Close()
	}
	n.closeChains()
	n.rise()
	n.work.stop()
	errs = append(errs, n.closeGames())
	if n.table != nil {
		n.table.Close()
	}
	if n.post != nil {
		errs = append(errs, n.post.Close())
	}
	if n.chatLog != nil {
		n.chatLog.Close()
	}
	n.config.Close()
	for _, one := range n.shared {
		errs = append(errs, one.Close())
	}
	return errors.Join(append(errs, n.closeStores())...)
}
