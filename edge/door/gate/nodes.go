package gate

import (
	"bytes"

	"gosper/broker"
	"gosper/protocol"
)

// Nodes that share a queue share its workers, and a worker may know the worker port of one gate only. So a reply that is none of this
// gate's goes to the others over the bus: the one that has the job takes it.

// repliesSubject is where gates hand on replies. No client can follow it.
const repliesSubject = "nodes.gate.replies"

// follow begins to hear what other gates hand on.
func (g *Gate) follow() {
	sub, err := g.config.Bus.Subscribe(repliesSubject, broker.Handler{Message: func(m *broker.Message) { g.heard(m.Data) }})
	if err != nil {
		g.log.Error("gate: replies that workers give to other gates are not heard", "error", err)
		return
	}
	g.work.Go(func() {
		<-g.end.Done()
		sub.Unsubscribe()
	})
}

// heard takes a reply that another gate has handed on. It does not block.
func (g *Gate) heard(line []byte) {
	id, _, err := protocol.ParseJob(line)
	if err != nil {
		return
	}
	if j := g.jobs.take(id); j != nil {
		g.taken(j, line)
	}
}

// handOn gives a reply that is none of this gate's to the others; false when there are none.
func (g *Gate) handOn(line []byte) bool {
	if g.config.Bus == nil {
		return false
	}
	replies.passed.Inc()
	g.config.Bus.Publish(repliesSubject, bytes.Clone(line), broker.Keep{}, nil)
	return true
}
