package gate

import (
	"bytes"
	"time"

	"gosper/edge"
	"gosper/edge/module"
	"gosper/protocol"
)

// Client is the door of clients.
type Client struct{ gate *Gate }

// visit is the state of one client. It is owned by the loop of its session, but raw, which whoever answers the job writes
// before the call is done.
type visit struct {
	seen  int // bytes in which no line end was found
	asked bool
	more  bool // bytes came behind the request
	began time.Time
	job   *job   // of a request that a worker answers
	raw   []byte // the answer of a worker
}

// Name returns "gate".
func (*Client) Name() string { return module.DoorGate }

// Open waits for the request.
func (*Client) Open(s *edge.Session, _ *edge.AdoptInfo) {
	s.SetFormat(edge.FormatLine)
	s.State = &visit{}
}

// Frames takes the request. What comes behind it is dropped.
func (d *Client) Frames(s *edge.Session, b []byte) (n int) {
	v, ok := s.State.(*visit)
	if !ok || s.Closing() {
		return len(b)
	}
	if v.asked {
		v.more = true
		return len(b)
	}
	lim := s.Limits()
	line, size := cutLine(b, &v.seen)
	if size == 0 && len(b) < lim.GateBytes {
		return 0
	}
	d.begin(s, v, lim)
	if size == 0 || size > lim.GateBytes {
		edge.LimitHit("gate_bytes")
		v.more = true
		d.answer(s, v, protocol.StatusProgramming, messageTooLong, nil)
		return len(b)
	}
	v.more = size < len(b)
	d.ask(s, v, line)
	return len(b)
}

// Messages of requests that the gate itself refuses.
const (
	messageTooLong   = "the request is too long for one line"
	messageMalformed = `malformed request: want {"world":"0","function":"<name>","data":{…}} on one line`
	messageTimedOut  = "timed out"
	messageUnknown   = "unknown function"
	messageBusy      = "server is busy, try again"
	messageTooBig    = "the request is too large for a worker"
	messageProgram   = "programming error"
)

// cutLine returns the line at the start of b without its CR LF, and its length with it: 0 when it has not ended. seen keeps
// how much was searched, so that a line in many pieces is searched once.
func cutLine(b []byte, seen *int) (line []byte, size int) {
	from := max(0, *seen-1) // the CR may have come last
	end := bytes.Index(b[from:], lineEnd)
	if end < 0 {
		*seen = len(b)
		return nil, 0
	}
	*seen = 0
	return b[:from+end], from + end + len(lineEnd)
}

var lineEnd = []byte("\r\n")

// begin notes that the client has asked: from here on it gets an answer.
func (d *Client) begin(s *edge.Session, v *visit, lim *edge.Limits) {
	v.asked, v.began = true, time.Now()
	d.gate.visits.Add(1)
	s.Trust()
	s.SetAlarm(lim.GateTimeout)
}

// ask has the request of a line answered.
func (d *Client) ask(s *edge.Session, v *visit, line []byte) {
	r, err := protocol.ParseGateRequest(line)
	if err != nil {
		requests.malformed.Inc()
		d.answer(s, v, protocol.StatusProgramming, messageMalformed, nil)
		return
	}
	req := edge.Request{Route: r.Function, Content: append([]byte(nil), r.Data...), Alone: true, World: r.World}
	if d.gate.config.Table.Has(r.Function) {
		requests.here.Inc()
	} else {
		requests.worker.Inc()
		v.job = &job{visit: v}
		req.Run = func(c *module.Call, done func(module.Reply)) { d.gate.forward(s, v.job, c, done) }
	}
	s.Call(req)
}

// Reply answers and closes.
func (d *Client) Reply(s *edge.Session, _ *edge.Request, rep *module.Reply) {
	v, ok := s.State.(*visit)
	if !ok {
		return
	}
	if v.raw != nil {
		b := s.Buffer()
		*b = append(append(*b, v.raw...), lineEnd...)
		d.leave(s, v, "worker")
		return
	}
	d.answer(s, v, rep.Status, rep.Message, rep.Content)
}

// answer writes the answer and closes.
func (d *Client) answer(s *edge.Session, v *visit, status protocol.Status, message string, data []byte) {
	b := s.Buffer()
	*b = protocol.AppendGateResponse(*b, status, message, data)
	countAnswer(status)
	d.leave(s, v, "here")
}

// leave closes behind an answer. The common client has sent its line and nothing else, and is closed in one go.
func (d *Client) leave(s *edge.Session, v *visit, by string) {
	took(by, time.Since(v.began))
	if v.more {
		s.End(protocol.CloseNormal, "answered")
		return
	}
	s.Finish("answered")
}

// Alarm answers a client whose time is over.
func (d *Client) Alarm(s *edge.Session) {
	v, ok := s.State.(*visit)
	if !ok || s.Closing() {
		return
	}
	edge.LimitHit("gate_timeout")
	d.answer(s, v, protocol.StatusTimeout, messageTimedOut, nil)
}

// Closed forgets the job of a client that was answered or has gone.
func (d *Client) Closed(s *edge.Session) {
	v, ok := s.State.(*visit)
	if !ok || !v.asked {
		return
	}
	d.gate.visits.Add(-1)
	if v.job != nil {
		d.gate.drop(v.job)
	}
}

// Goodbye says nothing: who has asked was answered, and who has not gets no answer.
func (*Client) Goodbye(*edge.Session, protocol.CloseCode) (answered bool) { return false }

// Beats is false: a visit is short.
func (*Client) Beats() bool { return false }

// Beat does nothing.
func (*Client) Beat(*edge.Session) {}

// TooSlow is 0: a request that does not end in time is closed without a word.
func (*Client) TooSlow() protocol.CloseCode { return 0 }
