package edge

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"gosper/edge/module"
	"gosper/protocol"
)

// callQueue holds the calls of a session: one in work, the others waiting in order. A session has one only while there
// are calls.
type callQueue struct {
	active  *call
	waiting []Request
}

// call is one call in work. It is also the context of the call.
type call struct {
	module.Call
	session *Session
	req     Request
	reply   module.Reply
	stage   atomic.Int32 // see the constants
	ctx     callContext
}

// A call whose function is done before Dispatcher.Call returns is answered in the same pass of the loop; any other comes
// back through the mailbox. stage decides which.
const (
	stageDispatching = iota // Dispatcher.Call has not returned
	stageWaiting            // it has, and the reply will be posted
	stageDone               // the reply is there
)

// Call has a function called for the client and its reply encoded by the door. Calls of a session run one at a time in
// the order they came. Loop only; req.Content must be the request's own memory.
func (s *Session) Call(req Request) {
	lim := &s.loop.engine.limits
	s.flags |= flagCalled
	if !s.rates[rateCall].take(s.loop.now, lim.CallRate, lim.CallBurst) {
		limitHit("call_rate")
		s.door.Reply(s, &req, &module.Reply{Status: protocol.StatusRefused, Message: "too many calls"})
		s.Strike(protocol.CloseRate, protocol.CloseRate.Name())
		return
	}
	if s.calls == nil {
		s.calls = &callQueue{}
	}
	q := s.calls
	if req.Register {
		s.flags |= flagPaused
	}
	if q.active == nil {
		s.start(req)
		return
	}
	q.waiting = append(q.waiting, req)
	if len(q.waiting) >= lim.CallBacklog || !s.is(flagTrusted) && len(q.waiting) >= guestBacklog {
		limitHit("call_backlog")
		s.flags |= flagPaused
	}
}

// guestBacklog is call_backlog for a client that is not logged in, so that little is kept for it.
const guestBacklog = 1

// start hands one call to the dispatcher, and answers it when it was done at once.
func (s *Session) start(req Request) {
	l := s.loop
	now := time.Now()
	c := &call{session: s, req: req}
	c.ctx.deadline = now.Add(l.engine.limits.CallTimeout)
	c.Call = module.Call{
		Context: &c.ctx, Route: req.Route, Door: s.door.Name(), Remote: s.remote.String(), ClientCode: req.ClientCode,
		Content: req.Content, Who: *s.Who(), Session: s, Received: now,
	}
	if req.Alone {
		c.Session, c.World = nil, req.World
	}
	s.calls.active = c
	run := req.Run
	if run == nil {
		run = l.engine.config.Dispatcher.Call
	}
	run(&c.Call, c.done)
	if !c.stage.CompareAndSwap(stageDispatching, stageWaiting) {
		s.answered(c)
	}
}

// done takes the reply of the function. Any goroutine.
func (c *call) done(r module.Reply) {
	c.reply = r
	if c.stage.Swap(stageDone) == stageWaiting {
		c.session.loop.put(post{call: c})
	}
}

// answered sends the reply of c and starts what waits behind it.
func (s *Session) answered(c *call) {
	c.ctx.end(context.Canceled)
	if s.is(flagClosed) || s.calls == nil || s.calls.active != c {
		return
	}
	s.meet()
	s.calls.active = nil
	if !s.is(flagClosing) {
		if c.req.Register && c.reply.Status == protocol.StatusOK && !s.is(flagTrusted) {
			s.setTrusted(true)
		}
		s.door.Reply(s, &c.req, &c.reply)
	}
	s.proceed()
}

// proceed starts the next waiting call, or goes on reading when there is none.
func (s *Session) proceed() {
	q := s.calls
	if q == nil || q.active != nil || s.is(flagClosed) {
		return
	}
	if len(q.waiting) > 0 && !s.is(flagClosing) {
		req := q.waiting[0]
		q.waiting[0] = Request{}
		q.waiting = q.waiting[1:]
		s.start(req)
		return
	}
	s.calls = nil
	if s.is(flagPaused) {
		s.resume()
	}
}

// cancel ends the context of the call in work, because the client has gone.
func (q *callQueue) cancel() {
	if q.active != nil {
		q.active.ctx.end(context.Canceled)
	}
}

// Say publishes chat text for the client. refused is called on the loop when it was not taken, with the reason. Loop
// only; text is copied by the dispatcher.
func (s *Session) Say(family bool, text []byte, refused func(*Session, bool, protocol.Status)) {
	lim := &s.loop.engine.limits
	if !s.rates[rateChat].take(s.loop.now, lim.ChatRate, lim.ChatBurst) {
		limitHit("chat_rate")
		refused(s, family, protocol.StatusRefused)
		s.Strike(protocol.CloseRate, protocol.CloseRate.Name())
		return
	}
	s.loop.engine.config.Dispatcher.Say(s.Who(), family, text, func(status protocol.Status) {
		if status == protocol.StatusOK {
			return
		}
		s.loop.post(func() {
			if s.flags&(flagClosed|flagClosing) != 0 {
				return
			}
			defer s.rescue()
			refused(s, family, status)
			s.Flush()
		})
	})
}

// TakeControl counts a control frame against its rate and reports whether it is within. Loop only.
func (s *Session) TakeControl() bool {
	lim := &s.loop.engine.limits
	if s.rates[rateControl].take(s.loop.now, lim.ControlRate, lim.ControlBurst) {
		return true
	}
	limitHit("control_rate")
	return false
}

// callContext is a context that costs nothing until somebody waits for it: the channel and the timer of the deadline are
// made by the first Done.
type callContext struct {
	deadline time.Time

	mu    sync.Mutex
	done  chan struct{}
	timer *time.Timer
	err   error
}

func (c *callContext) Deadline() (time.Time, bool) { return c.deadline, true }

func (c *callContext) Value(any) any { return nil }

func (c *callContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		} else {
			c.timer = time.AfterFunc(time.Until(c.deadline), func() { c.end(context.DeadlineExceeded) })
		}
	}
	return c.done
}

func (c *callContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && c.done == nil && time.Now().After(c.deadline) {
		return context.DeadlineExceeded
	}
	return c.err
}

func (c *callContext) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.done != nil {
		close(c.done)
	}
}
