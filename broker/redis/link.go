package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"gosper/broker"
)

// link listens to the channels of one group on a connection of its own, and makes a new one when that is lost. The set
// of wanted channels may change at any time; changes are sent in batches.
//
// asked and confirmed count changes: whoever read asked after his own change knows that it is effective on the server
// once confirmed is not less. While the link is down nobody waits for that, because a gap will be announced.
type link struct {
	// static after construction
	bus   *Bus
	group int
	wake  chan struct{} // room for one: there are changes

	asked   atomic.Uint64 // written with mu held
	session atomic.Uint64 // grows with each loss, and each connection

	mu        sync.Mutex
	wants     map[channel]*want
	dirty     []channel // to be looked at
	confirmed uint64
	first     uint64 // the change that makes all subscriptions on this connection
	up        bool
	since     time.Time     // of the present state
	fault     error         // why it is down
	changed   chan struct{} // closed and made anew when confirmed or up change

	last struct{ origin, sequence uint64 } // newest message, owned by the connection's reader
}

// want is a channel that local subscribers need, or that the server still has to be told about.
type want struct {
	refs int  // local patterns
	has  bool // the server was told, on this connection
}

func newLink(b *Bus, group int) *link {
	return &link{bus: b, group: group, wake: make(chan struct{}, 1), wants: make(map[channel]*want),
		changed: make(chan struct{}), since: time.Now(), fault: errors.New("not connected yet")}
}

// add counts one more local pattern that needs c, remove one less.
func (l *link) add(c channel)    { l.count(c, +1) }
func (l *link) remove(c channel) { l.count(c, -1) }

func (l *link) count(c channel, by int) {
	l.mu.Lock()
	w := l.wants[c]
	if w == nil {
		w = new(want)
		l.wants[c] = w
	}
	w.refs += by
	if (w.refs > 0) == w.has {
		l.mu.Unlock()
		return
	}
	l.dirty = append(l.dirty, c)
	l.asked.Add(1)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// state returns whether the link is up with all changes up to barrier confirmed; if not, a channel that is closed at the
// next change of state.
func (l *link) state(barrier uint64) (up, ready bool, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up, l.confirmed >= barrier, l.changed
}

// settle waits until all changes so far are effective; not while the link is down.
func (l *link) settle(ctx context.Context) error {
	barrier := l.asked.Load()
	for {
		up, ready, changed := l.state(barrier)
		if !up || ready {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.bus.stop.Done():
			return nil
		}
	}
}

// present waits for a moment for a link that is down: a short break is not worth an error, and a long one should not
// hold up those who call.
func (l *link) present(ctx context.Context) error {
	timer := time.NewTimer(breakPatience)
	defer timer.Stop()
	for {
		up, _, changed := l.state(0)
		if up {
			return nil
		}
		select {
		case <-changed:
		case <-timer.C:
			callsFailed.Inc()
			return fmt.Errorf("%w: %w", broker.ErrBusy, l.health())
		case <-ctx.Done():
			return ctx.Err()
		case <-l.bus.stop.Done():
			return broker.ErrClosed
		}
	}
}

// turn changes the state. f is called with mu held.
func (l *link) turn(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

// run keeps the link until the bus ends. begun is called after the first attempt.
func (l *link) run(begun func(error)) {
	wait := retryFirst
	for l.bus.stop.Err() == nil {
		start := time.Now()
		err := l.serve(&begun)
		if begun != nil {
			begun(err)
			begun = nil
		}
		if time.Since(start) > retryMost {
			wait = retryFirst
		}
		timer := time.NewTimer(wait/2 + rand.N(wait/2))
		select {
		case <-timer.C:
		case <-l.bus.stop.Done():
			timer.Stop()
		}
		wait = min(2*wait, retryMost)
	}
}

// serve makes a connection, listens until it is lost, and returns why.
func (l *link) serve(begun *func(error)) error {
	c, release := l.bus.client.Dedicate()
	defer release()
	defer c.Close()
	broken := make(chan struct{}, 1)
	lost := c.SetPubSubHooks(rueidis.PubSubHooks{
		OnMessage:      func(m rueidis.PubSubMessage) { l.hear(m.Message) },
		OnSubscription: func(s rueidis.PubSubSubscription) { l.noticed(s, broken) },
	})
	if err := l.greet(c); err != nil {
		l.down(err)
		return err
	}
	l.begin()
	err := l.follow(c, lost, broken, begun)
	l.down(err)
	return err
}

// greet learns which process the connection leads to, listens to the channel of its name, and teaches it the scripts.
func (l *link) greet(c rueidis.DedicatedClient) error {
	ctx, cancel := context.WithTimeout(l.bus.stop, CallPatience)
	defer cancel()
	life := l.bus.names.life(l.group)
	run, err := c.Do(ctx, whoText.command(c.B(), true, life)).ToString()
	if err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	for _, s := range []*script{l.bus.scripts.publish, l.bus.scripts.plain, l.bus.scripts.history} {
		if err := c.Do(ctx, c.B().ScriptLoad().Script(s.text).Build()).Error(); err != nil {
			return fmt.Errorf("redis: script: %w", err)
		}
	}
	return l.send(ctx, c, true, []channel{{name: life + run}})
}

var whoText = newScript(`return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')`)

// begin marks all channels as to be told, then announces the gap: whoever asks for history from now on waits until the
// subscriptions are effective.
func (l *link) begin() {
	again := l.session.Load() > 0
	l.session.Add(1)
	l.turn(func() {
		l.up, l.since, l.fault = true, time.Now(), nil
		l.dirty = l.dirty[:0]
		for c, w := range l.wants {
			w.has = false
			if w.refs > 0 {
				l.dirty = append(l.dirty, c)
			} else {
				delete(l.wants, c)
			}
		}
		l.first = l.asked.Add(1)
	})
	linksUp.Inc()
	if again {
		l.bus.announce(l.group)
	}
}

// down ends the state up.
func (l *link) down(err error) {
	wasUp := false
	l.session.Add(1)
	l.turn(func() {
		wasUp = l.up
		if wasUp || l.fault == nil {
			l.since = time.Now()
		}
		l.up, l.fault = false, err
		for _, w := range l.wants {
			if w.has {
				subscriptions.Dec()
			}
			w.has = false
		}
	})
	if !wasUp {
		return
	}
	linksUp.Dec()
	l.bus.unlinked(l)
	if l.bus.stop.Err() == nil {
		linkLosses.Inc()
		l.bus.log.Warn("the link to Redis is lost", "group", l.group, "error", err)
	}
}

// follow sends changes until the connection is lost or the bus ends.
func (l *link) follow(c rueidis.DedicatedClient, lost <-chan error, broken <-chan struct{}, begun *func(error)) error {
	for {
		if err := l.apply(c); err != nil {
			return err
		}
		if *begun != nil {
			(*begun)(nil)
			*begun = nil
		}
		select {
		case err := <-lost:
			if err == nil {
				err = errors.New("redis: the connection ended")
			}
			return err
		case <-broken:
			return errors.New("redis: the subjects of this link moved to another server")
		case <-l.bus.stop.Done():
			return l.bus.stop.Err()
		case <-l.wake:
		}
	}
}

// apply tells the server all changes so far.
func (l *link) apply(c rueidis.DedicatedClient) error {
	for {
		listen, leave, upTo := l.changes()
		ctx, cancel := context.WithTimeout(l.bus.stop, CallPatience)
		err := l.send(ctx, c, true, listen)
		if err == nil {
			err = l.send(ctx, c, false, leave)
		}
		cancel()
		if err != nil {
			return err
		}
		subscriptions.Add(float64(len(listen) - len(leave)))
		l.turn(func() { l.confirmed = upTo })
		if len(listen)+len(leave) == 0 {
			return nil
		}
	}
}

// changes takes what is to be told and counts it as told.
func (l *link) changes() (listen, leave []channel, upTo uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.dirty {
		w := l.wants[c]
		switch {
		case w == nil:
		case w.refs > 0 && !w.has:
			listen = append(listen, c)
			w.has = true
		case w.refs <= 0 && w.has:
			leave = append(leave, c)
			delete(l.wants, c)
		case w.refs <= 0:
			delete(l.wants, c)
		}
	}
	l.dirty = l.dirty[:0]
	return listen, leave, l.asked.Load()
}

// send subscribes to channels, or leaves them, in batches. The answer to the first channel of a command says that the
// server has done them all.
func (l *link) send(ctx context.Context, c rueidis.DedicatedClient, listen bool, channels []channel) error {
	var plain, globs []string
	for _, ch := range channels {
		if ch.glob {
			globs = append(globs, ch.name)
		} else {
			plain = append(plain, ch.name)
		}
	}
	sharded := l.bus.names.sharded
	for ; len(plain) > 0; plain = plain[min(len(plain), channelsAtOnce):] {
		some := plain[:min(len(plain), channelsAtOnce)]
		command := plainCommand(c.B(), sharded, listen, some)
		if err := c.Do(ctx, command).Error(); err != nil {
			return fmt.Errorf("redis: listen: %w", err)
		}
	}
	for ; len(globs) > 0; globs = globs[min(len(globs), channelsAtOnce):] {
		some := globs[:min(len(globs), channelsAtOnce)]
		command := c.B().Psubscribe().Pattern(some...).Build()
		if !listen {
			command = c.B().Punsubscribe().Pattern(some...).Build()
		}
		if err := c.Do(ctx, command).Error(); err != nil {
			return fmt.Errorf("redis: listen: %w", err)
		}
	}
	return nil
}

func plainCommand(b rueidis.Builder, sharded, listen bool, channels []string) rueidis.Completed {
	switch {
	case sharded && listen:
		return b.Ssubscribe().Channel(channels...).Build()
	case sharded:
		return b.Sunsubscribe().Channel(channels...).Build()
	case listen:
		return b.Subscribe().Channel(channels...).Build()
	}
	return b.Unsubscribe().Channel(channels...).Build()
}

// noticed sees that the server ended a subscription by itself: a cluster does so when it moves a slot.
func (l *link) noticed(s rueidis.PubSubSubscription, broken chan<- struct{}) {
	if s.Kind != "sunsubscribe" {
		return
	}
	l.mu.Lock()
	w := l.wants[channel{name: s.Channel}]
	unasked := w != nil && w.has && w.refs > 0
	l.mu.Unlock()
	if unasked {
		select {
		case broken <- struct{}{}:
		default:
		}
	}
}

// hear takes a message. It runs on the connection's reader.
func (l *link) hear(text string) {
	f, err := parseFrame([]byte(text))
	if err != nil {
		badMessages.Inc()
		l.bus.log.Warn("a message from Redis cannot be read", "error", err)
		return
	}
	if f.origin == l.last.origin && f.sequence == l.last.sequence {
		return // it matched several channels: the copies come one behind the other
	}
	l.last.origin, l.last.sequence = f.origin, f.sequence
	receivedTotal.Inc()
	l.bus.deliver(&f)
}

// health says why the link cannot be used.
func (l *link) health() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.up && l.confirmed >= l.first:
		return nil
	case l.up:
		return errors.New("redis is back, and subscriptions are being made again")
	}
	return fmt.Errorf("redis is away for %s: %w", time.Since(l.since).Round(time.Second), l.fault)
}
