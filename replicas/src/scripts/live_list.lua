-- A page of sessions in the order of their ids.
--
-- ARGV  key or '', id to start behind or '', most
-- gives how many dead ones were forgotten; then id and what is shown of each
local index, prefix = INDEX, ''
if ARGV[1] ~= '' then index, prefix = BY_KEY, ARGV[1] .. ':' end
local first = ARGV[2] ~= '' and '(' .. prefix .. ARGV[2] or (prefix == '' and '-' or '[' .. prefix)
-- ';' follows ':', so this is behind all members of one key.
local last = prefix == '' and '+' or '(' .. ARGV[1] .. ';'
local page = { DEAD }
for _, member in ipairs(redis.call('ZRANGEBYLEX', index, first, last, 'LIMIT', 0, ARGV[3])) do
  local session = string.sub(member, #prefix + 1)
  table.insert(page, session)
  table.insert(page, redis.call('HGET', TOLD, session) or '')
end
return page
