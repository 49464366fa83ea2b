package import Redis
import Snapshots

/// The scripts of a call. Each checks all its inputs before its first write, because a script does not roll back.
///
/// Times come from Redis' own clock: workers' clocks may differ. Amounts never become Lua numbers.
///
/// Where a partition has no epoch, a script makes one of what the worker proposes and the time: a Redis that forgets
/// twice never gets the same one again, not even from the same worker.
package enum CallScripts {
    package static let all =
        [admit, settle, checkpoint, reserve, beat, count, release, renew] + AccountScripts.all + WaitLine.all

    /// Gives slots back. Keys: a set of slots and, of an account with quotas, what was spent. Arguments: request ids; with
    /// the second key one, and how much that call cost the account. Answer: calls still in flight.
    package static let release = RedisScript(
        name: "release",
        source: """
            local given = redis.call('ZREM', KEYS[1], unpack(ARGV, 1, KEYS[2] and 1))
            if given > 0 then
              \(WaitLine.wake("KEYS[1]"))
              if KEYS[2] then
                local id, cost = ARGV[1], ARGV[2]
            """ + AccountQuotaScripts.count + """
                  end
                end
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
