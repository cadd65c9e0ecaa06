-- Forgets sessions that have ended. ARGV  for each: id, key
for at = 1, #ARGV, 2 do forget(ARGV[at], ARGV[at + 1]) end
return #ARGV / 2
