package module

import (
	"slices"
	"sync"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// presence knows who is in which world, and tells the subscribers of a world's presence subject on this node who came and
// went, here and with other nodes. A name is present while at least one connection speaks as it. Changes are gathered for a
// moment and sent as one push; a name that came and went within it is not mentioned.
//
// Each node tells its own clients, and only what it knows by then: a client that has heard of a name finds it in every
// later answer.
type presence struct {
	bus   broker.Bus // keeps presence subjects on this node
	batch time.Duration
	names int // above so many names a push tells the count only

	mu       sync.Mutex
	closed   bool
	sessions map[uint64]place
	worlds   map[string]*world
	nodes    *neighbours // nil: this node is alone
	out      []telling   // not yet published, in the order in which they became true
	sending  bool        // somebody publishes what is in out
}

// place is where a session is.
type place struct{ world, name string }

// world is the presence of one world.
type world struct {
	members map[string]int       // name -> connections, of this node
	others  map[string]neighbour // by node
	due     bool                 // tell will be called
	told    map[string]bool      // names that changed since the last push -> whether they were present before
	crowd   bool                 // some changed since whose names another node does not tell
	news    bool                 // members changed since: other nodes are to be told
}

// telling is a message on its way out.
type telling struct {
	subject string
	data    []byte
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
	was, before := w.present(at.name), w.members[at.name]
	if after := before + by; after > 0 {
		w.members[at.name] = after
	} else {
		delete(w.members, at.name)
	}
	if (before > 0) == (before+by > 0) || p.closed {
		return
	}
	w.news = true
	w.changed(at.name, was)
	p.plan(at.world, w)
}

// changed notes a name whose presence may be another than at the last push. The caller holds mu.
func (w *world) changed(name string, before bool) {
	if w.told == nil {
		w.told = make(map[string]bool)
	}
	if _, noted := w.told[name]; !noted {
		w.told[name] = before
	}
}

// plan has the changes of a world told in a moment. The caller holds mu.
func (p *presence) plan(name string, w *world) {
	if !w.due {
		w.due = true
		time.AfterFunc(p.gather(w), func() { p.tell(name) })
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
	if w.news {
		p.toNodes(nodeNotice{Worlds: []nodeWorld{p.here(name, w)}})
	}
	if len(push.Joined)+len(push.Left) > 0 || crowded || w.crowd {
		p.toClients(&push)
	}
	w.due, w.told, w.crowd, w.news = false, nil, false, false
	p.tidy(name, w)
	p.mu.Unlock()
	p.send()
}

// toClients is to bring a change to those who follow the world's presence on this node, with the next send. The caller
// holds mu.
func (p *presence) toClients(push *presencePush) {
	if p.closed {
		return
	}
	p.out = append(p.out, telling{protocol.PresenceSubject(push.World), protocol.AppendPush(nil, "/chat/presence", encoded(push))})
}

// send publishes what waits, in its order, unless somebody is at it. The caller does not hold mu.
func (p *presence) send() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sending {
		return
	}
	for p.sending = true; len(p.out) > 0; {
		out := p.out
		p.out = nil
		p.mu.Unlock()
		for _, one := range out {
			p.bus.Publish(one.subject, one.data, broker.Keep{}, nil)
		}
		p.mu.Lock()
	}
	p.sending = false
}

// changes sorts the noted names into those that came and those that went.
func (w *world) changes() (joined, left []string) {
	for name, before := range w.told {
		switch now := w.present(name); {
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

// close stops pushes, and tells other nodes that this one ends.
func (p *presence) close() {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	n := p.nodes
	if n == nil || !first {
		p.mu.Unlock()
		return
	}
	p.addressed(nodeNotice{Bye: true})
	p.mu.Unlock()
	n.timer.Stop()
	n.end()
	p.send()
}
