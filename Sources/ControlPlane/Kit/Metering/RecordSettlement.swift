package import Domain
package import Postgres
import Snapshots
package import Telemetry

/// Settles records whatever is wrong with some of them.
package struct RecordSettlement {
    private let log: Log
    private let metrics: SettlementMetrics

    package init(log: Log, metrics: SettlementMetrics) {
        self.log = log
        self.metrics = metrics
    }

    /// Settles the items in one transaction; where one of them makes it fail, in as many as it takes to find that one
    /// and put it aside. The order of the stream is kept, so a position is true whenever it is read.
    ///
    /// - Parameter positions: how far each partition is settled when all items are.
    /// - Throws: `PostgresError` that has nothing to do with the data. What was settled by then stays so.
    package func settle(
        _ items: ArraySlice<SettlementItem>,
        positions: [SettlementStore.Position],
        _ connection: PostgresConnection
    ) async throws -> SettlementStore.Outcome {
        do {
            let outcome = try await connection.transaction { connection in
                try await SettlementStore.settle(Array(items), positions: positions, connection)
            }
            metrics.settled.add(outcome.new + outcome.corrected)
            metrics.repeated.add(outcome.repeated)
            for item in outcome.buried { noteDeadLetter(item) }
            return outcome
        } catch let fault where Self.isFaultOfData(fault) && !items.isEmpty {
            if items.count == 1, let item = items.first {
                try await connection.transaction { connection in
                    try await SettlementStore.bury(item, reason: "\(fault)", connection)
                }
                noteDeadLetter(item)
                return try await settle([], positions: positions, connection)
            }
            let middle = items.startIndex + items.count / 2
            let first = items[..<middle]
            var outcome = try await settle(
                first,
                positions: Self.positions(of: first, in: positions),
                connection
            )
            let second = try await settle(items[middle...], positions: positions, connection)
            outcome.add(second)
            return outcome
        }
    }

    /// Puts an entry aside that is no usage record at all.
    package func bury(
        _ entry: StreamEntry,
        _ partition: Partition,
        reason: String,
        _ connection: PostgresConnection
    ) async throws {
        try await connection.transaction { connection in
            try await SettlementStore.bury(
                partition: partition.number,
                streamID: entry.id,
                record: entry.record ?? entry.event ?? [],
                reason: reason,
                connection
            )
        }
        noteDeadLetter(partition.number, entry.id)
    }

    /// Puts aside what a worker sent that is no usage record.
    package func bury(_ record: [UInt8], reason: String, _ connection: PostgresConnection) async throws {
        try await connection.transaction { connection in
            try await SettlementStore.bury(
                partition: -1,
                streamID: "",
                record: record,
                reason: reason,
                connection
            )
        }
        noteDeadLetter(-1, "")
    }

    private func noteDeadLetter(_ item: SettlementItem) {
        noteDeadLetter(item.partition.number, item.streamID?.description ?? "")
    }

    private func noteDeadLetter(_ partition: Int, _ streamID: String) {
        metrics.deadLetters.add()
        log.error(
            "usage record cannot be settled and was put aside: see usage_dead_letter",
            ["partition": LogValue(partition), "stream_id": .text(streamID)]
        )
    }

    /// Where each partition stands when only these items are settled.
    static func positions(
        of items: ArraySlice<SettlementItem>,
        in positions: [SettlementStore.Position]
    ) -> [SettlementStore.Position] {
        var last: [Partition: StreamID] = [:]
        for item in items {
            if let id = item.streamID { last[item.partition] = id }
        }
        return positions.compactMap { position in
            last[position.partition].map {
                SettlementStore.Position(partition: position.partition, epoch: position.epoch, lastID: $0)
            }
        }
    }

    /// Whether the records themselves were refused: bad values, violated constraints, exceeded limits (SQLSTATE
    /// classes 22, 23 and 54). Anything else is the server's or the network's trouble and will pass.
    static func isFaultOfData(_ error: any Error) -> Bool {
        guard let state = (error as? PostgresError ?? (error as? PostgresBatchError)?.error)?.state else {
            return false
        }
        return ["22", "23", "54"].contains(state.prefix(2))
    }
}
