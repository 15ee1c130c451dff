// Package event tells browsers and services what has changed, so that nobody shows what is no longer true.
//
// The messages and the names of their subjects are those of older workflow engines: "events" has one message for every
// thing that became stale, "engine-settings" the state of the engine's lock. Beside them each message goes to
// "events.<type>", for listeners that want one type only, and what belongs to an account to "events.user.<account>".
//
// Any goroutine may broadcast. A broadcast never blocks and never fails for its caller, whatever the bus does: one goroutine
// publishes what waits, in order. What waits already is not entered again, so a slow bus makes fewer messages, not more. What
// the bus refuses is told later, as all of its type.
package event

import (
	"log/slog"
	"sync"
	"time"

	"gosper/broker"
)

// Subjects of the bus. A listener of one type uses TypeSubject, one of an account's own things UserSubject.
const (
	Subject         = "events"
	SettingsSubject = "engine-settings"
	ProcessSubject  = "processes" // kept for its listeners; nothing is sent there any more
)

// Types of things that become stale.
const (
	Processes           = "processes"
	ProcessStatusCounts = "processStatusCounts"
	Subscriptions       = "subscriptions"
	EngineStatus        = "engineStatus"
)

// Types lists all types.
func Types() []string { return []string{Processes, ProcessStatusCounts, Subscriptions, EngineStatus} }

// TypeSubject is the subject of the messages about one type.
func TypeSubject(kind string) string { return Subject + "." + kind }

// UserSubject is the subject of the messages about what belongs to an account.
func UserSubject(account string) string { return Subject + ".user." + account }

// List is the id that means: the list of them, whichever changed.
const List = "LIST"

// Options of a Broadcaster. The zero value of a figure means its default.
type Options struct {
	Bus      broker.Bus
	Throttle time.Duration // lists, counts and subscriptions are told at most once in it; default 200 ms
	Keep     broker.Keep   // for listeners that come back; default 1,000 messages of 10 minutes
	Pending  int           // things that may wait for the bus; default 16,384. Beyond it all of a type is told to be stale
	Patience time.Duration // the bus may take this time for what was published before the next is, and rests so long after a refusal; default 1 s
	Log      *slog.Logger
}

// Broadcaster publishes events. Its methods may be called from any goroutine and never block, but for Close. A nil
// Broadcaster tells nobody.
type Broadcaster struct {
	o Options

	mu       sync.Mutex
	closed   bool
	resting  map[thing]*rest    // told a moment ago
	queue    []thing            // to be published, in order
	waiting  map[thing]struct{} // those of queue
	settings any                // of the engine, when they were told last
	missed   map[thing]struct{} // what did not fit into queue or was refused by the bus, without ids: to be told as a whole
	ended    chan struct{}      // closed when the publishing goroutine ends; nil while there is none
}

// thing is what can be stale. With an owner it is told to the listeners of that account only.
type thing struct{ kind, id, owner string }

// settingsKind is the state of the lock, which has a subject and a message of its own.
const settingsKind = "engine-status"

// rest is what happened to a thing since it was told.
type rest struct {
	timer *time.Timer
	again bool // it changed once more
}

// New returns a broadcaster over a bus, which stays the caller's.
func New(o Options) *Broadcaster {
	if o.Throttle == 0 {
		o.Throttle = 200 * time.Millisecond
	}
	if o.Keep == (broker.Keep{}) {
		o.Keep = broker.Keep{Messages: 1000, Age: 10 * time.Minute}
	}
	if o.Pending == 0 {
		o.Pending = 16384
	}
	if o.Patience == 0 {
		o.Patience = time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Broadcaster{o: o, resting: make(map[thing]*rest), waiting: make(map[thing]struct{}), missed: make(map[thing]struct{})}
}

// Process tells that a process has changed: the list of all, which is joined with others of the moment, then this one. owner
// is the account it belongs to, "" for none.
func (b *Broadcaster) Process(id, owner string) {
	b.locked(func() {
		b.soon(thing{Processes, List, ""})
		b.tell(thing{Processes, id, ""})
		if owner != "" {
			b.soon(thing{Processes, List, owner})
			b.tell(thing{Processes, id, owner})
		}
	})
}

// ProcessCounts tells that the numbers of processes by state have changed.
func (b *Broadcaster) ProcessCounts() {
	b.locked(func() { b.soon(thing{kind: ProcessStatusCounts}) })
}

// Subscription tells that a subscription has changed: the list of all, then this one. Both are joined with others of the
// moment.
func (b *Broadcaster) Subscription(id string) {
	b.locked(func() {
		b.soon(thing{Subscriptions, List, ""})
		b.soon(thing{Subscriptions, id, ""})
	})
}

// EngineStatus tells that the engine was locked or unlocked. settings is the new state, as its endpoint answers it; it is
// not changed afterwards.
func (b *Broadcaster) EngineStatus(settings any) {
	b.locked(func() {
		b.settings = settings
		b.tell(thing{kind: settingsKind})
		b.tell(thing{kind: EngineStatus})
	})
}

// Invalidate tells that something of any type has changed; id "" means all of the type, List its list. It is for services:
// nothing is held back.
func (b *Broadcaster) Invalidate(kind, id string) {
	b.locked(func() { b.tell(thing{kind, id, ""}) })
}

// Everything tells that all of each type may have changed. It is for a start: a crash may have come between a change and
// its news.
func (b *Broadcaster) Everything() {
	for _, kind := range Types() {
		b.Invalidate(kind, "")
	}
}

func (b *Broadcaster) locked(tell func()) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		tell()
	}
}

// soon tells of a thing at once, and then at most once in Throttle. REQUIRES: mu is held.
func (b *Broadcaster) soon(t thing) {
	if r := b.resting[t]; r != nil {
		r.again = true
		joined.Inc()
		return
	}
	b.tell(t)
	b.resting[t] = &rest{timer: time.AfterFunc(b.o.Throttle, func() { b.rested(t) })}
}

// rested tells of what changed again while it rested.
func (b *Broadcaster) rested(t thing) {
	b.locked(func() {
		again := b.resting[t].again
		delete(b.resting, t)
		if again {
			b.soon(t)
		}
	})
}

// closeTime bounds how long Close waits for the bus.
const closeTime = 5 * time.Second

// Close publishes what was to be told later and waits a bounded time for the bus to take it. Broadcasts after it do nothing.
func (b *Broadcaster) Close() {
	if b == nil {
		return
	}
	b.mu.Lock()
	for t, r := range b.resting {
		r.timer.Stop()
		if r.again && !b.closed {
			b.tell(t)
		}
	}
	clear(b.resting)
	b.closed = true
	ended := b.ended
	b.mu.Unlock()
	if ended == nil {
		return
	}
	select {
	case <-ended:
	case <-time.After(closeTime):
		b.o.Log.Warn("event: the bus did not take the last messages")
	}
}
