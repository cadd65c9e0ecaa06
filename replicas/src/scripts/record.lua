-- Counts records, each once by its id, and takes what they cost out of a lease.
--
-- ARGV[5..] lease or '', fence, what the lease keeps: all | money | nothing, committed 0|1,
--           then for each record: id, its milliseconds, amount, day, month
-- gives     whether the lease was lost, new records, records below the horizon
local lease, fence, keeps, committed = ARGV[5], ARGV[6], ARGV[7], ARGV[8] == '1'

local held = held_now(lease)
local account = read_account()
local count = tonumber(account.n) or 0
local is_new = not account.n
-- An eviction took the ids: what is summed could be counted again, so it is counted from the database anew.
if redis.call('ZCARD', IDS) ~= count then
  each_bucket(account, function(field)
    account[field] = nil
    redis.call('HDEL', ACCOUNT, field)
  end)
  redis.call('HDEL', ACCOUNT, 'h')
  redis.call('DEL', IDS)
  account.h, count = nil, 0
end

local horizon = tonumber(account.h) or 0
local total, new, late, sums = '0', 0, 0, {}
for at = 9, #ARGV, 5 do
  local id, born, amount = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  total = plus(total, amount)
  if born < horizon then
    late = late + 1
  elseif redis.call('ZADD', IDS, 'NX', int(born), id) == 1 then
    new = new + 1
    local field = 'b:' .. int(math.floor(born / MINUTE)) .. ':' .. ARGV[at + 3] .. ':' .. ARGV[at + 4]
    account[field] = plus(account[field], amount)
    sums[field] = true
    if not committed then redis.call('ZADD', PENDING, int(born), id) end
  end
  if committed then redis.call('ZREM', PENDING, id) end
end
count = count + new
local written = { 'n', int(count) }
for field in pairs(sums) do
  table.insert(written, field)
  table.insert(written, account[field])
end
redis.call('HSET', ACCOUNT, unpack(written))
if is_new then redis.call('PEXPIRE', ACCOUNT, KEEP) end
if count == new then redis.call('PEXPIRE', IDS, KEEP) end
-- The database has it and the past that was read may not: it has to be read again.
if late > 0 and committed then redis.call('HSET', ACCOUNT, 'late', int(now_us)) end

local lost = 0
if lease ~= '' then
  local before = held.by_lease
  if not before or before.fence ~= fence then
    lost = 1
  elseif keeps == 'nothing' then
    drop_lease(held, lease, before)
  else
    hold(held, lease, before, minus(before.amount, total), keeps == 'all' and before.session or 0, fence)
  end
end

-- Adds a sum to the past, in the windows that hold it.
local function into_past(day, month, amount)
  account.pt = plus(account.pt, amount)
  if day > (tonumber(account.pday) or -1) then account.pday, account.pd = int(day), '0' end
  if day == tonumber(account.pday) then account.pd = plus(account.pd, amount) end
  if month > (tonumber(account.pmonth) or -1) then account.pmonth, account.pm = int(month), '0' end
  if month == tonumber(account.pmonth) then account.pm = plus(account.pm, amount) end
end

-- Raises the horizon over what is in the database anyway, so that ids need to be kept for a short while only.
-- Not while somebody reads the past, which half a minute is enough for: what is read belongs to the horizon as it was.
local raised = next_horizon(account)
local reading = now_us - (tonumber(account.reading) or 0) < 30000000
if not account.h then raised = math.floor((now_ms - MAX_LAG) / MINUTE) * MINUTE end
if raised > horizon and not (account.h and reading) then
  local over = {}
  each_bucket(account, function(field, minute, day, month, amount)
    if minute * MINUTE < raised then table.insert(over, { field, day, month, amount }) end
  end)
  -- In the order of days, so that a later day does not close an earlier one's sum half way.
  table.sort(over, function(a, b) return a[2] < b[2] end)
  for _, bucket in ipairs(over) do
    if account.h then into_past(bucket[2], bucket[3], bucket[4]) end
    redis.call('HDEL', ACCOUNT, bucket[1])
  end
  local passed = redis.call('ZREMRANGEBYSCORE', IDS, '-inf', '(' .. int(raised))
  redis.call('HSET', ACCOUNT, 'n', int(count - passed))
  redis.call('ZREMRANGEBYSCORE', PENDING, '-inf', '(' .. int(raised))
  if account.h then
    redis.call('HSET', ACCOUNT, 'h', int(raised), 'pt', account.pt or '0', 'pday', account.pday or '0',
      'pd', account.pd or '0', 'pmonth', account.pmonth or '0', 'pm', account.pm or '0')
  end
end
touch(held)
return { int(lost), int(new), int(late) }
