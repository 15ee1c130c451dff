package cluster

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// links are the connections to other nodes, one a node. Of two nodes the one with the smaller name dials.
type links struct {
	cluster *Cluster

	mu      sync.RWMutex
	up      map[string]*link
	dialing map[string]bool
	failing map[string]bool   // nodes that could not be reached the last time
	meeting map[net.Conn]bool // of nobody knows whom yet
	closed  bool
}

func newLinks(c *Cluster) *links {
	return &links{cluster: c, up: map[string]*link{}, dialing: map[string]bool{}, failing: map[string]bool{}, meeting: map[net.Conn]bool{}}
}

// get returns the link to a node, nil without one.
func (ls *links) get(node string) *link {
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	return ls.up[node]
}

// all lists the links.
func (ls *links) all() []*link {
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	list := make([]*link, 0, len(ls.up))
	for _, l := range ls.up {
		list = append(list, l)
	}
	return list
}

// accept takes links until the listener is closed.
func (ls *links) accept() {
	c := ls.cluster
	for {
		conn, err := c.server.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as too many open files: it passes
			c.options.Log.Warn("a link was not taken", "err", err)
			select {
			case <-c.ctx.Done():
				return
			case <-time.After(c.options.Beat):
			}
			continue
		}
		if !ls.meet(conn) {
			linksRefused.Inc()
			_ = conn.Close()
			continue
		}
		c.group.Go(func() {
			node, err := welcome(conn, c.options.Key, c.options.Node)
			ls.met(conn)
			if err != nil {
				linksRefused.Inc()
				if !errors.Is(err, io.EOF) { // a probe of a balancer
					c.options.Log.Warn("a link was refused", "from", conn.RemoteAddr(), "err", err)
				}
				_ = conn.Close()
				return
			}
			ls.serve(node, conn)
		})
	}
}

// meet counts a connection that has not shown who it is; false when there are too many, or too many links.
func (ls *links) meet(conn net.Conn) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed || len(ls.meeting) >= ls.cluster.options.Nodes || len(ls.up) > ls.cluster.options.Nodes {
		return false
	}
	ls.meeting[conn] = true
	return true
}

func (ls *links) met(conn net.Conn) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	delete(ls.meeting, conn)
}

// dial begins links to living nodes that there are none to.
func (ls *links) dial() {
	c := ls.cluster
	for node, m := range c.members.alive() {
		if c.options.Node > node || m.Addr == "" {
			continue
		}
		ls.mu.Lock()
		start := !ls.closed && !ls.dialing[node] && ls.up[node] == nil && len(ls.up) < c.options.Nodes
		if start {
			ls.dialing[node] = true
		}
		ls.mu.Unlock()
		if start {
			c.group.Go(func() { ls.reach(node, m.Addr) })
		}
	}
}

// reach dials a node, and after the link has ended waits a moment before the next beat may dial again.
func (ls *links) reach(node, addr string) {
	c := ls.cluster
	defer func() {
		ls.mu.Lock()
		delete(ls.dialing, node)
		ls.mu.Unlock()
	}()
	dialer := net.Dialer{Timeout: c.options.Lease / 2}
	conn, err := dialer.DialContext(c.ctx, "tcp", addr)
	if err == nil {
		if !ls.meet(conn) {
			_ = conn.Close()
			return
		}
		err = greet(conn, c.options.Key, c.options.Node, node)
		ls.met(conn)
		if err == nil {
			ls.serve(node, conn)
		} else {
			_ = conn.Close()
		}
	}
	ls.reached(node, addr, err)
	select {
	case <-c.ctx.Done():
	case <-time.After(rand.N(c.options.Beat)):
	}
}

// reached notes whether a node was reached, and reports the first of several failures.
func (ls *links) reached(node, addr string, err error) {
	if ls.cluster.ctx.Err() != nil {
		return
	}
	ls.mu.Lock()
	first := err != nil && !ls.failing[node]
	if err != nil {
		ls.failing[node] = true
		linkFailures.Inc()
	} else {
		delete(ls.failing, node)
	}
	ls.mu.Unlock()
	if first {
		ls.cluster.options.Log.Warn("a node could not be reached", "node", node, "addr", addr, "err", err)
	}
}

// serve runs a link until it ends. A new link to a node takes the place of an old one, which is half open then.
func (ls *links) serve(node string, conn net.Conn) {
	c := ls.cluster
	l := newLink(c, node, conn)
	ls.mu.Lock()
	old := ls.up[node]
	closed := ls.closed
	if !closed {
		ls.up[node] = l
	}
	ls.mu.Unlock()
	if closed {
		_ = conn.Close()
		return
	}
	if old != nil {
		old.close()
	}
	c.options.Log.Info("a link is up", "node", node, "addr", conn.RemoteAddr())
	c.wake()
	err := l.run()
	ls.mu.Lock()
	if ls.up[node] == l {
		delete(ls.up, node)
	}
	ls.mu.Unlock()
	c.streams.linkEnded(l)
	linksLost.Inc()
	if c.ctx.Err() == nil {
		c.options.Log.Warn("a link has ended", "node", node, "err", err)
	}
	c.wake()
}

// close ends all links and takes no more.
func (ls *links) close() {
	ls.mu.Lock()
	ls.closed = true
	for conn := range ls.meeting {
		_ = conn.Close()
	}
	up := ls.up
	ls.up = map[string]*link{}
	ls.mu.Unlock()
	for _, l := range up {
		l.close()
	}
}
