package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	crowdConns       = 15_000 // on each node
	crowdConnsQuick  = 300
	crowdWindow      = 10 * time.Second // how long all stay up together before they are asked for a sign of life
	crowdWindowQuick = time.Second
	crowdWorlds      = 15              // that all share, whatever their node
	crowdPeer        = "crowd"         // the word with which this binary opens connections to one node
	crowdTimeout     = 3 * time.Minute // until all are there: tens of thousands of greetings on a few cores
)

// clusterCrowd holds many connections on each of several nodes at the same time. One process may not have descriptors for
// all, so each node has a process of its own on the other side.
func clusterCrowd(ctx context.Context, r *Run, share clusterShare) error {
	nodes, conns := clusterNodes, crowdConns
	if r.Nodes > 0 {
		nodes = r.Nodes
	} else if r.Quick {
		nodes = clusterNodesQuick
	}
	if r.Quick {
		conns = crowdConnsQuick
	}
	if most := descriptorsLeft() - crowdReserve; conns > most {
		r.Note("a process may hold %d descriptors here, so the crowd has %d connections a node and not %d", descriptorsLeft(), most, conns)
		conns = most
	}
	r.Setting("crowd_nodes", nodes)
	r.Setting("crowd_connections_each", conns)
	r.Step(share.at(0), "starting %d nodes", nodes)
	c, err := r.startCluster(ctx, ClusterOptions{Nodes: nodes, NATS: NoNATS, Bus: BusRedis})
	if err != nil {
		return err
	}
	defer c.Stop()
	w := &crowd{r: r, share: share, cluster: c, conns: conns, window: crowdWindow, dir: c.dir, began: time.Now()}
	if r.Quick {
		w.window = crowdWindowQuick
	}
	defer func() {
		for _, p := range w.peers {
			p.stop()
		}
	}()
	return w.run(ctx)
}

// crowdReserve is how many descriptors a node needs beside those of its clients: its store, its bus, what is reserved.
const crowdReserve = 1000

// crowd is one crowd under way.
type crowd struct {
	r       *Run
	share   clusterShare
	cluster *Cluster
	conns   int
	window  time.Duration
	dir     string
	began   time.Time
	peers   []*child
	said    []*bufio.Reader
}

func (w *crowd) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*crowdTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		for _, p := range w.peers {
			p.stop() // ends the reading below
		}
	})
	defer stop()
	for i, n := range w.cluster.Nodes {
		w.r.Step(w.share.at(0.1+0.3*float64(i)/float64(len(w.cluster.Nodes))), "admitting %d to %s", w.conns, n.Name)
		if err := w.send(ctx, i, n); err != nil {
			return err
		}
	}
	for i := range w.peers {
		w.r.Step(w.share.at(0.4+0.4*float64(i)/float64(len(w.peers))), "connecting to node %d", i+1)
		if _, err := w.hear(i, "ready"); err != nil {
			return err
		}
	}
	total := float64(w.conns * len(w.peers))
	w.r.Figure("crowd_connections", total)
	w.r.Figure("crowd_connects_per_s", total/time.Since(w.began).Seconds())
	return w.rest(ctx, total)
}

// send starts the process that opens the connections of one node.
func (w *crowd) send(ctx context.Context, i int, n *ClusterNode) error {
	var nonces []string
	each := w.conns / crowdWorlds
	for world := range crowdWorlds {
		count := each
		if world == 0 {
			count = w.conns - each*(crowdWorlds-1)
		}
		some, err := n.noncesOf(ctx, fmt.Sprint("crowd", world), i*w.conns, count)
		if err != nil {
			return err
		}
		nonces = append(nonces, some...)
	}
	file := filepath.Join(w.dir, "nonces-"+n.Name)
	if err := os.WriteFile(file, []byte(strings.Join(nonces, "\n")), 0o600); err != nil {
		return err
	}
	p, out, err := startChild("crowd of "+n.Name, w.r.Binary, []string{"bench", PeerArg, crowdPeer, "--dir", w.dir, n.line, file, w.window.String()}, w.r.Log)
	if err != nil {
		return err
	}
	w.peers, w.said = append(w.peers, p), append(w.said, bufio.NewReader(out))
	return nil
}

// hear reads the next line of a process, which must begin with a word, and returns the rest of it.
func (w *crowd) hear(i int, word string) (string, error) {
	line, err := w.said[i].ReadString('\n')
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), word)
	if err == nil && ok {
		return rest, nil
	}
	if died := w.peers[i].died(); died != nil {
		return "", died
	}
	return "", fmt.Errorf("the crowd of node %d said %q", i+1, line)
}

// rest lets all be there together, then asks all for a sign of life.
func (w *crowd) rest(ctx context.Context, total float64) error {
	if err := os.WriteFile(filepath.Join(w.dir, crowdGo), nil, 0o600); err != nil {
		return err
	}
	before, err := w.cluster.cpu()
	if err != nil {
		return err
	}
	start := time.Now()
	w.r.Step(w.share.at(0.85), "all are there")
	if err := pause(ctx, w.window/2); err != nil {
		return err
	}
	after, err := w.cluster.cpu()
	if err != nil {
		return err
	}
	w.r.Figure("crowd_cpu_us_per_conn_s", (after-before).Seconds()*1e6/total/time.Since(start).Seconds())
	most := 0.0
	for _, n := range w.cluster.Nodes {
		bytes, err := residentBytes(n.PID())
		if err != nil {
			return err
		}
		most = max(most, bytes)
	}
	w.r.Figure("crowd_node_bytes", most)
	for i, n := range w.cluster.Nodes {
		said, err := w.hear(i, "alive")
		if err != nil {
			return err
		}
		var k counts
		if _, err := fmt.Sscan(said, &k.sent, &k.received); err != nil {
			return fmt.Errorf("the crowd of %s: %w", n.Name, err)
		}
		w.r.balanceOf(k)
		if err := n.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// crowdGo is the file whose appearance says that all crowds are there.
const crowdGo = "all-there"

// crowdMain opens the line connections of a file of nonces to a node, keeps them alive, and when all crowds are there asks
// each connection for a sign of life after a while. It goes on until ctx ends.
func crowdMain(ctx context.Context, dir string, words []string, out io.Writer) error {
	if dir == "" || len(words) != 3 {
		return errors.New("crowd: needs --dir, an address, a file of nonces and a time")
	}
	window, err := time.ParseDuration(words[2])
	if err != nil {
		return err
	}
	text, err := os.ReadFile(words[1])
	if err != nil {
		return err
	}
	nonces := strings.Split(string(text), "\n")
	p, err := newPoller()
	if err != nil {
		return err
	}
	defer p.close()
	links, err := open(ctx, p, plan{addr: words[0], n: len(nonces), greet: func(i int) greeter { return &lineGreeting{nonce: nonces[i]} }})
	if err != nil {
		return err
	}
	defer closeAll(links)
	fmt.Fprintln(out, "ready", len(links))
	load := newIdleLoad(p, links, idleLine)
	until := func(done func() bool) (err error) {
		for err == nil && ctx.Err() == nil && !done() {
			err = load.serve(200 * time.Millisecond)
		}
		return errors.Join(err, ctx.Err())
	}
	err = until(func() bool {
		_, err := os.Stat(filepath.Join(dir, crowdGo))
		return err == nil
	})
	start := time.Now()
	if err == nil {
		err = until(func() bool { return time.Since(start) > window })
	}
	if err == nil {
		err = load.roundTrip()
	}
	fmt.Fprintln(out, "alive", load.total.sent, load.total.received)
	if err == nil {
		err = until(func() bool { return false })
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}
