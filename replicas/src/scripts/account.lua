-- Opening of every script about one virtual key: its clock, its money and its leases. The reasoning why
-- no record is counted twice is in src/money.rs.
--
-- KEYS  account, ids, pending, leases, held; all under the hash tag of the key
-- ARGV  lag, max lag, lease ttl, refresh (milliseconds each); what a script takes itself starts at ARGV[5]
local ACCOUNT, IDS, PENDING, LEASES, HELD = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local LAG, MAX_LAG, LEASE_TTL, REFRESH = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local MINUTE = 60000
-- How long an idle key is remembered. All its keys are given the same end by every script.
local KEEP = math.max(7200000, 2 * MAX_LAG)

local clock = redis.call('TIME')
local now_us = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now_ms = math.floor(now_us / 1000)

-- Lua writes large numbers as 1e+15 unless it is told otherwise.
local function int(number) return string.format('%.0f', number) end

-- Amounts are nano-dollars as text. A double holds only nine million dollars of them exactly, so the
-- dollars and the rest are reckoned apart.
local function parts(text)
  if not text or text == '' then return 0, 0 end
  return tonumber(string.sub(text, 1, -10)) or 0, tonumber(string.sub(text, -9))
end

local function joined(dollars, nano)
  local carry = math.floor(nano / 1e9)
  dollars, nano = dollars + carry, nano - carry * 1e9
  if dollars < 0 then return '0' end
  if dollars == 0 then return int(nano) end
  return string.format('%.0f%09.0f', dollars, nano)
end

local function plus(a, b)
  local a_dollars, a_nano = parts(a)
  local b_dollars, b_nano = parts(b)
  return joined(a_dollars + b_dollars, a_nano + b_nano)
end

-- What is left of a without b, and nothing where b is more.
local function minus(a, b)
  local a_dollars, a_nano = parts(a)
  local b_dollars, b_nano = parts(b)
  return joined(a_dollars - b_dollars, a_nano - b_nano)
end

-- Texts without leading zeros: the longer one is more.
local function more_than(a, b)
  if #a ~= #b then return #a > #b end
  return a > b
end

-- Months since the year 0, of a day since 1970. Years are taken to begin in March, so that leap days end them.
local function month_of(day)
  local since = day + 719468
  local era = math.floor(since / 146097)
  local of_era = since - era * 146097
  local leaps = math.floor(of_era / 1460) - math.floor(of_era / 36524) + math.floor(of_era / 146096)
  local year = math.floor((of_era - leaps) / 365)
  local of_year = of_era - 365 * year - math.floor(year / 4) + math.floor(year / 100)
  return (era * 400 + year) * 12 + math.floor((5 * of_year + 2) / 153) + 2
end

local function read_account()
  local flat, account = redis.call('HGETALL', ACCOUNT), {}
  for at = 1, #flat, 2 do account[flat[at]] = flat[at + 1] end
  return account
end

-- Calls visit(field, minute, day, month, amount) for each sum of records at or above the horizon.
local function each_bucket(account, visit)
  for field, amount in pairs(account) do
    if string.byte(field) == 98 then
      local minute, day, month = string.match(field, '^b:(%d+):(%d+):(%d+)$')
      visit(field, tonumber(minute), tonumber(day), tonumber(month), amount)
    end
  end
end

-- What is spent in the window that holds now. Windows never go back, also where a replica's clock does.
local function spent(account, window)
  local today = math.max(math.floor(now_ms / 86400000), tonumber(account.pday) or 0)
  local this_month = math.max(month_of(today), tonumber(account.pmonth) or 0)
  local dollars, nano = 0, 0
  local function take(amount)
    local more_dollars, more_nano = parts(amount)
    dollars, nano = dollars + more_dollars, nano + more_nano
  end
  if window == 'total' then take(account.pt) end
  if window == 'daily' and tonumber(account.pday) == today then take(account.pd) end
  if window == 'monthly' and tonumber(account.pmonth) == this_month then take(account.pm) end
  each_bucket(account, function(_, _, day, month, amount)
    if window == 'total' or (window == 'daily' and day == today) or (window == 'monthly' and month == this_month) then
      take(amount)
    end
  end)
  return joined(dollars, nano)
end

-- Up to where records can be counted by the database alone: everything below is older than any clock is
-- wrong, and nothing below is known to be on its way. What is on its way for too long is waited for no more.
local function next_horizon(account)
  local horizon = now_ms - LAG
  local first = redis.call('ZRANGE', PENDING, 0, 0, 'WITHSCORES')
  if first[2] then horizon = math.min(horizon, math.max(tonumber(first[2]), now_ms - MAX_LAG)) end
  return math.max(math.floor(horizon / MINUTE) * MINUTE, tonumber(account.h) or 0)
end

-- Gives the horizon for a reading of the past, and notes that one is under way: the horizon shall not rise meanwhile.
local function begin_reading(account)
  redis.call('HSET', ACCOUNT, 'reading', int(now_us))
  redis.call('PEXPIRE', ACCOUNT, KEEP)
  return int(next_horizon(account))
end

-- Gives a horizon when the past should be read again, at most once in five seconds for all gateways.
local function refresh_due(account)
  if not account.h or now_us - (tonumber(account.ask) or 0) < 5000000 then return '' end
  local at = tonumber(account.at) or 0
  if (tonumber(account.late) or 0) <= at and now_us - at < REFRESH * 1000 then return '' end
  redis.call('HSET', ACCOUNT, 'ask', int(now_us))
  return begin_reading(account)
end

-- A lease is held as "amount session fence".
local function parse_held(text)
  if not text then return nil end
  local amount, session, fence = string.match(text, '^(%d+) (%d) (%d+)$')
  return { amount = amount, session = tonumber(session), fence = fence }
end

local function held_by(lease) return parse_held(redis.call('HGET', HELD, lease)) end

local function reserved() return redis.call('HGET', HELD, 'sum') or '0' end

local function sessions() return tonumber(redis.call('HGET', HELD, 'sessions')) or 0 end

-- Holds exactly this for a lease from now on, in the place of what it held.
local function hold(lease, amount, session, fence)
  local now = redis.call('HMGET', HELD, lease, 'sum', 'sessions')
  local before = parse_held(now[1]) or { amount = '0', session = 0 }
  redis.call('HSET', HELD, lease, amount .. ' ' .. session .. ' ' .. fence,
    'sum', plus(minus(now[2] or '0', before.amount), amount),
    'sessions', int((tonumber(now[3]) or 0) - before.session + session))
end

local function open_lease(lease, amount, session, fence, floor)
  hold(lease, amount, session, fence)
  redis.call('ZADD', LEASES, int(now_ms + LEASE_TTL), lease)
  redis.call('ZADD', PENDING, floor, 'lease:' .. lease)
end

local function drop_lease(lease)
  if held_by(lease) then
    hold(lease, '0', 0, '0')
    redis.call('HDEL', HELD, lease)
  end
  redis.call('ZREM', LEASES, lease)
  redis.call('ZREM', PENDING, 'lease:' .. lease)
end

-- What gateways that died have held comes back here. Where no lease is left nothing is held, whatever a sum says.
local function reap()
  local first = redis.call('ZRANGE', LEASES, 0, 0, 'WITHSCORES')
  if first[2] and tonumber(first[2]) > now_ms then return end
  local over = redis.call('ZRANGEBYSCORE', LEASES, '-inf', int(now_ms), 'LIMIT', 0, 1000)
  for _, lease in ipairs(over) do drop_lease(lease) end
  if redis.call('EXISTS', LEASES) == 0 then redis.call('DEL', HELD) end
end

local function touch()
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, KEEP) end
end
