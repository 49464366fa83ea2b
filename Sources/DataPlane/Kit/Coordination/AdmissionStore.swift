package import Domain
package import Redis
package import Snapshots

/// What admission decided.
package enum AdmissionAnswer: Equatable, Sendable {
    case admitted
    /// Key, user or group have changed since this worker's snapshot: reload, then ask again.
    case stale
    case userBusy
    case keyBusy
}

/// What one admitted call holds in its user's partition.
package struct AdmissionTicket: Sendable {
    package let requestID: String
    package let keys: PartitionKeys
    let userSlots: String
    let keySlots: String
    let holdsUserSlot: Bool
    let holdsKeySlot: Bool

    init(requestID: String, key: KeySnapshot) {
        self.requestID = requestID
        keys = PartitionKeys.of(key.user)
        holdsUserSlot = key.userConcurrency > 0
        holdsKeySlot = key.concurrency > 0
        // Without a limit there is no set; the script still needs a name of the partition to stand there.
        userSlots = holdsUserSlot ? RedisNames.slots(of: key.user) : keys.live
        keySlots = holdsKeySlot ? RedisNames.slots(of: key.id, keys.partition) : keys.live
    }

    /// The sets in which the call has a slot while it runs.
    var heldSlots: [String] {
        (holdsUserSlot ? [userSlots] : []) + (holdsKeySlot ? [keySlots] : [])
    }
}

/// Admission in Redis: one script a call, on the partition of its user.
package final class AdmissionStore {
    private let redis: RedisClient
    /// Proposed where Redis has no epoch; random for each worker loop.
    private let proposedEpoch: String
    package var onEpoch: ((Partition, String) -> Void)?

    package init(_ redis: RedisClient, proposedEpoch: String) {
        self.redis = redis
        self.proposedEpoch = proposedEpoch
    }

    /// - Parameter isLenient: accepts that Redis does not know the revisions (it lost them, and nobody is there to
    ///   publish them again).
    /// - Throws: `RedisError`. The call may then have been admitted; its lease ends by itself.
    package func admit(
        _ ticket: AdmissionTicket, key: KeySnapshot, groupRevision: Int64, group: GroupID, isLenient: Bool
    ) async throws -> AdmissionAnswer {
        let keys = ticket.keys
        let answer = try await redis.run(
            CallScripts.admit,
            keys: [keys.epoch, keys.revisions, keys.live, keys.holds, ticket.userSlots, ticket.keySlots],
            arguments: [
                ticket.requestID, proposedEpoch, "k\(key.id)", String(key.revision), "u\(key.user)",
                String(key.userRevision), "g\(group)", String(groupRevision), isLenient ? "1" : "0",
                String(key.userConcurrency), String(key.concurrency), Leases.durationText,
                "0|\(key.user)|\(key.id)|\(group)",
            ]
        )
        guard case .array(let parts) = answer, parts.count == 2, case .string(let code) = parts[0],
            case .string(let epoch) = parts[1]
        else { throw RedisError.unexpectedAnswer }
        if !epoch.isEmpty { onEpoch?(keys.partition, String(decoding: epoch, as: UTF8.self)) }
        switch String(decoding: code, as: UTF8.self) {
        case "ok": return .admitted
        case "stale": return .stale
        case "user_busy": return .userBusy
        case "key_busy": return .keyBusy
        default: throw RedisError.unexpectedAnswer
        }
    }
}
