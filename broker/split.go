package broker

import (
	"context"
	"errors"
	"strings"
)

// Split is a Bus of two: subjects whose first token is Token stay with this node, all others are shared with other nodes.
// So each node tells its own clients what it knows itself, in the manner of any other push. A pattern whose first token is
// a wildcard follows both. The fields are set before use and not changed; methods may be called from any goroutine.
type Split struct {
	Shared Bus // of all nodes
	Own    Bus // of this node alone
	Token  string
}

var _ Bus = Split{}

// half returns the bus of a subject, or of a pattern that begins without a wildcard.
func (s Split) half(subject string) Bus {
	if first, _, _ := strings.Cut(subject, "."); first == s.Token {
		return s.Own
	}
	return s.Shared
}

// Publish implements Bus.
func (s Split) Publish(subject string, data []byte, keep Keep, done func(Position, error)) {
	s.half(subject).Publish(subject, data, keep, done)
}

// History implements Bus.
func (s Split) History(ctx context.Context, subject string, since Position, limit int) (Recovery, error) {
	return s.half(subject).History(ctx, subject, since, limit)
}

// Subscribe implements Bus.
func (s Split) Subscribe(pattern string, h Handler) (Subscription, error) {
	if first, _, _ := strings.Cut(pattern, "."); first != "*" && first != ">" {
		return s.half(pattern).Subscribe(pattern, h)
	}
	shared, err := s.Shared.Subscribe(pattern, h)
	if err != nil {
		return nil, err
	}
	own, err := s.Own.Subscribe(pattern, h)
	if err != nil {
		shared.Unsubscribe()
		return nil, err
	}
	return both{shared, own}, nil
}

// both is a subscription to the two.
type both [2]Subscription

// Unsubscribe implements Subscription.
func (b both) Unsubscribe() {
	for _, one := range b {
		one.Unsubscribe()
	}
}

// Close closes both.
func (s Split) Close() error { return errors.Join(s.Shared.Close(), s.Own.Close()) }
