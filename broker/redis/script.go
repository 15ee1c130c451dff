package redis

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"strings"

	"github.com/redis/rueidis"
)

// script is a Lua text with its name on the server.
type script struct{ text, sha string }

func newScript(text string) *script {
	sum := sha1.Sum([]byte(text)) // how the protocol names scripts
	return &script{text, hex.EncodeToString(sum[:])}
}

// command calls a script on one key. full sends the text, for a server that does not know it.
func (s *script) command(b rueidis.Builder, full bool, key string, args ...string) rueidis.Completed {
	call := b.Arbitrary("EVALSHA", s.sha, "1")
	if full {
		call = b.Arbitrary("EVAL", s.text, "1")
	}
	return call.Keys(key).Args(args...).Build()
}

// run calls a script, with its text when the server does not know it.
func (s *script) run(ctx context.Context, c rueidis.Client, key string, args ...string) rueidis.RedisResult {
	result := c.Do(ctx, s.command(c.B(), false, key, args...))
	if unknownScript(result.Error()) {
		result = c.Do(ctx, s.command(c.B(), true, key, args...))
	}
	return result
}

// unknownScript tells the error of a server that was not told the text.
func unknownScript(err error) bool {
	redisErr, ok := rueidis.IsRedisErr(err)
	return ok && redisErr.IsNoScript()
}

// A subject with history is one hash:
//
//	e  epoch: the server's clock in microseconds when it began
//	g  run id of the server process that e began in
//	n  offset of the newest message, f of the oldest kept; f is n+1 when none is kept
//	a  age limit of its messages in ms, 0: none
//	1, 2, 3, …  the messages by offset
//
// prelude finds the state of a subject, or begins a new epoch when there is none, or when it comes from another server
// process: then it may be older than what was published. A process is known to be this one by the nodes that listen to
// the channel of its run id; only when nobody does it is asked. ARGV[1] is that channel without the run id.
const prelude = `
local key = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function text(number) return string.format('%.0f', number) end
local state = redis.call('HMGET', key, 'e', 'g', 'n', 'f', 'a')
local epoch, run, top, first, age = state[1], state[2], tonumber(state[3]), tonumber(state[4]), tonumber(state[5])
if not epoch or redis.call('PUBSUB', @NUMSUB@, ARGV[1] .. run)[2] == 0 then
  local here = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  if run ~= here then
    local begin = clock[1] * 1000000 + clock[2]
    if epoch then begin = math.max(begin, tonumber(epoch) + 1) end
    epoch, top, first, age = text(begin), 0, 1, 0
    redis.call('DEL', key)
    redis.call('HSET', key, 'e', epoch, 'g', here, 'n', '0', 'f', '1', 'a', '0')
  end
end
local function dropOld(most)
  while age > 0 and first <= most do
    local message = redis.call('HGET', key, text(first))
    local at = message and tonumber(string.match(message, '^%d+ %d+ (%d+) '))
    if at and at >= now - age then return end
    redis.call('HDEL', key, text(first))
    first = first + 1
  end
end
`

// publishText: ARGV 2 is the publisher's part of the message, 3 how many to keep (0: none, no history), 4 their age in
// ms, 5 how long the subject lives without messages in ms; 6 and 7 are the channels of patterns of a cluster.
const publishText = prelude + `
local keep = tonumber(ARGV[3])
age = tonumber(ARGV[4])
top = top + 1
local offset = text(top)
local message = epoch .. ' ' .. offset .. ' ' .. text(now) .. ' ' .. ARGV[2]
local from = first
first = math.max(first, top - keep + 1)
redis.call('HSET', key, 'n', offset, 'f', text(first), 'a', ARGV[4], offset, message)
for i = from, first - 1 do redis.call('HDEL', key, text(i)) end
from = first
dropOld(top - 1)
if first ~= from then redis.call('HSET', key, 'f', text(first)) end
redis.call('PEXPIRE', key, ARGV[5])
@PUBLISH@
return {tonumber(epoch), top}
`

// plainText publishes a finished message on the channels of a cluster: ARGV 1 is the message, 2 and 3 the channels.
const plainText = `
redis.call('SPUBLISH', KEYS[1], ARGV[1])
redis.call('SPUBLISH', ARGV[2], ARGV[1])
redis.call('SPUBLISH', ARGV[3], ARGV[1])
return 0
`

// historyText: ARGV 2 and 3 are the asked epoch and offset, 4 the limit, 5 the life of a subject that is begun here in
// ms. It returns epoch, newest offset, whether nothing is missing, and the messages.
const historyText = prelude + `
if not state[1] then redis.call('PEXPIRE', key, ARGV[5]) end
local before = first
dropOld(top)
if first ~= before then redis.call('HSET', key, 'f', text(first)) end
local offset, limit = tonumber(ARGV[3]), tonumber(ARGV[4])
local from, to, whole = math.max(first, top - limit + 1), top, 0
if ARGV[2] == '0' and offset == 0 then
  whole = 1
elseif ARGV[2] == epoch and offset <= top and offset + 1 >= first then
  from, to = offset + 1, math.min(top, offset + limit)
  if to == top then whole = 1 end
end
local answer = {tonumber(epoch), top, whole}
for i = from, to do answer[#answer + 1] = redis.call('HGET', key, text(i)) end
return answer
`

// scripts are those of one kind of server.
type scripts struct{ publish, plain, history *script }

func newScripts(sharded bool) scripts {
	count, publish := "'NUMSUB'", "redis.call('PUBLISH', key, message)"
	if sharded {
		count = "'SHARDNUMSUB'"
		publish = "redis.call('SPUBLISH', key, message)\nredis.call('SPUBLISH', ARGV[6], message)\nredis.call('SPUBLISH', ARGV[7], message)"
	}
	fill := strings.NewReplacer("@NUMSUB@", count, "@PUBLISH@", publish)
	return scripts{newScript(fill.Replace(publishText)), newScript(plainText), newScript(fill.Replace(historyText))}
}
