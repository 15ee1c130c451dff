package target

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"gosper/broker/chain"
)

// publish puts a message into a queue of an AMQP broker and waits until the broker has it: persistent, confirmed, and
// mandatory, since a broker confirms also what it throws away because there is no such queue. blameless says that the
// message is at fault, and not the broker.
func (g *Gateway) publish(ctx context.Context, s *chain.Step, p place) (out chain.Outcome, blameless bool) {
	address, err := g.address(p)
	if err != nil {
		return refused("not allowed", err), true
	}
	l := g.queues.get(address, p.service.Private)
	begun := time.Now()
	reply, err := l.publish(ctx, s, p.service.Declare)
	switch {
	case errors.Is(err, errPrivate):
		refusals.Inc()
		return refused("not allowed", errPrivate), true
	case err != nil && over(ctx):
		return failed("timeout", errors.New("no confirmation in time")), false
	case forGood(err):
		return refused("refused by the broker", safe(err)), true
	case errors.Is(err, amqp.ErrCredentials):
		// A broker that goes away in mid-login looks the same, so it is tried again. A password of the message must not
		// keep others from the service.
		return failed("unreachable", errLogin), p.service.Login == ""
	case err != nil:
		return failed("unreachable", safe(err)), false
	case reply != "":
		return chain.Outcome{Response: chain.Response{Metadata: note{Reason: "returned", Detail: reply}.String()}}, true
	}
	return chain.Outcome{Response: chain.Response{OK: true, Metadata: note{Millis: time.Since(begun).Milliseconds()}.String()}}, false
}

// address is the URL of a broker with its login.
func (g *Gateway) address(p place) (string, error) {
	user := p.user
	if p.service.Login != "" {
		login, err := g.secret(p.service.Login)
		if err != nil {
			return "", err
		}
		name, password, _ := strings.Cut(login, ":")
		user = url.UserPassword(name, password)
	}
	u, err := url.Parse(p.origin)
	if err != nil {
		return "", err
	}
	u.User, u.Path = user, p.path
	return u.String(), nil
}

// forGood says whether a broker has refused in a way that no repetition changes: a login, a queue of other properties.
func forGood(err error) bool {
	var told *amqp.Error
	if !errors.As(err, &told) || !told.Server { // what the library says of a broker that left is a guess
		return false
	}
	switch told.Code {
	case amqp.AccessRefused, amqp.PreconditionFailed, amqp.NotAllowed:
		return true
	}
	return false
}

// safe leaves out of an error what could be a password: only what the library and the system say is told.
func safe(err error) error {
	var told *amqp.Error
	var network net.Error
	switch {
	case errors.As(err, &told):
		return fmt.Errorf("the broker said %d %s", told.Code, told.Reason)
	case errors.As(err, &network):
		return err
	case errors.Is(err, errNacked), errors.Is(err, errLinkClosed):
		return err
	}
	return errors.New("the connection to the broker failed")
}

var (
	errLogin      = errors.New("the broker closed the connection at the login, which may be wrong")
	errNacked     = errors.New("the broker did not take the message")
	errLinkClosed = errors.New("the gateway is closed")
)

// links are the connections to AMQP brokers, one for each address.
type links struct {
	o *Options

	mu     sync.Mutex
	all    map[linkKey]*link
	closed bool
}

type linkKey struct {
	address string
	private bool
}

func newLinks(o *Options) *links { return &links{o: o, all: make(map[linkKey]*link)} }

func (ls *links) get(address string, private bool) *link {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	key := linkKey{address, private}
	l := ls.all[key]
	if l == nil {
		l = &link{links: ls, key: key, turn: make(chan struct{}, 1)}
		ls.all[key] = l
	}
	l.users++
	return l
}

// put gives a link back. One that nobody uses is closed after a while.
func (ls *links) put(l *link) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l.users--; l.users > 0 {
		return
	}
	if l.idle != nil {
		l.idle.Stop()
	}
	l.idle = time.AfterFunc(ls.o.Idle, func() {
		ls.mu.Lock()
		defer ls.mu.Unlock()
		if l.users == 0 && ls.all[l.key] == l {
			delete(ls.all, l.key)
			go l.drop(nil)
		}
	})
}

func (ls *links) close() {
	ls.mu.Lock()
	ls.closed = true
	all := ls.all
	ls.all = make(map[linkKey]*link)
	ls.mu.Unlock()
	for _, l := range all {
		ls.mu.Lock()
		if l.idle != nil {
			l.idle.Stop()
		}
		ls.mu.Unlock()
		l.drop(nil)
	}
}

// link is a connection with one channel in confirm mode, made when it is needed and again after it broke.
type link struct {
	links *links
	key   linkKey
	users int         // guarded by links.mu
	idle  *time.Timer // guarded by links.mu

	turn chan struct{} // one place: held to open and to declare

	mu  sync.Mutex
	now *session // nil: not connected
}

// session is one connection. What came before it broke is forgotten with it.
type session struct {
	conn    *amqp.Connection
	channel *amqp.Channel
	returns chan amqp.Return

	mu       sync.Mutex
	returned map[string]string // what came back, by message id
	declared map[string]bool
}

// maxInFlight is more than the calls one broker can have at a time, so that the library never waits for us with a return.
const maxInFlight = 4096

// publish returns why the broker gave a message back, "" when it has it.
func (l *link) publish(ctx context.Context, s *chain.Step, declare bool) (reply string, err error) {
	defer l.links.put(l)
	c, err := l.open(ctx, s.Request.Endpoint, declare)
	if err != nil {
		return "", err
	}
	var confirmed *amqp.DeferredConfirmation
	err = l.bounded(ctx, c, func() error {
		confirmed, err = c.channel.PublishWithDeferredConfirmWithContext(ctx, "", s.Request.Endpoint, true, false, amqp.Publishing{
			ContentType: contentType(s.Request.Payload), DeliveryMode: amqp.Persistent, MessageId: s.Key, CorrelationId: s.Hash, Timestamp: time.Now(),
			Headers: amqp.Table{"Work-Order": int64(s.Order)}, Body: []byte(s.Request.Payload)})
		return err
	})
	if err != nil {
		l.drop(c)
		return "", err
	}
	ok, err := confirmed.WaitContext(ctx)
	reply = c.back(s.Key)
	switch {
	case err != nil:
		return "", err
	case !ok:
		return "", errNacked
	}
	return reply, nil
}

// bounded runs a call of the library, which knows no contexts: when this one ends first, the connection is dropped, and
// with it what hangs on it.
func (l *link) bounded(ctx context.Context, c *session, call func() error) error {
	stop := context.AfterFunc(ctx, func() { l.drop(c) })
	defer stop()
	return call()
}

// back returns why a confirmed message came back. A broker sends a return before the confirmation of the same message, and
// the library hands both over in that order.
func (c *session) back(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		select {
		case r, ok := <-c.returns:
			if ok {
				c.returned[r.MessageId] = fmt.Sprintf("%d %s", r.ReplyCode, r.ReplyText)
				continue
			}
		default:
		}
		reply := c.returned[id]
		delete(c.returned, id)
		if len(c.returned) > maxInFlight {
			clear(c.returned) // nobody waits any more for so many
		}
		return reply
	}
}

// open returns a connection that works, and makes the queue when it should.
func (l *link) open(ctx context.Context, queue string, declare bool) (*session, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.mu.Lock()
	c := l.now
	l.mu.Unlock()
	if c == nil || c.channel.IsClosed() {
		l.drop(c)
		var err error
		if c, err = l.dial(ctx); err != nil {
			return nil, err
		}
	}
	if declare && !c.knows(queue) {
		if err := l.bounded(ctx, c, func() error { return c.declare(queue) }); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *session) knows(queue string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.declared[queue]
}

// declare makes a queue on a channel of its own: a refusal closes its channel, which others use for their messages.
func (c *session) declare(queue string) error {
	channel, err := c.conn.Channel()
	if err != nil {
		return err
	}
	if _, err := channel.QueueDeclare(queue, true, false, false, false, nil); err != nil {
		return err
	}
	c.mu.Lock()
	if len(c.declared) >= maxInFlight {
		clear(c.declared) // to make a queue again does no harm
	}
	c.declared[queue] = true
	c.mu.Unlock()
	return channel.Close()
}

// heartbeat finds a broker that is gone without a word within twice its time.
const heartbeat = 10 * time.Second

func (l *link) dial(ctx context.Context) (*session, error) {
	o := l.links.o
	deadline := time.Now().Add(o.DialTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	stop := func() bool { return true }
	defer func() { stop() }()
	conn, err := amqp.DialConfig(l.key.address, amqp.Config{Heartbeat: heartbeat, TLSClientConfig: o.TLS.Clone(),
		Dial: func(network, address string) (net.Conn, error) {
			c, err := o.dialer(l.key.private).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			stop = context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) }) // a broker that says nothing
			return c, c.SetDeadline(deadline)                                            // the library takes it away after the handshake
		}})
	if err != nil {
		return nil, err
	}
	c := &session{conn: conn, returned: make(map[string]string), declared: make(map[string]bool)}
	l.mu.Lock()
	l.now = c
	l.mu.Unlock()
	err = l.bounded(ctx, c, func() error {
		if c.channel, err = conn.Channel(); err != nil {
			return err
		}
		c.returns = c.channel.NotifyReturn(make(chan amqp.Return, maxInFlight))
		return c.channel.Confirm(false)
	})
	if err == nil && l.links.isClosed() {
		err = errLinkClosed
	}
	if err != nil {
		l.drop(c)
		return nil, err
	}
	return c, nil
}

func (ls *links) isClosed() bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.closed
}

// drop closes a connection, nil for the one in use, if there is one. Calls under way on it fail and are made again.
func (l *link) drop(c *session) {
	l.mu.Lock()
	if c == nil {
		c = l.now
	}
	if l.now == c {
		l.now = nil
	}
	l.mu.Unlock()
	if c != nil {
		_ = c.conn.CloseDeadline(time.Now().Add(time.Second)) // its peer may be gone, which is why it is dropped
	}
}
