package node

import (
	"net"

	"gosper/broker/chain"
	"gosper/broker/event"
	"gosper/edge"
	"gosper/edge/door/websocket"
	"gosper/edge/module"
	"gosper/grid/game"
)

// openEvents makes what tells listeners that something has changed. A crash may have come between a change and its news, so
// it begins with the news that everything may have.
func (n *Node) openEvents() error {
	n.events = event.New(event.Options{Bus: n.bus, Log: n.log})
	n.events.Everything()
	n.listeners = websocket.NewEvents(n.log)
	return nil
}

// chainMoved tells listeners of a chain that has moved: its list, itself, and of its begin and end the numbers too.
func (n *Node) chainMoved(ev chain.Event) {
	n.recent.Note(ev.Hash)
	n.events.Process(ev.Hash, ev.Account)
	if ev.Order < 0 {
		n.events.ProcessCounts()
	}
}

// listen hands a connection of the events door to the engine.
func (n *Node) listen(c net.Conn, info edge.AdoptInfo) error {
	return n.engine.Adopt(c, n.listeners, info)
}

// gameSink tells listeners of games that their subscriptions, who plays in them and how they stand, have changed. Ticks are
// no notices: they tell nobody.
type gameSink struct {
	*module.GameSink
	events *event.Broadcaster
}

// Notice hands a notice on.
func (s *gameSink) Notice(n *game.Notice) {
	s.GameSink.Notice(n)
	s.events.Subscription(n.Info.ID.String())
}

// gameMade tells that there is a new game.
func (n *Node) gameMade(id game.ID) { n.events.Subscription(id.String()) }
