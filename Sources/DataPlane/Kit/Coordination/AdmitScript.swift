package import Redis

extension CallScripts {
    /// Reads Redis' clock where nothing has yet.
    private static let clock =
        "if not now then time = call('TIME') now = time[1] * 1000 + math.floor(time[2] / 1000) end"

    /// Admits a call, or says why not, in the order of the contract: revisions, money, requests and tokens a minute,
    /// calls at once. What it reserves and all that it checks happen in one step, so that no two calls can spend the
    /// same last dollar.
    ///
    /// Keys: 1 epoch, 2 revisions, 3 holds, 4 the user's wallet; then each other counter, one with windows twice: for the
    /// window n and for n + 1. What few calls need (slots, rates, the key's exhaustion, the usage stream) is named after
    /// the first, whose tag all of it carries.
    ///
    /// Arguments: 1 an epoch in case there is none; 2–4 the revisions' fields, key, user, group; 5 the three revisions,
    /// with blanks between them; where there is more to check than the wallet 6–8; and the last three, which differ from
    /// call to call: request id, what the call reserves in nano-USD, and empty or, with blanks between them, a digit
    /// (the sum of 1 to accept what Redis has forgotten and 2 where it may not have been told of every reservation yet),
    /// how many may wait in its line and since when it does (`WaitLine`; `-` for none).
    ///
    /// - 6: for each counter kind (`quota`, `strict`, `graceful`, `day`, `week`, `month`; at last perhaps `wallet`), limit,
    ///   and the beginning of window n, of n + 1 and of n + 2 in ms (0 without windows);
    /// - 7: empty, or how many calls at once user and key may have (0: no limit), lease in ms, requests a minute of user
    ///   and key, the key's tokens a minute;
    /// - 8: empty, or the policy's field in the exhaustion; which exhaustion lasts: `0` none (only what is used counts),
    ///   `1` until its window ends, `2` until a reset; and the event that tells the control plane of an exhaustion,
    ///   without its window.
    ///
    /// Answer: the epoch alone for a call that is admitted, in the windows n, and has no limits a minute to be told of.
    /// Else `{code, epoch, …}`:
    /// - `ok`, for each counter `0` or `1` (window n or n + 1), and where the key has limits a minute the requests and
    ///   tokens of this minute and the ms until it ends, in one text;
    /// - `stale` (a newer revision is known), `forgotten` (revisions or counters are missing);
    /// - `window` and the time in ms: the call is in none of the windows;
    /// - `quota`; `policy` and the window's end in ms, 0 if a reset is needed; `day`, `week`, `month` and the window's end;
    ///   `wallet`;
    /// - `in_use`: only what other calls have reserved stands in the way;
    /// - `unsure`: only that Redis may not know yet what they have;
    /// - `user_rate`, `key_rate`, `tokens`, the ms until that ends and the key's minute as above, without this call;
    /// - `key_busy`, `user_busy` and the call's place in the line of key or user: it stands in one of them.
    ///
    /// Amounts are below 2⁵³, so that Lua compares them exactly, and are written as integers. The first write is one that
    /// a full Redis refuses, so that it turns new calls away while old ones still settle.
    ///
    /// Each argument costs Redis as much as a short look-up, and each command of a script a few times that: what is not
    /// there is not sent, and what only some calls need is not read. The reservation is not listed as live: who looks
    /// for dead workers lists those that last (`CounterScripts.adopt`).
    package static let admit = RedisScript(
        name: "admit",
        source: """
            local call = redis.call
            local last = #ARGV
            local id, amount, state = ARGV[last - 2], ARGV[last - 1], ARGV[last]
            local digit = string.sub(state, 1, 1)
            local isLenient, isUnsure = digit == '1' or digit == '3', digit == '2' or digit == '3'
            local epoch = call('GET', KEYS[1])
            local known = call('HMGET', KEYS[2], ARGV[2], ARGV[3], ARGV[4])
            if not (known[1] and known[2] and known[3])
                or known[1] .. ' ' .. known[2] .. ' ' .. known[3] ~= ARGV[5] then
              local place = 0
              for revision in string.gmatch(ARGV[5], '%d+') do
                place = place + 1
                if known[place] then
                  if tonumber(known[place]) > tonumber(revision) then return {'stale', epoch or ''} end
                elseif not isLenient then
                  return {'forgotten', epoch or ''}
                end
              end
            end
            local wallet = call('HMGET', KEYS[4], 'b', 'u', 'r')
            if not wallet[1] and not isLenient then return {'forgotten', epoch or ''} end

            -- Money.
            local hasMore = last > 8
            local counters = hasMore and ARGV[6] or 'wallet'
            local wanted = tonumber(amount)
            local names, amounts, choices, count = {}, {}, '', 0
            local obstacle, time, now, ending = nil, nil, nil, nil
            if hasMore then
              local place = 5
              for kind, limit, start, finish, after in string.gmatch(counters, '(%l+) (%d+) (%-?%d+) (%-?%d+) (%-?%d+)') do
                local name, choice = KEYS[place], '0'
                place = place + 1
                if finish ~= '0' then
                  \(clock)
                  if now < tonumber(start) or now >= tonumber(after) then
                    return {'window', epoch or '', string.format('%d', now)}
                  end
                  if now >= tonumber(finish) then name, choice, start, finish = KEYS[place], '1', finish, after end
                  place = place + 1
                end
                local values = call('HMGET', name, 'b', 'u', 'r')
                -- What is left when other calls' reservations are not counted.
                local rest = limit - (values[1] or 0) - (values[2] or 0)
                local reserved = tonumber(values[3] or '0')
                if kind == 'strict' or kind == 'graceful' then
                  local field, lasting, event = string.match(ARGV[8], '^(%S+) (%d) (.*)$')
                  local tag = string.sub(KEYS[1], 1, -6)
                  local exhausted = tag .. 'exhausted:' .. string.sub(ARGV[2], 2)
                  local window = call('HGET', exhausted, field)
                  if window and (lasting == '2' or (lasting == '1' and window == start)) then rest = 0 end
                  if rest <= 0 or (kind == 'strict' and wanted > rest) then
                    local since = lasting == '2' and window or start
                    if window ~= since then
                      call('HSET', exhausted, field, since)
                      local misfit = rest > 0 and amount or '0'
                      call('XADD', tag .. 'usage', '*', 'e', event .. since .. ',"wanted":' .. misfit .. '}')
                    end
                    return {'policy', epoch or '', lasting == '2' and '0' or finish}
                  end
                elseif rest <= 0 then
                  return {kind, epoch or '', finish}
                end
                local part = math.min(wanted, rest - reserved)
                if rest - reserved <= 0 or (kind == 'strict' and part < wanted) then obstacle = 'in_use' end
                -- After Redis has forgotten, workers first say what is reserved. A clock that was set back is no reason.
                if kind == 'strict' and (isUnsure or not epoch
                  or math.abs(now - tonumber(string.match(epoch, '%.(%d+)%.%d+$') or '0') * 1000)
                    < \(AdmissionStore.secondsToReserveAgain * 1000)) then
                  obstacle = obstacle or 'unsure'
                end
                count = count + 1
                names[count], amounts[count] = name, string.format('%d', math.max(part, 0))
                choices = choices .. choice
                if finish ~= '0' and not values[1] and not values[2] and not values[3] then
                  ending = ending or {}
                  ending[name] = string.format('%d', finish + 172800000)
                end
              end
            end
            if string.sub(counters, -6) == 'wallet' then
              local part = amount
              if wallet[1] then
                local rest = wallet[1] - (wallet[2] or 0)
                if rest <= 0 then return {'wallet', epoch or ''} end
                rest = rest - (wallet[3] or 0)
                if rest <= 0 then obstacle = 'in_use' end
                if rest < wanted then part = string.format('%d', math.max(rest, 0)) end
              end
              count = count + 1
              names[count], amounts[count] = KEYS[4], part
              choices = choices .. '0'
            end
            if obstacle then
              if not epoch then
                time = time or call('TIME')
                epoch = ARGV[1] .. '.' .. time[1] .. '.' .. time[2]
                call('SET', KEYS[1], epoch)
              end
              return {obstacle, epoch}
            end

            local figures, since, rates, lines, lease = '', '-', nil, nil, nil
            if hasMore and ARGV[7] ~= '' then
            """ + WaitLine.functions + """
                  \(clock)
                  local userLimit, keyLimit, life, userRequests, keyRequests, keyTokens =
                    string.match(ARGV[7], '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
                  local tag = string.sub(KEYS[1], 1, -6)
                  -- Requests and tokens a minute. A minute begins with its first request.
                  rates = {{tag .. 'rate:' .. ARGV[3], tonumber(userRequests), 0, 'user_rate'},
                    {tag .. 'rate:' .. ARGV[2], tonumber(keyRequests), tonumber(keyTokens), 'key_rate'}}
                  local refusal
                  for _, rate in ipairs(rates) do
                    if rate[2] > 0 or rate[3] > 0 then
                      local values = call('HMGET', rate[1], 's', 'c', 't')
                      local start = tonumber(values[1] or '0')
                      local requests, tokens = tonumber(values[2] or '0'), tonumber(values[3] or '0')
                      if now >= start + 60000 or now < start then start, requests, tokens, rate.isNew = now, 0, 0, true end
                      local wait = string.format('%d', start + 60000 - now)
                      \(refuse)
                    end
                  end
                  if refusal then return {refusal[1], epoch or '', refusal[2], figures} end

                  -- Calls at once. What is refused from here on has taken neither money nor a place in the minute. Who waits
                  -- for its key stands in that line alone: it must not hold up the user's other keys.
                  local bound
                  bound, since = string.match(state, '^%d (%S+) (%S+)$')
                  bound, since = bound or '-', since or '-'
                  local userSlots, keySlots = tag .. 'slots:' .. ARGV[3], tag .. 'slots:' .. ARGV[2]
                  lease = string.format('%d', now + life)
                  lines = {{keySlots, tonumber(keyLimit), 'key_busy', userSlots},
                    {userSlots, tonumber(userLimit), 'user_busy', keySlots}}
                  for _, line in ipairs(lines) do
                    if line[2] > 0 then
                      local free = line[2] - call('ZCOUNT', line[1], now, '+inf')
                      local place = stand(line[1], id, free, bound == '-' and '' or bound, since == '-' and '' or since,
                        now, time[1] * 1000000 + time[2])
                      if place then
                        if since ~= '-' then quit(line[4], id) end
                        return {line[3], epoch or '', place}
                      end
                    end
                  end
                  if since ~= '-' then lines.quit = quit end
                end

                -- All is well: from here on only writes.
                local hold = count == 1 and names[1] .. ' ' .. amounts[1] or ''
                for i = 1, count > 1 and count or 0 do
                  hold = hold .. (i > 1 and ' ' or '') .. names[i] .. ' ' .. amounts[i]
                end
                if call('HSETNX', KEYS[3], id, hold) == 0 then
                  -- Sent twice: what it reserved the first time is given back.
                  for name, part in string.gmatch(call('HGET', KEYS[3], id), '(%S+) (%d+)') do
                    if part ~= '0' then call('HINCRBY', name, 'r', '-' .. part) end
                  end
                  call('HSET', KEYS[3], id, hold)
                end
                for i = 1, count do call('HINCRBY', names[i], 'r', amounts[i]) end
                if ending then
                  for name, at in pairs(ending) do call('PEXPIREAT', name, at) end
                end
                if not epoch then
                  time = time or call('TIME')
                  epoch = ARGV[1] .. '.' .. time[1] .. '.' .. time[2]
                  call('SET', KEYS[1], epoch)
                end
                if lines then
                  for _, rate in ipairs(rates) do
                    if rate.isNew then
                      call('HSET', rate[1], 's', string.format('%d', now), 'c', '1', 't', '0')
                      call('PEXPIRE', rate[1], '120000')
                    elseif rate[2] > 0 or rate[3] > 0 then
                      call('HINCRBY', rate[1], 'c', '1')
                    end
                  end
                  for _, line in ipairs(lines) do
                    if lines.quit then lines.quit(line[1], id) end
                    if line[2] > 0 then
                      call('ZREMRANGEBYSCORE', line[1], '-inf', now)
                      call('ZADD', line[1], lease, id)
                    end
                  end
                end
                if figures == '' and not string.find(choices, '1', 1, true) then return epoch end
                return {'ok', epoch, choices, figures}
                """
    )
}
