-- Holds leases for another while. One that is gone is held again: its call lives, so it counts.
--
-- ARGV[5..] for each lease: id, fence, floor, amount, session 0|1
-- gives     for each lease: 'kept' | 'restored' | 'replaced', where the call was admitted again under another fence
local held = held_now('')
local outcomes = {}
for at = 5, #ARGV, 5 do
  local lease, fence, floor, amount, session = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4])
  local before = parse_held(redis.call('HGET', HELD, lease))
  if before and before.fence ~= fence then
    table.insert(outcomes, 'replaced')
  else
    table.insert(outcomes, before and 'kept' or 'restored')
    if not before then hold(held, lease, nil, amount, session, fence) end
    open_lease(lease, floor)
    hold_horizon(lease, floor)
  end
end
touch(held)
return outcomes
