-- Holds leases for another while. One that is gone is held again: its call lives, so it counts.
--
-- ARGV[5..] for each lease: id, fence, floor, amount, session 0|1
-- gives     for each lease: 'kept' | 'restored' | 'replaced', where the call was admitted again under another fence
reap()
local outcomes = {}
for at = 5, #ARGV, 5 do
  local lease, fence, floor, amount, session = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], tonumber(ARGV[at + 4])
  local held = held_by(lease)
  if held and held.fence ~= fence then
    table.insert(outcomes, 'replaced')
  else
    table.insert(outcomes, held and 'kept' or 'restored')
    if not held then hold(lease, amount, session, fence) end
    redis.call('ZADD', LEASES, int(now_ms + LEASE_TTL), lease)
    redis.call('ZADD', PENDING, floor, 'lease:' .. lease)
  end
end
touch()
return outcomes
