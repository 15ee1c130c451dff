package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"gosper/broker"
)

// nodePrefix is where the Store has the records of nodes: under it and the id.
const nodePrefix = "node/"

// nodeRecord is what a node tells the others.
type nodeRecord struct {
	Addr     string `json:"addr"`
	Beat     uint64 `json:"beat"`
	Games    int    `json:"games"`
	Free     int64  `json:"free"` // bytes of memory for grids
	Draining bool   `json:"draining,omitempty"`
}

// member is another node.
type member struct {
	nodeRecord
	revision uint64
	seen     time.Time // when its record was seen to change
	alive    bool
	placed   int // games that were sent there since its last beat
}

// members are the other nodes, as their records tell.
type members struct {
	cluster *Cluster

	mu     sync.RWMutex
	list   map[string]*member
	looked time.Time            // when the records were read last
	doubts map[string]time.Time // names in records of games that are no members: since when
}

func newMembers(c *Cluster) *members {
	return &members{cluster: c, list: map[string]*member{}, doubts: map[string]time.Time{}}
}

// Member describes another node.
type Member struct {
	Node, Addr string
	Games      int
	Free       int64 // bytes of memory for grids
	Alive      bool
	Linked     bool
	Draining   bool
}

// Members lists the other nodes by name.
func (c *Cluster) Members() []Member {
	c.members.mu.RLock()
	defer c.members.mu.RUnlock()
	list := make([]Member, 0, len(c.members.list))
	for name, m := range c.members.list {
		list = append(list, Member{Node: name, Addr: m.Addr, Games: m.Games, Free: m.Free, Alive: m.alive, Linked: c.links.get(name) != nil, Draining: m.Draining})
	}
	slices.SortFunc(list, func(a, b Member) int { return strings.Compare(a.Node, b.Node) })
	return list
}

// beat writes this node's record and reads the others'. It reports whether both worked.
func (m *members) beat(ctx context.Context, self *nodeRecord) error {
	ctx, cancel := context.WithTimeout(ctx, m.cluster.options.Lease/3)
	defer cancel()
	begin := time.Now()
	value, err := json.Marshal(self)
	if err != nil {
		return err
	}
	if _, err := m.cluster.options.Store.Put(ctx, nodePrefix+m.cluster.options.Node, value); err != nil {
		return fmt.Errorf("this node's record: %w", err)
	}
	m.cluster.renewed(begin)
	return m.look(ctx)
}

// look reads all records.
func (m *members) look(ctx context.Context) error {
	var all []broker.Record
	for after := ""; ; {
		const page = 256
		records, err := m.cluster.options.Store.List(ctx, nodePrefix, after, page)
		if err != nil {
			return fmt.Errorf("records of nodes: %w", err)
		}
		all = append(all, records...)
		if len(records) < page {
			break
		}
		after = records[page-1].Key
	}
	m.update(all, time.Now())
	return nil
}

// update judges the members by their records. What was not looked at for long says nothing: everybody gets a new lease.
func (m *members) update(records []broker.Record, now time.Time) {
	c := m.cluster
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.looked) > c.options.Lease/2 {
		for _, one := range m.list {
			one.seen = now
		}
		clear(m.doubts)
	}
	m.looked = now
	there := make(map[string]bool, len(records))
	for _, r := range records {
		name := r.Key[len(nodePrefix):]
		if name == c.options.Node || !validNode(name) {
			continue
		}
		there[name] = true
		m.see(name, &r, now)
	}
	for name, one := range m.list {
		switch {
		case !there[name]: // it has said good-bye
			c.options.Log.Info("a node has left", "node", name)
			delete(m.list, name)
			m.doubts[name] = now.Add(-c.options.Lease - 1)
		case one.alive && now.Sub(one.seen) > c.options.Lease:
			one.alive = false
			c.options.Log.Warn("a node is taken for dead", "node", name, "silent", now.Sub(one.seen))
		}
	}
	for name, since := range m.doubts {
		if now.Sub(since) > 20*c.options.Lease {
			delete(m.doubts, name)
		}
	}
}

// see takes one record. REQUIRES: mu.
func (m *members) see(name string, r *broker.Record, now time.Time) {
	one := m.list[name]
	if one == nil {
		one = &member{}
		m.list[name] = one
		delete(m.doubts, name)
	}
	if r.Revision == one.revision {
		return
	}
	var rec nodeRecord
	if err := json.Unmarshal(r.Value, &rec); err != nil {
		m.cluster.options.Log.Warn("a record among the nodes is none", "node", name, "err", err)
		return
	}
	if !one.alive {
		m.cluster.options.Log.Info("a node is there", "node", name, "addr", rec.Addr)
	}
	one.nodeRecord, one.revision, one.seen, one.alive, one.placed = rec, r.Revision, now, true, 0
}

// dead says whether a node that a record names runs no games. A name that no record of a node has, has a lease from when it was
// asked for first: its record may be on its way.
func (m *members) dead(name string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one := m.list[name]; one != nil {
		return !one.alive
	}
	if before := m.cluster.options.Replaces; before != "" && strings.HasPrefix(name, before) {
		return true
	}
	first, ok := m.doubts[name]
	if !ok {
		m.doubts[name] = now
		return false
	}
	return now.Sub(first) > m.cluster.options.Lease
}

// alive lists the living, with what they told last.
func (m *members) alive() map[string]member {
	m.mu.RLock()
	defer m.mu.RUnlock()
	list := make(map[string]member, len(m.list))
	for name, one := range m.list {
		if one.alive {
			list[name] = *one
		}
	}
	return list
}

// current says whether the records were read a moment ago, so that judgements count.
func (m *members) current(now time.Time) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return now.Sub(m.looked) <= m.cluster.options.Lease/2
}

// place counts a game that is sent to a node.
func (m *members) place(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one := m.list[name]; one != nil {
		one.placed++
	}
}

// bury removes the records of processes that this one replaces, so that nobody waits for their leases to end.
func (m *members) bury(ctx context.Context) error {
	o := &m.cluster.options
	if o.Replaces == "" {
		return nil
	}
	records, err := o.Store.List(ctx, nodePrefix+o.Replaces, "", 256)
	for _, r := range records {
		if err == nil {
			err = o.Store.Delete(ctx, r.Key, broker.AnyRevision)
		}
	}
	return err
}
