package import Redis

extension CallScripts {
    /// Ends a call: gives back what admission took and, with a record, appends it to the partition's stream and charges
    /// its cost, once.
    ///
    /// Keys: 1 epoch, 2 holds, 3 usage stream, then the sets of slots of user and key, where they are limited. What few
    /// calls need is named after the first, whose tag all of it carries.
    /// Arguments: 1 an epoch in case there is none; 2 request id, 3 record (empty: nothing to bill), 4 cost, 5 the
    /// counters that are charged, 6 empty for a final record of a call that has noted no checkpoint, or, with blanks
    /// between them: phase; `1` unless no checkpoint was noted; the key's number; tokens that count for the key's minute
    /// (`-`: nobody counts them); and where that may exhaust the key's policy: its counter, quota, field, window and event.
    /// Answer: the epoch, a blank and the stream id, which is empty when nothing was appended.
    ///
    /// What is given back are the amounts that the hold names, whatever they are counted against now; all their names
    /// carry the partition's tag. A call that holds something is not done: who settles it takes the hold and leaves the
    /// marker, and nobody holds again what is marked. A final record after a swept one charges
    /// its whole cost: what is unsettled is the sum of the stream, from which each entry is taken out when it is booked.
    /// The first write frees memory, so that a full Redis still settles.
    package static let settle = RedisScript(
        name: "settle",
        source: """
            local call = redis.call
            local id, record, cost, counters = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
            local tag = string.sub(KEYS[1], 1, -6)
            local phase, noted, key, tokens, watch = 'final', '0', nil, '-', ''
            if ARGV[6] ~= '' then
              phase, noted, key, tokens, watch = string.match(ARGV[6], '^(%S+) (%d) (%d+) (%S+) ?(.*)$')
            end
            local epoch = call('GET', KEYS[1])
            local hold = call('HGET', KEYS[2], id)
            call('ZREM', tag .. 'live', id)
            local marker, entry, before = tag .. 'done:' .. id, '', nil
            local done = not hold and call('GET', marker)
            if done then before, entry = string.match(done, '^(%S+) (%S+)') end
            if record ~= '' and (not done or (before == 'swept' and phase == 'final')) then
              entry = call('XADD', KEYS[3], '*', 'r', record)
              call('SET', marker, phase .. ' ' .. entry .. ' ' .. cost, 'EX', '\(Leases.doneMarkerSeconds)')
              for name in string.gmatch(counters, '%S+') do call('HINCRBY', name, 'u', cost) end
              if tokens ~= '-' then
                local rate = tag .. 'rate:k' .. key
                local time = call('TIME')
                local now = time[1] * 1000 + math.floor(time[2] / 1000)
                if now >= tonumber(call('HGET', rate, 's') or '0') + 60000 then
                  call('HSET', rate, 's', string.format('%d', now), 'c', '0', 't', tokens)
                  call('PEXPIRE', rate, '120000')
                else
                  call('HINCRBY', rate, 't', tokens)
                end
              end
              if watch ~= '' then
                local name, quota, field, window, event = string.match(watch, '^(%S+) (%S+) (%S+) (%S+) (.*)$')
                local exhausted = tag .. 'exhausted:' .. key
                local values = call('HMGET', name, 'b', 'u')
                if (values[1] or 0) + (values[2] or 0) >= tonumber(quota)
                  and call('HGET', exhausted, field) ~= window then
                  call('HSET', exhausted, field, window)
                  call('XADD', KEYS[3], '*', 'e', event)
                end
              end
            end
            if hold then
              for name, amount in string.gmatch(hold, '(%S+) (%d+)') do
                if amount ~= '0' then call('HINCRBY', name, 'r', '-' .. amount) end
              end
              call('HDEL', KEYS[2], id)
            end
            if noted ~= '0' then call('HDEL', tag .. 'checkpoint', id) end
            for place = 4, #KEYS do
              local slots = KEYS[place]
              if call('ZREM', slots, id) == 1 then \(WaitLine.wake("slots")) end
            end
            if not epoch then
              local time = call('TIME')
              epoch = ARGV[1] .. '.' .. time[1] .. '.' .. time[2]
              call('SET', KEYS[1], epoch)
            end
            return epoch .. ' ' .. entry
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
    /// key, the key's tokens a minute. Answer: the revisions; then empty or `user_rate`, `key_rate` or `tokens`, and the
    /// ms until that ends; then, where the key has limits a minute, its requests and tokens of this minute and the ms until
    /// it ends, in one text.
    package static let count = RedisScript(
        name: "count",
        source: """
            local known = redis.call('HMGET', KEYS[1], ARGV[1], ARGV[2], ARGV[3])
            local time = redis.call('TIME')
            local now = time[1] * 1000 + math.floor(time[2] / 1000)
            local rates = {{KEYS[2], tonumber(ARGV[4]), 0, 'user_rate'},
              {KEYS[3], tonumber(ARGV[5]), tonumber(ARGV[6]), 'key_rate'}}
            local refusal, figures = nil, ''
            for _, rate in ipairs(rates) do
              local values = redis.call('HMGET', rate[1], 's', 'c', 't')
              local start = tonumber(values[1] or '0')
              local requests, tokens = tonumber(values[2] or '0'), tonumber(values[3] or '0')
              if now >= start + 60000 or now < start then start, requests, tokens, rate.isNew = now, 0, 0, true end
              local wait = string.format('%.0f', start + 60000 - now)
              \(refuse)
            end
            if refusal then return {known, refusal[1], refusal[2], figures} end
            for _, rate in ipairs(rates) do
              if rate.isNew then
                redis.call('HSET', rate[1], 's', string.format('%.0f', now), 'c', '1', 't', '0')
                redis.call('PEXPIRE', rate[1], '120000')
              else
                redis.call('HINCRBY', rate[1], 'c', '1')
              end
            end
            return {known, '', '0', figures}
            """
    )

    /// Sees whether a limit a minute refuses a call, and where the key stands then. For scripts, of each `rate`: its limits, a
    /// word for a refusal and, as `requests`, `tokens` and `wait`, what this minute has had and the ms until it ends.
    ///
    /// The first limit that refuses is the one that counts (`refusal`); the `figures` have the call where none does.
    static let refuse = """
        if not refusal then
          if rate[2] > 0 and requests >= rate[2] then
            refusal = {rate[4], wait}
          elseif rate[3] > 0 and tokens >= rate[3] then
            refusal = {'tokens', wait}
          end
        end
        if rate[4] == 'key_rate' and (rate[2] > 0 or rate[3] > 0) then
          figures = string.format('%.0f %.0f ', requests + (refusal and 0 or 1), tokens) .. wait
        end
        """
}
