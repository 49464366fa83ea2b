import Domain
package import Redis
import Snapshots

/// The scripts on what stands of one account. Like those of a call: inputs first, then writes, and Redis' own clock.
package enum AccountScripts {
    package static let all = [acquire, endProbe, mark, clear, enterGuard, leaveGuard]

    /// Takes a slot of an account, if its flags, its rate and its other calls let it.
    ///
    /// Keys: slots; the account's marks, its calls of the last minute, its probes and what was spent are named after
    /// them. Arguments: calls at once (0: no limit), lease in ms, request id, the field in which the asked model would be
    /// limited; and where there is more to say calls a minute (0: no limit), `guard` to try out an account all of whose
    /// flags are guesses, `credits` where what is beyond the plan's limits may be paid with AI credits; for a call that
    /// waits (`WaitLine`) how many may, and since when it does; and its quotas (`AccountQuotaScripts`).
    ///
    /// Answer: `{calls in flight with this one, time}`, and where the account has marks, `marked`, `half_open` (the call
    /// is a probe) or `guard`, the marks, and `credits` for a call that is paid with them. Or a refusal:
    /// `{-calls in flight, time}` when it is full or others wait for its slots, for a call that waits with `'line'` and
    /// its place in the line;
    /// `{0, time, 'rate', end in ms}`, `{0, time, 'half_open'}`, `{0, time, 'flagged', marks}`, or what its quotas say.
    ///
    /// An account without flags costs one look at a hash that is not there. In the 30 s after a flag's end 1, 2, 4 …
    /// calls are tried out at a time, twice as many for each that succeeds. An account all of whose flags are guesses may
    /// be tried out from 5 s after they were set, by whom `enterGuard` has let.
    package static let acquire = RedisScript(
        name: "acquire",
        source: """
            local call = redis.call
            local account = string.sub(KEYS[1], 1, -6)
            local flags, line = account .. 'flags', KEYS[1] .. ':line'
            local limit, id = tonumber(ARGV[1]), ARGV[3]
            local hasMore = ARGV[5] ~= nil
            local time = call('TIME')
            local micros = time[1] * 1000000 + time[2]
            local now = (micros - micros % 1000) / 1000
            local marks = call('HGETALL', flags)
            local state, half, paid = 'marked', nil, ''
            if marks[1] then
              local pays = ARGV[6] == 'credits'
              if pays then
                local broke = call('HGET', flags, 'model:\(AccountEffect.credits)')
                pays = not broke or tonumber(string.match(broke, '^%d+')) <= micros
              end
              local known = {}
              local live, set, guessed, ended = 0, 0, true, 0
              for i = 1, #marks, 2 do
                local field, value = marks[i], marks[i + 1]
                known[field] = value
                local isModel = field == ARGV[4]
                if isModel or field == 'rate_limited' or field == 'overloaded' or field == 'temp_unschedulable'
                    or field == 'error' then
                  local till, at, guess, cause = string.match(value, '^(%d+) (%d+) (%d) (%S+)')
                  till = tonumber(till)
                  local isPayable = pays and (isModel and cause ~= '\(VerdictReason.modelNotFound.rawValue)'
                    or field == 'rate_limited' and guess ~= '1')
                  if till > micros and isPayable then
                    paid = 'credits'
                  elseif till == 0 or till > micros then
                    if till == 0 or guess ~= '1' then guessed = false end
                    if till >= live then live, set = till, tonumber(at) end
                    if live == 0 then live = 1 end
                  elseif not isModel and till > ended then
                    ended = till
                  end
                end
              end
              if live > 0 then
                if not guessed or ARGV[6] ~= 'guard' or micros < set + 5000000 then
                  return {0, micros, 'flagged', marks}
                end
                state = 'guard'
              end
              if live == 0 and ended > micros - \(AccountMarkScripts.halfOpenSpan) then
                local since, wins = string.match(known['half'] or '0 0', '^(%d+) (%d+)')
                wins = tonumber(since) == ended and tonumber(wins) or 0
                if wins < 10 then half = {ended, wins} end
              end
            end
            """ + AccountQuotaScripts.check + """
                call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
                local count = call('ZCARD', KEYS[1])
                local bound = ARGV[7] or ''
                if limit > 0 and (count >= limit or call('EXISTS', line) == 1) then
                """ + WaitLine.functions + """
                      local place = stand(KEYS[1], id, limit - count, bound, ARGV[8], now, micros)
                      if place == 'full' then return {-count, micros} end
                      if place then return {-count, micros, 'line', place} end
                    end
                    local recent, rate = nil, hasMore and tonumber(ARGV[5]) or 0
                    if rate > 0 then
                      recent = account .. 'rpm'
                      call('ZREMRANGEBYSCORE', recent, '-inf', now - 60000)
                      if call('ZCARD', recent) >= rate then
                        local first = call('ZRANGE', recent, 0, 0, 'WITHSCORES')
                        return {0, micros, 'rate', tonumber(first[2]) + 60000}
                      end
                    end
                    local lease = string.format('%d', now + ARGV[2])
                    if half then
                      local probes = account .. 'probes'
                      call('ZREMRANGEBYSCORE', probes, '-inf', now)
                      if call('ZCARD', probes) >= 2 ^ half[2] then return {0, micros, 'half_open'} end
                      state = 'half_open'
                      call('ZADD', probes, lease, id)
                      call('PEXPIRE', probes, 60000)
                      call('HSET', flags, 'half', string.format('%d', half[1]) .. ' ' .. half[2])
                    end
                    call('ZADD', KEYS[1], lease, id)
                    if bound ~= '' then
                      call('ZREM', KEYS[1] .. ':alive', id)
                      call('ZREM', line, id)
                    end
                    if recent then
                      call('ZADD', recent, now, id .. string.format(' %d', micros))
                      call('PEXPIRE', recent, 61000)
                    end
                    if not marks[1] then return {count + 1, micros} end
                    return {count + 1, micros, state, marks, paid}
                    """
    )

    /// Ends a probe of an account that comes back from a pause.
    ///
    /// Keys: marks, probes. Arguments: request id, `1` when the upstream took the call. Answer: 1 if it was one.
    package static let endProbe = RedisScript(
        name: "end_probe",
        source: """
            local had = redis.call('ZREM', KEYS[2], ARGV[1])
            local half = redis.call('HGET', KEYS[1], 'half')
            if had == 1 and ARGV[2] == '1' and half then
              local since, wins = string.match(half, '^(%d+) (%d+)')
              redis.call('HSET', KEYS[1], 'half', since .. ' ' .. (tonumber(wins) + 1))
            end
            return had
            """
    )

    /// Lets one call at a time try out a group all of whose accounts are paused by guesses.
    ///
    /// Keys: the group's guard. Arguments: request id, lease in ms. Answer: 0 when it may, else when to ask again: ms
    /// since 1970. After each probe the next one waits twice as long as the one before, from 5 s on.
    package static let enterGuard = RedisScript(
        name: "enter_guard",
        source: """
            local time = redis.call('TIME')
            local now = time[1] * 1000 + math.floor(time[2] / 1000)
            local interval = 5000
            local known = redis.call('GET', KEYS[1])
            if known then
              local at, last, lease = string.match(known, '^(%d+) (%d+) (%d+)')
              at = math.max(tonumber(at), tonumber(lease))
              if now < at then return at end
              interval = tonumber(last)
            end
            interval = math.min(2 * interval, 600000)
            local lease = now + tonumber(ARGV[2])
            local function text(number) return string.format('%.0f', number) end
            local value = text(now + interval) .. ' ' .. text(interval) .. ' ' .. text(lease) .. ' ' .. ARGV[1]
            redis.call('SET', KEYS[1], value, 'PX', text(math.max(2 * interval, lease - now)))
            return 0
            """
    )

    /// Ends a probe of a paused group: after a success there is nothing to guard any more.
    ///
    /// Keys: the group's guard. Arguments: request id, `1` when an account has answered.
    package static let leaveGuard = RedisScript(
        name: "leave_guard",
        source: """
            local known = redis.call('GET', KEYS[1])
            if not known then return 0 end
            local at, interval, lease, id = string.match(known, '^(%d+) (%d+) (%d+) (.*)$')
            if id ~= ARGV[1] then return 0 end
            if ARGV[2] == '1' then return redis.call('DEL', KEYS[1]) end
            redis.call('SET', KEYS[1], at .. ' ' .. interval .. ' 0 ' .. id, 'PX', 2 * tonumber(interval))
            return 1
            """
    )

    package static let mark = RedisScript(name: "mark", source: AccountMarkScripts.mark)
    package static let clear = RedisScript(name: "clear", source: AccountMarkScripts.clear)
}
