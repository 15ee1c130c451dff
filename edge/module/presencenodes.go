package module

import (
	"encoding/json"
	"slices"
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
	notice := nodeNotice{Hello: true, All: true, Worlds: p.allHere()}
	p.mu.Unlock()
	p.send(notice)
}

// repeat tells everything again, and forgets nodes that were silent for too long.
func (p *presence) repeat() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	notice := nodeNotice{All: true, Worlds: p.allHere()}
	var pushes []presencePush
	for origin, at := range p.nodes.heard {
		if time.Since(at) > nodeSilence {
			pushes = append(pushes, p.forget(origin)...)
		}
	}
	p.nodes.timer.Reset(nodeRepeat)
	p.mu.Unlock()
	p.send(notice)
	for i := range pushes {
		p.push(&pushes[i])
	}
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

// send tells the other nodes, if there may be any.
func (p *presence) send(notice nodeNotice) {
	p.mu.Lock()
	n := p.nodes
	p.mu.Unlock()
	if n == nil {
		return
	}
	notice.Origin = n.origin
	p.bus.Publish(nodesPattern, protocol.AppendPush(nil, nodesRoute, encoded(notice)), broker.Keep{}, nil)
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
	var pushes []presencePush
	if notice.Bye {
		pushes = p.forget(notice.Origin)
	} else {
		p.nodes.heard[notice.Origin] = time.Now()
		if notice.All {
			p.forgetWorlds(notice.Origin)
		}
		for _, told := range notice.Worlds {
			p.note(notice.Origin, told)
		}
	}
	answer := nodeNotice{All: true}
	if notice.Hello {
		answer.Worlds = p.allHere()
	}
	p.mu.Unlock()
	if notice.Hello {
		p.send(answer)
	}
	for i := range pushes {
		p.push(&pushes[i])
	}
}

// note keeps what a node told of a world. The caller holds mu.
func (p *presence) note(origin string, told nodeWorld) {
	w := p.worlds[told.World]
	if told.Count == 0 {
		if w != nil {
			delete(w.others, origin)
			p.tidy(told.World, w)
		}
		return
	}
	if w == nil {
		w = &world{members: make(map[string]int)}
		p.worlds[told.World] = w
	}
	if w.others == nil {
		w.others = make(map[string]neighbour)
	}
	there := neighbour{count: told.Count}
	if len(told.Names) == told.Count {
		there.names = make(map[string]bool, told.Count)
		for _, name := range told.Names {
			there.names[name] = true
		}
	}
	w.others[origin] = there
}

// forgetWorlds forgets what a node told before it tells everything. The caller holds mu.
func (p *presence) forgetWorlds(origin string) {
	for name, w := range p.worlds {
		delete(w.others, origin)
		p.tidy(name, w)
	}
}

// forget takes a node out, and returns what is to be told of it: one of the nodes that are left does. The caller holds
// mu.
func (p *presence) forget(origin string) (pushes []presencePush) {
	delete(p.nodes.heard, origin)
	speaker := true // this node has the lowest name of those that are left
	for other := range p.nodes.heard {
		speaker = speaker && p.nodes.origin < other
	}
	for name, w := range p.worlds {
		there, ok := w.others[origin]
		if !ok {
			continue
		}
		delete(w.others, origin)
		push := presencePush{World: name}
		for member := range there.names {
			if !w.present(member) {
				push.Left = append(push.Left, member)
			}
		}
		slices.Sort(push.Left)
		push.Count = w.count()
		p.tidy(name, w)
		if speaker && (len(push.Left) > 0 || there.names == nil) {
			pushes = append(pushes, push)
		}
	}
	return pushes
}

// tidy forgets a world that nobody is in. The caller holds mu.
func (p *presence) tidy(name string, w *world) {
	if len(w.members) == 0 && len(w.others) == 0 && w.told == nil {
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
