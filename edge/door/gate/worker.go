package gate

import (
	"time"

	"gosper/edge"
	"gosper/edge/module"
	"gosper/protocol"
)

// Worker is the door of workers' replies.
type Worker struct{ gate *Gate }

// desk is the state of one worker's connection, owned by its loop.
type desk struct {
	seen   int // bytes in which no line end was found
	strays int // replies to nobody since the alarm was set
}

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
	for n < len(b) && !s.Closing() && !s.Paused() {
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
		switch d.gate.reply(line) {
		case replyBad:
			s.Strike(protocol.CloseAbuse, "bad_reply")
		case replyStray:
			k.stray(s)
		}
	}
	if s.Closing() {
		return len(b)
	}
	return n
}

// stray counts a reply to nobody. Late ones are common, many are a flood: then the connection is not read for the rest of
// the second, and one that sends on meanwhile meets the limit held_in.
func (k *desk) stray(s *edge.Session) {
	if k.strays++; k.strays == 1 {
		s.SetAlarm(time.Second)
	}
	if k.strays >= s.Limits().GateStrays {
		edge.LimitHit("gate_strays")
		s.Pause()
	}
}

// Alarm begins a new second.
func (*Worker) Alarm(s *edge.Session) {
	if k, ok := s.State.(*desk); ok {
		k.strays = 0
		s.Resume()
	}
}

// outcome is what became of a reply.
type outcome uint8

const (
	replyTaken outcome = iota
	replyStray         // nobody waits: it came late, or is to a job of somebody else
	replyBad           // it breaks the protocol
)

// reply gives the reply of a worker to its client.
func (g *Gate) reply(line []byte) outcome {
	id, _, err := protocol.ParseJob(line)
	if err != nil {
		replies.malformed.Inc()
		return replyBad
	}
	j := g.jobs.take(id)
	switch {
	case j != nil:
		return g.taken(j, line)
	case g.handOn(line):
		return replyTaken
	}
	replies.unknown.Inc()
	return replyStray
}

// taken answers the client of a job with the reply of a worker.
func (g *Gate) taken(j *job, line []byte) outcome {
	g.unqueue(j)
	_, json, _ := protocol.ParseJob(line) // it was read before
	res, err := protocol.ParseGateResponse(json)
	if err != nil {
		replies.bad.Inc()
		g.log.Warn("gate: a worker's reply is no response", "function", j.function)
		j.done(module.Reply{Status: protocol.StatusProgramming, Message: messageProgram})
		return replyBad
	}
	replies.taken.Inc()
	countAnswer(res.Status)
	j.visit.raw = oneLine(json)
	j.done(module.Reply{})
	return replyTaken
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
