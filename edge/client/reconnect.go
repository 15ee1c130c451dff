package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"gosper/protocol"
)

// attemptTimeout bounds one attempt to come back.
const attemptTimeout = 15 * time.Second

// run follows the links of the client one after another until there shall be no more.
func (c *Client) run(l *link) {
	for l != nil {
		<-l.dead
		c.setLink(nil)
		cause := l.cause()
		if c.ctx.Err() != nil {
			break
		}
		if !c.mayReturn(cause) {
			c.fail(cause)
			break
		}
		c.tell(Disconnected, cause)
		l = c.comeBack()
	}
	c.tell(Closed, c.Err())
}

// mayReturn says whether a link that broke for this cause is worth another attempt.
func (c *Client) mayReturn(cause error) bool {
	if c.opts.NoReconnect {
		return false
	}
	c.mu.Lock()
	stranded := c.target.line && c.nonce && c.opts.Nonce == nil
	c.mu.Unlock()
	if stranded {
		return false
	}
	var closed *CloseError
	if errors.As(cause, &closed) {
		return closed.Code.Reconnect()
	}
	return true
}

// comeBack tries until there is a link on which everything is as before. It returns nil when the client was closed or
// the server does not know the session any more.
func (c *Client) comeBack() *link {
	for attempt := 0; ; attempt++ {
		if !c.pause(attempt) {
			return nil
		}
		l, err := c.attempt()
		if err == nil {
			c.setLink(l)
			c.tell(Connected, nil)
			return l
		}
		if hopeless(err) {
			c.fail(err)
			return nil
		}
	}
}

// hopeless tells the server's no from a network's fault.
func hopeless(err error) bool {
	var status *StatusError
	var closed *CloseError
	return errors.As(err, &status) && status.Status != protocol.StatusBusy ||
		errors.As(err, &closed) && !closed.Code.Reconnect() || errors.Is(err, ErrRefused)
}

func (c *Client) attempt() (*link, error) {
	ctx, cancel := context.WithTimeout(c.ctx, attemptTimeout)
	defer cancel()
	l, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.restore(ctx, l); err != nil {
		l.conn.Close()
		<-l.dead
		return nil, err
	}
	return l, nil
}

// restore makes a new link speak as the old one did.
func (c *Client) restore(ctx context.Context, l *link) error {
	c.mu.Lock()
	token, registered := c.token, c.nonce
	c.mu.Unlock()
	switch {
	case l.line && registered:
		nonce, err := c.opts.Nonce(ctx)
		if err != nil {
			return err
		}
		l.away.Store(true)
		if err := l.registerLine(ctx, nonce); err != nil {
			return err
		}
	case !l.line && token != "":
		err := c.callOn(ctx, l, protocol.RouteResume, protocol.ResumeRequest{Token: token, Positions: c.track.all()}, nil)
		if err != nil {
			return err
		}
	}
	return c.rewatch(ctx, l)
}

// pause waits before an attempt; false means that the client was closed meanwhile. Half of it is left to chance, so
// that the clients of a server that restarts do not all come back at once.
func (c *Client) pause(attempt int) bool {
	d := c.opts.MinBackoff << min(attempt, 20)
	if d <= 0 || d > c.opts.MaxBackoff {
		d = c.opts.MaxBackoff
	}
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// push judges a push by its position and hands it to the handler.
func (c *Client) push(p Push) {
	if p.Position.Offset != 0 {
		switch c.track.judge(p.Position) {
		case double:
			return
		case afterHole:
			c.gap(Gap{Subject: p.Position.Subject, Reason: "messages before this one did not arrive"})
		}
	}
	if c.opts.OnPush != nil {
		c.enqueue(func() { c.opts.OnPush(p) })
	}
}

func (c *Client) gap(g Gap) {
	if c.opts.OnGap != nil {
		c.enqueue(func() { c.opts.OnGap(g) })
	}
}

func (c *Client) tell(s State, err error) {
	if c.opts.OnState == nil {
		return
	}
	f := func() { c.opts.OnState(s, err) }
	if s == Closed {
		c.queue <- f // the handlers run until the queue is closed, after this
		return
	}
	c.enqueue(f)
}

// enqueue leaves work for the handlers, in order. When they are behind by Options.Queue it waits: then nothing more is
// read from the server.
func (c *Client) enqueue(f func()) {
	select {
	case c.queue <- f:
	case <-c.ctx.Done():
	}
}
