package redis

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"gosper/broker"
	"gosper/broker/fanout"
)

const (
	lanes   = 64 // groups of subjects whose messages are handed to subscribers in parallel
	writers = 4  // publishing lanes outside of clusters; a cluster has one a group
)

// Bus is the broker.Bus of many nodes. See the package documentation.
type Bus struct {
	// static after construction
	client  rueidis.Client
	names   names
	scripts scripts
	log     *slog.Logger
	origin  uint64
	seed    maphash.Seed
	links   []*link   // by group
	writers []*writer // of link i are those with index i modulo len(links)
	stop    context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup

	table    fanout.Table
	lanes    [lanes]fanout.Lane
	sequence atomic.Uint64
	queued   atomic.Int64 // bytes in the queues of all writers, or under way
	waiting  atomic.Int64 // messages, likewise

	mu       sync.RWMutex
	exact    map[string]int // subjects with local subscribers
	patterns map[string]int // patterns of local subscribers
	closed   bool
}

var _ broker.Bus = (*Bus)(nil)

func newBus(client rueidis.Client, n names, log *slog.Logger) *Bus {
	b := &Bus{client: client, names: n, scripts: newScripts(n.sharded), log: log, origin: rand.Uint64(), seed: maphash.MakeSeed(),
		exact: make(map[string]int), patterns: make(map[string]int)}
	b.stop, b.cancel = context.WithCancel(context.Background())
	for i := range b.lanes {
		b.lanes[i].Init()
	}
	count, each := 1, writers
	if n.sharded {
		count, each = groups, 1
	}
	for i := range count {
		b.links = append(b.links, newLink(b, i))
	}
	for i := range count * each {
		b.writers = append(b.writers, &writer{bus: b, link: b.links[i%count], wake: make(chan struct{}, 1), pending: make(map[uint64]*post)})
	}
	return b
}

// start connects the links and returns when all have tried; the error is of those that failed. They try again.
func (b *Bus) start() error {
	results := make(chan error, len(b.links))
	for _, l := range b.links {
		b.work.Go(func() { l.run(func(err error) { results <- err }) })
	}
	for _, w := range b.writers {
		b.work.Go(w.run)
	}
	var errs []error
	for range b.links {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

// writer returns the publishing lane of a subject.
func (b *Bus) writer(subject string) *writer {
	if b.names.sharded {
		return b.writers[b.names.groupOf(subject)]
	}
	return b.writers[maphash.String(b.seed, subject)%writers]
}

// Publish implements broker.Bus. Errors told by done: broker.ErrBusy when too much waits for Redis, broker.ErrTimeout
// when it was away for MessagePatience (the message was not sent) or went away while the message was under way
// (unknown outcome). While Redis is away messages without history still reach the subscribers of this node.
func (b *Bus) Publish(subject string, data []byte, keep broker.Keep, done func(broker.Position, error)) {
	if err := b.publish(subject, data, keep, done); err != nil && done != nil {
		done(broker.Position{}, err)
	}
}

// publish queues a message. After an error done was not taken over.
func (b *Bus) publish(subject string, data []byte, keep broker.Keep, done func(broker.Position, error)) error {
	switch {
	case !broker.ValidSubject(subject):
		return broker.BadName("subject", subject)
	case len(data) > broker.MaxValue:
		return broker.ErrTooLarge
	}
	w := b.writer(subject)
	p := &post{subject: subject, data: data, keep: keep, done: done, sequence: b.sequence.Add(1), at: time.Now()}
	if up, _, _ := w.link.state(0); !up && keep.Messages <= 0 && w.idle() && b.stop.Err() == nil {
		return b.local(p)
	}
	b.mu.RLock() // Close waits for it: nothing is queued behind the end
	defer b.mu.RUnlock()
	if b.closed {
		return broker.ErrClosed
	}
	if p.heard = b.hears(subject); p.heard {
		p.barrier = w.link.asked.Load()
	}
	return w.offer(p)
}

// local hands a message without history to the subscribers of this node alone: the link is down, and the others will be
// told of a gap. Handlers may use the bus, so the caller holds no lock.
func (b *Bus) local(p *post) error {
	lane := b.lane(p.subject)
	lane.Lock()
	if lane.Full() {
		lane.Unlock()
		refusedBusy.Inc()
		return fmt.Errorf("%w: %d messages wait for subscribers of this node", broker.ErrBusy, fanout.MaxPending)
	}
	lane.PushData(p.subject, p.data, p.at, p.done)
	lane.Unlock()
	localTotal.Inc()
	lane.Drain(&b.table)
	return nil
}

// lane returns the lane in which the messages of a subject are handed to subscribers.
func (b *Bus) lane(subject string) *fanout.Lane {
	return &b.lanes[maphash.String(b.seed, subject)%lanes]
}

// heard reports whether local subscribers match the subject.
func (b *Bus) heard(subject string) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.hears(subject)
}

// hears is heard for a caller that holds mu.
func (b *Bus) hears(subject string) bool {
	if b.exact[subject] > 0 {
		return true
	}
	for pattern := range b.patterns {
		if broker.MatchSubject(pattern, subject) {
			return true
		}
	}
	return false
}

// subscription is one of Subscribe's.
type subscription struct {
	broker.Subscription
	bus     *Bus
	pattern string
	once    sync.Once
}

// Subscribe implements broker.Bus. It does not wait for Redis: a publish of this node, and a History of it, that is
// asked for after it waits until the subscription is effective.
func (b *Bus) Subscribe(pattern string, h broker.Handler) (broker.Subscription, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, broker.ErrClosed
	}
	entry, err := b.table.Subscribe(pattern, h)
	if err != nil {
		return nil, err
	}
	b.change(pattern, +1)
	return &subscription{Subscription: entry, bus: b, pattern: pattern}, nil
}

// Unsubscribe implements broker.Subscription.
func (s *subscription) Unsubscribe() {
	s.once.Do(func() {
		s.Subscription.Unsubscribe()
		s.bus.mu.Lock()
		defer s.bus.mu.Unlock()
		s.bus.change(s.pattern, -1)
	})
}

// change counts the subscribers of a pattern, and tells the links of its first and last. Caller holds mu.
func (b *Bus) change(pattern string, by int) {
	counts, links := b.exact, b.links
	if broker.Wild(pattern) {
		counts = b.patterns
	} else {
		group := b.names.groupOf(pattern)
		links = b.links[group : group+1]
	}
	before := counts[pattern]
	if counts[pattern] += by; counts[pattern] == 0 {
		delete(counts, pattern)
	}
	if before > 0 && counts[pattern] > 0 {
		return
	}
	for _, l := range links {
		if by > 0 {
			l.add(b.names.listen(l.group, pattern))
		} else {
			l.remove(b.names.listen(l.group, pattern))
		}
	}
}

// deliver hands a message to local subscribers, and answers its publisher if that is this node. It runs on a link's
// reader, which waits while handlers are too slow: then the server drops the link, and a gap is told.
func (b *Bus) deliver(f *frame) {
	var done func(broker.Position, error)
	if f.origin == b.origin {
		if p := b.writer(f.Subject).claim(f.sequence); p != nil {
			done = p.done
		}
	}
	lane := b.lane(f.Subject)
	lane.Lock()
	lane.WaitRoom()
	lane.PushMessage(&f.Message, done)
	lane.Unlock()
	lane.Drain(&b.table)
}

// announce tells the subscribers of a group's subjects of a gap.
func (b *Bus) announce(group int) {
	told := b.table.Gap("the link to Redis was lost", func(pattern string) bool {
		return broker.Wild(pattern) || b.names.groupOf(pattern) == group
	})
	gapsTotal.Add(told)
	b.log.Info("Redis is back; subscribers were told of a gap", "group", group, "subscribers", told)
}

// unlinked answers messages that will not come back on a lost link.
func (b *Bus) unlinked(l *link) {
	for _, w := range b.writers {
		if w.link == l {
			w.giveUpEchoes(time.Now())
		}
	}
}

// History implements broker.Bus. The error is broker.ErrBusy while Redis is known to be away, broker.ErrTimeout when it
// does not answer.
func (b *Bus) History(ctx context.Context, subject string, since broker.Position, limit int) (r broker.Recovery, err error) {
	if !broker.ValidSubject(subject) {
		return r, broker.BadName("subject", subject)
	}
	if b.stop.Err() != nil {
		return r, broker.ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, CallPatience)
	defer cancel()
	group := b.names.groupOf(subject)
	if err := b.links[group].present(ctx); err != nil {
		return r, err
	}
	if err := b.links[group].settle(ctx); err != nil {
		return r, callFault(err)
	}
	result := b.scripts.history.run(ctx, b.client, b.names.subject(subject), b.names.life(group),
		strconv.FormatUint(since.Epoch, 10), strconv.FormatUint(since.Offset, 10), strconv.Itoa(max(limit, 0)), ms(subjectAge, 1))
	answer, err := result.ToArray()
	if err != nil {
		return r, callFault(err)
	}
	return parseHistory(answer)
}

// parseHistory reads the answer of the script.
func parseHistory(answer []rueidis.RedisMessage) (r broker.Recovery, err error) {
	var numbers [3]int64
	if len(answer) < len(numbers) {
		return r, errors.New("redis: strange answer to a history")
	}
	for i := range numbers {
		if numbers[i], err = answer[i].AsInt64(); err != nil {
			return r, fmt.Errorf("redis: strange answer to a history: %w", err)
		}
	}
	r.Top = broker.Position{Epoch: uint64(numbers[0]), Offset: uint64(numbers[1])}
	r.Recovered = numbers[2] == 1
	for _, one := range answer[len(numbers):] {
		b, err := one.AsBytes()
		if err != nil {
			return r, fmt.Errorf("redis: history: %w", err)
		}
		f, err := parseFrame(b)
		if err != nil {
			return r, fmt.Errorf("redis: history: %w", err)
		}
		r.Messages = append(r.Messages, &f.Message)
	}
	return r, nil
}

// Health says why the bus cannot be used now; nil when it can, and hears what others publish.
func (b *Bus) Health() error {
	for _, l := range b.links {
		if err := l.health(); err != nil {
			return err
		}
	}
	return nil
}

// up reports whether all links are there.
func (b *Bus) up() bool {
	return !slices.ContainsFunc(b.links, func(l *link) bool {
		up, _, _ := l.state(0)
		return !up
	})
}

// Close ends the bus: messages that cannot be sent in a moment are answered with broker.ErrClosed. It is idempotent.
func (b *Bus) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.flush(closePatience)
	b.cancel()
	b.work.Wait()
	return nil
}

// flush waits until all messages were sent, while Redis takes them.
func (b *Bus) flush(most time.Duration) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(most); b.waiting.Load() > 0 && time.Now().Before(end) && b.up() && b.stop.Err() == nil; {
		<-tick.C
	}
}

// caught logs the panic of a callback. It is deferred directly.
func caught(subject string) {
	if r := recover(); r != nil {
		slog.Error("a bus callback panicked", "subject", subject, "panic", r, "stack", string(debug.Stack()))
	}
}
