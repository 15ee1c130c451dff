package event

import (
	"encoding/json"
	"sync/atomic"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"gosper/broker"
)

// tell enters a thing to be published, unless it waits already: the message that comes tells of this change too.
// REQUIRES: mu is held.
func (b *Broadcaster) tell(t thing) {
	if _, ok := b.waiting[t]; ok {
		joined.Inc()
		return
	}
	if len(b.queue) >= b.o.Pending {
		overflown.Inc()
		b.overflow[t.kind] = true
		return
	}
	b.queue = append(b.queue, t)
	b.waiting[t] = struct{}{}
	if b.ended == nil {
		b.ended = make(chan struct{})
		go b.publishAll()
	}
}

// publishAll publishes what waits until nothing does. It waits for the bus between two rounds: what changes meanwhile is
// joined.
func (b *Broadcaster) publishAll() {
	for {
		things, settings := b.next()
		if things == nil {
			return
		}
		r := &round{done: make(chan struct{})}
		r.left.Store(1)
		for _, t := range things {
			b.publish(r, t, settings)
		}
		r.finished()
		select {
		case <-r.done:
		case <-time.After(b.o.Patience):
		}
	}
}

// round counts the messages that the bus has not taken.
type round struct {
	left atomic.Int64
	done chan struct{}
}

func (r *round) finished() {
	if r.left.Add(-1) == 0 {
		close(r.done)
	}
}

// next takes what waits; nil when there is nothing, and then the caller ends.
func (b *Broadcaster) next() (things []thing, settings any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	things = b.queue
	for kind := range b.overflow { // what did not fit is among all of its type
		things = append(things, thing{kind: kind})
	}
	if things == nil {
		close(b.ended)
		b.ended = nil
	}
	b.queue = nil
	clear(b.waiting)
	clear(b.overflow)
	return things, b.settings
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

// publish sends the messages about one thing.
func (b *Broadcaster) publish(r *round, t thing, settings any) {
	m := invalidate{"invalidateCache", value{t.kind, t.id}}
	switch {
	case t.kind == settingsKind:
		b.send(r, SettingsSubject, map[string]any{settingsKind: settings}, broker.Keep{})
	case t.owner != "":
		b.send(r, UserSubject(t.owner), m, b.o.Keep)
	default:
		b.send(r, Subject, m, b.o.Keep)
		b.send(r, TypeSubject(t.kind), m, b.o.Keep)
	}
}

func (b *Broadcaster) send(r *round, subject string, message any, keep broker.Keep) {
	data, err := json.Marshal(message)
	if err != nil {
		b.lost(subject, err)
		return
	}
	sent.Inc()
	r.left.Add(1)
	b.o.Bus.Publish(subject, data, keep, func(_ broker.Position, err error) {
		if err != nil {
			b.lost(subject, err)
		}
		r.finished()
	})
}

func (b *Broadcaster) lost(subject string, err error) {
	lost.Inc()
	b.o.Log.Warn("event: a message was not published", "subject", subject, "error", err)
}

var (
	sent      = vm.NewCounter("gosper_event_sent_total")
	joined    = vm.NewCounter("gosper_event_joined_total")
	lost      = vm.NewCounter("gosper_event_lost_total")
	overflown = vm.NewCounter("gosper_event_overflow_total")
)

// Metrics lists the metric families of this package. The slice is the caller's own.
func Metrics() []broker.Metric {
	return []broker.Metric{
		{Name: "gosper_event_sent_total", Help: "Events published, each once for everybody and once for its type or its account."},
		{Name: "gosper_event_joined_total", Help: "Changes that were told together with another."},
		{Name: "gosper_event_lost_total", Help: "Events that the bus refused."},
		{Name: "gosper_event_overflow_total", Help: "Changes for which too many others waited: all of their type was told to be stale."},
	}
}
