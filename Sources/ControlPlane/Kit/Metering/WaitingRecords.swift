import Domain
import Postgres
import Redis
import Snapshots

/// Reads the records that stand in partitions' streams: not settled yet, or settled and not taken out yet.
///
/// A record leaves the stream only after the commit that settles it. So who reads the stream first and `settled` after it
/// knows of each record whether the books include it; who reads the books first knows what of them stands here as well.
struct WaitingRecords {
    private static let page = 1000

    private let redis: RedisClient
    private let decoder = UsageRecordDecoder()

    init(_ redis: RedisClient) { self.redis = redis }

    /// These users' records, one a call.
    ///
    /// - Parameter limit: how many entries of a partition are looked at; nil for all.
    /// - Throws: `RedisError`.
    func read(of users: Set<UserID>, atMost limit: Int? = nil) async throws -> [SettlementItem] {
        let partitions = Set(users.map { Partition(of: $0) }).sorted { $0.number < $1.number }
        var calls = partitions.map { StreamSlice.call($0, limit: Self.page) }
        var left = partitions
        var seen = 0
        var found: [SettlementItem] = []
        while !calls.isEmpty {
            let answers = try await redis.runAll(calls)
            calls = []
            seen += Self.page
            let asked = left
            left = []
            for (partition, answer) in zip(asked, answers) {
                guard let slice = StreamSlice(answer, partition, limit: Self.page) else {
                    throw RedisError.unexpectedAnswer
                }
                for entry in slice.entries {
                    // What cannot be read is not going to be settled either.
                    guard let bytes = entry.record, let record = try? decoder.decode(bytes),
                        users.contains(record.user)
                    else { continue }
                    found.append(SettlementItem(record, streamID: entry.streamID))
                }
                guard slice.isFull, let last = slice.entries.last, limit.map({ seen < $0 }) ?? true else { continue }
                calls.append(StreamSlice.call(partition, from: "(" + last.id, limit: Self.page))
                left.append(partition)
            }
        }
        return SettlementRules.distinct(found)
    }

    /// Which of these calls are settled, and how.
    ///
    /// - Throws: `PostgresError`.
    static func settled(
        _ items: [SettlementItem],
        _ connection: PostgresConnection
    ) async throws -> [String: SettlementPhase] {
        guard !items.isEmpty else { return [:] }
        var phases: [String: SettlementPhase] = [:]
        for row in try await connection.query(
            "select request_id, phase from settled where request_id = any($1::text[])",
            [.texts(items.map(\.record.requestID))]
        ) {
            phases[try row.text("request_id")] = try row.choice("phase") as SettlementPhase
        }
        return phases
    }
}
