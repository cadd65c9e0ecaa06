-- Holds more money for a call that is open, or nothing more.
--
-- ARGV[5..] lease, fence, floor, amount held so far, session 0|1, more, window or '', budget, highest fence seen
-- gives     'granted', now, '' | 'budget', now | 'past', now, horizon, 'unknown' or 'stale'
local lease, fence, floor, amount, session = ARGV[5], ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
local more, window, budget, seen = ARGV[10], ARGV[11], ARGV[12], tonumber(ARGV[13])

local held = held_now(lease)
local account = read_account()
local before = held.by_lease
-- A call that is told of here lives, whatever became of its lease.
if not before then
  before = { amount = amount, session = session, fence = fence }
  hold(held, lease, nil, amount, session, fence)
  open_lease(lease, floor)
  hold_horizon(lease, floor)
end
touch(held)
if window ~= '' then
  if not account.h then return { 'past', int(now_us), begin_reading(account), 'unknown' } end
  if held.fence < seen then
    return { 'past', int(now_us), begin_reading(account), 'stale' }
  end
  local used = plus(spent(account, window), held.sum)
  if more_than(plus(used, more), budget) then return { 'budget', int(now_us) } end
end
hold(held, lease, before, plus(before.amount, more), before.session, before.fence)
return { 'granted', int(now_us) }
