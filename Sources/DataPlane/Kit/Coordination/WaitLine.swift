package import Redis

/// Lines of calls that wait for a slot: of a user, a key or an account, first come, first served across all workers.
///
/// A line stands beside its set of slots: `…:line` has the waiting calls by the microsecond in which they came, and
/// `…:alive` the ends of their tickets' leases, which their workers renew by asking again: those of a killed worker end
/// by themselves. Only the scripts that hand out slots decide who may go. A call that leaves gives its ticket back.
package enum WaitLine {
    /// Where the name of a set is published when a slot of it has become free and somebody waits.
    package static let channel = "tg:wake"
    static let leaseMilliseconds = 3000

    package static let all = [leave]

    /// Functions for scripts that hand out slots.
    ///
    /// `stand(slots, id, free, bound, since, now, micros)` → nil when the call may take one of `free` slots: fewer wait
    /// that came before it. Else it has a ticket now, or its ticket is renewed, and the answer is when it came; or
    /// `full` without a ticket, when `bound` (how many may wait) is empty, or `crowded`, when so many do. `since` is an
    /// earlier answer, or empty. Its first write is one that a full Redis refuses.
    ///
    /// `quit(slots, id)` takes the ticket back.
    package static let functions = """

        local function stand(slots, id, free, bound, since, now, micros)
          local line, alive = slots .. ':line', slots .. ':alive'
          local length = redis.call('ZCARD', line)
          if length == 0 and free > 0 then return nil end
          local mine = tonumber(since) or micros
          local place = string.format('%.0f', mine)
          local ahead, dead = 0, {}
          if length > 0 then
            ahead = redis.call('ZCOUNT', line, '-inf', '(' .. place)
            dead = redis.call('ZRANGEBYSCORE', alive, '-inf', now)
          end
          for _, other in ipairs(dead) do
            local came = redis.call('ZSCORE', line, other)
            if came then
              length = length - 1
              if tonumber(came) < mine then ahead = ahead - 1 end
            end
          end
          if ahead < free then return nil end
          if bound == '' then return 'full' end
          if not redis.call('ZSCORE', line, id) then
            if length >= tonumber(bound) then return 'crowded' end
            redis.call('ZADD', line, place, id)
          end
          redis.call('ZADD', alive, now + \(leaseMilliseconds), id)
          for _, other in ipairs(dead) do
            if other ~= id then redis.call('ZREM', line, other) end
          end
          redis.call('ZREMRANGEBYSCORE', alive, '-inf', now)
          redis.call('PEXPIRE', line, 60000)
          redis.call('PEXPIRE', alive, 60000)
          return place
        end
        local function quit(slots, id)
          redis.call('ZREM', slots .. ':alive', id)
          return redis.call('ZREM', slots .. ':line', id)
        end

        """

    /// Lua that tells those who wait that a slot of this set has become free. Not a function: one is made anew whenever
    /// the script runs.
    package static func wake(_ slots: String) -> String {
        "if redis.call('EXISTS', \(slots) .. ':line') == 1 then redis.call('PUBLISH', '\(channel)', \(slots)) end"
    }

    /// Gives a ticket back. Keys: a set of slots. Arguments: request id.
    package static let leave = RedisScript(
        name: "leave",
        source: functions + """
            if quit(KEYS[1], ARGV[1]) == 1 then \(wake("KEYS[1]")) end
            return 1
            """
    )
}

/// What a script says of a place in a line.
package enum WaitPlace: Equatable, Sendable {
    /// In the line since then: microseconds on Redis' clock.
    case since(Int64)
    /// Not in it: it was not asked for, or so many wait already.
    case none(isCrowded: Bool)

    package init(_ text: String) {
        self = Int64(text).map { .since($0) } ?? .none(isCrowded: text == "crowded")
    }
}

/// The ticket that a call has, or would take, in a line.
package struct WaitTicket: Hashable, Sendable {
    /// How many may wait in the line.
    package var bound: Int
    /// Since when the call waits; nil while it has no place.
    package var since: Int64?

    package init(bound: Int) { self.bound = bound }

    /// How scripts are given it; of none both are empty.
    package static func texts(_ ticket: WaitTicket?) -> (bound: String, since: String) {
        guard let ticket else { return ("", "") }
        return (String(ticket.bound), ticket.since.map { String($0) } ?? "")
    }
}
