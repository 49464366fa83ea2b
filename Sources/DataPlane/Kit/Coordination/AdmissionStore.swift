package import Domain
package import Redis
import Snapshots

/// What admission decided.
package enum AdmissionAnswer: Equatable, Sendable {
    case admitted
    /// Key, user or group have changed since this worker's snapshot: reload, then ask again.
    case stale
    /// Redis does not know the revisions: it has lost them, and the control plane has not published them again yet.
    case forgotten
    case userBusy
    case keyBusy
}

/// Admission in Redis: one script a call, on the partition of its user.
package final class AdmissionStore {
    private static let ok = Array("ok".utf8)
    private let redis: RedisClient
    /// Proposed where Redis has no epoch; random for each worker loop.
    private let proposedEpoch: String
    package var onEpoch: ((Partition, [UInt8]) -> Void)?

    package init(_ redis: RedisClient, proposedEpoch: String) {
        self.redis = redis
        self.proposedEpoch = proposedEpoch
    }

    /// - Parameter isLenient: accepts that Redis does not know the revisions (it lost them, and nobody is there to
    ///   publish them again).
    /// - Throws: `RedisError`. The call may then have been admitted; its lease ends by itself.
    package func admit(
        _ requestID: String,
        _ key: ServingKey,
        _ group: ServingGroup,
        isLenient: Bool
    ) async throws -> AdmissionAnswer {
        var rest = RedisArguments(capacity: 64)
        rest.add(isLenient ? "1" : "0")
        rest.add(requestID)
        let answer = try await redis.run(key.admission(to: group, proposedEpoch), rest)
        guard case .array(let parts) = answer, parts.count == 2, case .string(let code) = parts[0],
            case .string(let epoch) = parts[1]
        else { throw RedisError.unexpectedAnswer }
        if !epoch.isEmpty { onEpoch?(key.partition.partition, epoch) }
        if code == Self.ok { return .admitted }
        switch String(decoding: code, as: UTF8.self) {
        case "stale": return .stale
        case "forgotten": return .forgotten
        case "user_busy": return .userBusy
        case "key_busy": return .keyBusy
        default: throw RedisError.unexpectedAnswer
        }
    }

    /// Compares the revisions alone, for calls that reserve nothing: `admitted`, `stale` or `forgotten`.
    ///
    /// - Throws: `RedisError`.
    package func verify(_ key: ServingKey, _ group: ServingGroup) async throws -> AdmissionAnswer {
        let answer = try await redis.send(
            RedisCommand(["HMGET", key.partition.revisions, key.keyField, key.userField, group.revisionField])
        )
        guard case .array(let known) = answer, known.count == 3 else { throw RedisError.unexpectedAnswer }
        let mine = [key.snapshot.revision, key.snapshot.userRevision, group.snapshot.revision]
        var result = AdmissionAnswer.admitted
        for (known, mine) in zip(known, mine) {
            guard known != .null else {
                result = .forgotten
                continue
            }
            guard let known = known.integer else { throw RedisError.unexpectedAnswer }
            if known > mine { return .stale }
        }
        return result
    }
}
