package module

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// presence knows who is in which world, and tells the subscribers of a world's presence subject who came and went.
// A name is present while at least one connection speaks as it. Changes are gathered for a moment and sent as one
// push; a name that came and went within it is not mentioned.
type presence struct {
	bus   broker.Bus
	batch time.Duration
	names int // above so many names a push tells the count only

	mu       sync.Mutex
	closed   bool
	sessions map[uint64]place
	worlds   map[string]*world
	nodes    *neighbours // nil: this node is alone
}

// place is where a session is.
type place struct{ world, name string }

// world is the presence of one world.
type world struct {
	members map[string]int       // name -> connections, of this node
	others  map[string]neighbour // by node
	told    map[string]bool      // names that changed since the last push -> whether they were present before
}

// presencePush is the content of a push on a presence subject.
type presencePush struct {
	World  string   `json:"world"`
	Joined []string `json:"joined,omitempty"`
	Left   []string `json:"left,omitempty"`
	Count  int      `json:"count"`
}

func newPresence(bus broker.Bus, batch time.Duration, names int) *presence {
	return &presence{bus: bus, batch: batch, names: names,
		sessions: make(map[uint64]place), worlds: make(map[string]*world)}
}

// joined notes that a session is in who's world, and no longer where it was. It may be called on a loop.
func (p *presence) joined(session uint64, who Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := place{who.World, who.Name}
	before, was := p.sessions[session]
	if was && before == now {
		return
	}
	if was {
		p.change(before, -1)
	}
	if now.world == "" || now.name == "" {
		delete(p.sessions, session)
		return
	}
	p.sessions[session] = now
	p.change(now, +1)
}

// left notes that a session is gone. It may be called on a loop.
func (p *presence) left(session uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if before, was := p.sessions[session]; was {
		delete(p.sessions, session)
		p.change(before, -1)
	}
}

// change counts one connection of a name up or down. The caller holds mu.
func (p *presence) change(at place, by int) {
	w := p.worlds[at.world]
	if w == nil {
		w = &world{members: make(map[string]int)}
		p.worlds[at.world] = w
	}
	before := w.members[at.name]
	if after := before + by; after > 0 {
		w.members[at.name] = after
	} else {
		delete(w.members, at.name)
	}
	if (before > 0) == (before+by > 0) || p.closed {
		return
	}
	if w.told == nil {
		w.told = make(map[string]bool)
		time.AfterFunc(p.gather(w), func() { p.tell(at.world) })
	}
	if _, noted := w.told[at.name]; !noted {
		w.told[at.name] = before > 0
	}
}

// crowdBatches is how many batches make one in a world too full to tell names: a push goes to very many there, and says a
// number only.
const crowdBatches = 10

// gather returns how long the changes of a world are gathered. The caller holds mu.
func (p *presence) gather(w *world) time.Duration {
	if w.count() > p.names {
		return crowdBatches * p.batch
	}
	return p.batch
}

// tell sends the changes of a world since the last time.
func (p *presence) tell(name string) {
	p.mu.Lock()
	w := p.worlds[name]
	push := presencePush{World: name, Count: w.count()}
	crowded := push.Count > p.names
	if !crowded {
		push.Joined, push.Left = w.changes()
	}
	changed := len(push.Joined)+len(push.Left) > 0 || crowded
	here := nodeNotice{Worlds: []nodeWorld{p.here(name, w)}}
	w.told = nil
	p.tidy(name, w)
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return
	}
	p.send(here)
	if changed {
		p.push(&push)
	}
}

// push sends a change to those who follow the world's presence.
func (p *presence) push(push *presencePush) {
	name := push.World
	content, err := json.Marshal(push)
	if err != nil {
		return // strings and a number always encode
	}
	p.bus.Publish(protocol.PresenceSubject(name), protocol.AppendPush(nil, "/chat/presence", content), broker.Keep{}, nil)
}

// changes sorts the noted names into those that came and those that went. A name that is with another node too has done
// neither.
func (w *world) changes() (joined, left []string) {
	for name, before := range w.told {
		if w.elsewhere(name) {
			continue
		}
		switch now := w.members[name] > 0; {
		case now && !before:
			joined = append(joined, name)
		case !now && before:
			left = append(left, name)
		}
	}
	slices.Sort(joined)
	slices.Sort(left)
	return joined, left
}

// members returns the count of names in a world, and the names in order unless they are too many.
func (p *presence) members(name string) (count int, names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.worlds[name]
	if w == nil {
		return 0, nil
	}
	if count = w.count(); count > p.names {
		return count, nil
	}
	for name := range w.union() {
		names = append(names, name)
	}
	slices.Sort(names)
	return count, names
}

// count returns how many worlds have players.
func (p *presence) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.worlds)
}

// close stops pushes.
func (p *presence) close() {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	n := p.nodes
	p.mu.Unlock()
	if n == nil || !first {
		return
	}
	n.timer.Stop()
	n.end()
	p.send(nodeNotice{Bye: true})
}
