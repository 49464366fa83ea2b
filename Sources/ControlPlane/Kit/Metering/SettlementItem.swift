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

    package var partition: Partition { Partition(of: record.user) }
}

/// What decides which of several records of one call counts. Pure.
package enum SettlementRules {
    /// For how many days the ids of settled calls are kept.
    package static let daysKept = 45
    /// Microseconds after a call's admission in which its id alone tells whether it is settled: a day less than it is kept.
    private static let longestDelay = Int64(daysKept - 1) * 86_400_000_000
    /// Microseconds by which a worker's clock may be ahead.
    private static let clockTolerance: Int64 = 3_600_000_000

    /// Whether a call was admitted at a time of which nothing can be told without the usage log (`SettlementTimes`).
    static func isOdd(_ createdAt: Timestamp, at now: Timestamp) -> Bool {
        !(now.microseconds - longestDelay...now.microseconds + clockTolerance).contains(createdAt.microseconds)
    }

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
