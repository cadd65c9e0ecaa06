-- Opening of every script about one virtual key: its clock, its money and its leases. The reasoning why
-- no record is counted twice is in src/money.rs.
--
-- A command costs more than all that is reckoned around it, so that an admission makes five.
--
-- KEYS  account: the past, and sums of records by minute
--       ids: of the records that are summed; pending: what the horizon waits for, by its milliseconds
--       leases: by when they are over; held: what each holds, all together, and what admissions write besides
--       all under the hash tag of the key
-- ARGV  lag, max lag, lease ttl, refresh (milliseconds each); what a script takes itself starts at ARGV[5]
local ACCOUNT, IDS, PENDING, LEASES, HELD = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local LAG, MAX_LAG, LEASE_TTL, REFRESH = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local MINUTE = 60000
-- How long an idle key is remembered, give or take an eighth.
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
  local dollars, nano, ending = 0, 0, nil
  local function take(amount)
    local more_dollars, more_nano = parts(amount)
    dollars, nano = dollars + more_dollars, nano + more_nano
  end
  local today = math.max(math.floor(now_ms / 86400000), tonumber(account.pday) or 0)
  if window == 'total' then
    take(account.pt)
  elseif window == 'daily' then
    if tonumber(account.pday) == today then take(account.pd) end
    ending = ':' .. today .. ':' .. month_of(today)
  else
    local this_month = math.max(month_of(today), tonumber(account.pmonth) or 0)
    if tonumber(account.pmonth) == this_month then take(account.pm) end
    ending = ':' .. this_month
  end
  for field, amount in pairs(account) do
    if string.byte(field) == 98 and (not ending or string.sub(field, -#ending) == ending) then take(amount) end
  end
  return joined(dollars, nano)
end

-- Up to where records can be counted by the database alone: everything below is older than any clock is
-- wrong, and nothing below is known to be on its way. What is on its way for too long is waited for no more.
local function next_horizon(account)
  local horizon = now_ms - LAG
  local risen = tonumber(account.h) or 0
  if horizon - horizon % MINUTE <= risen then return risen end
  local first = redis.call('ZRANGE', PENDING, 0, 0, 'WITHSCORES')
  if first[1] and first[1] ~= '' then horizon = math.min(horizon, math.max(tonumber(first[2]), now_ms - MAX_LAG)) end
  return math.max(math.floor(horizon / MINUTE) * MINUTE, risen)
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

-- What all leases hold together (`sum`, `sessions`) and what this one does (`by_lease`, nil without it); the highest
-- fence; how the rate stands (`tat`, `rl`). Before `due` no lease is over: those that begin or are renewed later than
-- it was set end later.
local function read_held(lease)
  local told = redis.call('HMGET', HELD, lease, 'sum', 'sessions', 'due', 'touched', 'fence', 'tat', 'rl')
  return {
    by_lease = parse_held(told[1]), sum = told[2] or '0', sessions = tonumber(told[3]) or 0,
    due = tonumber(told[4]) or 0, touched = tonumber(told[5]) or 0,
    fence = tonumber(told[6]) or 0, tat = tonumber(told[7]), rl = tonumber(told[8]),
  }
end

-- What a lease held before, which may be nil, is replaced by this.
local function exchange(held, before, amount, session)
  if before then
    held.sum, held.sessions = minus(held.sum, before.amount), held.sessions - before.session
  end
  held.sum, held.sessions = plus(held.sum, amount), held.sessions + session
end

-- Holds exactly this for a lease from now on; what follows is written with it.
local function hold(held, lease, before, amount, session, fence, ...)
  exchange(held, before, amount, session)
  redis.call('HSET', HELD, lease, amount .. ' ' .. session .. ' ' .. fence,
    'sum', held.sum, 'sessions', int(held.sessions), ...)
end

-- The horizon stays below a call that is open. Until it is older than the lag, it does so anyway.
local function hold_horizon(lease, floor) redis.call('ZADD', PENDING, floor, 'lease:' .. lease) end

local function open_lease(lease, floor)
  redis.call('ZADD', LEASES, int(now_ms + LEASE_TTL), lease)
  if LEASE_TTL > LAG then hold_horizon(lease, floor) end
end

local function drop_lease(held, lease, before)
  if before then
    exchange(held, before, '0', 0)
    redis.call('HDEL', HELD, lease)
    redis.call('HSET', HELD, 'sum', held.sum, 'sessions', int(held.sessions))
  end
  redis.call('ZREM', LEASES, lease)
  redis.call('ZREM', PENDING, 'lease:' .. lease)
end

-- Keeps everything for as long as anything is kept. A member that is last and stands for nothing keeps a set that is
-- else empty from being made anew, without an end, by each lease.
local function touch(held)
  if now_ms - held.touched < KEEP / 8 and held.touched <= now_ms then return end
  redis.call('HSET', HELD, 'touched', int(now_ms))
  redis.call('ZADD', LEASES, '+inf', '')
  redis.call('ZADD', PENDING, '+inf', '')
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, KEEP) end
end

-- Takes back what gateways that died have held. Where no lease is left nothing is held, whatever a sum says; where
-- an eviction took the leases, those that live are held again by their renewal.
local function reap(held)
  for _, lease in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', int(now_ms), 'LIMIT', 0, 1000)) do
    drop_lease(held, lease, parse_held(redis.call('HGET', HELD, lease)))
  end
  local first, due = redis.call('ZRANGE', LEASES, 0, 0, 'WITHSCORES'), nil
  if redis.call('ZSCORE', LEASES, '') and first[1] ~= '' then
    due = first[2]
  else
    redis.call('DEL', HELD)
    if held.fence > 0 then redis.call('HSET', HELD, 'fence', int(held.fence)) end
    if held.tat then redis.call('HSET', HELD, 'tat', int(held.tat), 'rl', int(held.rl or 0)) end
    due = int(now_ms + LEASE_TTL)
  end
  redis.call('HSET', HELD, 'due', due)
  redis.call('PEXPIRE', HELD, KEEP)
end

-- What is held now; the lease may be ''.
local function held_now(lease)
  local held = read_held(lease)
  -- A clock that went back must not put it off.
  if now_ms < held.due and held.due <= now_ms + LEASE_TTL then return held end
  reap(held)
  return read_held(lease)
end
