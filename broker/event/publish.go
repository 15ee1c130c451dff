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
		b.miss(t)
		return
	}
	b.queue = append(b.queue, t)
	b.waiting[t] = struct{}{}
	if b.ended == nil {
		b.ended = make(chan struct{})
		go b.publishAll()
	}
}

// miss notes that all of a thing's type has to be told. REQUIRES: mu is held.
func (b *Broadcaster) miss(t thing) {
	if t.id = ""; len(b.missed) < b.o.Pending {
		b.missed[t] = struct{}{}
	}
}

// roundMost bounds what is published before the bus is waited for: a bus refuses what is more than it can hold.
const roundMost = 64

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
		late := time.After(b.o.Patience)
		select {
		case <-r.done:
		case <-late:
		}
		if r.refused.Load() && !b.isClosed() {
			<-late
		}
	}
}

// round is what was published and not yet taken.
type round struct {
	left    atomic.Int64
	done    chan struct{}
	refused atomic.Bool
}

func (r *round) finished() {
	if r.left.Add(-1) == 0 {
		close(r.done)
	}
}

// next takes some of what waits, oldest first; nil when there is nothing, and then the caller ends.
func (b *Broadcaster) next() (things []thing, settings any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(roundMost, len(b.queue))
	things, b.queue = b.queue[:n:n], b.queue[n:]
	for _, t := range things {
		delete(b.waiting, t)
	}
	if len(b.queue) == 0 {
		for t := range b.missed {
			things = append(things, t)
		}
		clear(b.missed)
	}
	if len(things) == 0 {
		close(b.ended)
		b.queue, b.ended = nil, nil
		return nil, nil
	}
	return things, b.settings
}

func (b *Broadcaster) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
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
		b.send(r, t, SettingsSubject, map[string]any{settingsKind: settings}, broker.Keep{})
	case t.owner != "":
		b.send(r, t, UserSubject(t.owner), m, b.o.Keep)
	default:
		b.send(r, t, Subject, m, b.o.Keep)
		b.send(r, t, TypeSubject(t.kind), m, b.o.Keep)
	}
}

func (b *Broadcaster) send(r *round, t thing, subject string, message any, keep broker.Keep) {
	data, err := json.Marshal(message)
	if err != nil { // settings that cannot be written: a mistake of the caller
		b.o.Log.Error("event: a message cannot be made", "subject", subject, "error", err)
		return
	}
	sent.Inc()
	r.left.Add(1)
	b.o.Bus.Publish(subject, data, keep, func(_ broker.Position, err error) {
		if err != nil {
			b.refused(r, t, subject, err)
		}
		r.finished()
	})
}

// refused notes what the bus did not take. It is told later, unless the end has come.
func (b *Broadcaster) refused(r *round, t thing, subject string, err error) {
	lost.Inc()
	b.mu.Lock()
	if !b.closed {
		b.miss(t)
	}
	b.mu.Unlock()
	if r.refused.Swap(true) {
		return // one line of the log for a round
	}
	b.o.Log.Warn("event: the bus refuses messages, tried again later", "subject", subject, "error", err)
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
