package import Redis

/// What the control plane does to counters in Redis, each script on one partition.
package enum CounterScripts {
    /// Writes what Postgres says, unless something newer stands there.
    ///
    /// Keys: epoch, counters. Arguments: an epoch in case there is none, then for each counter its number, the sequence
    /// of that, and when it may be forgotten in ms since 1970 (0: never). Answer: how many were written.
    package static let write = RedisScript(
        name: "write_counters",
        source: """
            if not redis.call('GET', KEYS[1]) then
              local time = redis.call('TIME')
              redis.call('SET', KEYS[1], ARGV[1] .. '.' .. time[1] .. '.' .. time[2])
            end
            local written = 0
            for i = 2, #KEYS do
              local at = 3 * i - 4
              local known = redis.call('HGET', KEYS[i], 's')
              if not known or tonumber(known) <= tonumber(ARGV[at + 1]) then
                redis.call('HSET', KEYS[i], 'b', ARGV[at], 's', ARGV[at + 1])
                if ARGV[at + 2] ~= '0' then redis.call('PEXPIREAT', KEYS[i], ARGV[at + 2]) end
                written = written + 1
              end
            end
            return written
            """
    )

    /// Removes entries that are in Postgres from the stream, takes what they cost out of what is unsettled, writes what
    /// Postgres says now, and tells how far the partition is settled; does nothing when Redis has forgotten since the
    /// entries were read.
    ///
    /// Keys: epoch, usage stream. Arguments: 1 the epoch they were read in, 2 channel, 3 announcement, 4 how many lists
    /// of counters, 5 how many numbers; the lists, each in one text; counter, number and sequence for each number; then
    /// for each entry its id, the number of its list (0: none) and its cost. Answer: how many entries were removed, −1
    /// in another epoch.
    ///
    /// An entry counts only if it stood there: an acknowledgement that is sent twice takes nothing out twice. Windows
    /// that have been forgotten stay so.
    package static let acknowledge = RedisScript(
        name: "acknowledge_usage",
        source: """
            if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return -1 end
            local lists, numbers = tonumber(ARGV[4]), tonumber(ARGV[5])
            local function stands(name)
              return not (string.find(name, ':policy:', 1, true) or string.find(name, ':sub:', 1, true))
                or redis.call('EXISTS', name) == 1
            end
            local counters = {}
            for i = 1, lists do
              counters[i] = {}
              for name in string.gmatch(ARGV[5 + i], '%S+') do
                if stands(name) then table.insert(counters[i], name) end
              end
            end
            local at = 6 + lists
            local first = at + 3 * numbers
            local removed = 0
            for i = first, #ARGV, 3 do
              if redis.call('XDEL', KEYS[2], ARGV[i]) == 1 then
                removed = removed + 1
                if ARGV[i + 1] ~= '0' and ARGV[i + 2] ~= '0' then
                  for _, name in ipairs(counters[tonumber(ARGV[i + 1])]) do
                    redis.call('HINCRBY', name, 'u', '-' .. ARGV[i + 2])
                  end
                end
              end
            end
            for i = at, first - 1, 3 do
              local name = ARGV[i]
              if stands(name) then
                local known = redis.call('HGET', name, 's')
                if not known or tonumber(known) < tonumber(ARGV[i + 2]) then
                  redis.call('HSET', name, 'b', ARGV[i + 1], 's', ARGV[i + 2])
                end
              end
            end
            redis.call('PUBLISH', ARGV[2], ARGV[3])
            return removed
            """
    )

    /// Lists reservations again that stand without being listed as live: a Redis that twice started with a log whose end
    /// was lost may have carried out half a settlement (`RedisLogRenewal`), and nobody would ever give them back. Of a
    /// living call both always stand.
    ///
    /// Keys: live, holds. Answer: how many.
    package static let adopt = RedisScript(
        name: "adopt",
        source: """
            if redis.call('HLEN', KEYS[2]) <= redis.call('ZCARD', KEYS[1]) then return 0 end
            local time = redis.call('TIME')
            local now = time[1] * 1000 + math.floor(time[2] / 1000)
            local holds, count = redis.call('HGETALL', KEYS[2]), 0
            for i = 1, #holds, 2 do
              if not redis.call('ZSCORE', KEYS[1], holds[i]) then
                redis.call('ZADD', KEYS[1], now, holds[i])
                count = count + 1
              end
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
              redis.call('HINCRBY', name, 'r', '-' .. amount)
              if cost then redis.call('HINCRBY', name, 'u', cost) end
            end
            redis.call('HDEL', KEYS[2], ARGV[1])
            redis.call('HDEL', KEYS[3], ARGV[1])
            return cost and 2 or 1
            """
    )

    /// Shows all that decides what counters should say, at one moment.
    ///
    /// Keys: usage stream, holds, counters. Arguments: how many entries and holds there may be.
    /// Answer: empty when there are more; else the entries, the holds, and for each counter `u` and `r`.
    package static let inspect = RedisScript(
        name: "inspect_counters",
        source: """
            local limit = tonumber(ARGV[1])
            if redis.call('XLEN', KEYS[1]) > limit or redis.call('HLEN', KEYS[2]) > limit then return {} end
            local numbers = {}
            for i = 3, #KEYS do numbers[i - 2] = redis.call('HMGET', KEYS[i], 'u', 'r') end
            return {redis.call('XRANGE', KEYS[1], '-', '+'), redis.call('HVALS', KEYS[2]), numbers}
            """
    )

    /// Corrects a counter, unless it has moved since it was looked at.
    ///
    /// Keys: the counter. Arguments: `u` and `r` as they were seen, and as they should be. Answer: whether it did.
    package static let correct = RedisScript(
        name: "correct_counter",
        source: """
            local values = redis.call('HMGET', KEYS[1], 'u', 'r')
            if (values[1] or '0') ~= ARGV[1] or (values[2] or '0') ~= ARGV[2] then return 0 end
            redis.call('HSET', KEYS[1], 'u', ARGV[3], 'r', ARGV[4])
            return 1
            """
    )
}
