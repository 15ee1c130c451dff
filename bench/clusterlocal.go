package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Buses of a cluster: what carries talk between its nodes.
const (
	BusNATS  = "nats"
	BusRedis = "redis"
)

// ClusterOptions say what StartCluster starts. The zero value of a field means its default.
type ClusterOptions struct {
	Binary string    // the program; "" is this very binary
	Dir    string    // folder for everything on disk; "" makes one that goes with the cluster
	Nodes  int       // 1 to MaxClusterNodes. Default 3
	NATS   int       // NATS servers, 1 or 3: as many replicas of everything. NoNATS: none. Default 3
	Lazy   bool      // NATS servers sync their files every two minutes, as they do when told nothing, and not at each write
	Bus    string    // BusNATS or BusRedis. Default BusNATS
	Store  bool      // what lasts is in NATS, and games are shared; else each node has its own
	Port   int       // first of the ports of the nodes, portsEach for each; 0 means free ones
	Flags  []string  // further flags of every node
	Log    io.Writer // receives the standard error of all processes; nil drops it
}

// NoNATS in ClusterOptions.NATS starts no NATS server: the bus is in Redis then, and what lasts is each node's own.
const NoNATS = -1

// MaxClusterNodes bounds the nodes of a cluster: more of them on one machine show nothing new.
const MaxClusterNodes = 16

// portsEach is how many ports a node has: page, lines, internal and the one for other nodes.
const portsEach = 4

// withDefaults fills in the defaults, and names the field that cannot be.
func (o ClusterOptions) withDefaults() (ClusterOptions, error) {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.NATS == 0 {
		o.NATS = 3
	}
	if o.Bus == "" {
		o.Bus = BusNATS
	}
	if o.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			return o, fmt.Errorf("own binary: %w", err)
		}
		o.Binary = self
	}
	switch {
	case o.Nodes < 1 || o.Nodes > MaxClusterNodes:
		return o, fmt.Errorf("nodes: must be between 1 and %d", MaxClusterNodes)
	case o.NATS != 1 && o.NATS != 3 && (o.NATS != NoNATS || o.Bus != BusRedis || o.Store):
		return o, errors.New("nats: must be 1 or 3")
	case o.Bus != BusNATS && o.Bus != BusRedis:
		return o, fmt.Errorf("bus: must be %s or %s", BusNATS, BusRedis)
	case o.Port < 0 || o.Port > 65535-portsEach*o.Nodes:
		return o, errors.New("port: must leave room for the ports of all nodes below 65,536")
	}
	return o, nil
}

// Cluster is a whole installation on loopback: Redis, NATS servers and nodes, each a process of its own that ends with
// this one. It belongs to one goroutine.
type Cluster struct {
	Nodes []*ClusterNode
	Redis string   // host:port
	NATS  []string // host:port of each server

	options ClusterOptions
	dir     string
	own     bool     // dir goes with the cluster
	addrs   []string // free ones, for whoever starts next
	servers closers
	redis   *child
	nats    []*child
}

// ClusterNode is one node of a Cluster, on ports and with a data folder that survive a restart of its process.
type ClusterNode struct {
	*node
	Name  string // n1, n2 …
	Links string // host:port where other nodes reach it

	options *ClusterOptions
	args    []string
}

// StartCluster starts Redis, then NATS, then the nodes, and returns when all nodes are ready. After an error nothing runs
// any more. The context bounds the start only.
func StartCluster(ctx context.Context, o ClusterOptions) (*Cluster, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Cluster{options: o, dir: o.Dir}
	if c.addrs, err = QuietAddrs(1 + 2*max(o.NATS, 0) + portsEach*o.Nodes); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{c.makeDir, c.startRedis, c.startNATS, c.startNodes} {
		if err := step(ctx); err != nil {
			c.Stop()
			return nil, err
		}
	}
	return c, nil
}

// Stop ends all processes, the nodes first, and removes the folder if the cluster made it.
func (c *Cluster) Stop() {
	for _, n := range c.Nodes {
		n.asked()
	}
	for _, n := range c.Nodes {
		n.Stop()
	}
	c.servers.close()
	if c.own {
		os.RemoveAll(c.dir)
	}
}

// take returns n free addresses.
func (c *Cluster) take(n int) []string {
	taken := c.addrs[:n]
	c.addrs = c.addrs[n:]
	return taken
}

// StoreURL is where the NATS servers are, with as many replicas as there are servers.
func (c *Cluster) StoreURL() string {
	return fmt.Sprintf("nats://%s?replicas=%d", strings.Join(c.NATS, ","), len(c.NATS))
}

// RegistryURL is where Redis is.
func (c *Cluster) RegistryURL() string { return "redis://" + c.Redis }

func (c *Cluster) makeDir(context.Context) (err error) {
	if c.dir == "" {
		c.own = true
		c.dir, err = os.MkdirTemp("", "gosper-cluster-")
	} else {
		err = os.MkdirAll(c.dir, 0o700)
	}
	if err != nil {
		return err
	}
	secret := filepath.Join(c.dir, "secret")
	if _, err := os.Stat(secret); err == nil {
		return nil
	}
	return os.WriteFile(secret, []byte(rand.Text()+rand.Text()+"\n"), 0o600)
}

// startRedis starts a Redis that keeps nothing on disk: what nodes share there is short-lived.
func (c *Cluster) startRedis(ctx context.Context) error {
	path, err := findPeer("redis")
	if err != nil {
		return fmt.Errorf("a cluster needs Redis: %w", err)
	}
	c.Redis = c.take(1)[0]
	host, port, err := net.SplitHostPort(c.Redis)
	if err != nil {
		return err
	}
	c.redis, _, err = startChild("redis-server", path, []string{"--bind", host, "--port", port, "--save", "", "--appendonly", "no",
		"--dir", c.dir, "--client-output-buffer-limit", "pubsub", "0", "0", "0"}, c.options.Log)
	if err != nil {
		return err
	}
	c.servers.add(c.redis.stop)
	return waitListening(ctx, c.Redis, c.redis)
}

// natsServerPeer is the word with which this binary starts as a NATS server of a cluster.
const natsServerPeer = "nats-server"

// startNATS starts the NATS servers: processes of this binary, which has nats-server in it as a peer of its benches.
func (c *Cluster) startNATS(ctx context.Context) error {
	if c.options.NATS == NoNATS {
		return nil
	}
	clients, err := c.natsAddrs()
	if err != nil {
		return err
	}
	clients, routes := clients[:c.options.NATS], clients[c.options.NATS:]
	for i := range c.options.NATS {
		name := fmt.Sprint("nats", i+1)
		s, _, err := startChild(name, c.options.Binary, []string{"bench", PeerArg, natsServerPeer, "--dir", filepath.Join(c.dir, name),
			name, clients[i], routes[i], strings.Join(routes, ","), strconv.FormatBool(c.options.Lazy)}, c.options.Log)
		if err != nil {
			return err
		}
		c.nats, c.NATS = append(c.nats, s), append(c.NATS, clients[i])
		c.servers.add(s.stop)
	}
	for i, s := range c.nats {
		if err := waitListening(ctx, c.NATS[i], s); err != nil {
			return err
		}
	}
	return c.waitJetStream(ctx)
}

// waitJetStream waits until the servers have found each other and chosen who leads: nodes wait for less than a busy
// machine may need for that.
func (c *Cluster) waitJetStream(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	conn, err := nats.Connect("nats://" + strings.Join(c.NATS, ","))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := conn.JetStream(nats.MaxWait(5 * time.Second))
	if err != nil {
		return err
	}
	for {
		if _, err = js.AccountInfo(); err == nil {
			return nil
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("the NATS servers are not ready in time: %w", err)
		}
	}
}

// natsAddrs returns the addresses for clients, then those for other servers. A folder that lasts has the servers' data,
// which know each other by their addresses, so these last too.
func (c *Cluster) natsAddrs() ([]string, error) {
	file := filepath.Join(c.dir, "nats-addresses")
	if text, err := os.ReadFile(file); err == nil {
		if addrs := strings.Fields(string(text)); len(addrs) == 2*c.options.NATS {
			return addrs, nil
		}
		return nil, fmt.Errorf("the folder %s is that of another number of NATS servers", c.dir)
	}
	addrs := c.take(2 * c.options.NATS)
	return addrs, os.WriteFile(file, []byte(strings.Join(addrs, "\n")), 0o600)
}

// natsServerMain runs a NATS server of a cluster until ctx ends. Its words are its name, the address for clients, the one
// for other servers, those of all servers, and whether it is lazy: else what it has answered is on disk.
func natsServerMain(ctx context.Context, dir string, words []string, out io.Writer) error {
	if dir == "" || len(words) != 5 {
		return fmt.Errorf("%s: needs --dir, a name, two addresses, the addresses of all, and true or false", natsServerPeer)
	}
	o := &server.Options{ServerName: words[0], JetStream: true, StoreDir: dir, SyncAlways: words[4] != "true", NoSigs: true, NoLog: true}
	if err := splitAddr(words[1], &o.Host, &o.Port); err != nil {
		return err
	}
	if all := strings.Split(words[3], ","); len(all) > 1 {
		o.Cluster.Name = "gosper"
		if err := splitAddr(words[2], &o.Cluster.Host, &o.Cluster.Port); err != nil {
			return err
		}
		o.Routes = server.RoutesFromStr("nats://" + strings.Join(all, ",nats://"))
	}
	s, err := server.NewServer(o)
	if err != nil {
		return fmt.Errorf("nats-server: %w", err)
	}
	return serveNATS(ctx, s, out)
}

func splitAddr(addr string, host *string, port *int) error {
	h, p, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	*host = h
	*port, err = strconv.Atoi(p)
	return err
}

// startNodes starts all nodes at once: they find each other.
func (c *Cluster) startNodes(ctx context.Context) error {
	for i := range c.options.Nodes {
		n := c.newNode(i)
		if err := n.Start(); err != nil {
			return err
		}
		c.Nodes = append(c.Nodes, n)
	}
	for _, n := range c.Nodes {
		if err := n.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) newNode(i int) *ClusterNode {
	addrs := c.nodeAddrs(i)
	n := &ClusterNode{Name: fmt.Sprint("n", i+1), Links: addrs[3], options: &c.options}
	n.node = &node{web: addrs[0], line: addrs[1], internal: addrs[2],
		http: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: nonceWorkers}}}
	n.args = []string{"serve", "--data", filepath.Join(c.dir, n.Name), "--http-addr", n.web, "--line-addr", n.line,
		"--internal-addr", n.internal, "--gate-addr", "", "--gate-worker-addr", "", "--secret-file", filepath.Join(c.dir, "secret")}
	if c.options.Bus == BusNATS {
		n.args = append(n.args, "--bus", c.StoreURL(), "--registry", c.RegistryURL())
	} else {
		n.args = append(n.args, "--bus", c.RegistryURL())
	}
	if c.options.Store {
		n.args = append(n.args, "--store", c.StoreURL(), "--node", n.Name, "--cluster-addr", n.Links,
			"--mail-dir", filepath.Join(c.dir, "mail"), "--mail-host", n.Name)
	}
	n.args = append(n.args, c.options.Flags...)
	return n
}

// nodeAddrs returns the addresses of node number i.
func (c *Cluster) nodeAddrs(i int) []string {
	if c.options.Port == 0 {
		return c.take(portsEach)
	}
	addrs := make([]string, portsEach)
	for k := range addrs {
		addrs[k] = net.JoinHostPort("127.0.0.1", strconv.Itoa(c.options.Port+portsEach*i+k))
	}
	return addrs
}

// Page is the address of the node's page for a browser.
func (n *ClusterNode) Page() string { return "http://" + n.web + "/" }

// Web is host:port of the page and its websocket.
func (n *ClusterNode) Web() string { return n.web }

// Lines is host:port of the line door.
func (n *ClusterNode) Lines() string { return n.line }

// Internal is host:port of the internal port: readiness, metrics, operators.
func (n *ClusterNode) Internal() string { return n.internal }

// PID is the node's process; 0 when it was never started.
func (n *ClusterNode) PID() int { return n.pid() }

// Start starts the node's process if it does not run. WaitReady tells when it takes clients.
func (n *ClusterNode) Start() (err error) {
	if n.Running() {
		return nil
	}
	n.child, _, err = startChild(n.Name, n.options.Binary, n.args, n.options.Log)
	return err
}

// WaitReady waits until the node says that it is ready, or has ended.
func (n *ClusterNode) WaitReady(ctx context.Context) error { return n.waitReady(ctx) }

// Running reports whether the node's process is there.
func (n *ClusterNode) Running() bool { return n.child != nil && n.child.died() == nil }

// Ready says why the node should get no clients; nil when it should.
func (n *ClusterNode) Ready(ctx context.Context) error {
	if n.child == nil {
		return errors.New("not started")
	}
	if err := n.child.died(); err != nil {
		return err
	}
	_, err := n.get(ctx, "/readyz")
	return err
}

// Kill ends the node's process at once, as a crash does.
func (n *ClusterNode) Kill() {
	if n.Running() {
		_ = syscall.Kill(n.child.pid, syscall.SIGKILL)
		<-n.child.done
	}
}

// asked tells the node to drain and end, and does not wait.
func (n *ClusterNode) asked() {
	if n.Running() {
		_ = syscall.Kill(n.child.pid, syscall.SIGTERM)
	}
}

// Stop lets the node drain and end; after five seconds it is killed.
func (n *ClusterNode) Stop() {
	if n.Running() {
		n.child.stop()
	}
	n.http.CloseIdleConnections()
}
