package nats

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
)

// settling knows whether the stream's leader hands out what this node subscribes to.
//
// In a cluster the servers tell each other what their clients subscribe to, each over one route for each account. Until
// that has come to the leader, it hands messages out to others only. The questions of the API that read a stream travel
// for the servers' own account, over another route: their answers say nothing about it. So a reader that has just
// subscribed first publishes to the stream something that its leader must refuse. That follows the subscription over the
// same route, and its answer comes when the leader's server knows of both.
type settling struct {
	mu   sync.Mutex
	told uint64        // guarded by mu: of link.joined, what the leader is known to know
	done chan struct{} // guarded by mu: closed when the question under way is over; nil: none is
}

// settle waits until the leader's server knows all subscriptions that were made before the call. Who calls while another
// one asks shares the next question with all that wait.
func (s *stream) settle(ctx context.Context) error {
	want := s.link.joined.Load()
	for {
		s.settling.mu.Lock()
		if s.settling.told >= want {
			s.settling.mu.Unlock()
			return nil
		}
		done := s.settling.done
		if done == nil {
			s.settling.done = make(chan struct{})
			s.settling.mu.Unlock()
			if err := s.knock(ctx); err != nil {
				return err
			}
			continue
		}
		s.settling.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// knock asks, and takes note of the answer. REQUIRES: settling.done was made by the caller.
func (s *stream) knock(ctx context.Context) error {
	joined := s.link.joined.Load()
	err := s.refusal(ctx)
	s.settling.mu.Lock()
	defer s.settling.mu.Unlock()
	if err == nil {
		s.settling.told = max(s.settling.told, joined)
	}
	close(s.settling.done)
	s.settling.done = nil
	return err
}

// refusal publishes what the stream refuses, whoever leads it, and waits for that.
func (s *stream) refusal(ctx context.Context) error {
	m, err := s.link.inquire(ctx, &nats.Msg{Subject: s.prefix + s.door, Header: nats.Header{"Nats-Expected-Stream": {"none"}}})
	if err != nil {
		return err
	}
	var a ack
	if err := json.Unmarshal(m.Data, &a); err != nil || a.Error == nil {
		return errors.Join(err, errors.New("nats: the history stream has not refused what it must refuse"))
	}
	return nil
}
