package gate

import (
	"gosper/edge"
	"gosper/edge/module"
	"gosper/protocol"
)

// Worker is the door of workers' replies.
type Worker struct{ gate *Gate }

// desk is the state of one worker's connection, owned by its loop.
type desk struct{ seen int }

// Name returns "gate_worker".
func (*Worker) Name() string { return "gate_worker" }

// Open waits for replies.
func (*Worker) Open(s *edge.Session, _ *edge.AdoptInfo) {
	s.SetFormat(edge.FormatLine)
	s.Trust()
	s.State = &desk{}
}

// Frames takes the replies at the start of b.
func (d *Worker) Frames(s *edge.Session, b []byte) (n int) {
	k, ok := s.State.(*desk)
	if !ok || s.Closing() {
		return len(b)
	}
	most := s.Limits().GateReplyBytes
	for n < len(b) && !s.Closing() {
		line, size := cutLine(b[n:], &k.seen)
		if size > most || size == 0 && len(b)-n >= most {
			edge.LimitHit("gate_reply_bytes")
			s.Kill("line_too_long")
			return n
		}
		if size == 0 {
			return n
		}
		n += size
		if !d.gate.reply(line) {
			s.Strike(protocol.CloseAbuse, "bad_reply")
		}
	}
	if s.Closing() {
		return len(b)
	}
	return n
}

// reply gives the reply of a worker to its client. good is false for one that breaks the protocol; a late one, or one to a
// job of somebody else, does not: it is counted.
func (g *Gate) reply(line []byte) (good bool) {
	id, json, err := protocol.ParseJob(line)
	if err != nil {
		replies.malformed.Inc()
		return false
	}
	j := g.jobs.take(id)
	if j == nil {
		replies.unknown.Inc()
		return true
	}
	g.unqueue(j)
	res, err := protocol.ParseGateResponse(json)
	if err != nil {
		replies.bad.Inc()
		g.log.Warn("gate: a worker's reply is no response", "function", j.function)
		j.done(module.Reply{Status: protocol.StatusProgramming, Message: messageProgram})
		return false
	}
	replies.taken.Inc()
	countAnswer(res.Status)
	j.visit.raw = oneLine(json)
	j.done(module.Reply{})
	return true
}

// oneLine returns a copy of valid JSON without the line ends that may stand between its parts.
func oneLine(json []byte) []byte {
	b := append([]byte(nil), json...)
	for i, c := range b {
		if c == '\n' || c == '\r' {
			b[i] = ' '
		}
	}
	return b
}

// Needed keeps a worker connected while a drain lets clients be answered.
func (d *Worker) Needed(*edge.Session) bool { return d.gate.Busy() }

// Reply is not used: a worker calls nothing.
func (*Worker) Reply(*edge.Session, *edge.Request, *module.Reply) {}

// Goodbye says nothing: the port has no word for it.
func (*Worker) Goodbye(*edge.Session, protocol.CloseCode) (answered bool) { return false }

// Beats is false: dead peers are found by TCP keep-alive.
func (*Worker) Beats() bool { return false }

// Beat does nothing.
func (*Worker) Beat(*edge.Session) {}

// TooSlow is 0: a reply that does not end is closed without a word.
func (*Worker) TooSlow() protocol.CloseCode { return 0 }
