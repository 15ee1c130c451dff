package edge

import (
	"context"

	"gosper/broker"
	"gosper/edge/module"
	"gosper/protocol"
)

// subscription is one subject of a session. held is set until the session is known to be in step with live messages.
type subscription struct {
	subject *subject
	pos     int32 // in the subject's shard of this loop
	held    *held
}

// held keeps live messages while missed ones are fetched. Then, until the first live message behind top came, it is
// there to drop those that were sent from the history already: the bus may put a message into the history before it
// hands it to subscribers.
type held struct {
	msgs    []*message
	top     broker.Position
	settled bool // msgs were sent, top is set
}

var errSubscriptions error = &module.Fault{Status: protocol.StatusTooMuch, Message: "too many subscriptions: leave a game or end another one first"}

// Subscribe sends messages of subject to this client from now on, after those it missed since the position since: see
// module.Session. It waits for the loop and the bus: never call it on a loop.
func (s *Session) Subscribe(ctx context.Context, name string, since broker.Position) (at broker.Position, recovered bool, err error) {
	return s.Follow(ctx, name, since, nil)
}

// Follow is Subscribe that calls begin, unless it is nil, on the loop right before the first message, with what it is going
// to return. begin may write to the client. A subject that is followed already has begun: begin is not called.
//
// The session joins the subscribers first, held: what comes live waits. Then the history is read, its messages are sent,
// and of the held ones those behind it. So there is no hole between the two and nothing comes twice.
func (s *Session) Follow(ctx context.Context, name string, since broker.Position, begin func(at broker.Position, recovered bool)) (at broker.Position, recovered bool, err error) {
	h := s.loop.engine.hub
	sj, err := h.acquire(name)
	if err != nil {
		return at, false, err
	}
	fresh, err := s.join(sj)
	if err != nil || !fresh { // on success the subscription keeps what was acquired
		h.release(sj)
	}
	if err != nil {
		return at, false, err
	}
	e := s.loop.engine
	limit := e.limits.ResumeMessages
	if since == (broker.Position{}) {
		limit = 1 // only the newest position is of interest
	}
	rec, err := e.config.Bus.History(ctx, name, since, limit)
	if err != nil {
		if fresh {
			s.Unsubscribe(name)
		}
		return at, false, err
	}
	var missed []*message
	recovered = since == (broker.Position{}) || contiguous(rec, since)
	if !recovered && rec.Recovered && len(rec.Messages) >= limit {
		limitHit("resume_messages")
	}
	if recovered && since != (broker.Position{}) && fresh {
		for _, m := range rec.Messages {
			missed = append(missed, &message{Message: m, subject: sj})
		}
	}
	if fresh {
		err = s.await(func() error {
			if begin != nil {
				begin(rec.Top, recovered)
			}
			return s.catchUp(sj, missed, rec.Top)
		})
	}
	return rec.Top, recovered, err
}

// await runs f on the loop and waits for its result.
func (s *Session) await(f func() error) error {
	result := make(chan error, 1)
	s.loop.post(func() {
		err := errGone
		defer func() { result <- err }()
		defer s.rescue()
		if s.flags&(flagClosed|flagClosing) == 0 {
			err = f()
		}
	})
	select {
	case err := <-result:
		return err
	case <-s.loop.engine.stopping:
		return errGone
	}
}

// join makes the session a held subscriber of sj. fresh is false when it was a subscriber already.
func (s *Session) join(sj *subject) (fresh bool, err error) {
	err = s.await(func() error {
		if s.find(sj) >= 0 {
			return nil
		}
		if len(s.subs) >= s.loop.engine.limits.Subscriptions {
			limitHit("subscriptions")
			return errSubscriptions
		}
		fresh = true
		pos := s.loop.join(sj, s, len(s.subs), true)
		s.mu.Lock()
		s.subs = append(s.subs, subscription{subject: sj, pos: int32(pos), held: &held{}})
		s.mu.Unlock()
		return nil
	})
	return fresh && err == nil, err
}

// catchUp sends what was missed, then of what was held everything behind top, and lets the session go live.
func (s *Session) catchUp(sj *subject, missed []*message, top broker.Position) error {
	slot := s.find(sj)
	if slot < 0 || s.subs[slot].held == nil {
		return errGone // unsubscribed meanwhile
	}
	h := s.subs[slot].held
	waited := h.msgs
	h.msgs, h.top, h.settled = nil, top, true
	s.relay(missed)
	if s.is(flagClosed | flagClosing) {
		return errGone
	}
	if top.Offset == 0 {
		s.live(slot)
		s.relay(waited)
		return nil
	}
	s.hold(slot, waited)
	return nil
}

// live ends the holding of a subscription.
func (s *Session) live(slot int) {
	sub := &s.subs[slot]
	sub.held = nil
	sub.subject.shards[s.loop.index].list[sub.pos].held = false
}

// relay sends messages to this session alone.
func (s *Session) relay(msgs []*message) {
	l := s.loop
	for _, m := range msgs {
		l.out = append(l.out, m.encoded(s.format)...)
		l.stats.deliveries++
		if s.Full() {
			s.Flush()
		}
	}
	s.Flush()
}

// hold takes live messages for a subscription that is held: it keeps them, or drops what the session has already.
func (s *Session) hold(slot int, msgs []*message) {
	h := s.subs[slot].held
	if h.settled {
		for i, m := range msgs {
			if m.after(h.top) {
				s.live(slot)
				s.relay(msgs[i:])
				return
			}
		}
		return
	}
	if len(h.msgs)+len(msgs) > s.loop.engine.limits.HeldMessages {
		limitHit("held_messages")
		s.slow()
		return
	}
	h.msgs = append(h.msgs, msgs...)
}

// find returns the index of sj in the session's subscriptions, or -1.
func (s *Session) find(sj *subject) int {
	for i := range s.subs {
		if s.subs[i].subject == sj {
			return i
		}
	}
	return -1
}

// Unsubscribe ends a subscription. Any goroutine.
func (s *Session) Unsubscribe(name string) {
	s.loop.post(func() {
		for i := range s.subs {
			if s.subs[i].subject.name == name {
				s.detach(i)
				return
			}
		}
	})
}

// detach ends the subscription at slot. The last one moves to its place.
func (s *Session) detach(slot int) {
	sub := s.subs[slot]
	s.loop.leave(sub.subject, int(sub.pos))
	s.mu.Lock()
	last := len(s.subs) - 1
	if slot != last {
		s.subs[slot] = s.subs[last]
		moved := s.subs[slot]
		moved.subject.shards[s.loop.index].list[moved.pos].slot = int32(slot)
	}
	s.subs[last] = subscription{}
	s.subs = s.subs[:last]
	if last == 0 {
		s.subs = nil
	}
	s.mu.Unlock()
	s.loop.engine.hub.release(sub.subject)
}

// Subscriptions lists the subjects of the session. Any goroutine.
func (s *Session) Subscriptions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, len(s.subs))
	for i := range s.subs {
		names[i] = s.subs[i].subject.name
	}
	return names
}
