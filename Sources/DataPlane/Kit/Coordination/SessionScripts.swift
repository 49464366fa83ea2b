package import Redis

/// The scripts that keep conversations on their accounts.
package enum SessionScripts {
    package static let all = [bind, unbind, turns]
    /// What is used again within this time need not be written again.
    package static let slackSeconds = 60

    /// Binds a session to an account unless it is bound. Keys: the binding. Arguments: account, life in seconds.
    /// Answer: the account that it is bound to now; its life begins anew.
    package static let bind = RedisScript(
        name: "bind",
        source: """
            local bound = redis.call('GET', KEYS[1])
            if bound then
              redis.call('EXPIRE', KEYS[1], ARGV[2])
              return bound
            end
            redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
            return ARGV[1]
            """
    )

    /// Ends a binding, unless it is to another account by now. Keys: the binding. Arguments: account.
    package static let unbind = RedisScript(
        name: "unbind",
        source: """
            if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
            return 0
            """
    )

    /// Finds the session of a conversation by the longest of its prefixes that came before, and notes it under all of
    /// its turns.
    ///
    /// Keys: hash of one caller's conversations in a group, prefix → session and the second at which it is forgotten.
    /// Arguments: the session if none came before (16 digits), life in seconds, how many prefixes are kept, the
    /// prefixes, longest first. Answer: the session.
    ///
    /// The last turn is noted anew once in a minute: what is kept a minute longer than its life is known that long after
    /// its last use. Beyond the number the oldest of a few picked by chance goes, as Redis does it itself.
    package static let turns = RedisScript(
        name: "turns",
        source: """
            local now = tonumber(redis.call('TIME')[1])
            local known = redis.call('HMGET', KEYS[1], unpack(ARGV, 4))
            local session = ARGV[1]
            for i = 1, #known do
              local ends = known[i] and tonumber(string.sub(known[i], 17))
              if ends and ends > now then
                session = string.sub(known[i], 1, 16)
                if i == 1 and ends - now > tonumber(ARGV[2]) then return session end
                break
              end
            end
            local life = ARGV[2] + \(Self.slackSeconds)
            redis.call('HSET', KEYS[1], ARGV[4], session .. string.format('%d', now + life))
            redis.call('EXPIRE', KEYS[1], string.format('%d', life))
            if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[3]) then
              local picked = redis.call('HRANDFIELD', KEYS[1], 16, 'WITHVALUES')
              local oldest, least
              for i = 1, #picked, 2 do
                local ends = tonumber(string.sub(picked[i + 1], 17))
                if picked[i] ~= ARGV[4] and (not least or ends < least) then oldest, least = picked[i], ends end
              end
              if oldest then redis.call('HDEL', KEYS[1], oldest) end
            end
            return session
            """
    )
}
