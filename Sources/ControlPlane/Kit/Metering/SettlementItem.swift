package import Domain
package import Snapshots

/// One usage record on its way into the books.
package struct SettlementItem: Hashable, Sendable {
    package var record: UsageRecord
    /// Where it stands in its partition's stream; nil when a worker brought it by HTTP.
    package var streamID: StreamID?

    package init(_ record: UsageRecord, streamID: StreamID? = nil) {
        self.record = record
        self.streamID = streamID
    }

    /// - Throws: `SnapshotError.invalid` for a record so old that nobody can tell any more whether it was settled: a
    ///   worker that was off for weeks hands in its journal. It is put aside, since it could be billed twice.
    package init(_ record: UsageRecord, streamID: StreamID? = nil, now: Timestamp) throws(SnapshotError) {
        guard record.createdAt.microseconds > now.microseconds - SettlementRules.longestDelay else {
            throw .invalid("created_at (older than the ids that are kept)")
        }
        self.init(record, streamID: streamID)
    }

    package var partition: Partition { Partition(of: record.user) }
}

/// What decides which of several records of one call counts. Pure.
package enum SettlementRules {
    /// For how many days the ids of settled calls are kept.
    package static let daysKept = 45
    /// Microseconds after a call's admission in which it can be settled: a day less than its id is kept after that.
    package static let longestDelay = Int64(daysKept - 1) * 86_400_000_000

    /// One record a call, in order: the first final one, else the first. Workers resend what they are not sure of.
    package static func distinct(_ items: [SettlementItem]) -> [SettlementItem] {
        var places: [String: Int] = [:]
        places.reserveCapacity(items.count)
        var distinct: [SettlementItem] = []
        distinct.reserveCapacity(items.count)
        for item in items {
            if let place = places[item.record.requestID] {
                if replaces(item.record.phase, distinct[place].record.phase) { distinct[place] = item }
            } else {
                places[item.record.requestID] = distinct.count
                distinct.append(item)
            }
        }
        return distinct
    }

    /// A final record replaces a swept one; nothing else replaces anything.
    package static func replaces(_ new: SettlementPhase, _ settled: SettlementPhase) -> Bool {
        new == .final && settled == .swept
    }
}
