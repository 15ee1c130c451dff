package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"gosper/broker"
	"gosper/broker/keys"
)

// Registry is the broker.Registry of many nodes. What is in it ends with the data of Redis.
type Registry struct {
	client rueidis.Client
	names  names
	links  []*link // of the bus, by group: they know first when Redis is away
	closed atomic.Bool
}

var _ broker.Registry = (*Registry)(nil)

// key is the name of a key.
func (r *Registry) key(key string) string { return r.names.base(r.names.groupOf(key)) + "k:" + key }

// do sends a command of a valid call.
func (r *Registry) do(ctx context.Context, group int, command rueidis.Completed) (rueidis.RedisResult, error) {
	if err := r.usable(ctx, group); err != nil {
		return rueidis.RedisResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, CallPatience)
	defer cancel()
	result := r.client.Do(ctx, command)
	if err := result.Error(); err != nil && !rueidis.IsRedisNil(err) {
		return result, callFault(err)
	}
	return result, nil
}

// script calls a script of a valid call.
func (r *Registry) script(ctx context.Context, group int, s *script, key string, args ...string) (rueidis.RedisResult, error) {
	if err := r.usable(ctx, group); err != nil {
		return rueidis.RedisResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, CallPatience)
	defer cancel()
	result := s.run(ctx, r.client, key, args...)
	if err := result.Error(); err != nil && !rueidis.IsRedisNil(err) {
		return result, callFault(err)
	}
	return result, nil
}

// usable tells quickly that a call cannot be.
func (r *Registry) usable(ctx context.Context, group int) error {
	if r.closed.Load() {
		return broker.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.links[group].present(ctx)
}

// Set implements broker.Registry.
func (r *Registry) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := keys.Check(key, value, ttl); err != nil {
		return err
	}
	_, err := r.do(ctx, r.names.groupOf(key), r.client.B().Set().Key(r.key(key)).Value(string(value)).PxMilliseconds(life(ttl)).Build())
	return err
}

// Create implements broker.Registry.
func (r *Registry) Create(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := keys.Check(key, value, ttl); err != nil {
		return err
	}
	result, err := r.do(ctx, r.names.groupOf(key), r.client.B().Set().Key(r.key(key)).Value(string(value)).Nx().PxMilliseconds(life(ttl)).Build())
	if err == nil && rueidis.IsRedisNil(result.Error()) {
		err = fmt.Errorf("%w: key %q", broker.ErrExists, key)
	}
	return err
}

// Get implements broker.Registry.
func (r *Registry) Get(ctx context.Context, key string) ([]byte, error) {
	return r.value(ctx, key, r.client.B().Get().Key(r.key(key)).Build())
}

// Take implements broker.Registry.
func (r *Registry) Take(ctx context.Context, key string) ([]byte, error) {
	return r.value(ctx, key, r.client.B().Getdel().Key(r.key(key)).Build())
}

func (r *Registry) value(ctx context.Context, key string, command rueidis.Completed) ([]byte, error) {
	result, err := r.do(ctx, r.names.groupOf(key), command)
	if err != nil {
		return nil, err
	}
	value, err := result.AsBytes()
	if rueidis.IsRedisNil(err) {
		return nil, fmt.Errorf("%w: key %q", broker.ErrNotFound, key)
	}
	return slices.Clone(value), err
}

// Touch implements broker.Registry.
func (r *Registry) Touch(ctx context.Context, key string, ttl time.Duration) error {
	if err := keys.Check(key, nil, ttl); err != nil {
		return err
	}
	result, err := r.do(ctx, r.names.groupOf(key), r.client.B().Pexpire().Key(r.key(key)).Milliseconds(life(ttl)).Build())
	if err != nil {
		return err
	}
	if n, err := result.AsInt64(); err != nil || n == 0 {
		return errors.Join(fmt.Errorf("%w: key %q", broker.ErrNotFound, key), err)
	}
	return nil
}

// Delete implements broker.Registry.
func (r *Registry) Delete(ctx context.Context, key string) error {
	_, err := r.do(ctx, r.names.groupOf(key), r.client.B().Del().Key(r.key(key)).Build())
	return err
}

// countText: ARGV 1 is what to add, 2 the life of a counter that is made, in ms.
var countText = newScript(`
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return sum
`)

// Count implements broker.Registry.
func (r *Registry) Count(ctx context.Context, key string, delta int64, ttl time.Duration) (int64, error) {
	if err := keys.Check(key, nil, ttl); err != nil {
		return 0, err
	}
	result, err := r.script(ctx, r.names.groupOf(key), countText, r.key(key), strconv.FormatInt(delta, 10), ms(ttl, 1))
	if err != nil {
		return 0, err
	}
	return result.AsInt64()
}

const (
	scanEach = 1000 // keys of one step of List
	readEach = 200  // values
)

// List implements broker.Registry. It scans the key space of every server, some thousand keys a millisecond: it is
// for questions that are seldom asked.
func (r *Registry) List(ctx context.Context, prefix string, limit int) ([]broker.Entry, error) {
	if err := r.usable(ctx, 0); err != nil || limit <= 0 {
		return nil, err
	}
	found := make(map[string]bool)
	for _, node := range r.client.Nodes() {
		if err := r.scan(ctx, node, prefix, found); err != nil {
			return nil, callFault(err)
		}
	}
	sorted := make([]string, 0, len(found))
	for key := range found {
		sorted = append(sorted, key)
	}
	slices.Sort(sorted)
	return r.read(ctx, sorted, limit)
}

// scan collects the keys of one server.
func (r *Registry) scan(ctx context.Context, node rueidis.Client, prefix string, found map[string]bool) error {
	match := globEscape.Replace(r.names.prefix) + ":"
	if r.names.sharded {
		match += "{*}:"
	}
	match += "k:" + globEscape.Replace(prefix) + "*"
	for cursor := uint64(0); ; {
		page, err := node.Do(ctx, node.B().Scan().Cursor(cursor).Match(match).Count(scanEach).Build()).AsScanEntry()
		if err != nil {
			return err
		}
		for _, name := range page.Elements {
			if _, key, ok := strings.Cut(strings.TrimPrefix(name, r.names.prefix), ":k:"); ok && strings.HasPrefix(key, prefix) && r.key(key) == name {
				found[key] = true
			}
		}
		if cursor = page.Cursor; cursor == 0 {
			return nil
		}
	}
}

// read returns the entries of keys that are still there, at most limit.
func (r *Registry) read(ctx context.Context, sorted []string, limit int) (entries []broker.Entry, err error) {
	for len(sorted) > 0 && len(entries) < limit {
		some := sorted[:min(len(sorted), readEach, limit-len(entries))]
		sorted = sorted[len(some):]
		commands := make([]rueidis.Completed, len(some))
		for i, key := range some {
			commands[i] = r.client.B().Get().Key(r.key(key)).Build()
		}
		for i, result := range r.client.DoMulti(ctx, commands...) {
			value, err := result.AsBytes()
			switch {
			case rueidis.IsRedisNil(err):
			case err != nil:
				return nil, callFault(err)
			default:
				entries = append(entries, broker.Entry{Key: some[i], Value: slices.Clone(value)})
			}
		}
	}
	return entries, nil
}

// Close implements broker.Registry. The connection belongs to Redis.
func (r *Registry) Close() error {
	r.closed.Store(true)
	return nil
}

// life is a time to live as Redis knows it: whole milliseconds, at least one.
func life(ttl time.Duration) int64 { return max((ttl + time.Millisecond - 1).Milliseconds(), 1) }
