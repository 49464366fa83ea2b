package import Redis

/// What the control plane does to counters in Redis, each script on one partition.
package enum CounterScripts {
    /// Writes what Postgres says, unless something newer stands there.
    ///
    /// Keys: epoch, usage stream, counters. Arguments: an epoch in case there is none; the epoch and the id up to which
    /// what Postgres says includes the stream (both empty: whatever it includes); then for each counter its number, the
    /// sequence of that, and when it may be forgotten in ms since 1970 (0: never); and perhaps at last `1`, to write only
    /// what is missing.
    /// Answer: how many were written; −1, and nothing is, while the stream still has what Postgres has: it would count
    /// twice until its settler, who is about to, takes it out.
    package static let write = RedisScript(
        name: "write_counters",
        source: """
            local epoch = redis.call('GET', KEYS[1])
            if epoch and epoch == ARGV[2] and redis.call('XRANGE', KEYS[2], '-', ARGV[3], 'COUNT', 1)[1] then return -1 end
            if not epoch then
              local time = redis.call('TIME')
              redis.call('SET', KEYS[1], ARGV[1] .. '.' .. time[1] .. '.' .. time[2])
            end
            local written = 0
            local leavesKnown = ARGV[3 * #KEYS - 2] == '1'
            for i = 3, #KEYS do
              local at = 3 * i - 5
              local known = redis.call('HGET', KEYS[i], 's')
              if not known or not leavesKnown and tonumber(known) <= tonumber(ARGV[at + 1]) then
                redis.call('HSET', KEYS[i], 'b', ARGV[at], 's', ARGV[at + 1])
                if ARGV[at + 2] ~= '0' then redis.call('PEXPIREAT', KEYS[i], ARGV[at + 2]) end
                written = written + 1
              end
            end
            return written
            """
    )

    /// Forgets that a policy was exhausted, where Postgres says that it is not, unless a worker's word of it is still on
    /// its way there. What stood would count again once the policy is what it was then, or resumes no more by itself.
    ///
    /// Keys: the key's exhaustion, usage stream. Arguments: the policy's field, how a word on the key begins, how long the
    /// stream may be to be looked through. Answer: whether it was forgotten.
    package static let recover = RedisScript(
        name: "recover_policy",
        source: """
            if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
            if redis.call('XLEN', KEYS[2]) > tonumber(ARGV[3]) then return 0 end
            for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+')) do
              local field, value = entry[2][1], entry[2][2]
              if field == 'e' and string.sub(value, 1, #ARGV[2]) == ARGV[2] then return 0 end
            end
            return redis.call('HDEL', KEYS[1], ARGV[1])
            """
    )

    /// Removes entries that are in Postgres from the stream, takes what they cost out of what is unsettled, writes what
    /// Postgres says now, and tells how far the partition is settled; does nothing when Redis has forgotten since the
    /// entries were read.
    ///
    /// Keys: epoch, usage stream. Arguments: 1 the epoch they were read in, 2 channel, 3 announcement, 4 and 5 the first
    /// and the last entry's id, 6 the id after that, 7 how many lists of counters, 8 how many numbers; for each list its
    /// counters in one text and the sum of its entries' costs; counter, number and sequence for each number; and at last
    /// all entries in one text: for each its id, the number of its list (0: none) and its cost. Answer: how many entries
    /// were removed, −1 in another epoch.
    ///
    /// The entries are the oldest of the stream. An entry counts only if it stood there: an acknowledgement that is sent
    /// twice takes nothing out twice. Acknowledgements remove from the beginning, and a Redis that lost the end of its log
    /// lacks the last; so where the first and the last entry stand, all do. Windows that have been forgotten stay so, and
    /// wallets: where one stands, workers take it that all of the user's counters do. What Postgres does not count, since it
    /// knows a later window already, stays counted here: Redis' clock may have been ahead for a while.
    package static let acknowledge = RedisScript(
        name: "acknowledge_usage",
        source: """
            local call = redis.call
            if (call('GET', KEYS[1]) or '') ~= ARGV[1] then return -1 end
            local lists, numbers = tonumber(ARGV[7]), tonumber(ARGV[8])
            local known = {}
            for i = 9 + 2 * lists, 8 + 2 * lists + 3 * numbers, 3 do known[ARGV[i]] = true end
            local function isWindow(name)
              return string.find(name, ':policy:', 1, true) or string.find(name, ':sub:', 1, true)
            end
            local function stands(name) return not isWindow(name) or call('EXISTS', name) == 1 end
            local function lower(list, cost)
              if cost == '0' then return end
              for name in string.gmatch(ARGV[7 + 2 * list], '%S+') do
                if stands(name) then
                  call('HINCRBY', name, 'u', '-' .. cost)
                  if isWindow(name) and not known[name] then call('HINCRBY', name, 'b', cost) end
                end
              end
            end
            local removed = 0
            if call('XRANGE', KEYS[2], ARGV[4], ARGV[4])[1] and call('XRANGE', KEYS[2], ARGV[5], ARGV[5])[1] then
              removed = call('XTRIM', KEYS[2], 'MINID', '=', ARGV[6])
              for list = 1, lists do lower(list, ARGV[8 + 2 * list]) end
            else
              for id, list, cost in string.gmatch(ARGV[#ARGV], '(%S+) (%d+) (%d+)') do
                if call('XDEL', KEYS[2], id) == 1 then
                  removed = removed + 1
                  if list ~= '0' then lower(tonumber(list), cost) end
                end
              end
            end
            for i = 9 + 2 * lists, 8 + 2 * lists + 3 * numbers, 3 do
              local name = ARGV[i]
              if stands(name) then
                local sequence = call('HGET', name, 's')
                if not sequence and not string.find(name, ':wallet:', 1, true)
                    or sequence and tonumber(sequence) < tonumber(ARGV[i + 2]) then
                  call('HSET', name, 'b', ARGV[i + 1], 's', ARGV[i + 2])
                end
              end
            end
            call('PUBLISH', ARGV[2], ARGV[3])
            return removed
            """
    )

    /// Lists reservations as live that are not yet. Admission does not: most calls are over before anybody looks. It is
    /// also how those are found that nobody would ever give back: a Redis that twice started with a log whose end was lost
    /// may have carried out half a settlement (`RedisLogRenewal`).
    ///
    /// Keys: live, holds. Answer: how many.
    package static let adopt = RedisScript(
        name: "adopt",
        source: """
            if redis.call('HLEN', KEYS[2]) <= redis.call('ZCARD', KEYS[1]) then return 0 end
            local time = redis.call('TIME')
            local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
            local holds, count = redis.call('HKEYS', KEYS[2]), 0
            for first = 1, #holds, 1000 do
              local last = math.min(first + 999, #holds)
              local scores = redis.call('ZMSCORE', KEYS[1], unpack(holds, first, last))
              local added = {}
              for i = first, last do
                if not scores[i - first + 1] then
                  added[#added + 1] = now
                  added[#added + 1] = holds[i]
                end
              end
              count = count + #added / 2
              if added[1] then redis.call('ZADD', KEYS[1], unpack(added)) end
            end
            return count
            """
    )

    /// Settles the reservation of a call whose worker died: gives it back, and bills the call's last checkpoint.
    ///
    /// Keys: live, holds, checkpoints, usage stream, done marker. Arguments: request id, when it was renewed last as the
    /// caller has seen it, life of the marker in seconds. Answer: 0 when it was renewed or settled meanwhile, 1 when
    /// there was nothing to bill, 2 when a checkpoint was billed.
    package static let sweep = RedisScript(
        name: "sweep",
        source: """
            if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
            local hold = redis.call('HGET', KEYS[2], ARGV[1])
            local checkpoint = redis.call('HGET', KEYS[3], ARGV[1])
            local done = redis.call('EXISTS', KEYS[5]) == 1
            redis.call('ZREM', KEYS[1], ARGV[1])
            local cost, record
            if checkpoint and hold and not done then
              cost, record = string.match(checkpoint, '^(%d+) (.*)$')
              local id = redis.call('XADD', KEYS[4], '*', 'r', record)
              redis.call('SET', KEYS[5], 'swept ' .. id .. ' ' .. cost, 'EX', ARGV[3])
            end
            for name, amount in string.gmatch(hold or '', '(%S+) (%d+)') do
              if amount ~= '0' then redis.call('HINCRBY', name, 'r', '-' .. amount) end
              if cost then redis.call('HINCRBY', name, 'u', cost) end
            end
            redis.call('HDEL', KEYS[2], ARGV[1])
            redis.call('HDEL', KEYS[3], ARGV[1])
            return cost and 2 or 1
            """
    )

    /// Shows all that decides what counters should say, at one moment.
    ///
    /// Keys: usage stream, holds, counters. Arguments: how many entries and how many holds there may be.
    /// Answer: empty when there are more; else the entries, the holds, and for each counter `u` and `r`.
    package static let inspect = RedisScript(
        name: "inspect_counters",
        source: """
            if redis.call('XLEN', KEYS[1]) > tonumber(ARGV[1]) or redis.call('HLEN', KEYS[2]) > tonumber(ARGV[2]) then
              return {}
            end
            local numbers = {}
            for i = 3, #KEYS do numbers[i - 2] = redis.call('HMGET', KEYS[i], 'u', 'r') end
            return {redis.call('XRANGE', KEYS[1], '-', '+'), redis.call('HVALS', KEYS[2]), numbers}
            """
    )

    /// Corrects a counter, unless it has moved since it was looked at.
    ///
    /// Keys: the counter. Arguments: `u` and `r` as they were seen, and as they should be; when it may be forgotten in ms
    /// since 1970 if it was missing (0: never; empty: what is missing stays so). Answer: whether it did.
    package static let correct = RedisScript(
        name: "correct_counter",
        source: """
            local isMissing = redis.call('EXISTS', KEYS[1]) == 0
            if isMissing and ARGV[5] == '' then return 0 end
            local values = redis.call('HMGET', KEYS[1], 'u', 'r')
            if (values[1] or '0') ~= ARGV[1] or (values[2] or '0') ~= ARGV[2] then return 0 end
            redis.call('HSET', KEYS[1], 'u', ARGV[3], 'r', ARGV[4])
            if isMissing and ARGV[5] ~= '0' then redis.call('PEXPIREAT', KEYS[1], ARGV[5]) end
            return 1
            """
    )
}
