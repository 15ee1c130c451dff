package redis

import (
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"gosper/broker"
)

// writer sends the messages of some subjects, one pipeline after the other, so the messages of a subject keep their
// order. While one is under way the next gathers.
//
// A message that local subscribers wait for is done when it has come back and was handed to them: only then its place
// among the messages of others is known. It is done earlier when it cannot come back any more.
type writer struct {
	bus  *Bus
	link *link         // that the messages come back on
	wake chan struct{} // room for one

	mu      sync.Mutex
	queue   []*post
	pending map[uint64]*post // by sequence: sent, and not done
	echoes  []*post          // of pending: answered, and awaited; oldest first
}

// post is one message on its way out.
type post struct {
	// static after Publish
	subject  string
	data     []byte
	keep     broker.Keep
	done     func(broker.Position, error)
	sequence uint64
	at       time.Time
	heard    bool   // local subscribers match it
	barrier  uint64 // their subscriptions are effective when the link has confirmed this

	// owned by the writer once sent
	session  uint64 // of the link when it was sent
	position broker.Position
	answered time.Time
}

// offer queues p. It never blocks.
func (w *writer) offer(p *post) error {
	size := int64(len(p.data))
	if w.bus.queued.Add(size) > MaxQueueBytes {
		w.bus.queued.Add(-size)
		refusedBusy.Inc()
		return fmt.Errorf("%w: %d bytes wait for Redis", broker.ErrBusy, MaxQueueBytes)
	}
	w.mu.Lock()
	if len(w.queue) >= MaxQueue {
		w.mu.Unlock()
		w.bus.queued.Add(-size)
		refusedBusy.Inc()
		return fmt.Errorf("%w: %d messages wait for Redis", broker.ErrBusy, MaxQueue)
	}
	w.queue = append(w.queue, p)
	w.mu.Unlock()
	queueDepth.Inc()
	w.bus.waiting.Add(1)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return nil
}

// idle reports whether nothing waits or is under way.
func (w *writer) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue)+len(w.pending) == 0
}

// run sends until the bus ends, then answers what is left.
func (w *writer) run() {
	tick := time.NewTicker(echoPatience / 4)
	defer tick.Stop()
	for w.bus.stop.Err() == nil {
		select {
		case <-w.wake:
		case <-tick.C:
		case <-w.bus.stop.Done():
		}
		w.giveUpEchoes(time.Now().Add(-echoPatience))
		for batch := w.next(); len(batch) > 0; batch = w.next() {
			w.send(batch)
			w.giveUpEchoes(time.Now().Add(-echoPatience))
		}
	}
	w.end()
}

// next returns the messages of the next pipeline, when they may be sent; none when nothing is queued or the bus ends. It
// waits for the link, and answers messages for which that takes too long.
func (w *writer) next() []*post {
	for w.bus.stop.Err() == nil {
		now := time.Now()
		w.expire(now)
		batch, barrier := w.peek()
		if len(batch) == 0 {
			return nil
		}
		up, ready, changed := w.link.state(barrier)
		if up && ready {
			w.mu.Lock()
			w.queue = w.queue[len(batch):]
			w.mu.Unlock()
			return batch
		}
		timer := time.NewTimer(time.Until(batch[0].at.Add(MessagePatience)))
		select {
		case <-changed:
		case <-timer.C:
		case <-w.bus.stop.Done():
		}
		timer.Stop()
	}
	return nil
}

// peek copies the beginning of the queue.
func (w *writer) peek() (batch []*post, barrier uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	size := 0
	for _, p := range w.queue {
		if size += len(p.data); len(batch) > 0 && (size > batchBytes || len(batch) >= batchMessages) {
			break
		}
		batch = append(batch, p)
		barrier = max(barrier, p.barrier)
	}
	return batch, barrier
}

// expire answers messages that have waited for too long.
func (w *writer) expire(now time.Time) {
	w.mu.Lock()
	n := 0
	for n < len(w.queue) && now.Sub(w.queue[n].at) > MessagePatience {
		n++
	}
	old := w.queue[:n]
	w.queue = w.queue[n:]
	w.mu.Unlock()
	for _, p := range old {
		refusedTimeout.Inc()
		w.leave(p)
		p.answer(broker.Position{}, fmt.Errorf("%w: redis is away, the message was not sent", broker.ErrTimeout))
	}
}

// leave counts p out of the queue.
func (w *writer) leave(p *post) {
	queueDepth.Dec()
	w.bus.waiting.Add(-1)
	w.bus.queued.Add(-int64(len(p.data)))
}

// send sends a pipeline and takes the answers.
func (w *writer) send(batch []*post) {
	begin := time.Now()
	session := w.link.session.Load()
	commands := make([]rueidis.Completed, len(batch))
	w.mu.Lock()
	for i, p := range batch {
		p.session = session
		w.pending[p.sequence] = p
		commands[i] = w.bus.command(p, false)
	}
	w.mu.Unlock()
	results := w.bus.client.DoMulti(w.bus.stop, commands...)
	results = w.again(batch, results)
	for i, p := range batch {
		w.leave(p)
		w.answered(p, results[i])
	}
	publishSeconds.UpdateDuration(begin)
}

// again sends those messages with the text of their script whose server did not know it.
func (w *writer) again(batch []*post, results []rueidis.RedisResult) []rueidis.RedisResult {
	var commands []rueidis.Completed
	var at []int
	for i, r := range results {
		if unknownScript(r.Error()) {
			at = append(at, i)
			commands = append(commands, w.bus.command(batch[i], true))
		}
	}
	if len(commands) > 0 {
		for i, r := range w.bus.client.DoMulti(w.bus.stop, commands...) {
			results[at[i]] = r
		}
	}
	return results
}

// answered takes the server's answer to p.
func (w *writer) answered(p *post, result rueidis.RedisResult) {
	position, err := w.bus.position(p, result)
	if err == nil {
		publishedTotal.Inc()
	}
	w.mu.Lock()
	if w.pending[p.sequence] != p {
		w.mu.Unlock()
		return // it came back before the answer
	}
	if err == nil && p.heard && p.session == w.link.session.Load() && w.bus.heard(p.subject) {
		p.position, p.answered = position, time.Now()
		w.echoes = append(w.echoes, p)
		w.mu.Unlock()
		return
	}
	delete(w.pending, p.sequence)
	w.mu.Unlock()
	p.answer(position, err)
}

// claim takes the message with the sequence out of those that are awaited; nil when it is not among them.
func (w *writer) claim(sequence uint64) *post {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pending[sequence]
	delete(w.pending, sequence)
	return p
}

// giveUpEchoes answers messages that were answered before the time, and did not come back.
func (w *writer) giveUpEchoes(before time.Time) {
	w.mu.Lock()
	n := 0
	var late []*post
	for ; n < len(w.echoes); n++ {
		p := w.echoes[n]
		if w.pending[p.sequence] != p {
			continue
		}
		if p.answered.After(before) {
			break
		}
		delete(w.pending, p.sequence)
		late = append(late, p)
	}
	w.echoes = append(w.echoes[:0], w.echoes[n:]...)
	w.mu.Unlock()
	for _, p := range late {
		echoesMissed.Inc()
		p.answer(p.position, nil)
	}
}

// end answers everything.
func (w *writer) end() {
	w.giveUpEchoes(time.Now())
	w.mu.Lock()
	left := w.queue
	w.queue = nil
	w.mu.Unlock()
	for _, p := range left {
		refusedClosed.Inc()
		w.leave(p)
		p.answer(broker.Position{}, broker.ErrClosed)
	}
}

// answer tells the publisher. Each post is answered by whoever took it out of queue or pending, so once.
func (p *post) answer(at broker.Position, err error) {
	if p.done == nil {
		return
	}
	defer caught(p.subject)
	p.done(at, err)
}

// command is the command that publishes p. full sends the text of the script.
func (b *Bus) command(p *post, full bool) rueidis.Completed {
	key := b.names.subject(p.subject)
	if p.keep.Messages > 0 {
		tail := appendTail(make([]byte, 0, len(p.data)+len(p.subject)+48), b.origin, p.sequence, p.subject, p.data)
		args := []string{b.names.life(b.names.groupOf(p.subject)), string(tail), strconv.Itoa(p.keep.Messages), ms(p.keep.Age, 0), ms(max(subjectAge, p.keep.Age), 1)}
		if b.names.sharded {
			one, all := b.names.families(p.subject)
			args = append(args, one, all)
		}
		return b.scripts.publish.command(b.client.B(), full, key, args...)
	}
	message := string(appendPlain(make([]byte, 0, len(p.data)+len(p.subject)+64), p.at, b.origin, p.sequence, p.subject, p.data))
	if b.names.sharded {
		one, all := b.names.families(p.subject)
		return b.scripts.plain.command(b.client.B(), full, key, message, one, all)
	}
	return b.client.B().Publish().Channel(key).Message(message).Build()
}

// position reads the answer to a publish.
func (b *Bus) position(p *post, result rueidis.RedisResult) (at broker.Position, err error) {
	if err := result.Error(); err != nil {
		return at, b.publishFault(err)
	}
	if p.keep.Messages <= 0 {
		return at, nil
	}
	numbers, err := result.AsIntSlice()
	if err != nil || len(numbers) != 2 {
		return at, fmt.Errorf("redis: strange answer to a publish: %v", err)
	}
	return broker.Position{Epoch: uint64(numbers[0]), Offset: uint64(numbers[1])}, nil
}

// ms is a time in milliseconds for a script, at least least.
func ms(d time.Duration, least int64) string {
	if d > 0 {
		least = max(least, 1)
	}
	return strconv.FormatInt(max(d.Milliseconds(), least), 10)
}
