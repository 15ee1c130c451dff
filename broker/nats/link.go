package nats

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"gosper/broker"
)

const (
	pingEvery    = 2 * time.Second // a server that answers none of two pings in a row is left
	dialTimeout  = 2 * time.Second
	writeTimeout = 3 * time.Second
	callTimeout  = 2 * time.Second // for the answer to one question; a write has Options.Wait
	sweepEvery   = 50 * time.Millisecond
)

// errAway is broker.ErrBusy with its reason.
var errAway = awayError{}

type awayError struct{}

func (awayError) Error() string { return "the link to NATS is away: try again later" }
func (awayError) Unwrap() error { return broker.ErrBusy }

// link is the connection with everything that must not block its users: a goroutine writes what they queue, another one
// hands out what comes. The NATS client itself can block a publisher when its socket is full, and holds a lock
// meanwhile that subscribing needs too.
type link struct {
	// static after construction
	node   string
	inbox  string // answers come to subjects that start with it
	conn   *nats.Conn
	in     chan *nats.Msg // what came; filled by the NATS client
	out    chan *letter
	wake   chan struct{} // subscriptions have changed
	closed chan struct{} // closed when the connection is for good, by us or by the client: no callback runs any more
	stop   chan struct{}
	ended  sync.WaitGroup
	events events

	away     atomic.Bool
	joined   atomic.Uint64 // grows with each pattern that is subscribed at the server, and with each new connection
	outBytes atomic.Int64
	recent   recent
	sequence uint64 // owned by the writer: the last number given to a message without history

	mu    sync.Mutex
	wires map[string]*wire // guarded by mu: by pattern
	wild  map[string]*wire // guarded by mu: those of them with wildcards, which are few
	dirty []string         // guarded by mu: patterns the writer must look at
	calls map[uint64]*call // guarded by mu: questions without an answer, by their number
	last  uint64           // guarded by mu: number of the last question
}

// events is what a link tells its owner. They run on goroutines of the link.
type events struct {
	message func(*nats.Msg)
	back    func()               // the link is up again
	dropped func(pattern string) // messages of it were dropped
	sweep   func(now time.Time)  // every sweepEvery
}

// wire is a pattern that is subscribed at the server.
type wire struct {
	refs int                // guarded by link.mu
	sub  *nats.Subscription // owned by the writer
}

// letter is what waits to be sent.
type letter struct {
	msg   *nats.Msg
	stamp *stamp // not nil: a message without history, to be numbered and stamped
	call  uint64 // number of the question, or 0
}

// reach is dial for servers that may be about to start. An answer of theirs that is a refusal is an error at once.
func reach(ctx context.Context, o Options) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, o.StartWait)
	defer cancel()
	for told := false; ; told = true {
		l, err := dial(o)
		var network net.Error
		if err == nil || !errors.Is(err, nats.ErrNoServers) && !errors.Is(err, nats.ErrTimeout) && !errors.Is(err, io.EOF) && !errors.As(err, &network) {
			return l, err
		}
		if !told {
			o.Log.Info("no NATS server answers yet", "error", err, "patience", o.StartWait)
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(retryAfter):
		}
	}
}

// dial connects. The link hands nothing out before run.
func dial(o Options) (*link, error) {
	l := &link{node: strings.ToLower(crand.Text()[:12]), in: make(chan *nats.Msg, MaxIn), out: make(chan *letter, MaxOut), wake: make(chan struct{}, 1),
		closed: make(chan struct{}), stop: make(chan struct{}), wires: make(map[string]*wire), wild: make(map[string]*wire), calls: make(map[uint64]*call)}
	options := []nats.Option{nats.Name("gosper " + cmp.Or(o.name, l.node)), nats.NoEcho(), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(2), nats.Timeout(dialTimeout), nats.FlusherTimeout(writeTimeout),
		nats.CustomReconnectDelay(pause), nats.IgnoreAuthErrorAbort(), nats.DisconnectErrHandler(l.lost), nats.ReconnectHandler(l.returned),
		nats.ErrorHandler(l.failed), nats.ClosedHandler(func(*nats.Conn) { close(l.closed) })}
	if o.Creds != "" {
		options = append(options, nats.UserCredentials(o.Creds))
	}
	urls, user := o.servers()
	if user != "" {
		options = append(options, nats.UserInfo(user, o.Password))
	}
	conn, err := nats.Connect(urls, options...)
	if err != nil {
		return nil, err
	}
	l.conn = conn
	l.inbox = conn.NewInbox() + "."
	if _, err := conn.ChanSubscribe(l.inbox+"*", l.in); err != nil {
		conn.Close()
		return nil, err
	}
	connected.Inc()
	return l, nil
}

// pause is the time before the next round over the servers.
func pause(attempts int) time.Duration {
	return min(time.Duration(attempts)*50*time.Millisecond, time.Second) + rand.N(100*time.Millisecond)
}

// run starts the goroutines.
func (l *link) run(e events) {
	l.events = e
	l.ended.Go(l.write)
	l.ended.Go(l.dispatch)
	l.ended.Go(l.tick)
}

// close ends the link and its goroutines; questions without an answer get broker.ErrClosed.
func (l *link) close() {
	if !l.away.Swap(true) {
		connected.Dec()
	}
	l.conn.Close()
	<-l.closed
	close(l.stop)
	l.ended.Wait()
	l.endCalls(func(*call) bool { return true }, broker.ErrClosed)
}

func (l *link) lost(_ *nats.Conn, _ error) {
	if !l.away.Swap(true) {
		connected.Dec()
		disconnects.Inc()
	}
	l.endCalls(func(*call) bool { return true }, errAway)
}

func (l *link) returned(*nats.Conn) {
	l.joined.Add(1)
	if l.away.Swap(false) {
		connected.Inc()
	}
	l.events.back()
}

func (l *link) failed(_ *nats.Conn, sub *nats.Subscription, err error) {
	if errors.Is(err, nats.ErrSlowConsumer) && sub != nil {
		droppedTotal.Inc()
		l.events.dropped(sub.Subject)
	}
}

// send queues a letter and never blocks. The error is broker.ErrBusy.
func (l *link) send(one *letter) error {
	size := int64(len(one.msg.Data) + len(one.msg.Subject))
	if l.outBytes.Add(size) > MaxOutBytes {
		l.outBytes.Add(-size)
		return broker.ErrBusy
	}
	select {
	case l.out <- one:
		return nil
	default:
		l.outBytes.Add(-size)
		return broker.ErrBusy
	}
}

// notice sends text to every node. When the queue is full it is not sent: publishers are being refused then, and know.
func (l *link) notice(subject, text string) {
	_ = l.send(&letter{msg: &nats.Msg{Subject: subject, Data: []byte(text)}})
}

// write sends what is queued. Subscriptions go first: whoever subscribes and then asks for the history must not miss what
// comes between.
func (l *link) write() {
	for {
		select {
		case <-l.stop:
			return
		case <-l.wake:
			l.wire()
		case one := <-l.out:
			l.wire()
			l.post(one)
		}
	}
}

func (l *link) post(one *letter) {
	l.outBytes.Add(-int64(len(one.msg.Data) + len(one.msg.Subject)))
	if one.stamp != nil {
		l.sequence++
		one.stamp.n = l.sequence
		one.msg.Header = one.stamp.header()
		l.recent.note(one.msg.Subject, one.stamp.at, l.away.Load())
	}
	err := l.conn.PublishMsg(one.msg)
	switch {
	case err == nil:
		sentTotal.Inc()
	case one.call != 0:
		l.answer(one.call, nil, err)
	default:
		localTotal.Inc() // the notice after the reconnect tells the others
	}
}

// wire brings the subscriptions at the server in line with those wanted.
func (l *link) wire() {
	l.mu.Lock()
	dirty := l.dirty
	l.dirty = nil
	l.mu.Unlock()
	for _, pattern := range dirty {
		l.mu.Lock()
		w := l.wires[pattern]
		wanted := w != nil && w.refs > 0
		if w != nil && !wanted {
			delete(l.wires, pattern)
			delete(l.wild, pattern)
		}
		l.mu.Unlock()
		switch {
		case wanted && w.sub == nil:
			sub, err := l.conn.ChanSubscribe(pattern, l.in)
			if err != nil { // only when the connection is closed for good
				continue
			}
			w.sub = sub
		case w != nil && !wanted && w.sub != nil:
			_ = w.sub.Unsubscribe() // fails when the connection is closed: then nothing is left to undo
		}
	}
}

// join subscribes the link to pattern, once for each leave. It reports whether nobody had.
func (l *link) join(pattern string) bool {
	l.mu.Lock()
	w := l.wires[pattern]
	if w == nil {
		w = new(wire)
		l.wires[pattern] = w
		if broker.Wild(pattern) {
			l.wild[pattern] = w
		}
	}
	w.refs++
	first := w.refs == 1
	if first {
		l.dirty = append(l.dirty, pattern)
		l.joined.Add(1) // here, so that who joins as the second and then reads joined sees it
	}
	l.mu.Unlock()
	if first {
		l.stir()
	}
	return first
}

func (l *link) leave(pattern string) {
	l.mu.Lock()
	w := l.wires[pattern]
	w.refs--
	last := w.refs == 0
	if last {
		l.dirty = append(l.dirty, pattern)
	}
	l.mu.Unlock()
	if last {
		l.stir()
	}
}

// covers reports whether another pattern than this one brings subject to this node.
func (l *link) covers(pattern, subject string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.wires[subject]; w != nil && w.refs > 0 && subject != pattern {
		return true
	}
	for other, w := range l.wild {
		if other != pattern && w.refs > 0 && broker.MatchSubject(other, subject) {
			return true
		}
	}
	return false
}

func (l *link) stir() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// dispatch hands out what came, in its order.
func (l *link) dispatch() {
	for {
		select {
		case <-l.stop:
			return
		case m := <-l.in:
			if number, mine := strings.CutPrefix(m.Subject, l.inbox); mine {
				if n, err := strconv.ParseUint(number, 36, 64); err == nil {
					l.answer(n, m, noResponders(m))
				}
				continue
			}
			l.events.message(m)
		}
	}
}

// noResponders is the error of an answer by which the server says that nobody is there to answer.
func noResponders(m *nats.Msg) error {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return nats.ErrNoResponders
	}
	return nil
}

// tick ends questions that were not answered in time, and lets the owner look at its own.
func (l *link) tick() {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-l.stop:
			return
		case now := <-t.C:
			l.endCalls(func(c *call) bool { return now.After(c.deadline) }, nats.ErrTimeout)
			l.events.sweep(now)
		}
	}
}
