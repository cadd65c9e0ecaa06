-- Sets what the database has below a horizon. It replaces and never adds.
--
-- ARGV[5..] when the horizon was given, the horizon, total, day, sum of the day, month, sum of the month,
--           highest fence that the caller has seen
-- gives     'set' | 'outdated', where the horizon has passed this one meanwhile
local asked, horizon, total = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local day, day_sum, month, month_sum, seen = tonumber(ARGV[8]), ARGV[9], tonumber(ARGV[10]), ARGV[11], tonumber(ARGV[12])

local held = held_now('')
local account = read_account()
if horizon < (tonumber(account.h) or 0) then return { 'outdated' } end

each_bucket(account, function(field, minute)
  if minute * MINUTE < horizon then redis.call('HDEL', ACCOUNT, field) end
end)
local dropped = redis.call('ZREMRANGEBYSCORE', IDS, '-inf', '(' .. int(horizon))
redis.call('ZREMRANGEBYSCORE', PENDING, '-inf', '(' .. int(horizon))
redis.call('HSET', ACCOUNT, 'h', int(horizon), 'pt', total, 'at', int(asked), 'n', int((tonumber(account.n) or 0) - dropped))
redis.call('HSET', HELD, 'fence', int(math.max(held.fence, seen, now_us)))
if day >= (tonumber(account.pday) or 0) then redis.call('HSET', ACCOUNT, 'pday', int(day), 'pd', day_sum) end
if month >= (tonumber(account.pmonth) or 0) then redis.call('HSET', ACCOUNT, 'pmonth', int(month), 'pm', month_sum) end
if (tonumber(account.late) or 0) <= asked then redis.call('HDEL', ACCOUNT, 'late') end
touch(held)
return { 'set' }
