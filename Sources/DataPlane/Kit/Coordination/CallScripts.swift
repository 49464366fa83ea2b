package import Redis

/// The scripts of a call. Each checks all its inputs before its first write, because a script does not roll back.
///
/// Times come from Redis' own clock: workers' clocks may differ. Amounts never become Lua numbers.
///
/// Where a partition has no epoch, a script makes one of what the worker proposes and the time: a Redis that forgets
/// twice never gets the same one again, not even from the same worker.
package enum CallScripts {
    package static let all =
        [admit, settle, release, renew] + AccountScripts.all + WaitLine.all

    /// Admits a call: checks revisions, takes the caller's slots and notes the reservation.
    ///
    /// Keys: epoch, revisions, live, holds, the user's slots, the key's slots.
    /// Arguments: an epoch in case there is none, three pairs of revision field and number, the user's and the key's
    /// limit (0: none), lease in ms, what the reservation holds, `1` to accept missing revisions, request id.
    /// Answer: `{code, epoch}` with code `ok`, `stale` (a newer revision is known), `forgotten` (a revision is missing),
    /// `user_busy` or `key_busy`.
    ///
    /// The first write is one that a full Redis refuses, so that it turns new calls away while old ones still settle.
    package static let admit = RedisScript(
        name: "admit",
        source: """
            local epoch = redis.call('GET', KEYS[1])
            local known = redis.call('HMGET', KEYS[2], ARGV[2], ARGV[4], ARGV[6])
            for i = 1, 3 do
              if known[i] then
                if tonumber(known[i]) > tonumber(ARGV[1 + 2 * i]) then return {'stale', epoch or ''} end
              elseif ARGV[12] ~= '1' then
                return {'forgotten', epoch or ''}
              end
            end
            local id = ARGV[13]
            local time = redis.call('TIME')
            local now = time[1] * 1000 + math.floor(time[2] / 1000)
            local lease = now + tonumber(ARGV[10])
            local userLimit, keyLimit = tonumber(ARGV[8]), tonumber(ARGV[9])
            if userLimit > 0 and redis.call('ZCOUNT', KEYS[5], now, '+inf') >= userLimit then
              return {'user_busy', epoch or ''}
            end
            if keyLimit > 0 and redis.call('ZCOUNT', KEYS[6], now, '+inf') >= keyLimit then
              return {'key_busy', epoch or ''}
            end
            redis.call('HSET', KEYS[4], id, ARGV[11])
            redis.call('ZADD', KEYS[3], now, id)
            if not epoch then
              epoch = ARGV[1] .. '.' .. time[1] .. '.' .. time[2]
              redis.call('SET', KEYS[1], epoch)
            end
            if userLimit > 0 then
              redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now)
              redis.call('ZADD', KEYS[5], lease, id)
            end
            if keyLimit > 0 then
              redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', now)
              redis.call('ZADD', KEYS[6], lease, id)
            end
            return {'ok', epoch}
            """
    )

    /// Ends a call: gives back what admission took and, with a record, appends it to the partition's stream, once.
    ///
    /// Keys: epoch, live, holds, the user's slots, the key's slots, usage stream, done marker.
    /// Arguments: request id, an epoch in case there is none, record (empty: nothing to bill), phase, life of the
    /// marker in seconds. Answer: `{epoch, stream id}`, the id empty when nothing was appended.
    ///
    /// The first write frees memory, so that a full Redis still settles.
    package static let settle = RedisScript(
        name: "settle",
        source: """
            local epoch = redis.call('GET', KEYS[1])
            local done = redis.call('GET', KEYS[7])
            redis.call('ZREM', KEYS[2], ARGV[1])
            local id = ''
            if done then
              id = string.sub(done, string.find(done, ' ', 1, true) + 1)
            end
            if ARGV[3] ~= '' and (not done or (string.sub(done, 1, 5) == 'swept' and ARGV[4] == 'final')) then
              id = redis.call('XADD', KEYS[6], '*', 'r', ARGV[3])
              redis.call('SET', KEYS[7], ARGV[4] .. ' ' .. id, 'EX', ARGV[5])
            end
            redis.call('HDEL', KEYS[3], ARGV[1])
            redis.call('ZREM', KEYS[4], ARGV[1])
            redis.call('ZREM', KEYS[5], ARGV[1])
            if not epoch then
              local time = redis.call('TIME')
              epoch = ARGV[2] .. '.' .. time[1] .. '.' .. time[2]
              redis.call('SET', KEYS[1], epoch)
            end
            return {epoch, id}
            """
    )

    /// Gives a slot back. Keys: the account's slots. Arguments: request id. Answer: calls still in flight.
    package static let release = RedisScript(
        name: "release",
        source: WaitLine.wake + """
            if redis.call('ZREM', KEYS[1], ARGV[1]) == 1 then wake(KEYS[1]) end
            return redis.call('ZCARD', KEYS[1])
            """
    )

    /// Renews leases. Keys: a set of slots. Arguments: lease in ms, request ids.
    package static let renew = RedisScript(
        name: "renew",
        source: """
            local time = redis.call('TIME')
            local lease = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
            for i = 2, #ARGV do redis.call('ZADD', KEYS[1], lease, ARGV[i]) end
            return #ARGV - 1
            """
    )
}
