package nats

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gosper/broker"
	"gosper/broker/keys"
)

// Subjects of the Store: a record is the newest message of its subject. The start of a value that is too large for one
// message is in the messages right in front of it, under subjects of their own.
const (
	storeStream  = "GOSPER_STORE"
	recordPrefix = "_GOSPER.kv."
	partPrefix   = "_GOSPER.kvpart."
)

// Store is the broker.Store of the nodes that share NATS servers. Writes and Gets go to the stream's leader; List finds
// its keys in the node's own index, after it has all that the leader had when List began.
type Store struct {
	keys.Single

	// static after construction
	vault *vault
	index *index
	feed  *feed
	life  context.Context // ends with the State
	part  int             // bytes of one message's value, at most

	watchers keys.Watchers
	teller   teller
	closed   atomic.Bool
}

var _ broker.Store = (*Store)(nil)

// openStore makes the stream and begins to read its keys; List may be used when whole was called.
func openStore(ctx context.Context, state *State, whole func()) (*Store, error) {
	js, err := jetstream.New(state.link.conn)
	if err != nil {
		return nil, err
	}
	s := &Store{vault: newVault(state.link, state.opts, storeStream, 1, recordPrefix+"*", partPrefix+"*.*"), life: state.life,
		part: partSize(state.link.conn.MaxPayload())}
	s.Single = keys.SingleOf(s.Commit)
	s.index = newIndex(s.changed)
	s.feed = &feed{store: s, js: js}
	s.teller.init(s)
	if err := s.vault.ensure(ctx); err != nil {
		return nil, err
	}
	state.work.Go(func() { s.feed.run(state.life, whole) })
	state.work.Go(s.teller.run)
	state.work.Go(s.sweeper)
	return s, nil
}

// maxPart is the largest value of one message: the answer to a read is text of 4/3 the size, and must not hold up others.
const maxPart = 256 << 10

func partSize(payload int64) int { return int(min(maxPart, payload/2)) }

// enter begins a call.
func (s *Store) enter(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if s.closed.Load() {
		return nil, nil, broker.ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, s.vault.opts.Wait)
	return ctx, cancel, nil
}

// Get implements broker.Store: one question to the leader.
func (s *Store) Get(ctx context.Context, key string) (broker.Record, error) {
	ctx, cancel, err := s.enter(ctx)
	if err != nil {
		return broker.Record{}, err
	}
	defer cancel()
	if !broker.ValidKey(key) {
		return broker.Record{}, broker.BadName("key", key)
	}
	return s.get(ctx, key)
}

func (s *Store) get(ctx context.Context, key string) (broker.Record, error) {
	for {
		m, err := s.vault.last(ctx, recordPrefix+token(key))
		if err != nil && !errors.Is(err, broker.ErrNotFound) {
			return broker.Record{}, err
		}
		if err != nil || readMark(m.header).deleted {
			return broker.Record{}, fmt.Errorf("%w: key %q", broker.ErrNotFound, key)
		}
		r, err := s.record(ctx, key, m)
		if !errors.Is(err, errReplaced) {
			return r, err
		}
		select {
		case <-ctx.Done():
			return broker.Record{}, away(ctx, err)
		case <-time.After(behindWait):
		}
	}
}

// Watch implements broker.Store. The values are read when the change is known, so of several quick changes of a key only
// the newest may come.
func (s *Store) Watch(ctx context.Context, prefix string, fn func(broker.Record)) error {
	if s.closed.Load() {
		return broker.ErrClosed
	}
	return s.watchers.Watch(ctx, prefix, fn)
}

// Close implements broker.Store. The link stays until the State is closed.
func (s *Store) Close() error {
	s.closed.Store(true)
	return nil
}
