-- Opening of the scripts about one tenant's live sessions.
--
-- KEYS  index (session), bykey (key:session), beats (session:key by the end of its life), told (session to what
--       is shown of it), ending (session to a reason); all under the hash tag of the tenant
local INDEX, BY_KEY, BEATS, TOLD, ENDING = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local function forget(session, key)
  redis.call('ZREM', INDEX, session)
  redis.call('ZREM', BY_KEY, key .. ':' .. session)
  redis.call('ZREM', BEATS, session .. ':' .. key)
  redis.call('HDEL', TOLD, session)
  redis.call('HDEL', ENDING, session)
end

-- Sessions whose gateway died: how many were forgotten now.
local dead = redis.call('ZRANGEBYSCORE', BEATS, '-inf', now, 'LIMIT', 0, 1000)
for _, member in ipairs(dead) do
  local session, key = string.match(member, '^([^:]+):(.+)$')
  forget(session, key)
end
local DEAD = #dead
