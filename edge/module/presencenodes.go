package module

import (
	"encoding/json"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// Nodes that share a bus tell each other who is with them: the names of a world whenever they change, and again from time
// to time. A node that is not heard of for nodeSilence is taken for dead, and so are its connections.

const (
	nodeRepeat  = 10 * time.Second // between two tellings of a world that does not change
	nodeSilence = 35 * time.Second // three tellings may get lost
)

// nodesPattern matches the subjects on which nodes tell each other. No client can follow them.
const nodesPattern = "nodes.presence"

const nodesRoute = "/nodes/presence"

// neighbours is what a node knows of the others. The lock of presence guards it.
type neighbours struct {
	origin string // of this node
	heard  map[string]time.Time
	timer  *time.Timer
	end    func() // of the subscription
}

// neighbour is who is in a world by what another node told.
type neighbour struct {
	names map[string]bool // nil when they are too many
	count int
}

// nodeNotice is the content of a telling.
type nodeNotice struct {
	Origin string      `json:"origin"`
	Hello  bool        `json:"hello,omitempty"` // it knows nothing of others: tell it
	Bye    bool        `json:"bye,omitempty"`   // it ends
	All    bool        `json:"all,omitempty"`   // nobody is in worlds that are not named
	Worlds []nodeWorld `json:"worlds,omitempty"`
}

// nodeWorld is one world of a telling. Names are missing when they are too many.
type nodeWorld struct {
	World string   `json:"world"`
	Count int      `json:"count"`
	Names []string `json:"names,omitempty"`
}

// meet begins to exchange presence with other nodes.
func (p *presence) meet(origin string) error {
	n := &neighbours{origin: origin, heard: make(map[string]time.Time)}
	subscription, err := p.bus.Subscribe(nodesPattern, broker.Handler{Message: p.hear, Gap: func(string) { p.greet() }})
	if err != nil {
		return err
	}
	n.end = subscription.Unsubscribe
	p.mu.Lock()
	p.nodes = n
	n.timer = time.AfterFunc(nodeRepeat, p.repeat)
	p.mu.Unlock()
	p.greet()
	return nil
}

// greet asks the others who is with them, and tells who is here.
func (p *presence) greet() {
	p.mu.Lock()
	p.toNodes(nodeNotice{Hello: true, All: true, Worlds: p.allHere()})
	p.mu.Unlock()
	p.send()
}

// repeat tells everything again, and forgets nodes that were silent for too long.
func (p *presence) repeat() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.toNodes(nodeNotice{All: true, Worlds: p.allHere()})
	for origin, at := range p.nodes.heard {
		if time.Since(at) > nodeSilence {
			p.forget(origin)
		}
	}
	p.nodes.timer.Reset(nodeRepeat)
	p.mu.Unlock()
	p.send()
}

// allHere lists the worlds with members on this node. The caller holds mu.
func (p *presence) allHere() (worlds []nodeWorld) {
	for name, w := range p.worlds {
		if len(w.members) > 0 {
			worlds = append(worlds, p.here(name, w))
		}
	}
	return worlds
}

// here says who is in a world on this node. The caller holds mu.
func (p *presence) here(name string, w *world) nodeWorld {
	told := nodeWorld{World: name, Count: len(w.members)}
	if told.Count <= p.names {
		for member := range w.members {
			told.Names = append(told.Names, member)
		}
	}
	return told
}

// toNodes is to tell the other nodes, if there may be any, with the next send. The caller holds mu.
func (p *presence) toNodes(notice nodeNotice) {
	if p.nodes != nil && !p.closed {
		p.addressed(notice)
	}
}

// addressed is toNodes also while this node ends.
func (p *presence) addressed(notice nodeNotice) {
	notice.Origin = p.nodes.origin
	p.out = append(p.out, telling{nodesPattern, protocol.AppendPush(nil, nodesRoute, encoded(notice))})
}

// hear takes a telling of another node. It does not block.
func (p *presence) hear(m *broker.Message) {
	push, err := protocol.ParsePush(m.Data)
	var notice nodeNotice
	if err != nil || push.Route != nodesRoute || json.Unmarshal(push.Content, &notice) != nil {
		return
	}
	p.mu.Lock()
	if p.closed || p.nodes == nil || notice.Origin == p.nodes.origin {
		p.mu.Unlock()
		return
	}
	if notice.Bye {
		p.forget(notice.Origin)
	} else {
		p.nodes.heard[notice.Origin] = time.Now()
		for _, told := range notice.Worlds {
			p.note(notice.Origin, told)
		}
		if notice.All {
			p.forgetWorlds(notice.Origin, notice.Worlds)
		}
	}
	if notice.Hello {
		p.toNodes(nodeNotice{All: true, Worlds: p.allHere()})
	}
	p.mu.Unlock()
	p.send()
}

// note keeps what a node told of a world, and has the clients here told of what that changes. The caller holds mu.
func (p *presence) note(origin string, told nodeWorld) {
	w := p.worlds[told.World]
	if w == nil {
		if told.Count == 0 {
			return
		}
		w = &world{members: make(map[string]int)}
		p.worlds[told.World] = w
	}
	before, there := w.others[origin], told.neighbour()
	changed := w.differ(before, there)
	switch {
	case told.Count == 0:
		delete(w.others, origin)
	case w.others == nil:
		w.others = map[string]neighbour{origin: there}
	default:
		w.others[origin] = there
	}
	if changed {
		p.plan(told.World, w)
	}
	p.tidy(told.World, w)
}

// neighbour is what is kept of a telling.
func (told *nodeWorld) neighbour() neighbour {
	there := neighbour{count: told.Count}
	if len(told.Names) == told.Count {
		there.names = make(map[string]bool, told.Count)
		for _, name := range told.Names {
			there.names[name] = true
		}
	}
	return there
}

// differ notes what a node's new telling changes, and says whether that is anything. It is called before the change. The
// caller holds mu.
func (w *world) differ(before, after neighbour) bool {
	changed := false
	note := func(names, other map[string]bool) {
		for name := range names {
			if !other[name] {
				w.changed(name, w.present(name))
				changed = true
			}
		}
	}
	note(before.names, after.names)
	note(after.names, before.names)
	if before.count != after.count && !changed {
		w.crowd, changed = true, true
	}
	return changed
}

// forgetWorlds forgets what a node told of worlds that it did not name when it told everything. The caller holds mu.
func (p *presence) forgetWorlds(origin string, told []nodeWorld) {
	named := make(map[string]bool, len(told))
	for i := range told {
		named[told[i].World] = true
	}
	for name, w := range p.worlds {
		if _, known := w.others[origin]; known && !named[name] {
			p.note(origin, nodeWorld{World: name})
		}
	}
}

// forget takes a node out. The caller holds mu.
func (p *presence) forget(origin string) {
	delete(p.nodes.heard, origin)
	p.forgetWorlds(origin, nil)
}

// tidy forgets a world that nobody is in. The caller holds mu.
func (p *presence) tidy(name string, w *world) {
	if len(w.members) == 0 && len(w.others) == 0 && !w.due {
		delete(p.worlds, name)
	}
}

// elsewhere says whether a name is in the world with another node.
func (w *world) elsewhere(name string) bool {
	for _, there := range w.others {
		if there.names[name] {
			return true
		}
	}
	return false
}

// present says whether a name is in the world.
func (w *world) present(name string) bool { return w.members[name] > 0 || w.elsewhere(name) }

// count returns how many names are in the world. A name with several nodes counts once as far as names are known.
func (w *world) count() int {
	n := len(w.members)
	seen := make(map[string]bool)
	for _, there := range w.others {
		if there.names == nil {
			n += there.count
		}
		for name := range there.names {
			if w.members[name] == 0 && !seen[name] {
				seen[name] = true
				n++
			}
		}
	}
	return n
}

// union is every name that is known to be in the world.
func (w *world) union() map[string]bool {
	all := make(map[string]bool, len(w.members))
	for name := range w.members {
		all[name] = true
	}
	for _, there := range w.others {
		for name := range there.names {
			all[name] = true
		}
	}
	return all
}
