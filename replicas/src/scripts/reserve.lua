-- Holds more money for a call that is open, or nothing more.
--
-- ARGV[5..] lease, fence, floor, amount held so far, session 0|1, more, window or '', budget, highest fence seen
-- gives     'granted', now, '' | 'budget', now | 'past', now, horizon, 'unknown' or 'stale'
local lease, fence, floor, amount, session = ARGV[5], ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
local more, window, budget, seen = ARGV[10], ARGV[11], ARGV[12], tonumber(ARGV[13])

reap()
local account = read_account()
local held = held_by(lease)
-- A call that is told of here lives, whatever became of its lease.
if not held then
  open_lease(lease, amount, session, fence, floor)
  held = { amount = amount, session = session, fence = fence }
end
touch()
if window ~= '' then
  if not account.h then return { 'past', int(now_us), begin_reading(account), 'unknown' } end
  if (tonumber(account.fence) or 0) < seen then
    return { 'past', int(now_us), begin_reading(account), 'stale' }
  end
  local used = plus(spent(account, window), reserved())
  if more_than(plus(used, more), budget) then return { 'budget', int(now_us) } end
end
hold(lease, plus(held.amount, more), held.session, held.fence)
return { 'granted', int(now_us) }
