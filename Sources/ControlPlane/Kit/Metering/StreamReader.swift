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
}

/// An entry of a partition's stream: its id and what stands in it.
package struct StreamEntry: Hashable, Sendable {
    package let id: String
    package let streamID: StreamID
    /// The field `r`; nil when the entry has none.
    package let record: [UInt8]?
    /// The field `e`: a worker's word on a policy.
    package let event: [UInt8]?
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
            var event: [UInt8]?
            for index in stride(from: 0, to: fields.count - 1, by: 2) {
                switch fields[index] {
                case .string([UInt8(ascii: "r")]): record = fields[index + 1].bytes
                case .string([UInt8(ascii: "e")]): event = fields[index + 1].bytes
                default: break
                }
            }
            entries.append(StreamEntry(id: id, streamID: streamID, record: record, event: event))
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
