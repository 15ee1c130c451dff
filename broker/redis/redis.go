package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/redis/rueidis"

	"gosper/broker"
)

// Redis is a connection to one Redis, with the engines on it. All methods may be called from any goroutine.
type Redis struct {
	client   rueidis.Client
	bus      *Bus
	registry *Registry
}

// Open connects. The error says what is wrong with the URL, or why Redis cannot be reached; then nothing stays open.
func Open(o Options) (*Redis, error) {
	option, prefix, err := clientOption(o.URL)
	if err != nil {
		return nil, err
	}
	if option.Password == "" {
		option.Password = o.Password
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	client, err := rueidis.NewClient(option)
	if err != nil {
		return nil, fmt.Errorf("redis: %w", err)
	}
	n := names{prefix: prefix, sharded: client.Mode() == rueidis.ClientModeCluster}
	bus := newBus(client, n, log)
	r := &Redis{client: client, bus: bus, registry: &Registry{client: client, names: n, links: bus.links}}
	if err := r.bus.start(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Bus returns the bus.
func (r *Redis) Bus() *Bus { return r.bus }

// Registry returns the registry.
func (r *Redis) Registry() *Registry { return r.registry }

// Health says why Redis cannot be used now; nil when it can.
func (r *Redis) Health() error { return r.bus.Health() }

// Close ends both engines and the connections. It is idempotent.
func (r *Redis) Close() error {
	err := errors.Join(r.bus.Close(), r.registry.Close())
	r.client.Close()
	return err
}

// publishFault names the error of a publish in the words of package broker, and counts it.
func (b *Bus) publishFault(err error) error {
	switch {
	case b.stop.Err() != nil:
		refusedClosed.Inc()
		return broker.ErrClosed
	case refusal(err):
		refusedOther.Inc()
		return fmt.Errorf("redis refused a message: %w", err)
	}
	refusedTimeout.Inc()
	return fmt.Errorf("%w: redis went away: %w", broker.ErrTimeout, err)
}

// callFault names the error of a call in the words of package broker.
func callFault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, rueidis.ErrClosing):
		return broker.ErrClosed
	case refusal(err):
		return fmt.Errorf("redis refused a call: %w", err)
	}
	callsFailed.Inc()
	return fmt.Errorf("%w: redis is away: %w", broker.ErrTimeout, err)
}

// refusal reports whether the server itself answered with an error.
func refusal(err error) bool {
	_, ok := rueidis.IsRedisErr(err)
	return ok
}
