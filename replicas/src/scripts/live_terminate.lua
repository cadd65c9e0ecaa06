-- Notes that a session shall end. ARGV  id, reason. Gives how many dead ones were forgotten, and whether
-- it lives.
if redis.call('HEXISTS', TOLD, ARGV[1]) == 0 then return { DEAD, 0 } end
redis.call('HSET', ENDING, ARGV[1], ARGV[2])
redis.call('PEXPIRE', ENDING, redis.call('PTTL', TOLD))
return { DEAD, 1 }
