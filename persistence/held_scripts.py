"""The scripts over what a tenant may use: they take, give back, show and tell, each in one step.

Owns what is decided inside Valkey: whether the sums are still as a decision took them to be, and
what an end gives back. Nothing in a script asks the clock; whoever calls gives the instant.
"""

from __future__ import annotations

from persistence.valkey import Script

#: KEYS are those of `keys.standing`: balances, held, holds, ends, counts.
PRELUDE = """
local M = 1000000
local function parse(text)
    if not text then return 0, 0 end
    if #text <= 15 then
        local value = tonumber(text)
        local high = math.floor(value / M)
        return high, value - high * M
    end
    local below = string.byte(text) == 45
    if below then text = string.sub(text, 2) end
    local high, low = tonumber(string.sub(text, 1, -7)), tonumber(string.sub(text, -6))
    if below then
        high = -high
        if low > 0 then high, low = high - 1, M - low end
    end
    return high, low
end
local function spell(high, low)
    if high == 0 then return string.format('%d', low) end
    if high > 0 then return string.format('%.0f%06d', high, low) end
    if low > 0 then high, low = high + 1, M - low end
    if high == 0 then return string.format('-%d', low) end
    return string.format('-%.0f%06d', -high, low)
end
local function sum(a, b, c, d)
    if b + d >= M then return a + c + 1, b + d - M end
    return a + c, b + d
end
local function less(a, b, c, d) return a < c or (a == c and b < d) end
local function opposite(high, low)
    if low > 0 then return -high - 1, M - low end
    return -high, 0
end
-- What this script sets aside (or gives back, negative) by field.
local shifted = {}
local changed = false
local function shift(field, high, low)
    local known = shifted[field]
    if known then
        known[1], known[2] = sum(known[1], known[2], high, low)
    else
        shifted[field] = {high, low}
    end
end
local function give_back(parts)
    for _, part in ipairs(parts) do shift(part[1], opposite(part[2], part[3])) end
end
local function keep(number, hold, at)
    redis.call('HSET', KEYS[3], number, cmsgpack.pack(hold))
    redis.call('ZADD', KEYS[4], string.format('%.0f', at), number)
end
local function drop(number)
    redis.call('HDEL', KEYS[3], number)
    redis.call('ZREM', KEYS[4], number)
end
local function find(number)
    local packed = redis.call('HGET', KEYS[3], number)
    return packed and cmsgpack.unpack(packed)
end
-- A hold is {content, answer, granted, expires, lasts, revision, parts, sent}.
-- Gives whether there may be more: others wait while a script runs, so it ends so many at most.
local function sweep(now)
    local due = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, 1000)
    if #due == 0 then return false end
    changed = true
    local packed, over = redis.call('HMGET', KEYS[3], unpack(due)), {}
    for place, number in ipairs(due) do
        local hold = packed[place] and cmsgpack.unpack(packed[place])
        if hold and #hold[8] > 0 and tonumber(now) < hold[5] then
            give_back(hold[7])
            for _, part in ipairs(hold[8]) do shift(part[1], part[2], part[3]) end
            hold[7] = hold[8]
            keep(number, hold, hold[5])
        else
            if hold then give_back(hold[7]) end
            over[#over + 1] = number
        end
    end
    if #over > 0 then
        redis.call('HDEL', KEYS[3], unpack(over))
        redis.call('ZREM', KEYS[4], unpack(over))
    end
    return #due == 1000
end
local function finish(now)
    local before = redis.call('HGET', KEYS[2], 'at')
    -- A Valkey that has lost what was held says so from an instant of its own on.
    if before and not changed then return end
    for field, by in pairs(shifted) do
        if by[1] ~= 0 or by[2] ~= 0 then
            -- The sum is read as text: as a number it would lose its last digits.
            redis.call('HINCRBY', KEYS[2], field, spell(by[1], by[2]))
            if redis.call('HGET', KEYS[2], field) == '0' then redis.call('HDEL', KEYS[2], field) end
        end
    end
    local at = tonumber(before or '0') + 1
    redis.call('HSET', KEYS[2], 'at', string.format('%.0f', math.max(at, tonumber(now))))
end
local function told()
    local held = redis.call('HGETALL', KEYS[2])
    local first = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
    local at, parts = '0', {}
    for place = 1, #held, 2 do
        if held[place] == 'at' then
            at = held[place + 1]
        elseif string.sub(held[place], 1, 5) == 'left:' then
            parts[#parts + 1] = held[place] .. '=' .. held[place + 1]
        end
    end
    local next_end = first[2] and string.format('%.0f', tonumber(first[2])) or ''
    return at .. ';' .. next_end .. ';' .. table.concat(parts, ';')
end
local function count(seeds, floor)
    for _, seed in ipairs(seeds) do
        local known = redis.call('HGET', KEYS[5], seed[1])
        local version = known and tonumber(string.match(known, '^%d+')) or -1
        if seed[2] > version and seed[2] >= floor then
            redis.call('HSET', KEYS[5], seed[1], string.format('%.0f ', seed[2]) .. seed[3])
            redis.call('EXPIRE', KEYS[5], 5184000)
        end
    end
end
local function floor_of()
    return tonumber(redis.call('HGET', KEYS[5], 'floor') or '0')
end
"""

# Items are {number, content, answer, granted, expires, lasts, takes, guards, replaces, is granted};
# a guard is {field, low or nil, high or nil}, a bound two numbers. Stops before the first item of
# which a guard does not hold any more: whoever asks looks again and decides anew.
AUTHORIZE = Script(
    PRELUDE
    + """
local now = ARGV[2]
local known = redis.call('HMGET', KEYS[1], 'epoch', 'valid_until')
if known[1] ~= ARGV[1] or not known[2] or tonumber(known[2]) <= tonumber(now)
    or redis.call('HGET', KEYS[2], 'whole') ~= ARGV[1] then
    return {'stale'}
end
local asked = cmsgpack.unpack(ARGV[3])
local more = sweep(now)
if #asked[1] > 0 then count(asked[1], floor_of()) end
local function aside(field)
    local high, low = parse(redis.call('HGET', KEYS[2], field))
    local by = shifted[field]
    if by then return sum(high, low, by[1], by[2]) end
    return high, low
end
local rooms = {}
-- Of a balance what is left less what is held; of a count what is counted and held; of `held:`
-- what is held; and the version that what is left is of.
local function room(field)
    local found = rooms[field]
    if found then return found end
    local kind = string.sub(field, 1, 5)
    local high, low
    if kind == 'left:' then
        high, low = parse(redis.call('HGET', KEYS[1], field))
        high, low = sum(high, low, opposite(aside(field)))
    elseif kind == 'held:' then
        high, low = aside(string.sub(field, 6))
    elseif field == 'version' then
        high, low = parse(redis.call('HGET', KEYS[1], field))
    else
        local value = redis.call('HGET', KEYS[5], field)
        if not value then return nil end
        high, low = parse(string.match(value, ' (.*)$'))
        high, low = sum(high, low, aside(field))
    end
    found = {high, low}
    rooms[field] = found
    return found
end
local function take(parts, sign)
    for _, part in ipairs(parts) do
        local field, high, low = part[1], part[2], part[3]
        if sign < 0 then high, low = opposite(high, low) end
        local down_high, down_low = opposite(high, low)
        local own = rooms[field]
        if own then
            if string.sub(field, 1, 5) == 'left:' then
                own[1], own[2] = sum(own[1], own[2], down_high, down_low)
            else
                own[1], own[2] = sum(own[1], own[2], high, low)
            end
        end
        local held = rooms['held:' .. field]
        if held then held[1], held[2] = sum(held[1], held[2], high, low) end
        shift(field, high, low)
    end
end
local results = {}
local status = 'done'
if more then
    -- What is over already still looks open: nobody is refused for it.
    asked[2], status = {}, 'changed'
end
for place, item in ipairs(asked[2]) do
    local number = item[1]
    local before = find(number)
    if before then
        results[place] = before[1] == item[2] and before[2] or 2
    else
        local replaced = item[9] and find(item[9])
        local holds = true
        if replaced then
            take(replaced[7], -1)
        elseif item[9] then
            holds = false
            status = 'gone'
        end
        for _, guard in ipairs(holds and item[8] or {}) do
            local own = room(guard[1])
            if not own then
                holds = false
                status = 'missing'
                break
            end
            local low, high = guard[2], guard[3]
            if (low and less(own[1], own[2], low[1], low[2]))
                or (high and less(high[1], high[2], own[1], own[2])) then
                holds = false
                status = 'changed'
                break
            end
        end
        if not holds then
            if replaced then take(replaced[7], 1) end
            break
        end
        if item[10] then
            take(item[7], 1)
            if replaced then drop(item[9]) end
            keep(number, {item[2], item[3], item[4], item[5], item[6], 0, item[7], {}}, item[5])
            changed = true
            results[place] = 1
        else
            if replaced then take(replaced[7], 1) end
            results[place] = 0
        end
    end
end
finish(now)
return {
    status, results,
    -- One value: as many as there are fields would cost whoever reads them more than all the rest.
    cmsgpack.pack({
        redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2]),
        redis.call('HGETALL', KEYS[5])
    })
}
"""
)

#: What follows applies ends: {number, granted, revision, parts, sent, next, restored or nil}.
APPLY = """
local function apply(ends)
    for _, one in ipairs(ends) do
        local number, hold = one[1], find(one[1])
        if not hold and one[7] and #one[4] > 0 then
            hold = {one[7][1], one[7][2], one[2], one[7][3], one[7][4], -1, {}, {}}
        end
        if hold and hold[3] == one[2] and hold[6] < one[3] then
            changed = true
            give_back(hold[7])
            for _, part in ipairs(one[4]) do shift(part[1], part[2], part[3]) end
            hold[6], hold[7], hold[8] = one[3], one[4], one[5]
            if one[6] then keep(number, hold, one[6]) else drop(number) end
        end
    end
end
"""

# A reading takes the place of an older one, of the same version at an earlier instant too.
SHOW = Script(
    PRELUDE
    + APPLY
    + """
local version, at = ARGV[2], ARGV[3]
local held = redis.call('HMGET', KEYS[1], 'epoch', 'version', 'at')
local same = held[1] == ARGV[1]
if held[1] and not same then redis.call('DEL', KEYS[5]) end
if ARGV[7] ~= '' then
    local beside = cmsgpack.unpack(ARGV[7])
    apply(beside[1])
    if beside[3] then
        redis.call('DEL', KEYS[5])
        redis.call('HSET', KEYS[5], 'floor', version)
    end
    count(beside[2], floor_of())
end
sweep(at)
finish(at)
local newer = 1
if same then
    newer = tonumber(version) - tonumber(held[2])
    if newer == 0 then newer = tonumber(at) - tonumber(held[3]) end
end
if newer > 0 then
    redis.call('DEL', KEYS[1])
    redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'version', version, 'at', at, unpack(ARGV, 8))
    redis.call('PUBLISH', ARGV[4], ARGV[5] .. told() .. ' ' .. ARGV[6])
    return 1
end
if changed then redis.call('PUBLISH', ARGV[4], ARGV[5] .. told() .. ' ') end
return 0
"""
)

#: Ends that come without a commit: a release, what was granted while Valkey was away.
END = Script(
    PRELUDE
    + APPLY
    + """
if ARGV[7] ~= '' then
    local whole = redis.call('HGET', KEYS[2], 'whole')
    if whole and whole ~= ARGV[7] then
        -- Of another database, or of this one's past: what is open stands in its rows.
        redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
    end
end
apply(cmsgpack.unpack(ARGV[2]))
sweep(ARGV[1])
finish(ARGV[1])
if ARGV[5] ~= '' then
    if redis.call('HGET', KEYS[2], 'building') == ARGV[6] then
        redis.call('HSET', KEYS[2], 'whole', ARGV[5])
    end
elseif ARGV[6] ~= '' then
    redis.call('HSET', KEYS[2], 'building', ARGV[6])
end
if changed then redis.call('PUBLISH', ARGV[3], ARGV[4] .. told() .. ' ') end
return 1
"""
)

TELL = Script(
    PRELUDE
    + """
sweep(ARGV[1])
finish(ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[3] .. told() .. ' ')
return 1
"""
)

READ = Script(
    PRELUDE
    + """
local more = sweep(ARGV[1])
finish(ARGV[1])
return {more and 1 or 0, told()}
"""
)

#: The holds that end first from behind a place on, with what they have set aside.
LIST = Script(
    PRELUDE
    + """
local more = sweep(ARGV[1])
finish(ARGV[1])
local first = 0
if ARGV[2] ~= '' then
    -- Of those that end at one instant the order is that of their numbers: what follows one of them
    -- follows this name, whether it is still there or not.
    local behind = ARGV[3] .. '\\0'
    redis.call('ZADD', KEYS[4], ARGV[2], behind)
    first = redis.call('ZRANK', KEYS[4], behind)
    redis.call('ZREM', KEYS[4], behind)
end
local found = redis.call('ZRANGE', KEYS[4], first, first + ARGV[4] - 1, 'WITHSCORES')
local holds = {more and 1 or 0}
for place = 1, #found, 2 do
    local hold = find(found[place])
    if hold then
        local one = {found[place], string.format('%.0f', tonumber(found[place + 1])), hold[2]}
        for own = 3, 5 do one[#one + 1] = string.format('%.0f', hold[own]) end
        for _, part in ipairs(hold[7]) do
            one[#one + 1] = part[1]
            one[#one + 1] = spell(part[2], part[3])
        end
        holds[#holds + 1] = one
    end
end
return holds
"""
)
