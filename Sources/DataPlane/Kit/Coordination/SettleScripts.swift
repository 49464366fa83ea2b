package import Redis

extension CallScripts {
    /// Ends a call: gives back what admission took and, with a record, appends it to the partition's stream and charges
    /// its cost, once.
    ///
    /// Keys: 1 epoch, 2 live, 3 holds, 4 the user's slots, 5 the key's slots, 6 usage stream, 7 checkpoints, 8 the key's
    /// rate, 9 the key's exhaustion, 10 done marker.
    /// Arguments: 1 request id, 2 an epoch in case there is none, 3 record (empty: nothing to bill), 4 phase, 5 life of
    /// the marker in seconds, 6 cost, 7 the counters that are charged, 8 tokens that count for the key's minute (empty:
    /// nobody counts them), 9 empty or what exhausts the key's policy: its counter, quota, field, window and event.
    /// Answer: `{epoch, stream id}`, the id empty when nothing was appended.
    ///
    /// What is given back are the amounts that the hold names, whatever they are counted against now; all their names
    /// carry the partition's tag. A final record after a swept one charges
    /// its whole cost: what is unsettled is the sum of the stream, from which each entry is taken out when it is booked.
    /// The first write frees memory, so that a full Redis still settles.
    package static let settle = RedisScript(
        name: "settle",
        source: WaitLine.wake + """
            local epoch = redis.call('GET', KEYS[1])
            local done = redis.call('GET', KEYS[10])
            local hold = redis.call('HGET', KEYS[3], ARGV[1])
            redis.call('ZREM', KEYS[2], ARGV[1])
            local id, phase = '', ''
            if done then phase, id = string.match(done, '^(%S+) (%S+)') end
            local isFresh = ARGV[3] ~= '' and (not done or (phase == 'swept' and ARGV[4] == 'final'))
            if isFresh then
              id = redis.call('XADD', KEYS[6], '*', 'r', ARGV[3])
              redis.call('SET', KEYS[10], ARGV[4] .. ' ' .. id .. ' ' .. ARGV[6], 'EX', ARGV[5])
              for name in string.gmatch(ARGV[7], '%S+') do redis.call('HINCRBY', name, 'u', ARGV[6]) end
              if ARGV[8] ~= '' then
                local time = redis.call('TIME')
                local now = time[1] * 1000 + math.floor(time[2] / 1000)
                if now >= tonumber(redis.call('HGET', KEYS[8], 's') or '0') + 60000 then
                  redis.call('HSET', KEYS[8], 's', string.format('%.0f', now), 'c', '0', 't', ARGV[8])
                  redis.call('PEXPIRE', KEYS[8], '120000')
                else
                  redis.call('HINCRBY', KEYS[8], 't', ARGV[8])
                end
              end
              if ARGV[9] ~= '' then
                local name, quota, field, window, event = string.match(ARGV[9], '^(%S+) (%S+) (%S+) (%S+) (.*)$')
                local values = redis.call('HMGET', name, 'b', 'u')
                if tonumber(values[1] or '0') + tonumber(values[2] or '0') >= tonumber(quota)
                  and redis.call('HGET', KEYS[9], field) ~= window then
                  redis.call('HSET', KEYS[9], field, window)
                  redis.call('XADD', KEYS[6], '*', 'e', event)
                end
              end
            end
            if hold then
              for name, amount in string.gmatch(hold, '(%S+) (%d+)') do redis.call('HINCRBY', name, 'r', '-' .. amount) end
              redis.call('HDEL', KEYS[3], ARGV[1])
            end
            redis.call('HDEL', KEYS[7], ARGV[1])
            for place = 4, 5 do
              if redis.call('ZREM', KEYS[place], ARGV[1]) == 1 then wake(KEYS[place]) end
            end
            if not epoch then
              local time = redis.call('TIME')
              epoch = ARGV[2] .. '.' .. time[1] .. '.' .. time[2]
              redis.call('SET', KEYS[1], epoch)
            end
            return {epoch, id}
            """
    )

    /// Notes what a call is billed if its worker dies, and reserves as much where it was less.
    ///
    /// Keys: epoch, live, holds, checkpoints. Arguments: request id, record, its cost.
    /// Answer: the epoch, empty where there is none; then, or where the call holds nothing, nothing was noted.
    package static let checkpoint = RedisScript(
        name: "checkpoint",
        source: """
            local epoch = redis.call('GET', KEYS[1])
            local hold = redis.call('HGET', KEYS[3], ARGV[1])
            if not epoch or not hold then return epoch or '' end
            local cost = tonumber(ARGV[3])
            local parts, hasGrown = {}, false
            for name, amount in string.gmatch(hold, '(%S+) (%d+)') do
              local more = cost - tonumber(amount)
              if more > 0 then
                hasGrown = true
                redis.call('HINCRBY', name, 'r', string.format('%.0f', more))
                amount = ARGV[3]
              end
              parts[#parts + 1] = name .. ' ' .. amount
            end
            if hasGrown then redis.call('HSET', KEYS[3], ARGV[1], table.concat(parts, ' ')) end
            redis.call('HSET', KEYS[4], ARGV[1], ARGV[3] .. ' ' .. ARGV[2])
            local time = redis.call('TIME')
            redis.call('ZADD', KEYS[2], 'XX', time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
            return epoch
            """
    )

    /// Reserves again what a call had reserved before Redis forgot or was away, and notes its last checkpoint, unless one
    /// stands that has cost as much; does nothing to a reservation that still stands.
    ///
    /// Keys: live, holds, done marker, checkpoints. Arguments: request id, the hold, the checkpoint (empty: none yet).
    /// Answer: 1, or 0 when nothing was to be reserved.
    package static let reserve = RedisScript(
        name: "reserve",
        source: """
            if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
            local known = redis.call('HGET', KEYS[4], ARGV[1]) or ''
            local cost = tonumber(string.match(ARGV[3], '^%d+') or '-1')
            if cost > tonumber(string.match(known, '^%d+') or '-1') then redis.call('HSET', KEYS[4], ARGV[1], ARGV[3]) end
            if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
            for name, amount in string.gmatch(ARGV[2], '(%S+) (%d+)') do redis.call('HINCRBY', name, 'r', amount) end
            redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
            local time = redis.call('TIME')
            redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
            return 1
            """
    )

    /// Says that calls are still under way. Keys: live. Arguments: request ids.
    package static let beat = RedisScript(
        name: "beat",
        source: """
            local time = redis.call('TIME')
            local now = time[1] * 1000 + math.floor(time[2] / 1000)
            for i = 1, #ARGV do redis.call('ZADD', KEYS[1], 'XX', now, ARGV[i]) end
            return #ARGV
            """
    )

    /// Counts a call that reserves nothing in the minutes of its user and key.
    ///
    /// Keys: revisions, the user's rate, the key's rate. Arguments: three revision fields, requests a minute of user and
    /// key, the key's tokens a minute. Answer: the revisions, then empty or `user_rate`, `key_rate` or `tokens`, and the
    /// ms until that ends.
    package static let count = RedisScript(
        name: "count",
        source: """
            local known = redis.call('HMGET', KEYS[1], ARGV[1], ARGV[2], ARGV[3])
            local time = redis.call('TIME')
            local now = time[1] * 1000 + math.floor(time[2] / 1000)
            local rates = {{KEYS[2], tonumber(ARGV[4]), 0, 'user_rate'},
              {KEYS[3], tonumber(ARGV[5]), tonumber(ARGV[6]), 'key_rate'}}
            for _, rate in ipairs(rates) do
              local values = redis.call('HMGET', rate[1], 's', 'c', 't')
              local start = tonumber(values[1] or '0')
              if now >= start + 60000 or now < start then
                rate.isNew = true
              else
                local wait = string.format('%.0f', start + 60000 - now)
                if rate[2] > 0 and tonumber(values[2] or '0') >= rate[2] then return {known, rate[4], wait} end
                if rate[3] > 0 and tonumber(values[3] or '0') >= rate[3] then return {known, 'tokens', wait} end
              end
            end
            for _, rate in ipairs(rates) do
              if rate.isNew then
                redis.call('HSET', rate[1], 's', string.format('%.0f', now), 'c', '1', 't', '0')
                redis.call('PEXPIRE', rate[1], '120000')
              else
                redis.call('HINCRBY', rate[1], 'c', '1')
              end
            end
            return {known, '', '0'}
            """
    )
}
