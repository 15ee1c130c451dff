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
// mandatory, since a broker confirms also what it throws away because there is no such queue.
func (g *Gateway) publish(ctx context.Context, s *chain.Step, p place) chain.Outcome {
	address, err := g.address(p)
	if err != nil {
		return refused("not allowed", err)
	}
	l := g.queues.get(address, p.service.Private)
	begun := time.Now()
	reply, err := l.publish(ctx, s, p.service.Declare)
	switch {
	case errors.Is(err, errPrivate):
		refusals.Inc()
		return refused("not allowed", errPrivate)
	case ctx.Err() != nil && err != nil:
		return failed("timeout", errors.New("no confirmation in time"))
	case err != nil:
		return failed("unreachable", safe(err))
	case reply != "":
		return chain.Outcome{Response: chain.Response{Metadata: note{Reason: "returned", Detail: reply}.String()}}
	}
	return chain.Outcome{Response: chain.Response{OK: true, Metadata: note{Millis: time.Since(begun).Milliseconds()}.String()}}
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
		l = &link{links: ls, key: key, turn: make(chan struct{}, 1), returned: make(map[string]string)}
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
			go l.drop()
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
		if l.idle != nil {
			l.idle.Stop()
		}
		l.drop()
	}
}

// link is a connection with one channel in confirm mode, made when it is needed and again after it broke.
type link struct {
	links *links
	key   linkKey
	users int         // guarded by links.mu
	idle  *time.Timer // guarded by links.mu

	turn chan struct{} // one place: held to open and to declare

	mu       sync.Mutex
	conn     *amqp.Connection
	channel  *amqp.Channel
	returns  chan amqp.Return
	returned map[string]string // what came back, by message id
	declared map[string]bool
}

// maxInFlight is more than the calls one broker can have at a time, so that the library never waits for us with a return.
const maxInFlight = 4096

// publish returns why the broker gave a message back, "" when it has it.
func (l *link) publish(ctx context.Context, s *chain.Step, declare bool) (reply string, err error) {
	defer l.links.put(l)
	channel, err := l.open(ctx, s.Request.Endpoint, declare)
	if err != nil {
		return "", err
	}
	confirmed, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", s.Request.Endpoint, true, false, amqp.Publishing{
		ContentType: contentType(s.Request.Payload), DeliveryMode: amqp.Persistent, MessageId: s.Key, CorrelationId: s.Hash, Timestamp: time.Now(),
		Headers: amqp.Table{"Work-Order": int64(s.Order)}, Body: []byte(s.Request.Payload)})
	if err != nil {
		l.drop()
		return "", err
	}
	ok, err := confirmed.WaitContext(ctx)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", errNacked
	}
	return l.back(s.Key), nil
}

// back returns why a confirmed message came back. The library hands a return over before the confirmation that follows it.
func (l *link) back(id string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		select {
		case r, ok := <-l.returns:
			if ok {
				l.returned[r.MessageId] = fmt.Sprintf("%d %s", r.ReplyCode, r.ReplyText)
				continue
			}
		default:
		}
		reply := l.returned[id]
		delete(l.returned, id)
		return reply
	}
}

// open returns a channel that works, and makes the queue when it should.
func (l *link) open(ctx context.Context, queue string, declare bool) (*amqp.Channel, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.mu.Lock()
	channel, known := l.channel, l.declared[queue]
	l.mu.Unlock()
	if channel == nil || channel.IsClosed() {
		l.drop()
		var err error
		if channel, err = l.dial(ctx); err != nil {
			return nil, err
		}
		known = false
	}
	if declare && !known {
		if _, err := channel.QueueDeclare(queue, true, false, false, false, nil); err != nil {
			l.drop()
			return nil, err
		}
		l.mu.Lock()
		l.declared[queue] = true
		l.mu.Unlock()
	}
	return channel, nil
}

// heartbeat finds a broker that is gone without a word within twice its time.
const heartbeat = 10 * time.Second

func (l *link) dial(ctx context.Context) (*amqp.Channel, error) {
	o := l.links.o
	deadline := time.Now().Add(o.DialTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	conn, err := amqp.DialConfig(l.key.address, amqp.Config{Heartbeat: heartbeat, TLSClientConfig: o.TLS.Clone(),
		Dial: func(network, address string) (net.Conn, error) {
			c, err := dialer(o.DialTimeout, l.key.private).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return c, c.SetDeadline(deadline) // the library takes it away after the handshake
		}})
	if err != nil {
		return nil, err
	}
	channel, err := conn.Channel()
	if err == nil {
		err = channel.Confirm(false)
	}
	if err != nil {
		_ = conn.Close() // the error that counts is the one before
		return nil, err
	}
	l.links.mu.Lock()
	closed := l.links.closed
	l.links.mu.Unlock()
	if closed {
		_ = conn.Close() // nobody uses it
		return nil, errLinkClosed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn, l.channel, l.declared = conn, channel, make(map[string]bool)
	l.returns = channel.NotifyReturn(make(chan amqp.Return, maxInFlight))
	clear(l.returned)
	return channel, nil
}

// drop closes the connection, if there is one. Calls under way on it fail and are made again.
func (l *link) drop() {
	l.mu.Lock()
	conn := l.conn
	l.conn, l.channel, l.returns = nil, nil, nil
	l.mu.Unlock()
	if conn != nil {
		_ = conn.CloseDeadline(time.Now().Add(time.Second)) // its peer may be gone, which is why it is dropped
	}
}
