package import Redis

/// The scripts of a call. Each checks all its inputs before its first write, because a script does not roll back.
///
/// Times come from Redis' own clock: workers' clocks may differ. Amounts never become Lua numbers.
///
/// Where a partition has no epoch, a script makes one of what the worker proposes and the time: a Redis that forgets
/// twice never gets the same one again, not even from the same worker.
package enum CallScripts {
    package static let all = [admit, settle, checkpoint, reserve, beat, acquire, release, renew]

    /// Takes a slot of an account. Keys: its slots. Arguments: limit (0: none), lease in ms, request id.
    /// Answer: calls in flight with this one, or minus the calls in flight when it is full.
    package static let acquire = RedisScript(
        name: "acquire",
        source: """
            local time = redis.call('TIME')
            local now = time[1] * 1000 + math.floor(time[2] / 1000)
            redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
            local count = redis.call('ZCARD', KEYS[1])
            local limit = tonumber(ARGV[1])
            if limit > 0 and count >= limit then return -count end
            redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[3])
            return count + 1
            """
    )

    /// Gives a slot back. Keys: the account's slots. Arguments: request id. Answer: calls still in flight.
    package static let release = RedisScript(
        name: "release",
        source: """
            redis.call('ZREM', KEYS[1], ARGV[1])
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
