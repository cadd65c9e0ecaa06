-- Says that a gateway lives and which tenants have sessions at it, and forgets those that said nothing.
--
-- A tenant is known for twice as long as its sessions, so that whoever looks after them finds those that died.
--
-- KEYS  gateways, tenants, who looks for dead sessions; ARGV  ttl, gateway, tenants
-- gives live gateways, and whether this one shall look
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local ttl = tonumber(ARGV[1])
redis.call('ZADD', KEYS[1], now + ttl, ARGV[2])
for at = 3, #ARGV do redis.call('ZADD', KEYS[2], now + 2 * ttl, ARGV[at]) end
for at = 1, 2 do
  redis.call('ZREMRANGEBYSCORE', KEYS[at], '-inf', now)
  redis.call('PEXPIRE', KEYS[at], at * ttl)
end
local looks = redis.call('SET', KEYS[3], ARGV[2], 'NX', 'PX', math.floor(ttl / 3)) and 1 or 0
return { redis.call('ZCARD', KEYS[1]), looks }
