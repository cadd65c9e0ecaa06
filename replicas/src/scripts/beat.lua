-- Says that a gateway lives and which tenants have sessions at it, and forgets those that said nothing.
--
-- KEYS  gateways, tenants; ARGV  ttl, gateway, tenants
-- gives live gateways
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local ttl = tonumber(ARGV[1])
redis.call('ZADD', KEYS[1], now + ttl, ARGV[2])
for at = 3, #ARGV do redis.call('ZADD', KEYS[2], now + ttl, ARGV[at]) end
for _, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  redis.call('PEXPIRE', key, ttl)
end
return redis.call('ZCARD', KEYS[1])
