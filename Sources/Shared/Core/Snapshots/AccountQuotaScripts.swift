/// What of an account's quotas stands in Redis: a hash of what Postgres says (`s` the sequence of that, `d` and `w` used,
/// `de` and `we` when the periods end, `t` the total), `u` what calls have cost since, and those calls by request id:
/// `cost time`. Times are ms since 1970.
///
/// A call is counted by the script that gives its slot back, once, because it has one slot; it is taken out when Postgres
/// has it. Where that comes first, a `-` stands for the call until its slot is given back. An account without quotas has
/// no hash.
package enum AccountQuotaScripts {
    /// Refuses a call whose account has an exhausted quota; for the script `acquire`, which has `now`, `micros` and
    /// `account`, the beginning of the hash's name.
    ///
    /// `ARGV[9]` has the daily, weekly and total quota (0: none), and `1` to go on where Redis has
    /// forgotten what was used. Answers `{0, time, 'quota', kind, end in ms or 0}` or `{0, time, 'quota_forgotten'}`.
    package static let check = """

        if (ARGV[9] or '') ~= '' then
          local daily, weekly, total, lenient = string.match(ARGV[9], '^(%d+) (%d+) (%d+) (%d)')
          local spent = redis.call('HMGET', account .. 'quota', 's', 't', 'w', 'we', 'd', 'de', 'u')
          if not spent[1] and lenient ~= '1' then return {0, micros, 'quota_forgotten'} end
          local open = tonumber(spent[7] or '0')
          local function refusal(kind, quota, used, ending)
            if quota == '0' then return end
            local till = tonumber(ending or '0')
            if till > 0 and till <= now then used = '0' end
            if tonumber(used or '0') + open >= tonumber(quota) then
              return {0, micros, 'quota', kind, till > now and till or 0}
            end
          end
          local refused = refusal('total', total, spent[2]) or refusal('weekly', weekly, spent[3], spent[4])
            or refusal('daily', daily, spent[5], spent[6])
          if refused then return refused end
        end

        """

    /// Counts a call that has given its slot back; for the script `release`, after it has made sure of that.
    ///
    /// `KEYS[2]` is the hash; `id` and `cost` are the call's.
    package static let count = """

        if redis.call('HDEL', KEYS[2], id) == 0 then
          local time = redis.call('TIME')
          local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
          redis.call('HSET', KEYS[2], id, cost .. ' ' .. now)
          redis.call('HINCRBY', KEYS[2], 'u', cost)
        end

        """

    /// Writes what Postgres says, unless something newer stands there, and takes out the calls that it includes.
    ///
    /// Keys: hash, slots. Arguments: sequence, daily used and end, weekly used and end, total used, `1` to count again
    /// what is open, then request ids. Answer: by how much the open sum was wrong; 0 where it was not counted again.
    package static let write = """
        local known = redis.call('HGET', KEYS[1], 's')
        if not known or tonumber(known) <= tonumber(ARGV[1]) then
          redis.call('HSET', KEYS[1], 's', ARGV[1], 'd', ARGV[2], 'de', ARGV[3], 'w', ARGV[4], 'we', ARGV[5], 't', ARGV[6])
        end
        for i = 8, #ARGV do
          local call = redis.call('HGET', KEYS[1], ARGV[i])
          if not call then
            if redis.call('ZSCORE', KEYS[2], ARGV[i]) then redis.call('HSET', KEYS[1], ARGV[i], '-') end
          elseif call ~= '-' then
            redis.call('HDEL', KEYS[1], ARGV[i])
            redis.call('HINCRBY', KEYS[1], 'u', '-' .. string.match(call, '^%d+'))
          elseif not redis.call('ZSCORE', KEYS[2], ARGV[i]) then
            redis.call('HDEL', KEYS[1], ARGV[i])
          end
        end
        if ARGV[7] ~= '1' then return 0 end
        local fields = redis.call('HGETALL', KEYS[1])
        local sum, found = 0, 0
        for i = 1, #fields, 2 do
          local cost = string.match(fields[i + 1], '^(%d+) %d+$')
          if cost then sum = sum + tonumber(cost) end
          if fields[i] == 'u' then found = tonumber(fields[i + 1]) end
        end
        if sum ~= found then redis.call('HSET', KEYS[1], 'u', string.format('%.0f', sum)) end
        return math.abs(sum - found)
        """
}
