-- Forgets sessions that have ended. ARGV  for each: id, key. Gives how many dead ones were forgotten besides.
for at = 1, #ARGV, 2 do forget(ARGV[at], ARGV[at + 1]) end
return DEAD
