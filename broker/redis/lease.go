package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"gosper/broker"
	"gosper/broker/keys"
)

// A lease is a hash: o its owner ("" when it was released), t its token, e its end in ms of the server's clock. It stays
// for a day behind its end, so that the next token grows even if the clock went back; without it the clock alone makes
// tokens grow.

const tokenMemory = 24 * time.Hour

// leaseText: ARGV 1 is what to do, 2 the owner, 3 the token, 4 the ttl in ms, 5 how long the hash stays behind it. It
// returns a word and the token.
var leaseText = newScript(`
local key, verb, owner = KEYS[1], ARGV[1], ARGV[2]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local state = redis.call('HMGET', key, 'o', 't', 'e')
local held = state[1] and state[1] ~= '' and tonumber(state[3]) > now
local mine = held and state[1] == owner and (verb == 'acquire' or state[2] == ARGV[3])
local token = state[2]
if verb == 'release' then
  if mine then redis.call('HSET', key, 'o', '') end
  return {'ok', '0'}
end
if held and not mine then return {'held', '0'} end
if not held then
  if verb == 'renew' then return {'gone', '0'} end
  local fresh = clock[1] * 1000000 + clock[2]
  if token then fresh = math.max(fresh, tonumber(token) + 1) end
  token = string.format('%.0f', fresh)
end
redis.call('HSET', key, 'o', owner, 't', token, 'e', string.format('%.0f', now + tonumber(ARGV[4])))
redis.call('PEXPIRE', key, string.format('%.0f', tonumber(ARGV[4]) + tonumber(ARGV[5])))
return {'ok', token}
`)

// Acquire implements broker.Registry.
func (r *Registry) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (broker.Lease, error) {
	return r.lease(ctx, "acquire", broker.Lease{Name: name, Owner: owner}, ttl)
}

// Renew implements broker.Registry.
func (r *Registry) Renew(ctx context.Context, l broker.Lease, ttl time.Duration) (broker.Lease, error) {
	return r.lease(ctx, "renew", l, ttl)
}

// Release implements broker.Registry.
func (r *Registry) Release(ctx context.Context, l broker.Lease) error {
	_, err := r.lease(ctx, "release", l, time.Millisecond)
	return err
}

// lease runs the script. The end it tells is counted from before the call, so it is never later than the server's.
func (r *Registry) lease(ctx context.Context, verb string, l broker.Lease, ttl time.Duration) (none broker.Lease, err error) {
	if err := keys.Check(l.Name, nil, ttl); err != nil {
		return none, err
	}
	begin := time.Now()
	group := r.names.groupOf(l.Name)
	key := r.names.base(group) + "l:" + l.Name
	result, err := r.script(ctx, group, leaseText, key, verb, l.Owner, strconv.FormatUint(l.Token, 10), ms(ttl, 1), ms(tokenMemory, 1))
	if err != nil {
		return none, err
	}
	answer, err := result.AsStrSlice()
	if err != nil || len(answer) != 2 {
		return none, fmt.Errorf("redis: strange answer about lease %q: %v", l.Name, err)
	}
	switch answer[0] {
	case "held":
		return none, fmt.Errorf("%w: lease %q", broker.ErrHeld, l.Name)
	case "gone":
		return none, fmt.Errorf("%w: lease %q", broker.ErrNotFound, l.Name)
	}
	token, err := strconv.ParseUint(answer[1], 10, 64)
	if err != nil {
		return none, fmt.Errorf("redis: strange token of lease %q: %w", l.Name, err)
	}
	return broker.Lease{Name: l.Name, Owner: l.Owner, Token: token, Expires: begin.Add(max(ttl, time.Millisecond))}, nil
}
