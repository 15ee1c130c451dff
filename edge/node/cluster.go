package node

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"time"

	"gosper/edge"
	"gosper/edge/cluster"
	"gosper/edge/module"
	"gosper/grid/game"
)

// clusterOptions are those of games across nodes.
type clusterOptions struct {
	ClusterAddr      string        // for links from other nodes; "": a free port of this machine, when there is a shared store
	ClusterAdvertise string        // what other nodes dial; "": ClusterAddr
	ClusterLease     time.Duration // a node that is silent for so long is dead
}

// newCluster makes this node one of those that share the games of a store; nothing when it is alone.
func (n *Node) newCluster() error {
	o := &n.options
	if n.state == nil {
		return nil
	}
	secret, err := loadSecret(o)
	if err != nil {
		return err
	}
	key := hmac.New(sha256.New, secret)
	key.Write([]byte("gosper links between nodes"))
	life := make([]byte, nameRandom) // a process that comes back is another one: it has none of the games of the one before
	rand.Read(life)
	n.cluster, err = cluster.New(cluster.Options{Node: n.name + "-" + hex.EncodeToString(life), Replaces: n.name + "-", Listen: o.ClusterAddr,
		Advertise: o.ClusterAdvertise, Key: key.Sum(nil), Store: n.store, Guest: !o.has(RoleGame), Lease: o.ClusterLease, Log: n.log})
	if err == nil && o.ClusterAddr == "" {
		n.log.Warn("games of this node are only reached by nodes on this machine: give it an address for the others with --cluster-addr")
	}
	return err
}

// frames takes the frames of the games of this node.
func (n *Node) frames() module.FrameSink {
	if n.cluster != nil {
		return n.cluster
	}
	return n.streams
}

// shareGames fills in what makes a host one of several.
func (n *Node) shareGames(c *game.Config) {
	if n.cluster != nil {
		c.Node, c.Left = n.cluster.Node(), n.cluster.Left
	}
}

// watchable is what sessions watch.
func (n *Node) watchable() edge.StreamSource {
	if n.cluster != nil {
		return n.cluster
	}
	return n.games
}

// gameNodes are the other nodes with games, for functions; nil without.
func (n *Node) gameNodes() module.GameNodes {
	if n.cluster != nil {
		return n.cluster
	}
	return nil
}

// startCluster makes this node known to the others, and lets it take over games.
func (n *Node) startCluster(ctx context.Context) error {
	if n.cluster == nil {
		return nil
	}
	if err := n.cluster.Start(ctx, n.games, n.streams, n.table.ServeNode); err != nil {
		return err
	}
	n.log.Info("games are shared", "node", n.cluster.Node(), "addr", n.cluster.Addr())
	return nil
}

// drainGames hands the games of this node to others.
func (n *Node) drainGames(ctx context.Context) {
	if n.cluster == nil {
		return
	}
	begin := time.Now()
	if left, err := n.cluster.Drain(ctx); left > 0 || err != nil {
		n.log.Warn("games are left, which other nodes take over when this one has ended", "games", left, "err", err)
		return
	}
	n.log.Info("games are handed over", "took", time.Since(begin))
}

// closeGames stops the games of this node where they are, and says good-bye to the other nodes.
func (n *Node) closeGames() error {
	var errs []error
	if n.games != nil {
		errs = append(errs, n.games.Close()) // notes in each log where its game is
	}
	if n.cluster != nil {
		errs = append(errs, n.cluster.Close())
	}
	return errors.Join(errs...)
}

// bindCluster describes the options of games across nodes.
func (o *Options) bindCluster(b *binder) {
	b.text(&o.ClusterAddr, "cluster-addr", "address for links from other nodes that share the store, over which games are played and watched: a private network; empty: a free port for nodes of this machine")
	b.text(&o.ClusterAdvertise, "cluster-advertise", "the address that other nodes dial; empty: that of cluster-addr")
	b.time(&o.ClusterLease, "cluster-lease", "a node that the others have not heard of for so long is dead, and its games are taken over")
}

func (o *Options) checkCluster() error {
	for _, a := range []struct{ name, addr string }{{"cluster-addr", o.ClusterAddr}, {"cluster-advertise", o.ClusterAdvertise}} {
		if a.addr == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	host, _, _ := net.SplitHostPort(o.ClusterAddr)
	if ip := net.ParseIP(host); o.ClusterAddr != "" && o.ClusterAdvertise == "" && (host == "" || ip != nil && ip.IsUnspecified()) && o.Store != "" {
		return errors.New("cluster-advertise: other nodes need an address to dial, which that of all interfaces is not")
	}
	if o.ClusterLease < 500*time.Millisecond || o.ClusterLease > time.Minute {
		return errors.New("cluster-lease: must be 500ms to 1m")
	}
	return nil
}
