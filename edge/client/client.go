// Package client speaks to a gosper server as a player's program does: over the line door (raw TCP) or the websocket
// door, with function calls, pushes in order, and connections that come back by themselves.
//
//	c, err := client.Dial(ctx, "ws://localhost:8080/ws", client.Options{
//		OnPush: func(p client.Push) { fmt.Println(p.Route, string(p.Content)) },
//	})
//	…
//	err = c.Register(ctx, nonce)
//	err = c.Call(ctx, "/chat/public", map[string]string{"text": "hello"}, nil)
//
// What a websocket client gets: a push is given to OnPush once and in the order of its subject, also across lost
// connections; when messages may be missing, OnGap says so before the next one. The line door names no positions, so a
// line client cannot know what it missed while it was away: it is always told of a gap.
//
// Watch follows a grid of a game in a local copy, checked with every hash; it too goes on by itself after a lost
// connection.
//
// All methods of Client may be called from any goroutine, also from the handlers.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"gosper/protocol"
)

// Push is one message the server sent unasked.
type Push struct {
	Route    string            // e.g. "/chat/public"
	Content  json.RawMessage   // a JSON object; the receiver's own
	Position protocol.Position // its place in the history of its subject; zero when it has none
}

// Gap says that messages of a subject may be missing from here on.
type Gap struct {
	Subject string // "" means any subject of this client
	Reason  string
}

// State is what a connection is doing.
type State uint8

// States of a client.
const (
	Connected    State = iota // ready for calls; after a break everything was resumed
	Disconnected              // the link broke; the client tries to come back
	Closed                    // for good: Err says why
)

func (s State) String() string { return [...]string{"connected", "disconnected", "closed"}[s] }

// Options change how a client behaves. The zero value is good.
type Options struct {
	// OnPush gets every push, one at a time. While it runs no other handler does, and after Queue more messages nothing
	// is read from the server; so it should not wait for long. Nil drops pushes.
	OnPush func(Push)
	// OnGap is called in the order of pushes, where messages may be missing.
	OnGap func(Gap)
	// OnState is called in the order of pushes when the state changes, with the reason for Disconnected and Closed.
	OnState func(State, error)
	// Nonce gets a fresh nonce for a line client that comes back, since a line opens with REGISTER and a nonce serves
	// once. Without it a line client that loses its link after Register is closed.
	Nonce func(context.Context) (string, error)

	TLS    *tls.Config                                                       // for lines:// and wss://; nil means the defaults with the host's name
	Origin string                                                            // Origin header of the websocket handshake; "" sends none
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error) // nil means a net.Dialer

	CallTimeout time.Duration // bound of a call whose context has no deadline; 0 means 30 s
	Heartbeat   time.Duration // a ping is sent after this time; three without any answer break the link; 0 means 25 s
	MinBackoff  time.Duration // pause before the first attempt to come back; doubles with each; 0 means 200 ms
	MaxBackoff  time.Duration // longest pause; 0 means 30 s. Each pause is drawn between its half and its whole
	NoReconnect bool          // a broken link closes the client
	MaxMessage  int           // longest message taken from the server in bytes; 0 means 1 MiB
	Queue       int           // messages that wait for the handlers; 0 means 1024
}

func (o *Options) defaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&o.CallTimeout, 30*time.Second)
	set(&o.Heartbeat, 25*time.Second)
	set(&o.MinBackoff, 200*time.Millisecond)
	set(&o.MaxBackoff, 30*time.Second)
	if o.MaxMessage <= 0 {
		o.MaxMessage = 1 << 20
	}
	if o.Queue <= 0 {
		o.Queue = 1024
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
}

// Errors of a client. A call that fails with ErrDisconnected may have been done by the server or not.
var (
	ErrClosed       = errors.New("client is closed")
	ErrDisconnected = errors.New("the connection broke before the answer came")
	ErrRefused      = errors.New("the server refused the nonce")
)

// StatusError is a reply whose status is not OK.
type StatusError struct {
	Route   string
	Status  protocol.Status
	Message string
	Content json.RawMessage // as sent, usually {"data":…}
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: status %d: %s", e.Route, e.Status, e.Message)
}

// CloseError is a close by the server, with its advice.
type CloseError struct {
	Code   protocol.CloseCode
	Reason string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("closed by the server: %s %q", e.Code, e.Reason)
}

// Client is one player's connection, which may be several links one after another.
type Client struct {
	// Static after Dial.
	opts   Options
	target target
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	queue  chan func()   // work for the handlers, in order
	done   chan struct{} // closed when everything has ended

	track  tracker        // positions; has its own lock
	others sync.WaitGroup // repairs of watches
	alone  sync.Mutex     // held while a handler runs

	// Guarded by mu.
	mu      sync.Mutex
	up      *link         // nil while disconnected
	changed chan struct{} // closed and replaced when up or err changes
	err     error         // why the client is closed
	token   string        // of the session, for resume
	nonce   bool          // Register was used
	watches map[gridName]*Watch
}

// Dial connects and returns when the connection is ready for calls. url is line://host:port, lines://host:port (TLS),
// ws://host:port/path or wss://host:port/path. ctx bounds this first attempt only.
func Dial(ctx context.Context, url string, o Options) (*Client, error) {
	o.defaults()
	t, err := parseTarget(url, o.TLS)
	if err != nil {
		return nil, err
	}
	c := &Client{opts: o, target: t, queue: make(chan func(), o.Queue), done: make(chan struct{}), changed: make(chan struct{}),
		watches: map[gridName]*Watch{}}
	c.track.init()
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	l, err := c.connect(ctx)
	if err != nil {
		c.cancel()
		return nil, err
	}
	c.setLink(l)
	handlers := make(chan struct{})
	go func() {
		defer close(handlers)
		for f := range c.queue {
			c.alone.Lock()
			f()
			c.alone.Unlock()
		}
	}()
	go func() {
		c.run(l)
		close(c.queue)
		<-handlers
		c.others.Wait()
		close(c.done)
	}()
	return c, nil
}

// Close ends the connection and waits until no handler runs any more, so it must not be called from one: there, use
// go c.Close(). It is idempotent.
func (c *Client) Close() error {
	c.fail(ErrClosed)
	<-c.done
	return nil
}

// Done is closed when the client has ended: by Close, or because the server said not to come back.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err returns why the client has ended, nil while it lives. After Close it is ErrClosed.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Session returns the token of the session ("" before a login or registration), with which another client can resume.
func (c *Client) Session() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}

// Register speaks as the player a nonce names, which every chat needs. A websocket client resumes by itself from then
// on. ErrRefused wraps the server's no; the line door closes the connection with it.
func (c *Client) Register(ctx context.Context, nonce string) error {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	l, err := c.link(ctx)
	if err != nil {
		return err
	}
	if err := c.register(ctx, l, nonce); err != nil {
		return err
	}
	c.mu.Lock()
	c.nonce = true
	c.mu.Unlock()
	return nil
}

func (c *Client) register(ctx context.Context, l *link, nonce string) error {
	if l.line {
		return l.registerLine(ctx, nonce)
	}
	err := c.callOn(ctx, l, protocol.RouteRegister, map[string]string{"nonce": nonce}, nil)
	var status *StatusError
	if errors.As(err, &status) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// Resume continues the session of a token, of this or another client, from positions on (nil: from now on).
func (c *Client) Resume(ctx context.Context, token string, positions []protocol.Position) error {
	for _, p := range positions {
		c.track.set(p)
	}
	return c.Call(ctx, protocol.RouteResume, protocol.ResumeRequest{Token: token, Positions: positions}, nil)
}

// Call runs a function of the server. in is what encoding/json makes an object of; nil means {}. The content of the
// reply is decoded into out unless it is nil. A reply whose status is not OK is a *StatusError. While the client is
// disconnected the call waits. A context without deadline is bound by Options.CallTimeout.
func (c *Client) Call(ctx context.Context, route string, in, out any) error {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	l, err := c.link(ctx)
	if err != nil {
		return err
	}
	return c.callOn(ctx, l, route, in, out)
}

// CallRaw runs a function and returns the reply as it came, whatever its status. content must be a JSON object or nil.
func (c *Client) CallRaw(ctx context.Context, route string, content []byte) (protocol.Envelope, error) {
	ctx, cancel := c.bound(ctx)
	defer cancel()
	l, err := c.link(ctx)
	if err != nil {
		return protocol.Envelope{}, err
	}
	return l.call(ctx, route, content)
}

func (c *Client) callOn(ctx context.Context, l *link, route string, in, out any) error {
	var content []byte
	if in != nil {
		var err error
		if content, err = json.Marshal(in); err != nil {
			return fmt.Errorf("%s: %w", route, err)
		}
	}
	e, err := l.call(ctx, route, content)
	if err != nil {
		return fmt.Errorf("%s: %w", route, err)
	}
	if e.Status != protocol.StatusOK {
		return &StatusError{Route: route, Status: e.Status, Message: e.Message, Content: e.Content}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(e.Content, out); err != nil {
		return fmt.Errorf("%s: %w", route, err)
	}
	return nil
}

// sessionReply is what the answers of logins, registrations and resumes have in common.
type sessionReply struct {
	Session  string             `json:"session"`
	Subjects []protocol.Resumed `json:"subjects"`
}

// learn takes the token and the positions out of a reply that has them. It runs on the read loop.
func (c *Client) learn(content []byte) {
	if !bytes.Contains(content, []byte(`"session":`)) {
		return
	}
	var s sessionReply
	if json.Unmarshal(content, &s) != nil || s.Session == "" {
		return
	}
	c.mu.Lock()
	c.token = s.Session
	c.mu.Unlock()
	for _, r := range s.Subjects {
		if reason := c.track.resumed(r); reason != "" {
			c.gap(Gap{Subject: r.Subject, Reason: reason})
		}
	}
}

func (c *Client) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.opts.CallTimeout)
}

// link waits for a connection.
func (c *Client) link(ctx context.Context) (*link, error) {
	for {
		c.mu.Lock()
		l, err, changed := c.up, c.err, c.changed
		c.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if l != nil {
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (c *Client) setLink(l *link) {
	c.mu.Lock()
	c.up = l
	c.wake()
	c.mu.Unlock()
}

// wake tells everyone who waits for a change. The caller holds mu.
func (c *Client) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// fail closes the client for the given reason, once.
func (c *Client) fail(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
		c.wake()
	}
	c.mu.Unlock()
	c.cancel()
}
