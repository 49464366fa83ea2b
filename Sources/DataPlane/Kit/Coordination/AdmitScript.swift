package import Redis

extension CallScripts {
    /// Admits a call, or says why not, in the order of the contract: revisions, money, requests and tokens a minute,
    /// calls at once. What it reserves and all that it checks happen in one step, so that no two calls can spend the
    /// same last dollar.
    ///
    /// Keys: 1 epoch, 2 revisions, 3 live, 4 holds, 5 the user's slots, 6 the key's slots, 7 the user's wallet, 8 the
    /// user's rate, 9 the key's rate, 10 the key's exhaustion, 11 usage stream; then each counter, one with windows
    /// twice: for the window n and for n + 1.
    ///
    /// Arguments: 1 an epoch in case there is none; 2–7 three pairs of revision field and number; 8, 9 how many calls at
    /// once the user and the key may have (0: no limit); 10 lease in ms; 11, 12 requests a minute of user and key, 13
    /// the key's tokens a minute; 14 the policy's field in the exhaustion, empty without policy; 15 which exhaustion
    /// lasts: `0` none (only what is used counts), `1` until its window ends, `2` until a reset; 16 the event that tells
    /// the control plane of an exhaustion, without its window; 17 how many counters; for each of them kind (`quota`,
    /// `strict`, `graceful`, `day`, `week`, `month`, `wallet`), limit, and the beginning of window n, of n + 1 and of
    /// n + 2 in ms (0 without windows); then `1` to accept what Redis has forgotten, request id, what the call reserves in
    /// nano-USD, and how many may wait in its line and since when it does (`WaitLine`).
    ///
    /// Answer: `{code, epoch, …}`:
    /// - `ok`, for each counter `0` or `1` (window n or n + 1), and where the key has limits a minute the requests and
    ///   tokens of this minute and the ms until it ends, in one text;
    /// - `stale` (a newer revision is known), `forgotten` (revisions or counters are missing);
    /// - `window` and the time in ms: the call is in none of the windows;
    /// - `quota`; `policy` and the window's end in ms, 0 if a reset is needed; `day`, `week`, `month` and the window's end;
    ///   `wallet`;
    /// - `in_use`: only what other calls have reserved stands in the way;
    /// - `user_rate`, `key_rate`, `tokens` and the ms until that ends;
    /// - `key_busy`, `user_busy` and the call's place in the line of key or user: it stands in one of them.
    ///
    /// Amounts are below 2⁵³, so that Lua compares them exactly, and are written with `%.0f`. The first write is one that
    /// a full Redis refuses, so that it turns new calls away while old ones still settle.
    package static let admit = RedisScript(
        name: "admit",
        source: WaitLine.functions + """
            local epoch = redis.call('GET', KEYS[1])
            local isLenient = ARGV[#ARGV - 4] == '1'
            local known = redis.call('HMGET', KEYS[2], ARGV[2], ARGV[4], ARGV[6])
            for i = 1, 3 do
              if known[i] then
                if tonumber(known[i]) > tonumber(ARGV[1 + 2 * i]) then return {'stale', epoch or ''} end
              elseif not isLenient then
                return {'forgotten', epoch or ''}
              end
            end
            local id = ARGV[#ARGV - 3]
            local amount = tonumber(ARGV[#ARGV - 2])
            local time = redis.call('TIME')
            local now = time[1] * 1000 + math.floor(time[2] / 1000)
            local wallet = redis.call('HMGET', KEYS[7], 'b', 'u', 'r')
            if not wallet[1] and not isLenient then return {'forgotten', epoch or ''} end

            -- Money.
            local count = tonumber(ARGV[17])
            local place, at = 12, 18
            local names, amounts, choices, expiries = {}, {}, {}, {}
            local inUse = false
            local function exhaust(window)
              if redis.call('HGET', KEYS[10], ARGV[14]) == window then return end
              redis.call('HSET', KEYS[10], ARGV[14], window)
              redis.call('XADD', KEYS[11], '*', 'e', ARGV[16] .. window .. '}')
            end
            for i = 1, count do
              local kind, limit = ARGV[at], tonumber(ARGV[at + 1])
              local name, choice, start, finish = KEYS[place], '0', ARGV[at + 2], ARGV[at + 3]
              place = place + 1
              if finish ~= '0' then
                if now < tonumber(start) or now >= tonumber(ARGV[at + 4]) then
                  return {'window', epoch or '', string.format('%.0f', now)}
                end
                if now >= tonumber(finish) then
                  name, choice, start, finish = KEYS[place], '1', finish, ARGV[at + 4]
                end
                place = place + 1
              end
              at = at + 5
              local values = kind == 'wallet' and wallet or redis.call('HMGET', name, 'b', 'u', 'r')
              local base, unsettled = tonumber(values[1] or '0'), tonumber(values[2] or '0')
              local reserved = tonumber(values[3] or '0')
              -- What is left when other calls' reservations are not counted.
              local rest = limit - base - unsettled
              if kind == 'wallet' then
                rest = wallet[1] and base - unsettled or 9007199254740991
                if rest <= 0 then return {'wallet', epoch or ''} end
              elseif kind == 'strict' or kind == 'graceful' then
                local window = redis.call('HGET', KEYS[10], ARGV[14])
                if window and (ARGV[15] == '2' or (ARGV[15] == '1' and window == start)) then rest = 0 end
                if rest <= 0 or (kind == 'strict' and amount > rest) then
                  exhaust(ARGV[15] == '2' and window or start)
                  return {'policy', epoch or '', ARGV[15] == '2' and '0' or finish}
                end
              elseif rest <= 0 then
                return {kind, epoch or '', finish}
              end
              local part = math.min(amount, rest - reserved)
              if rest - reserved <= 0 or (kind == 'strict' and part < amount) then inUse = true end
              -- After Redis has forgotten, workers first say what is reserved.
              if kind == 'strict' and (not epoch
                or now - tonumber(string.match(epoch, '%.(%d+)%.%d+$') or '0') * 1000 < 3000) then inUse = true end
              names[i], amounts[i], choices[i] = name, string.format('%.0f', math.max(part, 0)), choice
              if finish ~= '0' and not values[1] and not values[2] and not values[3] then expiries[name] = finish end
            end
            local function makeEpoch()
              if epoch then return end
              epoch = ARGV[1] .. '.' .. time[1] .. '.' .. time[2]
              redis.call('SET', KEYS[1], epoch)
            end
            if inUse then
              makeEpoch()
              return {'in_use', epoch}
            end

            -- Requests and tokens a minute. A minute begins with its first request.
            local rates = {{KEYS[8], tonumber(ARGV[11]), 0, 'user_rate'},
              {KEYS[9], tonumber(ARGV[12]), tonumber(ARGV[13]), 'key_rate'}}
            local figures = ''
            for _, rate in ipairs(rates) do
              if rate[2] > 0 or rate[3] > 0 then
                local values = redis.call('HMGET', rate[1], 's', 'c', 't')
                local start = tonumber(values[1] or '0')
                local requests, tokens = tonumber(values[2] or '0'), tonumber(values[3] or '0')
                if now >= start + 60000 or now < start then start, requests, tokens, rate.isNew = now, 0, 0, true end
                local wait = string.format('%.0f', start + 60000 - now)
                if rate[2] > 0 and requests >= rate[2] then return {rate[4], epoch or '', wait} end
                if rate[3] > 0 and tokens >= rate[3] then return {'tokens', epoch or '', wait} end
                if rate[4] == 'key_rate' then
                  figures = string.format('%.0f %.0f ', requests + 1, tokens) .. wait
                end
              end
            end

            -- Calls at once. What is refused from here on has taken neither money nor a place in the minute. Who waits for
            -- its key stands in that line alone: it must not hold up the user's other keys.
            local userLimit, keyLimit = tonumber(ARGV[8]), tonumber(ARGV[9])
            local bound, since = ARGV[#ARGV - 1], ARGV[#ARGV]
            local lines = {{KEYS[6], keyLimit, 'key_busy', KEYS[5]}, {KEYS[5], userLimit, 'user_busy', KEYS[6]}}
            for _, line in ipairs(lines) do
              if line[2] > 0 then
                local free = line[2] - redis.call('ZCOUNT', line[1], now, '+inf')
                local place = stand(line[1], id, free, bound, since, now, time[1] * 1000000 + time[2])
                if place then
                  if since ~= '' then quit(line[4], id) end
                  return {line[3], epoch or '', place}
                end
              end
            end

            -- All is well: from here on only writes.
            local hold = {}
            if redis.call('ZADD', KEYS[3], now, id) == 0 then
              -- Sent twice: what it reserved the first time is given back.
              for name, part in string.gmatch(redis.call('HGET', KEYS[4], id) or '', '(%S+) (%d+)') do
                redis.call('HINCRBY', name, 'r', '-' .. part)
              end
            end
            for i = 1, count do
              redis.call('HINCRBY', names[i], 'r', amounts[i])
              hold[#hold + 1] = names[i]
              hold[#hold + 1] = amounts[i]
            end
            for name, finish in pairs(expiries) do
              redis.call('PEXPIREAT', name, string.format('%.0f', tonumber(finish) + 172800000))
            end
            redis.call('HSET', KEYS[4], id, table.concat(hold, ' '))
            makeEpoch()
            for _, rate in ipairs(rates) do
              if rate.isNew then
                redis.call('HSET', rate[1], 's', string.format('%.0f', now), 'c', '1', 't', '0')
                redis.call('PEXPIRE', rate[1], '120000')
              elseif rate[2] > 0 or rate[3] > 0 then
                redis.call('HINCRBY', rate[1], 'c', '1')
              end
            end
            if since ~= '' then
              quit(KEYS[5], id)
              quit(KEYS[6], id)
            end
            local lease = now + tonumber(ARGV[10])
            if userLimit > 0 then
              redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', now)
              redis.call('ZADD', KEYS[5], lease, id)
            end
            if keyLimit > 0 then
              redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', now)
              redis.call('ZADD', KEYS[6], lease, id)
            end
            return {'ok', epoch, table.concat(choices), figures}
            """
    )
}
