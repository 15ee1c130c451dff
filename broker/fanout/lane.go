package fanout

import (
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"gosper/broker"
)

const (
	// MaxPending is how many messages may wait in one lane. A lane only fills while a handler runs longer than
	// publishers take to bring more; above it publishers are told broker.ErrBusy.
	MaxPending = 8192
	// maxBurst is how many messages of others a publisher hands out before it passes the lane on to a goroutine of
	// its own: an event loop that publishes once must not become everybody's postman.
	maxBurst = 256
)

// Lane keeps the order of the subjects that share it, and calls handlers one at a time, without blocking a publisher:
// whoever finds the lane idle hands out what is queued, whoever finds it busy only queues and goes on. A handler may
// therefore publish, even to its own subject. (A mutex held while calling handlers was tried on paper and dropped: it
// dead-locks there, and makes loops wait for each other.)
//
// The zero value is ready after Init. Lock and Unlock guard the queue and whatever the engine keeps beside it.
type Lane struct {
	mu    sync.Mutex
	queue []post // guarded by mu
	spare []post // owned by the drainer while busy
	busy  bool   // guarded by mu: somebody is handing out
	room  sync.Cond

	scratch Scratch // owned by the drainer
}

// post is one message on its way.
type post struct {
	subject string
	data    []byte
	time    time.Time
	msg     *broker.Message // nil: to be made from the fields above when anybody listens
	done    func(broker.Position, error)
}

// Init prepares the lane. It is called once, before use.
func (l *Lane) Init() { l.room.L = &l.mu }

// Lock takes the lane's lock.
func (l *Lane) Lock() { l.mu.Lock() }

// Unlock releases the lane's lock.
func (l *Lane) Unlock() { l.mu.Unlock() }

// TryLock takes the lane's lock if it is free.
func (l *Lane) TryLock() bool { return l.mu.TryLock() }

// Full reports whether Push would exceed MaxPending. Caller holds the lock.
func (l *Lane) Full() bool { return len(l.queue) >= MaxPending }

// WaitRoom waits until the lane is not full. Caller holds the lock and is no handler.
func (l *Lane) WaitRoom() {
	for l.Full() {
		l.room.Wait()
	}
}

// PushMessage queues a finished message. done may be nil. Caller holds the lock and calls Drain after releasing it.
func (l *Lane) PushMessage(m *broker.Message, done func(broker.Position, error)) {
	l.queue = append(l.queue, post{subject: m.Subject, msg: m, done: done})
}

// PushData queues a message without history: nothing is allocated for it unless somebody listens. Otherwise as PushMessage.
func (l *Lane) PushData(subject string, data []byte, at time.Time, done func(broker.Position, error)) {
	l.queue = append(l.queue, post{subject: subject, data: data, time: at, done: done})
}

// Drain hands out what is queued, unless somebody else is at it. It must be called without the lock after every Push.
func (l *Lane) Drain(t *Table) {
	l.mu.Lock()
	if l.busy {
		l.mu.Unlock()
		return
	}
	l.busy = true
	l.mu.Unlock()
	if l.hand(t, maxBurst) {
		go l.hand(t, 0)
	}
}

// hand delivers until the queue is empty, or until most messages were delivered and more wait: then it returns true and
// the lane stays busy for the next hand. most 0 means no limit.
func (l *Lane) hand(t *Table, most int) bool {
	for n := 0; ; {
		batch := l.take()
		if batch == nil {
			return false
		}
		for i := range batch {
			t.deliver(&batch[i], &l.scratch)
			batch[i].answer()
			batch[i] = post{}
		}
		l.spare = batch[:0]
		if n += len(batch); most > 0 && n >= most {
			return true
		}
	}
}

// take swaps the queue for the empty spare, or ends the turn with nil when nothing is queued.
func (l *Lane) take() []post {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.busy = false
		return nil
	}
	batch := l.queue
	l.queue, l.spare = l.spare, nil
	l.room.Broadcast()
	return batch
}

// answer tells the publisher. A panic of its callback is logged, as one of a handler is.
func (p *post) answer() {
	if p.done == nil {
		return
	}
	defer caught(p.subject)
	if p.msg != nil {
		p.done(p.msg.Position, nil)
	} else {
		p.done(broker.Position{}, nil)
	}
}

// caught logs the panic of a callback. It is deferred directly.
func caught(subject string) {
	if r := recover(); r != nil {
		slog.Error("a bus callback panicked", "subject", subject, "panic", r, "stack", string(debug.Stack()))
	}
}
