-- What a key has spent in a window, holds, and how many sessions it has open; changes no sum.
--
-- ARGV[5] window
-- gives   whether the past is known, spent, reserved, sessions, now
local held = held_now('')
local account = read_account()
return { account.h and '1' or '0', spent(account, ARGV[5]), held.sum, int(held.sessions), int(now_us) }
