/// The Lua of an account's marks, which both planes run: workers for what upstreams say, the control plane for what
/// admins do. All of it runs on the account's own hash tag. Times are microseconds since 1970 on Redis' clock, but for
/// the ends of flags, which are what the upstream or a worker said.
package enum AccountMarkScripts {
    /// How long a flag is kept after its end, because the account comes back step by step: microseconds.
    package static let halfOpenSpan: Int64 = 30_000_000

    /// Forgets what is over and lets the hash end with the last of it.
    private static let tidy = """
        local function tidy(key, micros)
          local all = redis.call('HGETALL', key)
          local last, stays = 0, false
          for i = 1, #all, 2 do
            local field, value, ends = all[i], all[i + 1], 0
            if field == 'unauthorized' then
              stays = true
            elseif field == 'forbidden' then
              for number in string.gmatch(value, '%d+') do ends = math.max(ends, tonumber(number)) end
            elseif field == 'recovered' then
              ends = tonumber(value) + 3600000000
            elseif field ~= 'half' then
              ends = tonumber(string.match(value, '^%d+')) or 1
              if ends == 0 then stays = true end
            end
            if ends > 0 and ends <= micros - \(halfOpenSpan) then
              redis.call('HDEL', key, field)
            elseif ends > last then
              last = ends
            end
          end
          if stays then
            redis.call('PERSIST', key)
          elseif last > 0 then
            redis.call('PEXPIREAT', key, string.format('%.0f', math.floor(last / 1000) + 31000))
          else
            redis.call('DEL', key)
          end
        end

        """

    private static let clock = """
        local time = redis.call('TIME')
        local micros = time[1] * 1000000 + time[2]
        local function text(number) return string.format('%.0f', number) end

        """

    /// Sets flags and counts refusals.
    ///
    /// Keys: marks. Arguments: when the call began that brought the news (0: not a call's), then four for each: `flag`,
    /// the field, its end (0: none), the rest of its value; or `unauthorized`, the credentials' version, the pause's end
    /// and nothing; or `forbidden`, when it stops counting and two times nothing.
    /// Answer: the time, then the number of each that changed anything, from 1.
    ///
    /// A flag is never replaced by one that ends earlier, nor by a guess of a call that began before it was set: that one
    /// was under way together with the call that set it. Nothing that began before an admin recovered the account counts.
    /// Where a refusal is counted already, what follows it is left out. Of limited models no more than 64 are kept, those
    /// that last longest: callers name models as they like, and every call reads all marks.
    package static let mark =
        tidy + clock + """
            local function makeRoom(key)
              if redis.call('HLEN', key) < 64 then return end
              local all = redis.call('HGETALL', key)
              local count, first, ends = 0, nil, math.huge
              for i = 1, #all, 2 do
                if string.sub(all[i], 1, 6) == 'model:' then
                  count = count + 1
                  local till = tonumber(string.match(all[i + 1], '^%d+'))
                  if till < ends then first, ends = all[i], till end
                end
              end
              if count >= 64 then redis.call('HDEL', key, first) end
            end
            local began = tonumber(ARGV[1])
            local recovered = tonumber(redis.call('HGET', KEYS[1], 'recovered') or '0')
            local answer = {micros}
            if began > 0 and began < recovered then return answer end
            for i = 2, #ARGV, 4 do
              local kind, field, till, rest = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
              local changes = true
              if kind == 'unauthorized' then
                local known = redis.call('HGET', KEYS[1], kind)
                if known and tonumber(string.match(known, '^%d+')) >= tonumber(field) then break end
                redis.call('HSET', KEYS[1], kind, field .. ' ' .. till .. ' ' .. text(micros))
              elseif kind == 'forbidden' then
                local known = redis.call('HGET', KEYS[1], kind) or '0'
                local set, ends = string.match(known, '^(%d+)(.*)$')
                if began > 0 and tonumber(set) > began then break end
                local value = text(micros)
                for number in string.gmatch(ends, '%d+') do
                  if tonumber(number) > micros then value = value .. ' ' .. number end
                end
                redis.call('HSET', KEYS[1], kind, value .. ' ' .. field)
              else
                local known = redis.call('HGET', KEYS[1], field)
                if known then
                  local knownTill, set = string.match(known, '^(%d+) (%d+)')
                  knownTill = tonumber(knownTill)
                  local isGuess = string.sub(rest, 1, 1) == '1'
                  if knownTill == 0 then
                    changes = false
                  elseif knownTill > micros and tonumber(till) > 0 then
                    changes = knownTill < tonumber(till) and not (isGuess and began > 0 and tonumber(set) > began)
                  end
                end
                if not known and string.sub(field, 1, 6) == 'model:' then makeRoom(KEYS[1]) end
                if changes then redis.call('HSET', KEYS[1], field, till .. ' ' .. text(micros) .. ' ' .. rest) end
              end
              if changes then answer[#answer + 1] = (i + 2) / 4 end
            end
            tidy(KEYS[1], micros)
            return answer
            """

    /// Ends flags that a success has disproved.
    ///
    /// Keys: marks. Arguments: when the call began, fields. Answer: the time, then the fields that it ended: only such
    /// as were set before that. The account then comes back step by step, as after an end that was stated.
    package static let clear =
        tidy + clock + """
            local began = tonumber(ARGV[1])
            local answer = {micros}
            local ended = false
            for i = 2, #ARGV do
              local value = redis.call('HGET', KEYS[1], ARGV[i])
              if value then
                local first, set, rest = string.match(value, '^(%d+) (%d+) (.*)$')
                if ARGV[i] == 'unauthorized' then
                  if tonumber(rest) <= began then
                    redis.call('HDEL', KEYS[1], ARGV[i])
                    answer[#answer + 1] = ARGV[i]
                  end
                elseif tonumber(first) > micros and tonumber(set) <= began then
                  redis.call('HSET', KEYS[1], ARGV[i], text(micros) .. ' ' .. set .. ' ' .. rest)
                  ended = true
                  answer[#answer + 1] = ARGV[i]
                end
              end
            end
            if ended then
              redis.call('HSET', KEYS[1], 'half', text(micros) .. ' 1')
            end
            tidy(KEYS[1], micros)
            return answer
            """

    /// Forgets all flags and counts by an admin's word.
    ///
    /// Keys: marks, probes. Arguments: `1` when an error goes as well. Answer: the time; news of calls that began before
    /// it count no more.
    package static let forget =
        tidy + clock + """
            local error = redis.call('HGET', KEYS[1], 'error')
            redis.call('DEL', KEYS[1], KEYS[2])
            redis.call('HSET', KEYS[1], 'recovered', text(micros))
            if error and ARGV[1] ~= '1' then redis.call('HSET', KEYS[1], 'error', error) end
            tidy(KEYS[1], micros)
            return micros
            """
}
