package import Bytes
package import Domain

/// The names under which the planes meet in Redis.
///
/// Everything a user's calls touch carries the hash tag of the user's partition, `{p07}`, everything of one account
/// `{a123}`: a script's keys always share a slot of a Redis Cluster.
package enum RedisNames {
    // MARK: A partition

    /// Random text, new whenever Redis has lost the partition; every script returns it.
    package static func epoch(_ partition: Partition) -> String { tag(partition) + "epoch" }
    /// Hash: the current revisions of keys (`k12`), users (`u3`) and groups (`g4`), as the snapshots carry them; they
    /// are only ever raised. A call whose snapshot has another revision than stands here is stale; so is one whose field
    /// is missing, because Redis has then forgotten it. The publisher's own fields: `h12` is the hash under which key 12
    /// stands, `all:v1` tells whether this partition has all of its keys in that format.
    package static func revisions(_ partition: Partition) -> String { tag(partition) + "rev" }
    /// Sorted set: request ids of reservations by the time of their last renewal. Who looks for dead workers lists them;
    /// workers renew what is listed and take it out.
    package static func live(_ partition: Partition) -> String { tag(partition) + "live" }
    /// Hash: request id → renewal count and what the call would be billed if its worker died now.
    package static func holds(_ partition: Partition) -> String { tag(partition) + "hold" }
    /// Sorted set: request ids of a user's calls under way, by the end of their lease. Beside each set of slots, also an
    /// account's, stands the line of the calls that wait for one: `…:line` and `…:alive` (the workers' `WaitLine`).
    package static func slots(of user: UserID) -> String { tag(Partition(of: user)) + "slots:u\(user)" }
    package static func slots(of key: KeyID, _ partition: Partition) -> String { tag(partition) + "slots:k\(key)" }
    /// String, expiring: how far a request was settled.
    package static func done(_ requestID: String, _ partition: Partition) -> String {
        tag(partition) + "done:" + requestID
    }
    /// Stream: usage records that are not in Postgres yet, one field `r` each.
    package static func usage(_ partition: Partition) -> String { tag(partition) + "usage" }

    static func tag(_ partition: Partition) -> String {
        partition.number < 10 ? "tg:{p0\(partition.number)}:" : "tg:{p\(partition.number)}:"
    }

    // MARK: An account

    /// Sorted set: request ids of the account's calls under way, by the end of their lease.
    package static func slots(of account: AccountID) -> String { "tg:{a\(account)}:slots" }
    /// String: the account's sealed credentials (`CredentialEntry`).
    package static func credentials(of account: AccountID, format: Int = SnapshotFormat.current) -> String {
        "tg:{a\(account)}:cred:v\(format)"
    }

    /// Hash: what keeps the account from being chosen, and what was counted of its refusals (`AccountMarks`). An account
    /// without any of it has none.
    package static func marks(of account: AccountID) -> String { "tg:{a\(account)}:flags" }
    /// Hash: what has been spent through the account (`AccountQuotaScripts`); none where it has no quota.
    package static func quota(of account: AccountID) -> String { "tg:{a\(account)}:quota" }
    /// Sorted set: calls of the last minute, where the account may have only so many.
    package static func requestRate(of account: AccountID) -> String { "tg:{a\(account)}:rpm" }
    /// Sorted set: calls that try out an account whose pause has just ended, by the end of their lease.
    package static func probes(of account: AccountID) -> String { "tg:{a\(account)}:probes" }
    /// String, expiring: who tries out a group all of whose accounts are paused, and when that may be done again.
    package static func brownOut(of group: GroupID) -> String { "tg:{g\(group)}:guard" }
    /// Stream: what has become of accounts (`AccountEvent`), until it is in Postgres.
    package static let accountEvents = "tg:events"

    // MARK: A session

    /// The longest name of what belongs to a session.
    package static let longestOfSession = 96

    /// String, expiring: the account that a session is bound to in a group.
    package static func binding(_ session: UInt64, _ group: GroupID) -> String {
        text { writeBinding(session, group, to: &$0) }
    }

    package static func writeBinding(_ session: UInt64, _ group: GroupID, to out: inout ByteCursor) {
        out.write("tg:{s")
        out.write(hexadecimal: session)
        out.write("}:g")
        out.write(decimal: group.raw)
    }

    /// Hash, expiring: chains of turns that came from one caller's program in a group, and their sessions.
    package static func turns(of key: KeyID, _ group: GroupID, context: UInt64) -> String {
        text { writeTurns(of: key, group, context: context, to: &$0) }
    }

    package static func writeTurns(of key: KeyID, _ group: GroupID, context: UInt64, to out: inout ByteCursor) {
        out.write("tg:{k")
        out.write(decimal: key.raw)
        out.write("}:turns:g")
        out.write(decimal: group.raw)
        out.write(":")
        out.write(hexadecimal: context)
    }

    private static func text(_ write: (inout ByteCursor) -> Void) -> String {
        String(unsafeUninitializedCapacity: longestOfSession) { memory in
            var out = ByteCursor(memory)
            write(&out)
            return out.count
        }
    }

    // MARK: An answer

    /// String, expiring: key and account that an answer of the Responses API belongs to.
    package static func response(_ id: String) -> String { "tg:response:" + id }

    // MARK: Traces

    /// String: the number of the hash that traces are written to now.
    package static let traceGeneration = "tg:{traces}:now"
    package static let tracesPrefix = "tg:{traces}:"
    /// Hash: request id → trace, JSON.
    package static func traces(_ generation: Int64) -> String { tracesPrefix + String(generation) }
    /// How many of these hashes there are at most.
    package static let traceGenerations = 32

    // MARK: Snapshots

    // Each once for every format that somebody reads (`SnapshotFormat`).

    /// String: the signed configuration snapshot in the format of this version.
    package static let config = config(format: SnapshotFormat.current)
    package static func config(format: Int) -> String { "tg:config:v\(format)" }
    /// String: the signed snapshot of one API key.
    package static func key(hash: String, format: Int = SnapshotFormat.current) -> String {
        "tg:key:v\(format):\(hash)"
    }
    /// String: stands while every key that exists has its snapshot here, so that a miss means unknown. Its value is the
    /// publisher's business.
    package static let keysComplete = keysComplete(format: SnapshotFormat.current)
    package static func keysComplete(format: Int) -> String { "tg:keys:complete:v\(format)" }

    /// Sorted set: the formats that workers read, by the second in which one said so last.
    package static let formats = "tg:formats"
    /// Channel: `Announcement`s of what has just changed.
    package static let announcements = "tg:announce"
    /// Hash: the ids of processes that have given a sign of life; those whose sign is over are taken out by who notices.
    package static let nodes = "tg:node:index"
    /// String, expiring: a process' sign of life (`NodeSign`).
    package static func node(_ id: String) -> String { "tg:node:\(id)" }

    /// Hash: in which run of this Redis its log was written anew (`RedisLogRenewal`).
    package static let logRenewal = "tg:log"
}
