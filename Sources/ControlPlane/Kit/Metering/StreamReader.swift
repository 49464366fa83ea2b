package import Domain
package import Redis
package import Snapshots

/// The scripts of settlement, each on one partition.
package enum SettlementScripts {
    /// Reads the oldest entries with the epoch that they belong to.
    ///
    /// Keys: epoch, usage stream. Arguments: from which id, how many. Answer: `{epoch, entries}`.
    package static let read = RedisScript(
        name: "read_usage",
        source: """
            local epoch = redis.call('GET', KEYS[1])
            return {epoch or '', redis.call('XRANGE', KEYS[2], ARGV[1], '+', 'COUNT', ARGV[2])}
            """
    )

    /// Removes entries that are in Postgres and says so; does nothing when Redis has forgotten since they were read.
    ///
    /// Keys: epoch, usage stream. Arguments: the epoch they were read in, channel, announcement, ids.
    /// Answer: how many were removed, −1 in another epoch.
    package static let acknowledge = RedisScript(
        name: "acknowledge_usage",
        source: """
            if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return -1 end
            local removed = 0
            for i = 4, #ARGV, 1000 do
              removed = removed + redis.call('XDEL', KEYS[2], unpack(ARGV, i, math.min(i + 999, #ARGV)))
            end
            redis.call('PUBLISH', ARGV[2], ARGV[3])
            return removed
            """
    )
}

/// An entry of a partition's stream: its id and what stands in it.
package struct StreamEntry: Hashable, Sendable {
    package let id: String
    package let streamID: StreamID
    /// The field `r`; nil when the entry has none.
    package let record: [UInt8]?
}

/// Some of the oldest entries of a partition.
package struct StreamSlice: Sendable {
    package let partition: Partition
    package let epoch: String
    package let entries: [StreamEntry]
    /// Whether there were as many as were asked for: there may be more.
    package let isFull: Bool

    /// - Returns: nil when the answer is not one of the script `read`.
    package init?(_ answer: RedisValue, _ partition: Partition, limit: Int) {
        guard let parts = answer.array, parts.count == 2, let epoch = parts[0].text, let found = parts[1].array else {
            return nil
        }
        self.partition = partition
        self.epoch = epoch
        var entries: [StreamEntry] = []
        entries.reserveCapacity(found.count)
        for entry in found {
            guard let parts = entry.array, parts.count == 2, let id = parts[0].text, let streamID = StreamID(id) else {
                return nil
            }
            let fields = parts[1].array ?? []
            var record: [UInt8]?
            for index in stride(from: 0, to: fields.count - 1, by: 2) where fields[index] == .string([0x72]) {
                record = fields[index + 1].bytes
            }
            entries.append(StreamEntry(id: id, streamID: streamID, record: record))
        }
        self.entries = entries
        isFull = entries.count >= limit
    }

    package static func call(_ partition: Partition, from start: String = "-", limit: Int) -> RedisScriptCall {
        RedisScriptCall(
            SettlementScripts.read,
            keys: [RedisNames.epoch(partition), RedisNames.usage(partition)],
            arguments: [start, String(limit)]
        )
    }
}
