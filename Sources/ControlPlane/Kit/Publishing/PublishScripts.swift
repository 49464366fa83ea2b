package import Redis

/// The scripts that put snapshots into Redis. Numbers are `SnapshotVersion.stamp`s or versions, below 2⁵³: exact in Lua.
package enum PublishScripts {
    /// Writes a signed text unless a newer one stands there. The two numbers that order texts stand at the beginning of
    /// each (`SnapshotCodec`); one that is just as new is written again, which repairs a damaged text.
    ///
    /// Keys: the entry. Arguments: text, its first number, its second number. Answer: 1 if it was written.
    package static let setUnlessNewer = RedisScript(
        name: "set_unless_newer",
        source: """
            local head = redis.call('GETRANGE', KEYS[1], 0, 199)
            local first, second = string.match(head, '^%x+ {"format":%d+,"[%l_]+":(%d+),"[%l_]+":(%d+),')
            if first then
              first, second = tonumber(first), tonumber(second)
              local newFirst, newSecond = tonumber(ARGV[2]), tonumber(ARGV[3])
              if first > newFirst or (first == newFirst and second > newSecond) then return 0 end
            end
            redis.call('SET', KEYS[1], ARGV[1])
            return 1
            """
    )

    /// Raises fields of a partition's revisions; none is ever lowered.
    ///
    /// Keys: revisions. Arguments: pairs of field and number.
    package static let raise = RedisScript(
        name: "raise",
        source: """
            for i = 1, #ARGV, 2 do
              local known = redis.call('HGET', KEYS[1], ARGV[i])
              if not known or tonumber(known) < tonumber(ARGV[i + 1]) then
                redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
              end
            end
            return 1
            """
    )

    /// Raises fields of a partition's revisions if the groups of this configuration stand there.
    ///
    /// Keys: revisions. Arguments: the configuration's stamp, pairs of field and number. Answer: 1 if it was done; 0 when
    /// Redis has forgotten, or another control plane has published since.
    package static let raiseSince = RedisScript(
        name: "raise_since",
        source: """
            if redis.call('HGET', KEYS[1], 'cfg') ~= ARGV[1] then return 0 end
            for i = 2, #ARGV, 2 do
              local known = redis.call('HGET', KEYS[1], ARGV[i])
              if not known or tonumber(known) < tonumber(ARGV[i + 1]) then
                redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
              end
            end
            return 1
            """
    )

    /// Raises the revisions of keys and their users, and tells which entries must go.
    ///
    /// Keys: revisions. Arguments: for each key its id, revision, user, the user's revision and its hash, empty for a
    /// deleted one. Answer: for each key the hash whose entry is out of date, empty if none: the one from before a
    /// rotation or deletion, or the given one if a newer publication has already replaced it. The old hash stays noted
    /// until `settleHash`, so that a publisher that dies in between leaves nothing behind.
    package static let raiseKeys = RedisScript(
        name: "raise_keys",
        source: """
            local stale = {}
            for i = 1, #ARGV, 5 do
              local id, revision, user, userRevision, hash = unpack(ARGV, i, i + 4)
              local known = redis.call('HMGET', KEYS[1], 'k' .. id, 'h' .. id, 'u' .. user)
              local noted = known[2] or ''
              local isOlder = known[1] and tonumber(known[1]) > tonumber(revision)
              if not isOlder and known[1] ~= revision then redis.call('HSET', KEYS[1], 'k' .. id, revision) end
              if not known[3] or tonumber(known[3]) < tonumber(userRevision) then
                redis.call('HSET', KEYS[1], 'u' .. user, userRevision)
              end
              local out = ''
              if noted ~= hash then
                if isOlder then
                  out = hash
                elseif noted ~= '' then
                  out = noted
                else
                  redis.call('HSET', KEYS[1], 'h' .. id, hash)
                end
              end
              stale[#stale + 1] = out
            end
            return stale
            """
    )

    /// Notes a key's hash once the entry under its earlier one is gone.
    ///
    /// Keys: revisions. Arguments: key id, revision, hash; empty for a deleted key.
    package static let settleHash = RedisScript(
        name: "settle_hash",
        source: """
            if redis.call('HGET', KEYS[1], 'k' .. ARGV[1]) ~= ARGV[2] then return 0 end
            if ARGV[3] == '' then
              redis.call('HDEL', KEYS[1], 'h' .. ARGV[1])
            else
              redis.call('HSET', KEYS[1], 'h' .. ARGV[1], ARGV[3])
            end
            return 1
            """
    )

    /// Removes a text that is not what its place asks for, if it still stands there.
    ///
    /// Keys: the entry. Arguments: how it begins.
    package static let removeIfBegins = RedisScript(
        name: "remove_if_begins",
        source: """
            if redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then return 0 end
            return redis.call('DEL', KEYS[1])
            """
    )
}
