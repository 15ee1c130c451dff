package edge

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"gosper/broker"
	"gosper/protocol"
)

// hub knows which subjects have subscribers on this node. It holds one bus subscription a subject while there is at
// least one session that wants it, however many there are.
type hub struct {
	engine *Engine

	mu       sync.Mutex
	subjects map[string]*subject
}

// subject is one subject with its subscribers. Lock order: hub.mu, then subject.mu.
type subject struct {
	// static after construction
	name string
	hub  *hub

	// shards[i] is owned by loop i
	shards []shard

	loops atomic.Uint64 // bit i: loop i has subscribers

	// guarded by hub.mu
	refs int // sessions that are subscribed or about to be
	sub  broker.Subscription

	// guarded by mu
	mu    sync.Mutex
	last  broker.Position // of the newest message that came
	held  []*message      // live messages while a gap is being closed
	gaps  int             // reported since the closing began; 0: none under way
	ended bool            // nobody is subscribed any more
}

// acquire returns the subject, subscribing this node to it when nobody was. Each acquire needs one release. Any
// goroutine.
func (h *hub) acquire(name string) (*subject, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if sj := h.subjects[name]; sj != nil {
		sj.refs++
		return sj, nil
	}
	sj := &subject{name: name, hub: h, shards: make([]shard, len(h.engine.loops)), refs: 1}
	sub, err := h.engine.config.Bus.Subscribe(name, broker.Handler{Message: sj.receive, Gap: sj.gap})
	if err != nil {
		return nil, err
	}
	sj.sub = sub
	h.subjects[name] = sj
	return sj, nil
}

// release undoes one acquire. Any goroutine.
func (h *hub) release(sj *subject) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if sj.refs--; sj.refs > 0 {
		return
	}
	delete(h.subjects, sj.name)
	sj.sub.Unsubscribe()
	sj.mu.Lock()
	sj.ended, sj.held = true, nil
	sj.mu.Unlock()
}

// receive takes a message from the bus. It runs on the publisher's goroutine, one message at a time.
func (sj *subject) receive(bm *broker.Message) {
	m := &message{Message: bm, subject: sj}
	sj.mu.Lock()
	if sj.gaps > 0 {
		sj.held = append(sj.held, m)
		sj.mu.Unlock()
		return
	}
	sj.last = bm.Position
	sj.send(m)
	sj.mu.Unlock()
}

// send hands m to each loop with subscribers. REQUIRES: mu, which keeps the order of messages.
func (sj *subject) send(m *message) {
	bits := sj.loops.Load()
	for i := 0; bits != 0; i, bits = i+1, bits>>1 {
		if bits&1 != 0 {
			sj.hub.engine.loops[i].deliver(m)
		}
	}
}

// gap is called by the bus when messages may have been missed. Live messages wait while the missed ones are fetched.
func (sj *subject) gap(reason string) {
	gaps.Inc()
	sj.mu.Lock()
	defer sj.mu.Unlock()
	sj.gaps++
	if sj.gaps > 1 || sj.ended {
		return
	}
	sj.hub.engine.log.Warn("the bus may have missed messages", "subject", sj.name, "reason", reason)
	go sj.closeGap(sj.last)
}

// closeGap fetches what was missed behind last and sends it, then what came meanwhile. What cannot be had is announced
// to the subscribers as a push of route /session/gap, never hidden.
func (sj *subject) closeGap(last broker.Position) {
	defer func() {
		if r := recover(); r != nil {
			panics.Inc()
		}
	}()
	for {
		sj.mu.Lock()
		seen := sj.gaps
		sj.mu.Unlock()
		rec, err := sj.history(last)
		sj.mu.Lock()
		if sj.gaps != seen && !sj.ended { // another gap came while the history was read: read again
			sj.mu.Unlock()
			continue
		}
		whole := err == nil && last != (broker.Position{}) && contiguous(rec, last)
		if whole {
			for _, bm := range rec.Messages {
				sj.send(&message{Message: bm, subject: sj})
				last = bm.Position
			}
		} else {
			if err == nil {
				last = rec.Top
			}
			sj.send(&message{Message: gapNotice(sj.name, last), subject: sj})
		}
		for _, m := range sj.held {
			if m.after(last) {
				sj.send(m)
				last = m.Position
			}
		}
		sj.last, sj.held, sj.gaps = last, nil, 0
		sj.mu.Unlock()
		return
	}
}

func (sj *subject) history(since broker.Position) (broker.Recovery, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	e := sj.hub.engine
	return e.config.Bus.History(ctx, sj.name, since, e.limits.ResumeMessages)
}

// contiguous reports whether rec holds every message behind since.
func contiguous(rec broker.Recovery, since broker.Position) bool {
	if !rec.Recovered || rec.Top.Epoch != since.Epoch || rec.Top.Offset < since.Offset {
		return false
	}
	next := since.Offset
	for _, m := range rec.Messages {
		if next++; m.Offset != next || m.Epoch != since.Epoch {
			return false
		}
	}
	return next == rec.Top.Offset
}

// RouteGap is the route of the push that tells a client that messages of a subject were missed and cannot be sent again.
// Its content names the subject and the position from which the stream goes on.
const RouteGap = "/session/gap"

func gapNotice(name string, at broker.Position) *broker.Message {
	b := append([]byte(nil), `{"subject":`...)
	b = protocol.AppendJSONString(b, name)
	b = append(b, `,"epoch":`...)
	b = strconv.AppendUint(b, at.Epoch, 10)
	b = append(b, `,"offset":`...)
	b = strconv.AppendUint(b, at.Offset, 10)
	b = append(b, '}')
	return &broker.Message{Subject: name, Data: protocol.AppendPush(nil, RouteGap, b), Time: time.Now()}
}
