-- Notes that sessions live.
--
-- ARGV  ttl, then for each session: id, key, what is shown of it
-- gives how many dead ones were forgotten; then session, reason for each of them that shall end
local ttl, ends = tonumber(ARGV[1]), { DEAD }
for at = 2, #ARGV, 3 do
  local session, key = ARGV[at], ARGV[at + 1]
  redis.call('ZADD', INDEX, 0, session)
  redis.call('ZADD', BY_KEY, 0, key .. ':' .. session)
  redis.call('ZADD', BEATS, now + ttl, session .. ':' .. key)
  redis.call('HSET', TOLD, session, ARGV[at + 2])
  local reason = redis.call('HGET', ENDING, session)
  if reason then
    table.insert(ends, session)
    table.insert(ends, reason)
  end
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 2 * ttl) end
return ends
