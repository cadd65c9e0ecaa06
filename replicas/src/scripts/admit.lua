-- Asks every limit, then takes from all, or refuses and takes nothing.
--
-- ARGV[5..] call, floor, requests per minute or -1, sessions or -1, window or '', budget, cost or '',
--           session 0|1, highest fence that the caller has seen
-- gives     'granted', now, fence or 0, remaining or -1, horizon to read the past again or ''
--           'sessions', now | 'budget', now | 'rate', now, wait, remaining
--           'past', now, horizon, 'unknown' or 'stale'
local call, floor = ARGV[5], ARGV[6]
local per_minute, most_sessions = tonumber(ARGV[7]), tonumber(ARGV[8])
local window, budget, cost, session = ARGV[9], ARGV[10], ARGV[11], tonumber(ARGV[12])
local seen = tonumber(ARGV[13])

local held = held_now(call)

-- The bucket of the rate after this request: 'tat' is when it will be full again. A changed limit keeps what
-- was used of the old one, so that changing it back and forth buys nobody a second burst.
local function take_rate()
  if per_minute < 0 then return { remaining = -1 } end
  if per_minute == 0 then return { wait = 60000000, remaining = 0 } end
  local every = 60000000 / per_minute
  local full_at, before = held.tat or 0, held.rl or per_minute
  if before ~= per_minute and full_at > now_us then
    local used = math.ceil((full_at - now_us) * before / 60000000 - 0.000001)
    full_at = now_us + math.min(used, per_minute) * every
  end
  local next_full = math.max(full_at, now_us) + every
  -- A microsecond is what doubles of this size may be off.
  local over = next_full - now_us - 60000000
  if over > 1 then return { wait = math.ceil(over), remaining = 0 } end
  return { full_at = next_full, remaining = math.floor((1 - over) / every) }
end

if held.by_lease then
  return { 'granted', int(now_us), held.by_lease.fence, int(take_rate().remaining), '' }
end
if session == 1 and most_sessions >= 0 and held.sessions >= most_sessions then return { 'sessions', int(now_us) } end
local account
if window ~= '' then
  account = read_account()
  if not account.h then return { 'past', int(now_us), begin_reading(account), 'unknown' } end
  if held.fence < seen then return { 'past', int(now_us), begin_reading(account), 'stale' } end
  local used = plus(spent(account, window), held.sum)
  -- What has no known cost fits while anything at all is left.
  local fits = more_than(budget, used)
  if cost ~= '' then fits = not more_than(plus(used, cost), budget) end
  if not fits then return { 'budget', int(now_us) } end
end
local rate = take_rate()
if rate.wait then return { 'rate', int(now_us), int(rate.wait), int(rate.remaining) } end

-- From here on nothing refuses. The fence never goes back, also where the data did: it is at least the time.
local fence = int(math.max(held.fence + 1, now_us))
local written = { 'fence', fence }
if rate.full_at then
  written = { 'fence', fence, 'tat', int(rate.full_at), 'rl', int(per_minute) }
elseif held.tat then
  redis.call('HDEL', HELD, 'tat', 'rl')
end
if session == 1 or account then
  hold(held, call, nil, cost == '' and '0' or cost, session, fence, unpack(written))
  open_lease(call, floor)
else
  redis.call('HSET', HELD, unpack(written))
end
local again = account and refresh_due(account) or ''
touch(held)
return { 'granted', int(now_us), fence, int(rate.remaining), again }
