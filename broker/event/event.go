// Package event tells browsers and services what has changed, so that nobody shows what is no longer true.
//
// The messages and the names of their subjects are those of older workflow engines: "events" has one message for every
// kind of thing that became stale, "engine-settings" the state of the engine's lock. Beside them each message goes to
// "events.<type>", for listeners that want one kind only.
//
// Any goroutine may broadcast. A broadcast never blocks and never fails for its caller: what could not be published is
// counted and logged. Messages of one goroutine keep their order.
package event

import (
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker"
)

// Subjects of the bus. A listener of one type uses TypeSubject.
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

// List is the id that means: the list of them, whichever changed.
const List = "LIST"

// Options of a Broadcaster. The zero value of a figure means its default.
type Options struct {
	Bus      broker.Bus
	Throttle time.Duration // lists and counts are told at most once in it; default 200 ms
	Keep     broker.Keep   // for listeners that come back; default 1,000 messages of 10 minutes
	Log      *slog.Logger
}

// Broadcaster publishes events. Its methods may be called from any goroutine and never block.
type Broadcaster struct {
	o Options

	mu     sync.Mutex
	closed bool
	lists  map[string]*list
}

// list is what was told of one type's list.
type list struct {
	timer *time.Timer // runs while nothing more is told
	again bool        // something changed meanwhile
}

// New returns a broadcaster over a bus, which stays the caller's.
func New(o Options) *Broadcaster {
	if o.Throttle == 0 {
		o.Throttle = 200 * time.Millisecond
	}
	if o.Keep == (broker.Keep{}) {
		o.Keep = broker.Keep{Messages: 1000, Age: 10 * time.Minute}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Broadcaster{o: o, lists: make(map[string]*list)}
}

// Close stops what was to be told later. Broadcasts after it do nothing.
func (b *Broadcaster) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, l := range b.lists {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
}

// Process tells that a process has changed: the list of all, which is joined with others of the moment, then this one.
func (b *Broadcaster) Process(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list(Processes, List)
	b.stale(Processes, id)
}

// ProcessCounts tells that the numbers of processes by state have changed.
func (b *Broadcaster) ProcessCounts() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list(ProcessStatusCounts, "")
}

// Subscription tells that a subscription has changed.
func (b *Broadcaster) Subscription(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.list(Subscriptions, List)
	b.stale(Subscriptions, id)
}

// EngineStatus tells that the engine was locked or unlocked. settings is the new state, as its endpoint answers it.
func (b *Broadcaster) EngineStatus(settings any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.publish(SettingsSubject, map[string]any{"engine-status": settings}, broker.Keep{})
	b.stale(EngineStatus, "")
}

// Invalidate tells that something of any type has changed; id "" means all of the type, List its list. It is for services:
// nothing is joined.
func (b *Broadcaster) Invalidate(kind, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stale(kind, id)
}

// list tells of a list at once, and then at most once in Throttle. REQUIRES: mu is held.
func (b *Broadcaster) list(kind, id string) {
	l := b.lists[kind]
	if l == nil {
		l = new(list)
		b.lists[kind] = l
	}
	if l.timer != nil {
		l.again = true
		joined.Inc()
		return
	}
	if b.closed {
		return
	}
	b.stale(kind, id)
	l.timer = time.AfterFunc(b.o.Throttle, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		l.timer = nil
		if l.again && !b.closed {
			l.again = false
			b.list(kind, id)
		}
	})
}

// invalidate is the message about something stale.
type invalidate struct {
	Name  string `json:"name"`
	Value value  `json:"value"`
}

type value struct {
	Type string `json:"type"`
	ID   string `json:"id,omitempty"`
}

// stale publishes that something is. REQUIRES: mu is held, which keeps the order.
func (b *Broadcaster) stale(kind, id string) {
	m := invalidate{"invalidateCache", value{kind, id}}
	b.publish(Subject, m, b.o.Keep)
	b.publish(TypeSubject(kind), m, b.o.Keep)
}

// publish never fails for its caller. REQUIRES: mu is held.
func (b *Broadcaster) publish(subject string, message any, keep broker.Keep) {
	if b.closed {
		return
	}
	data, err := json.Marshal(message)
	if err != nil {
		b.lost(subject, err)
		return
	}
	sent.Inc()
	b.o.Bus.Publish(subject, data, keep, func(_ broker.Position, err error) {
		if err != nil {
			b.lost(subject, err)
		}
	})
}

func (b *Broadcaster) lost(subject string, err error) {
	lost.Inc()
	b.o.Log.Warn("event: a message was not published", "subject", subject, "error", err)
}

var (
	sent   = vm.NewCounter("gosper_event_sent_total")
	joined = vm.NewCounter("gosper_event_joined_total")
	lost   = vm.NewCounter("gosper_event_lost_total")
)

// Metrics lists the metric families of this package. The slice is the caller's own.
func Metrics() []broker.Metric {
	return []broker.Metric{
		{Name: "gosper_event_sent_total", Help: "Events published, each once for everybody and once for its type."},
		{Name: "gosper_event_joined_total", Help: "Changes of a list that were told together with another."},
		{Name: "gosper_event_lost_total", Help: "Events that could not be published."},
	}
}
